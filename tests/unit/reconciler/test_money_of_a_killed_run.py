"""What a run told of its money stays told, also when it dies without a last word."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.builders import a_report, a_resource
from tests.unit.reconciler.test_reconciler import Studio

from videotask_contract.phases import Phase
from videotask_contract.report import Certainty, Spend
from videotask_contract.steps import Step
from videotask_operator.settings import Settings

KILLED = 137
TOLD = Decimal("0.0300")
"""Less than two images reserve."""


@pytest.fixture
async def studio():
    made = Studio()
    made.reconciler.settings = Settings(resync_seconds=60, namespaces=("studio",))
    async with made.open() as opened:
        yield opened


async def at_work(studio):
    """Return the order of a run that has told of money."""
    studio.cluster.apply(a_resource())
    order = await studio.order_of(Step.ASSET_GENERATION)
    await studio.post(order, "permit", {"runId": order.run_id})
    await studio.post(order, "progress", {"runId": order.run_id, "done": 1, "total": 2, "spentUsd": str(TOLD)})
    await studio.until(lambda: costs(studio)[-1:] == [TOLD])
    return order


def costs(studio) -> list[Decimal]:
    return [Decimal(status["costUSD"]) for _, status in studio.cluster.shown]


async def spend_of(studio):
    async with studio.store.transaction() as transaction:
        return await transaction.load_spend(a_resource().uid)


async def test_what_a_killed_run_told_of_its_money_is_recorded_and_the_cost_never_goes_back(studio):
    order = await at_work(studio)
    studio.cluster.finish_pod(order.job_name, exit_code=KILLED)
    await studio.until(lambda: "exit code 137" in studio.cluster.shown[-1][1]["message"])
    studio.cluster.apply(a_resource(state="Cancelled"))
    await studio.until_phase(Phase.CANCELLED)
    told = costs(studio)
    assert told == sorted(told)
    assert told[-1] == TOLD
    [lump] = await spend_of(studio)
    assert (lump.amount_usd, lump.certainty) == (TOLD, Certainty.POSSIBLY)


async def test_the_single_calls_of_a_lost_run_take_the_place_of_its_lump(studio):
    first = await at_work(studio)
    studio.cluster.drop_job(first.job_name)
    second = await studio.order_of(Step.ASSET_GENERATION, after=1)
    run = await studio.run_of(second)
    made = a_report(run, spend=(a_call(first, "0.0336"), a_call(second, "0.0300")))
    await studio.post(second, "final", made.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert {call.call_id for call in await spend_of(studio)} == {first.run_id, second.run_id}


def a_call(order, usd: str) -> Spend:
    return Spend(
        call_id=order.run_id,
        run_id=order.run_id,
        item="harbour",
        model="m",
        amount_usd=Decimal(usd),
        certainty=Certainty.SETTLED,
        at="2026-11-21T12:00:00Z",
    )
