"""What a month cost, read from a real PostgreSQL: the report adds up to the record's own spend."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy
from tests.support.builders import NOON, UID, a_record, a_run
from tests.support.postgres import rows_of

from videotask_contract.errors import TransientError
from videotask_contract.report import LUMP_PREFIX, Certainty, Item, Spend
from videotask_contract.steps import Step
from videotask_operator.core.costs import CostFormat, CostKey, parse_keys, render
from videotask_operator.store.costs import costs_report, open_read_only

NOVEMBER = date(2026, 11, 1)
VIDEO = Step.VIDEO_GENERATION


def a_call(call_id: str, usd: str, *, run: int = 1, item: str = "01", at=NOON, certainty=Certainty.SETTLED) -> Spend:
    return Spend(
        call_id=call_id, run_id=f"run{run}", item=item, model="m", amount_usd=Decimal(usd), certainty=certainty, at=at
    )


def an_item(item: str, take: int = 1) -> Item:
    return Item(item=item, key=f"k{take}", take=take, path=f"{item}.{take}", size_bytes=1, sha256="s")


async def pay(store, *calls, record=None, step=VIDEO, time_zone="UTC"):
    async with store.transaction() as transaction:
        await transaction.save_task(record or a_record())
        await transaction.save_spend(record or a_record(), step, calls, time_zone=time_zone)


def report_of(url, *by, month=NOVEMBER, **where):
    with open_read_only(url) as connection:
        return costs_report(connection, month=month, by=by, **where)


def rows_by(report):
    return {row.labels: row for row in report.rows}


async def test_each_figure_stands_in_its_own_column(postgres_store, database_url):
    record = a_record(estimated_cost_usd=Decimal("1.50"))
    plan = {VIDEO: Decimal("0.84"), Step.SFX_GENERATION: Decimal("0.66"), Step.VIDEO_ASSEMBLY: Decimal(0)}
    async with postgres_store.transaction() as transaction:
        await transaction.save_task(record)
        await transaction.save_plan_costs(record, plan, now=NOON, time_zone="UTC")
        for number, kept in ((1, "0"), (2, "0.42")):
            run = a_run(number=number, step=VIDEO, closed_at=NOON, kept_usd=Decimal(kept))
            await transaction.save_run(run)
    await pay(postgres_store, a_call("one", "0.42"), a_call("two", "0.53", certainty=Certainty.POSSIBLY), record=record)
    found = rows_by(report_of(database_url, CostKey.STEP))
    clips = found["video_generation",]
    assert (clips.planned_usd, clips.paid_usd, clips.possibly_paid_usd, clips.kept_usd, clips.total_usd) == (
        Decimal("0.84"),
        Decimal("0.42"),
        Decimal("0.53"),
        Decimal("0.42"),
        Decimal("0.95"),
    )
    assert found["sfx_generation",].planned_usd == Decimal("0.66")
    assert set(found) == {("video_generation",), ("sfx_generation",)}


class TestRedo:
    async def made(self, store, *, takes: int) -> None:
        async with store.transaction() as transaction:
            await transaction.save_task(a_record())
            for number in range(1, takes + 1):
                await transaction.save_run(a_run(number=number, step=VIDEO, closed_at=NOON))
                await transaction.save_items(UID, VIDEO, f"run{number}", [an_item("07", number)])

    async def test_a_new_take_of_what_had_been_made_is_redo(self, postgres_store, database_url):
        await self.made(postgres_store, takes=3)
        calls = [a_call(f"c{run}", "0.42", run=run, item="07") for run in (1, 2, 3)]
        await pay(postgres_store, *calls)
        (row,) = report_of(database_url, CostKey.FILM).rows
        assert (row.redo_usd, row.total_usd) == (Decimal("0.84"), Decimal("1.26"))

    async def test_a_second_try_after_unusable_media_is_not(self, postgres_store, database_url):
        async with postgres_store.transaction() as transaction:
            await transaction.save_task(a_record())
            for number in (1, 2):
                await transaction.save_run(a_run(number=number, step=VIDEO, closed_at=NOON))
            # Nothing stood after the first run; its paid clip was black.
            await transaction.save_items(UID, VIDEO, "run2", [an_item("07")])
        bad = [a_call("bad", "0.42", run=1, item="07"), a_call("again", "0.42", run=2, item="07")]
        await pay(postgres_store, *bad)
        assert report_of(database_url).total.redo_usd == 0

    async def test_calls_of_other_items_of_the_same_run_are_not(self, postgres_store, database_url):
        await self.made(postgres_store, takes=2)
        await pay(postgres_store, a_call("other", "0.42", run=2, item="08"), a_call("redo", "0.42", run=2, item="07"))
        assert report_of(database_url).total.redo_usd == Decimal("0.42")

    async def test_a_run_from_before_the_record_was_lost_counts_as_paid_and_not_as_redo(
        self, postgres_store, database_url
    ):
        await self.made(postgres_store, takes=1)
        await pay(postgres_store, a_call("old", "0.42", run=9, item="07"))
        assert (report_of(database_url).total.redo_usd, report_of(database_url).total.paid_usd) == (0, Decimal("0.42"))


async def test_a_month_ends_when_the_channel_s_own_day_does(postgres_store, database_url):
    late = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)  # December has begun in Berlin
    await pay(postgres_store, a_call("berlin", "1.00", at=late), time_zone="Europe/Berlin")
    await pay(postgres_store, a_call("utc", "2.00", at=late), record=a_record(uid="t2", name="t2"))
    assert report_of(database_url).total.paid_usd == Decimal(2)
    assert report_of(database_url, month=date(2026, 12, 1)).total.paid_usd == Decimal(1)


async def test_only_the_asked_for_channel_and_namespace_count(postgres_store, database_url):
    for number, (namespace, channel) in enumerate((("studio", "tides"), ("studio", "hills"), ("annex", "tides"))):
        record = a_record(uid=f"t{number}", name=f"t{number}", namespace=namespace, channel=channel)
        await pay(postgres_store, a_call("c", f"{number + 1}.00"), record=record)
    assert rows_by(report_of(database_url, CostKey.CHANNEL)).keys() == {
        ("annex/tides",),
        ("studio/hills",),
        ("studio/tides",),
    }
    assert report_of(database_url, channel="tides").total.paid_usd == Decimal(4)
    assert report_of(database_url, channel="tides", namespace="annex").total.paid_usd == Decimal(3)


async def test_a_film_that_an_older_release_planned_is_known_as_a_whole(postgres_store, database_url):
    async with postgres_store.transaction() as transaction:
        await transaction.save_task(a_record(estimated_cost_usd=Decimal("11.02")))
    (row,) = report_of(database_url, CostKey.STEP).rows
    assert (row.labels, row.planned_usd) == (("-",), Decimal("11.02"))


@pytest.mark.parametrize("by", ["channel", "provider,step", "film,day", "day", "channel,provider,film,step,day", ""])
async def test_every_report_adds_up_to_the_spend_table(postgres_store, database_url, by):
    chance = random.Random(by)
    for number in range(6):
        record = a_record(uid=f"t{number}", name=f"film-{number % 4}", channel=f"c{number % 3}")
        calls = [
            a_call(
                f"{LUMP_PREFIX}run{turn}" if chance.random() < 0.1 else f"call{turn}",
                f"{chance.randrange(10**9)}e-8",
                run=chance.randrange(3),
                at=NOON + timedelta(hours=chance.randrange(-900, 900)),
                certainty=chance.choice(tuple(Certainty)),
            )
            for turn in range(20)
        ]
        zone = chance.choice(("UTC", "Europe/Berlin", "Pacific/Kiritimati"))
        await pay(postgres_store, *calls, record=record, step=chance.choice(tuple(Step)), time_zone=zone)
    report = report_of(database_url, *parse_keys(by))
    rows = list(csv.DictReader(io.StringIO(render(report, CostFormat.CSV))))
    [(spent, possibly, days)] = rows_of(
        database_url,
        "SELECT sum(amount_usd), sum(amount_usd) FILTER (WHERE certainty = 'possibly'), "
        "(SELECT sum(spent_usd) FROM budget_days WHERE to_char(day, 'YYYY-MM') = '2026-11') "
        "FROM spend WHERE to_char(day, 'YYYY-MM') = '2026-11'",
    )
    assert spent == days > 0
    assert sum(Decimal(row["total_usd"]) for row in rows) == spent
    assert sum(Decimal(row["possibly_paid_usd"]) for row in rows) == possibly


async def test_the_report_s_transaction_can_write_nothing(postgres_store, database_url):
    with open_read_only(database_url) as connection, pytest.raises(sqlalchemy.exc.DBAPIError, match="read-only"):
        connection.execute(sqlalchemy.text("DELETE FROM spend"))


def run_costs(database_url, *words):
    return subprocess.run(
        [sys.executable, "-m", "videotask_operator", "costs", *words],
        env=os.environ | {"VIDEOTASK_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def test_the_program_writes_the_report_and_nothing_else_to_its_output(postgres_store, database_url):
    await pay(postgres_store, a_call("one", "0.42"))
    done = await asyncio.to_thread(run_costs, database_url, "--month=2026-11", "--by=channel,provider", "-o", "csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["studio/tides,kling,0.0000,0.4200,0.0000,0.0000,0.0000,0.4200"]


def test_words_that_mean_nothing_end_the_program_with_an_explanation():
    done = run_costs("postgresql://nobody@127.0.0.1:1/none", "--month=soon")
    assert (done.returncode, done.stdout) == (1, "")
    assert "give one like 2026-11" in done.stderr


def test_a_database_that_does_not_answer_is_named():
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1.* did not answer"):
        report_of("postgresql://nobody@127.0.0.1:1/none")
