"""What earlier films of a name left behind is one word, and both stores say the same."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tests.support.builders import NOON, a_record, a_run

from videotask_contract.phases import Phase
from videotask_contract.report import Certainty, Spend
from videotask_contract.steps import Step
from videotask_operator.core.model import EarlierFilms, TaskKey

KEY = TaskKey("studio", "film")
GONE = {"resource_gone": True, "phase": Phase.CANCELLED}


async def earlier(store, *records, runs=(), spend=()) -> EarlierFilms:
    async with store.transaction() as transaction:
        for record in records:
            await transaction.save_task(record)
        for run in runs:
            await transaction.save_run(run)
        for call in spend:
            await transaction.save_spend(records[0], Step.ASSET_GENERATION, [call], time_zone="UTC")
        return await transaction.load_earlier_films(KEY, uid="new")


async def test_nobody_paid_where_there_was_none(store):
    assert await earlier(store, a_record(uid="new"), a_record(uid="x", name="another")) == EarlierFilms()


async def test_all_earlier_films_count_together_and_those_that_paid_nothing_do_not(store):
    one = a_record(uid="one", pipeline_cost_usd=Decimal(11), **GONE)
    two = a_record(uid="two", pipeline_cost_usd=Decimal(2), attempt=3, **GONE)
    free = a_record(uid="free", attempt=9)
    never_began = replace(a_run(), task_uid="free", closed_at=NOON, reserved_usd=Decimal(5))
    found = await earlier(store, one, two, free, runs=[never_began])
    assert found == EarlierFilms(cost_usd=Decimal(13), attempt=3)


async def test_what_a_run_told_counts_while_it_is_open_and_what_it_may_have_paid_until_its_ledger_was_read(store):
    lost = a_run(number=1, task_uid="one", closed_at=NOON, permitted_at=NOON, reserved_usd=Decimal(5))
    read = replace(lost, run_id="run2", number=2, ledger_read=True)
    is_open = replace(a_run(number=3), task_uid="one", permitted_at=NOON, spent_usd=Decimal("0.7"))
    call = Spend(
        call_id="a", run_id="run1", item="1", model="m", amount_usd=Decimal(2), certainty=Certainty.SETTLED, at=NOON
    )
    found = await earlier(store, a_record(uid="one"), runs=[lost, read, is_open], spend=[call])
    assert found == EarlierFilms(
        cost_usd=Decimal("2.7"), unread_usd=Decimal(3) + is_open.reserved_usd, at_work=True, attempt=1
    )
