"""A cap that a person lowers is obeyed by the run under way, from its next word with the operator on."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.builders import a_channel, a_failed_report, a_resource, a_run, a_spec
from tests.unit.reconciler.test_reconciler import Studio

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Failure
from videotask_contract.resources import VideoTaskSpec
from videotask_contract.steps import Step
from videotask_operator.core.budget import limit_of_run
from videotask_operator.core.model import Money
from videotask_operator.settings import Settings


@pytest.fixture
async def studio():
    made = Studio()
    made.reconciler.settings = Settings(resync_seconds=60, namespaces=("studio",))
    async with made.open() as opened:
        yield opened


async def at_work(studio, **spec):
    """Return the order of a first run that has its permit, and what it may spend by that."""
    studio.cluster.apply(a_resource(**spec))
    order = await studio.order_of(Step.ASSET_GENERATION)
    _, answer = await studio.post(order, "permit", {"runId": order.run_id})
    return order, Decimal(answer["reservationUsd"])


async def limit_now(studio, order) -> Decimal:
    told = {"runId": order.run_id, "done": 1, "total": 2, "spentUsd": "0.03"}
    _, answer = await studio.post(order, "progress", told)
    return Decimal(answer["reservationUsd"])


async def test_a_lowered_budget_of_the_film_is_obeyed_by_its_run_under_way_and_so_is_one_raised_again(studio):
    order, reserved = await at_work(studio)
    assert await limit_now(studio, order) == reserved > Decimal("0.04")
    studio.cluster.apply(a_resource(budgetUSD="0.04"))
    assert await limit_now(studio, order) == Decimal("0.04")
    assert (await studio.run_of(order)).reserved_usd == reserved, "nobody knows yet whether the step has heard"
    studio.cluster.apply(a_resource(budgetUSD="20.00"))
    assert await limit_now(studio, order) == reserved


async def test_a_lowered_day_of_the_channel_is_obeyed_by_a_run_under_way(studio):
    order, reserved = await at_work(studio)
    studio.cluster.apply_channel(a_channel(budget={"perDayUSD": "0.05"}))
    assert await limit_now(studio, order) == Decimal("0.05") < reserved


async def test_a_pod_that_takes_over_a_run_gets_no_more_than_the_lowered_cap(studio):
    order, _ = await at_work(studio)
    studio.cluster.apply(a_resource(budgetUSD="0.01"))
    _, answer = await studio.post(order, "permit", {"runId": order.run_id})
    assert Decimal(answer["reservationUsd"]) == Decimal("0.01")


async def test_a_film_that_gave_up_under_a_lowered_cap_goes_on_when_it_is_raised_to_less_than_before(studio):
    order, reserved = await at_work(studio)
    studio.cluster.apply(a_resource(budgetUSD="0.01"))
    failure = Failure(failure_class=FailureClass.OVER_BUDGET, message="the next call may cost 0.04 dollars")
    report = a_failed_report(await studio.run_of(order), failure, done=0)
    await studio.post(order, "final", report.model_dump(mode="json", by_alias=True, exclude_none=True))
    await studio.until_phase(Phase.BUDGET_EXCEEDED)
    studio.cluster.apply(a_resource(budgetUSD=f"{reserved - Decimal('0.01'):.4f}"))
    assert await studio.order_of(Step.ASSET_GENERATION, after=1)


def test_what_others_paid_and_reserved_is_not_the_runs():
    run = replace(a_run(), reserved_usd=Decimal(6))
    spec = VideoTaskSpec.model_validate(a_spec(budgetUSD="10.00"))
    money = Money(task_spent_usd=Decimal(3), task_reserved_usd=Decimal(6 + 2))
    assert limit_of_run(run, spec=spec, channel=None, money=money) == Decimal(5)
    assert limit_of_run(run, spec=None, channel=None, money=money) == Decimal(6)
    spent = replace(money, task_spent_usd=Decimal(30))
    assert limit_of_run(run, spec=spec, channel=None, money=spent) == 0
