"""A film that has ended asks nobody for anything and is due for nothing, whatever it waited for before."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.builders import NOON, a_situation

from videotask_contract.phases import Phase
from videotask_contract.steps import Gate, Step
from videotask_operator.core.decide import decide
from videotask_operator.core.projection import CLEAN_UP_FAILED, project_status

ON_SHOW = {"review_gate": Gate.FINAL, "review_round": 1, "review_required_at": NOON}
WAITS = {
    "on show": {"phase": Phase.FINAL_REVIEW, "step": None, **ON_SHOW, "waiting_reason": "AwaitingApproval"},
    "rejected": {"phase": Phase.FINAL_REVIEW, "step": None, **ON_SHOW, "waiting_reason": "Rejected"},
    "suspended on show": {"phase": Phase.SUSPENDED, "step": None, **ON_SHOW, "resume_phase": Phase.FINAL_REVIEW},
    "at a gate": {
        "phase": Phase.ASSETS_READY,
        "step": Step.COMPOSITE_CREATION,
        **ON_SHOW,
        "review_gate": Gate.ASSETS,
        "waiting_reason": "AwaitingApproval",
    },
    "until its next attempt": {
        "phase": Phase.GENERATING_VIDEO,
        "step": Step.VIDEO_GENERATION,
        "next_attempt_at": NOON + timedelta(hours=5),
        "waiting_reason": "RetryLater",
    },
    "in error": {"phase": Phase.VIDEO_ERROR, "step": Step.VIDEO_GENERATION, "error": "refused"},
}


def status_of(record, *, clean_up_failure=None):
    return project_status(
        record,
        runs=[],
        history=[],
        step_costs={},
        previous={},
        generation=1,
        now=NOON,
        clean_up_failure=clean_up_failure,
    )


def holding(status):
    return {line["type"] for line in status["conditions"] if line["status"] == "True"}


@pytest.mark.parametrize("waited", WAITS)
@pytest.mark.parametrize("by", ["a person's cancel", "its resource's end"])
def test_a_film_that_ended_while_it_waited_asks_for_nothing(waited, by):
    film = a_situation(state="Cancelled").with_record(**WAITS[waited])
    plan = decide((film if by == "a person's cancel" else film.with_resource(None)).build())
    assert plan.record.phase is Phase.CANCELLED
    status = status_of(plan.record)
    assert (status.get("review"), status.get("nextAttemptAt")) == (None, None)
    assert holding(status) == {"Accepted", "PodStarting", "Finished"}


def test_files_that_could_not_be_removed_are_told_of_all_the_same():
    plan = decide(a_situation(state="Cancelled").with_record(**WAITS["on show"]).build())
    status = status_of(plan.record, clean_up_failure="the Job failed")
    assert holding(status) == {"Accepted", "PodStarting", "Finished", "NeedsAttention", CLEAN_UP_FAILED}


def test_the_time_on_show_is_not_the_films_own():
    waits = {**WAITS["on show"], "pipeline_start_time": NOON, "waiting_since": NOON}
    record = decide(a_situation(state="Cancelled").with_record(**waits).after(3600).build()).record
    assert (record.waiting_since, record.waited_seconds) == (None, 3600)
