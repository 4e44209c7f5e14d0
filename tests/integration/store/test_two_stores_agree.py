"""Whatever is told in whatever order, both stores say the same afterwards."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.builders import NOON, a_record, a_run

from videotask_contract.phases import Phase
from videotask_contract.report import LUMP_PREFIX, Certainty, Item, Spend
from videotask_contract.steps import Step
from videotask_operator.core.model import TaskKey, Transition
from videotask_operator.core.ports import RecordConflictError

UIDS = ("t1", "t2", "t3")
ZONES = ("UTC", "Europe/Zurich", "America/New_York")
STEPS = (Step.VIDEO_GENERATION, Step.SFX_GENERATION)


def record_of(uid, **changes):
    return a_record(uid=uid, name="film" if uid != "t3" else "other", channel=f"c{uid == 't3'}", **changes)


class Teller:
    """Makes up what a reconciler and its steps could tell, legal or not."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def moment(self):
        return NOON + timedelta(minutes=self.random.randrange(0, 4320, 30))

    def usd(self):
        return Decimal(self.random.randrange(0, 100_000)) / 10_000

    def call(self):
        run = f"run{self.random.randrange(1, 5)}"
        lump = self.random.random() < 0.2
        return Spend(
            call_id=f"{LUMP_PREFIX}{run}" if lump else f"call{self.random.randrange(8)}",
            run_id=run,
            item="01",
            model="m",
            amount_usd=self.usd(),
            certainty=self.random.choice(tuple(Certainty)),
            at=self.moment(),
        )

    def action(self):
        """Return one method of a transaction with its arguments."""
        uid, step = self.random.choice(UIDS), self.random.choice(STEPS)
        number = self.random.randrange(1, 5)
        many = range(self.random.randrange(1, 4))
        match self.random.randrange(7):
            case 0:
                phase = self.random.choice(tuple(Phase))
                return ("save_task", (record_of(uid, phase=phase, pipeline_cost_usd=self.usd()),), {})
            case 1 | 2:
                closed = self.random.choice((None, self.moment(), self.moment()))
                read = self.random.random() < 0.3
                permitted = self.random.choice((None, NOON))
                run = a_run(number=number, task_uid=uid, closed_at=closed, ledger_read=read, reserved_usd=self.usd())
                run = replace(run, permitted_at=permitted, spent_usd=self.usd())
                return ("save_run", (run,), {})
            case 3:
                item = Item(
                    item=f"{number:02d}",
                    key="k",
                    path="p",
                    size_bytes=1,
                    sha256=str(self.random.random()),
                    kept=self.random.random() < 0.5,
                )
                return ("save_items", (uid, step, f"run{number}", [item]), {})
            case 4:
                phases = [self.random.choice((Phase.QUEUED, Phase.CLAIMED)) for _ in many]
                told = [Transition(before=None, after=phase, at=NOON, message="m") for phase in phases]
                return ("save_history", (uid, told), {})
            case 5:
                planned = {step: self.usd()}
                times = {"now": self.moment(), "time_zone": self.random.choice(ZONES)}
                return ("save_plan_costs", (record_of(uid), planned), times)
            case _:
                calls = [self.call() for _ in many]
                return ("save_spend", (record_of(uid), step, calls), {"time_zone": self.random.choice(ZONES)})


async def outcome_of(store, actions, *, fail):
    """Tell all of it in one transaction; return how it ended."""
    try:
        async with store.transaction() as transaction:
            for method, arguments, options in actions:
                await getattr(transaction, method)(*arguments, **options)
            if fail:
                raise ArithmeticError  # noqa: TRY301  what is shown is the way out of the transaction
    except (RecordConflictError, ArithmeticError) as error:
        return type(error)
    return None


async def all_that_is_said(store):
    """Return everything the port can be asked."""
    async with store.transaction() as transaction:
        said = [
            await transaction.load_active_tasks(),
            await transaction.load_unfinished_uids(),
            await transaction.load_uids(),
            await transaction.load_account_runs("studio/gemini-key/api-key"),
            await transaction.load_task_by_key(TaskKey("studio", "film")),
            await transaction.load_earlier_task(TaskKey("studio", "film"), uid="t2"),
            await transaction.load_earlier_films(TaskKey("studio", "film"), uid="t2"),
        ]
        for uid in UIDS:
            said += [
                await transaction.load_task(uid),
                await transaction.load_runs(uid),
                await transaction.load_history(uid, last=3),
                await transaction.load_step_costs(uid),
                await transaction.load_spend(uid),
                await transaction.load_time_zone(uid),
                *[await transaction.load_items(uid, step) for step in STEPS],
                *[
                    await transaction.load_money(record_of(uid), now=NOON + timedelta(days=day), time_zone=zone)
                    for day in range(-1, 5)
                    for zone in ZONES
                ],
            ]
    return said


@pytest.mark.parametrize("seed", range(6))
async def test_after_any_history_both_stores_say_the_same(memory_store, emptied_store, seed):
    teller = Teller(seed)
    ends = []
    for turn in range(40):
        actions = [teller.action() for _ in range(teller.random.randrange(1, 4))]
        fail = teller.random.random() < 0.1
        ends.append([await outcome_of(store, actions, fail=fail) for store in (memory_store, emptied_store)])
        assert ends[-1][0] is ends[-1][1], actions
        if turn % 8 == 7:
            assert await all_that_is_said(memory_store) == await all_that_is_said(emptied_store)
    assert {end[0] for end in ends} >= {None, RecordConflictError}, "the history was too tame to show anything"
