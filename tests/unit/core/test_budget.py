"""What a run may spend, and the words of a cap that stops it: how much is missing, who may raise it, and how."""

from __future__ import annotations

import json
import re
import shlex
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import NOON, a_channel, a_record, a_resource, a_run, a_situation, a_storyboard

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.prices import PriceTable
from videotask_contract.steps import Step
from videotask_operator.core.budget import Reservation, decide_reservation
from videotask_operator.core.decide import decide
from videotask_operator.core.estimate import estimate_by_step
from videotask_operator.core.model import Money, RunOutcome

PRICES = PriceTable()
NINE_DOLLARS = {
    "storyboard": a_storyboard(scenes=6),
    "quality": {"videoModel": "kling-3.0-turbo", "videoResolution": "1080p"},
}
"""Six clips of 1.40 dollars, and the rest: 9.24."""


def reserve(step=Step.VIDEO_GENERATION, *, finished=0, day="100.00", money=None, **spec) -> Reservation:
    film = a_resource(**{**NINE_DOLLARS, **spec}).spec
    channel = a_channel(budget={"perDayUSD": day, "timeZone": "Europe/Berlin"}).spec
    return decide_reservation(
        estimate=estimate_by_step(film, channel, PRICES)[step],
        finished_items=finished,
        spec=film,
        channel=channel,
        money=money or Money(),
        prices=PRICES,
        record=a_record(step=step),
    )


def patch_in(words: str) -> dict:
    """Return the patch of the command that a message gives, as a shell reads it."""
    command = shlex.split(re.search(r"kubectl patch .*'", words)[0])
    assert command[:2] == ["kubectl", "patch"]
    assert command[2:4] in (["videotask", "film"], ["channel", "tides"])
    return json.loads(command[-1])["spec"]


def test_a_run_may_spend_its_upper_bound_where_the_caps_leave_it():
    assert reserve(budgetUSD="20.00").usd == 6 * Decimal("1.40") * Decimal("1.25")


def test_a_cap_that_is_nearer_limits_it():
    assert reserve(budgetUSD="5.00").usd == Decimal(5)
    assert reserve(day="4.00", budgetUSD="5.00").usd == Decimal(4)


def test_a_film_of_nine_that_may_cost_five_is_told_who_may_raise_it_by_which_command():
    paid = Money(task_spent_usd=Decimal("4.27"), channel_day_spent_usd=Decimal("4.27"))
    refused = reserve(budgetUSD="5.00", finished=3, money=paid)
    assert refused.usd == 0
    assert "may cost 1.7500 dollars and the task's budget of 5.00 has 0.7300 left" in refused.refusal
    assert "whoever may edit the VideoTask can" in refused.refusal
    assert 'kubectl patch videotask film -n studio --type=merge -p \'{"spec":{"budgetUSD":"' in refused.refusal
    assert len(f"{Step.VIDEO_GENERATION.value}: {refused.refusal}") < 500, "a status holds no more"


def test_the_figure_of_the_command_is_enough_for_all_that_is_still_to_be_made():
    paid = Money(task_spent_usd=Decimal("4.27"))
    needed = patch_in(reserve(budgetUSD="5.00", finished=3, money=paid).refusal)["budgetUSD"]
    raised = reserve(budgetUSD=needed, finished=3, money=paid)
    assert raised.usd == 3 * Decimal("1.75")
    later = Money(task_spent_usd=Decimal("4.27") + raised.usd)
    for step in (Step.NARRATION_GENERATION, Step.SFX_GENERATION):
        got = reserve(step, budgetUSD=needed, money=later)
        assert got.usd == reserve(step, budgetUSD="999.00").usd, "all that it may need, not a call's worth"
        later = Money(task_spent_usd=later.task_spent_usd + got.usd)


def test_a_channel_s_day_that_is_used_up_names_the_channel_and_its_zone():
    words = reserve(day="5.00", money=Money(channel_day_spent_usd=Decimal("4.50"))).refusal
    assert "the channel's day of 5.00 has 0.5000 left" in words
    assert "its next day in Europe/Berlin" in words
    assert "kubectl patch channel tides -n studio" in words
    needed = patch_in(words)["budget"]["perDayUSD"]
    assert reserve(day=needed, money=Money(channel_day_spent_usd=Decimal("4.50"))).usd == 6 * Decimal("1.75")


def test_a_bill_above_the_upper_bound_is_said_and_stops_the_next_call():
    words = reserve(budgetUSD="5.00", finished=3, money=Money(task_spent_usd=Decimal("5.31"))).refusal
    assert "is passed by 0.3100 already, because a provider billed more than the upper bound" in words


def test_a_step_that_pays_nobody_needs_no_money():
    assert reserve(Step.COMPOSITE_CREATION, budgetUSD="0.00") == Reservation(usd=Decimal(0))


USD = st.decimals(min_value=0, max_value=20, places=4)


@given(budget=USD, day=USD, spent=USD, reserved=USD, day_spent=USD, day_reserved=USD, finished=st.integers(0, 6))
def test_no_reservation_passes_a_cap_and_a_refusal_is_never_without_advice(
    *, budget, day, spent, reserved, day_spent, day_reserved, finished
):
    money = Money(
        task_spent_usd=spent,
        task_reserved_usd=reserved,
        channel_day_spent_usd=day_spent,
        channel_day_reserved_usd=day_reserved,
    )
    got = reserve(budgetUSD=str(budget), day=str(day), finished=finished, money=money)
    assert got.usd == 0 or spent + reserved + got.usd <= budget
    assert got.usd == 0 or day_spent + day_reserved + got.usd <= day
    assert (got.refusal is None) or (got.usd == 0 and patch_in(got.refusal))


class TestAStepThatGaveUp:
    """It stopped while calls were under way at their upper bounds; the record tells what was left of them."""

    def situation(self, **run):
        broke = a_run(
            step=Step.VIDEO_GENERATION,
            closed_at=NOON,
            outcome=RunOutcome.FAILED,
            failure_class=FailureClass.OVER_BUDGET,
            failure_message="the next call may cost $1.7500, and $3.5000 are under way; " * 9,
            reserved_usd=Decimal("4.93"),
            spent_usd=Decimal("2.80"),
            ledger_read=True,
            total=6,
            **run,
        )
        record = {"phase": Phase.BUDGET_EXCEEDED, "step": Step.VIDEO_GENERATION, "last_run_number": 1}
        money = Money(task_spent_usd=Decimal("2.87"))
        asked = a_situation(**NINE_DOLLARS, budgetUSD="5.00").with_record(**record)
        return decide(asked.with_runs(broke).but(money=money, admitted=True).build())

    def test_goes_on_with_what_its_calls_did_not_need(self):
        plan = self.situation(done=2)
        (run,) = plan.runs
        assert (run.number, run.reserved_usd) == (2, Decimal("2.13"))

    def test_stays_where_it_is_when_it_made_nothing_and_says_how_to_go_on(self):
        plan = self.situation(done=2, kept=2)
        assert (plan.record.phase, plan.runs) == (Phase.BUDGET_EXCEEDED, ())
        assert patch_in(plan.record.message[:500])["budgetUSD"]
