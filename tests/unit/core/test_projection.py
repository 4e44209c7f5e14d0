"""What kubectl shows of redo, money and of what a person must mend."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.builders import NOON, a_record, a_run

from videotask_contract.phases import Phase
from videotask_contract.steps import Gate, Step
from videotask_operator.core.projection import project_status


def status_of(record=None, *, runs=(), possibly_usd=Decimal(0)):
    return project_status(
        record or a_record(phase=Phase.GENERATING_VIDEO),
        runs=runs,
        history=(),
        step_costs={},
        previous={},
        generation=1,
        now=NOON,
        possibly_usd=possibly_usd,
    )


def condition_of(status, kind):
    return next(one for one in status["conditions"] if one["type"] == kind)


def test_the_request_that_was_honoured_last_is_shown():
    assert status_of(a_record(redo_request="clip-7-again"))["redoRequest"] == "clip-7-again"
    assert status_of(a_record(redo_requests=frozenset({"b", "a"})))["redoRequests"] == ["a", "b"]


def test_the_part_of_the_cost_that_is_only_possibly_paid_is_shown_where_there_is_one():
    assert status_of(possibly_usd=Decimal("0.42"))["possiblyPaidUSD"] == "0.4200"
    assert "possiblyPaidUSD" not in status_of()


def test_what_was_kept_is_the_sum_over_the_latest_closed_run_of_each_step():
    runs = (
        a_run(number=1, closed_at=NOON, kept_usd=Decimal("0.30")),
        a_run(number=2, closed_at=NOON, kept_usd=Decimal("0.37")),
        a_run(number=3, step=Step.VIDEO_GENERATION, closed_at=NOON, kept_usd=Decimal("6.72")),
        a_run(number=4, step=Step.VIDEO_GENERATION),
    )
    assert status_of(runs=runs)["keptUSD"] == "7.0900"
    assert "keptUSD" not in status_of(runs=(a_run(),))


@pytest.mark.parametrize("reason", ["RedoRefused", "InvalidChange", "NarrationTooLong", "FilmIsFinal"])
def test_a_change_that_cannot_be_followed_is_not_accepted_and_needs_attention(reason):
    status = status_of(a_record(phase=Phase.VIDEO_READY, waiting_reason=reason, message="remove the entry"))
    accepted = condition_of(status, "Accepted")
    assert (accepted["status"], accepted["reason"], accepted["message"]) == ("False", reason, "remove the entry")
    assert condition_of(status, "NeedsAttention")["status"] == "True"


def test_a_pod_that_does_not_answer_needs_attention():
    status = status_of(a_record(phase=Phase.GENERATING_VIDEO, waiting_reason="PodUnreachable", message="delete it"))
    attention = condition_of(status, "NeedsAttention")
    assert (attention["status"], attention["reason"], attention["message"]) == ("True", "PodUnreachable", "delete it")


def test_a_retry_is_shown_with_its_time():
    record = a_record(phase=Phase.GENERATING_VIDEO, waiting_reason="RetryScheduled", next_attempt_at=NOON, message="m")
    status = status_of(record)
    assert status["nextAttemptAt"] == "2026-11-21T12:00:00Z"
    assert condition_of(status, "RetryScheduled")["message"] == "m"


def test_the_storyboard_gate_prints_its_command_with_its_round():
    record = a_record(
        phase=Phase.GENERATING_ASSETS, review_gate=Gate.STORYBOARD, review_round=2, review_required_at=NOON
    )
    command = status_of(record)["review"]["command"]
    assert '"storyboard":{"decision":"Approved","round":2}' in command
