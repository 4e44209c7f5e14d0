"""Caps over a real PostgreSQL: days of 23 and 25 hours, and two films that race for the channel's last dollar."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from tests.support.builders import a_record, a_run
from tests.support.postgres import rows_of
from tests.support.quiet_studio import QuietStudio

from videotask_contract.phases import Phase
from videotask_contract.report import Certainty, Spend
from videotask_contract.steps import Step
from videotask_operator.core.model import TaskKey

BERLIN = "Europe/Berlin"
SHORT = (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC))
"""29 March 2026 in Berlin: clocks go forward, 23 hours."""
LONG = (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC))
"""25 October 2026 in Berlin: clocks go back, 25 hours."""
MOMENT = timedelta(microseconds=1)


def a_call(call_id: str, at: datetime, usd: str = "1.00") -> Spend:
    return Spend(
        call_id=call_id,
        run_id="run1",
        item="01",
        model="m",
        amount_usd=Decimal(usd),
        certainty=Certainty.SETTLED,
        at=at,
    )


@pytest.mark.parametrize(("day", "hours"), [(SHORT, 23), (LONG, 25)], ids=["23 hours", "25 hours"])
async def test_a_day_with_a_clock_change_counts_from_midnight_to_midnight(postgres_store, day, hours):
    begin, end = day
    assert (end - begin) == timedelta(hours=hours)
    inside = [begin, begin + timedelta(hours=hours / 2), end - MOMENT]
    outside = [begin - MOMENT, end]
    calls = [a_call(f"c{number}", at) for number, at in enumerate([*inside, *outside])]
    async with postgres_store.transaction() as transaction:
        await transaction.save_task(a_record())
        await transaction.save_spend(a_record(), Step.VIDEO_GENERATION, calls, time_zone=BERLIN)
        for now in inside:
            money = await transaction.load_money(a_record(), now=now, time_zone=BERLIN)
            assert money.channel_day_spent_usd == Decimal(3), now
        for now in outside:
            money = await transaction.load_money(a_record(), now=now, time_zone=BERLIN)
            assert money.channel_day_spent_usd == Decimal(1), now


@pytest.mark.parametrize("day", [SHORT, LONG], ids=["23 hours", "25 hours"])
async def test_a_reservation_of_a_killed_run_holds_up_the_very_day_it_ended_on(postgres_store, day):
    begin, end = day
    async with postgres_store.transaction() as transaction:
        await transaction.save_task(a_record())
        await transaction.save_run(a_run(closed_at=begin, reserved_usd=Decimal(2)))
        within = await transaction.load_money(a_record(), now=end - MOMENT, time_zone=BERLIN)
        after = await transaction.load_money(a_record(), now=end, time_zone=BERLIN)
    assert (within.channel_day_reserved_usd, after.channel_day_reserved_usd) == (Decimal(2), Decimal(0))


@pytest.mark.parametrize("day", [SHORT, LONG], ids=["23 hours", "25 hours"])
async def test_a_channel_whose_day_is_used_up_goes_on_when_its_own_day_ends_and_not_before(postgres_store, day):
    begin, end = day
    studio = QuietStudio(postgres_store)
    studio.has_channel(budget={"perDayUSD": "1.00", "timeZone": BERLIN})
    studio.now = begin + timedelta(hours=1)
    studio.has_film("one")
    async with postgres_store.transaction() as transaction:
        spender = a_record(uid="spender", name="spender", phase=Phase.COMPLETED)
        await transaction.save_task(spender)
        await transaction.save_spend(
            spender, Step.VIDEO_GENERATION, [a_call("c", studio.now, "0.99")], time_zone=BERLIN
        )
    await studio.look()
    record = await studio.record("one")
    assert (record.phase, studio.running("one")) == (Phase.BUDGET_EXCEEDED, None)
    assert "its next day in Europe/Berlin" in record.message
    studio.now = end - timedelta(seconds=2)
    await studio.look()
    assert studio.running("one") is None, "the channel's day has not ended yet"
    await studio.look()
    assert studio.step_of("one") is Step.ASSET_GENERATION


class Race:
    """Films that are all one decision away from a run, over one record."""

    def __init__(self, store, *, day: str) -> None:
        self.studio = QuietStudio(store, fleet_max_active_tasks=10)
        self.studio.has_channel(budget={"perDayUSD": day}, limits={"maxActiveTasks": 10})
        self.names = ("one", "two", "three", "four")

    async def ready(self) -> None:
        """Bring each to where its next decision opens the run."""
        for name in self.names:
            self.studio.has_film(name)
            self.studio.now += timedelta(seconds=1)
            await self.studio.reconciler.reconcile(TaskKey("studio", name))
        await self.studio.reconciler._admit()

    async def decide_all_at_once(self) -> list[str]:
        """Let all decisions run side by side; return who got a run."""
        await asyncio.gather(*(self.studio.reconciler.reconcile(TaskKey("studio", name)) for name in self.names))
        return [name for name in self.names if self.studio.running(name)]


async def test_films_that_race_for_the_channels_last_dollar_never_both_get_it(postgres_store, database_url):
    # Two images may cost 0.084 in all, the first of them 0.042: there is enough for one run, and not for two.
    race = Race(postgres_store, day="0.09")
    await race.ready()
    winners = await race.decide_all_at_once()
    assert len(winners) == 1
    [(reserved,)] = rows_of(database_url, "SELECT sum(reserved_usd) FROM step_runs WHERE closed_at IS NULL")
    assert Decimal("0.042") <= reserved <= Decimal("0.09")
    for name in set(race.names) - set(winners):
        record = await race.studio.record(name)
        assert record.phase is Phase.BUDGET_EXCEEDED
        assert "perDayUSD" in record.message

    # What the winner did not use is free again, and one of the others gets it.
    await race.studio.finish(winners[0], usd="0.03")
    await race.studio.look(seconds=40)
    paid = [name for name in race.names if race.studio.step_of(name) is Step.ASSET_GENERATION]
    assert len(paid) == 1
    assert paid != winners
    [(spent, held)] = rows_of(
        database_url,
        "SELECT (SELECT sum(spent_usd) FROM budget_days), "
        "(SELECT sum(reserved_usd) FROM step_runs WHERE closed_at IS NULL)",
    )
    assert spent + held <= Decimal("0.09")
