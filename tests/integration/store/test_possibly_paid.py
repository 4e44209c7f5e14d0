"""How much of a task's cost rests on calls that died unanswered, shown of both stores."""

from __future__ import annotations

from decimal import Decimal

from tests.support.builders import NOON, UID, a_record

from videotask_contract.report import Certainty, Spend
from videotask_contract.steps import Step


def a_call(call_id: str, usd: str, certainty: Certainty = Certainty.POSSIBLY) -> Spend:
    return Spend(
        call_id=call_id, run_id="run1", item="01", model="m", amount_usd=Decimal(usd), certainty=certainty, at=NOON
    )


async def pay(store, *calls, record):
    async with store.transaction() as transaction:
        await transaction.save_task(record)
        await transaction.save_spend(record, Step.NARRATION_GENERATION, calls, time_zone="UTC")


async def possibly(store, uid=UID):
    async with store.transaction() as transaction:
        return await transaction.load_possibly_usd(uid)


async def test_only_calls_without_an_outcome_are_possibly_paid_and_only_the_tasks_own(store):
    assert await possibly(store) == 0
    await pay(
        store,
        a_call("one", "0.10"),
        a_call("two", "0.02"),
        a_call("three", "0.40", Certainty.SETTLED),
        record=a_record(),
    )
    await pay(store, a_call("one", "7.00"), record=a_record(uid="other", name="other"))
    assert await possibly(store) == Decimal("0.12")
    assert await possibly(store, "other") == Decimal("7.00")


async def test_what_is_settled_later_is_possible_no_longer(store):
    await pay(store, a_call("one", "0.10"), a_call("two", "0.02"), record=a_record())
    await pay(store, a_call("one", "0.08", Certainty.SETTLED), record=a_record())
    assert await possibly(store) == Decimal("0.02")
