"""What kubectl shows of redo, money and of what a person must mend."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.builders import NOON, a_record, a_run

from videotask_contract.phases import Phase
from videotask_contract.steps import STEPS, Gate, Step
from videotask_operator.core.model import RunOutcome, Transition
from videotask_operator.core.projection import project_status


def status_of(record=None, *, runs=(), history=(), possibly_usd=Decimal(0)):
    return project_status(
        record or a_record(phase=Phase.GENERATING_VIDEO),
        runs=runs,
        history=history,
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


def test_the_latest_run_is_shown_with_its_step_its_number_and_its_count():
    runs = (
        a_run(closed_at=NOON, outcome=RunOutcome.DONE, done=2),
        a_run(number=2, step=Step.VIDEO_GENERATION, done=3, total=18, kept=1, spent_usd=Decimal("0.84")),
    )
    record = a_record(phase=Phase.GENERATING_VIDEO, last_run_number=2, pipeline_cost_usd=Decimal("0.07"))
    status = status_of(record, runs=runs)
    assert (status["step"], status["run"], status["progress"]) == ("video_generation", 2, "3/18")
    assert status["costUSD"] == "0.9100", "with what the run under way has told of"
    later = status_of(replace(record, last_run_number=3), runs=(*runs, a_run(number=3, done=0, total=5)))
    assert (later["step"], later["run"], later["progress"]) == ("asset_generation", 3, "0/5")


def test_a_film_that_waits_in_the_queue_or_never_ran_shows_no_run():
    before = (a_run(closed_at=NOON, outcome=RunOutcome.STOPPED),)
    again = status_of(a_record(phase=Phase.QUEUED, last_run_number=1), runs=before)
    assert again.keys().isdisjoint({"step", "progress"})
    assert again["run"] == 1
    assert status_of(a_record(phase=Phase.QUEUED)).keys().isdisjoint({"step", "progress", "run"})


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        ({}, "Running"),
        ({"closed_at": NOON, "outcome": RunOutcome.DONE}, "Done"),
        *(({"closed_at": NOON, "outcome": outcome}, "Failed") for outcome in RunOutcome if outcome != RunOutcome.DONE),
    ],
)
def test_a_step_is_shown_by_its_latest_run_and_one_that_had_none_is_pending(ends, state):
    first = a_run(opened_at=NOON - timedelta(hours=1), closed_at=NOON, outcome=RunOutcome.LOST)
    shown, *others = status_of(runs=(first, a_run(number=2, done=1, kept=1, **ends)))["steps"]
    closed = {"completedAt": "2026-11-21T12:00:00Z"} if ends else {}
    assert shown == {
        "name": "asset_generation",
        "state": state,
        "done": 1,
        "total": 2,
        "kept": 1,
        "costUSD": "0.0000",
        "startedAt": "2026-11-21T11:00:00Z",
        **closed,
    }
    assert {step["state"] for step in others} == {"Pending"}
    assert [step["name"] for step in others] == [traits.step.value for traits in STEPS[1:]]


def test_the_time_of_a_film_is_the_operators_own_without_that_of_people():
    ended = a_record(
        phase=Phase.COMPLETED,
        pipeline_start_time=NOON - timedelta(hours=2),
        pipeline_end_time=NOON,
        waited_seconds=1800,
    )
    assert status_of(ended)["durationSeconds"] == 5400
    assert status_of(replace(ended, waited_seconds=9000))["durationSeconds"] == 0
    assert "durationSeconds" not in status_of(replace(ended, pipeline_end_time=None))


def test_the_latest_lines_of_a_long_history_are_shown_and_long_words_are_cut():
    lines = [
        Transition(before=Phase.QUEUED, after=Phase.CLAIMED, at=NOON, message=f"{number} {'x' * 400}")
        for number in range(45)
    ]
    status = status_of(a_record(message="y" * 900), history=lines)
    assert [line["message"].split()[0] for line in status["history"]] == [f"{number}" for number in range(5, 45)]
    assert {len(line["message"]) for line in status["history"]} == {300}
    assert len(status["message"]) == 500


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
