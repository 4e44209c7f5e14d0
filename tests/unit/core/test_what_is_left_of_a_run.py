"""What the record keeps of a run after each way it may go: small facts on which the next decision stands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.builders import NOON, RULES, a_job, a_pod, a_record, a_report, a_run

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_operator.core.draft import Draft
from videotask_operator.core.model import DeleteRun, Observation, RunOutcome
from videotask_operator.core.settle import begin_again, count, settle_report
from videotask_operator.core.watch_run import end_run, watch_run


def a_draft(run, **record) -> Draft:
    made = a_record(phase=Phase.GENERATING_ASSETS, step=Step.ASSET_GENERATION, last_run_number=run.number, **record)
    return Draft(record=made, runs={run.run_id: run}, now=NOON)


def seen(*things) -> Observation:
    jobs = tuple(thing for thing in things if hasattr(thing, "failed_reason"))
    pods = tuple(thing for thing in things if not hasattr(thing, "failed_reason"))
    return Observation(task=None, channel=None, jobs=jobs, pods=pods)


def watched(run, *things) -> Draft:
    draft = a_draft(run)
    watch_run(draft, run, observed=seen(*things), spec=None, channel=None, rules=RULES)
    return draft


def test_a_run_that_never_began_is_closed():
    run = a_run(job_created_at=NOON)
    draft = a_draft(run)
    begin_again(draft, run)
    assert (draft.open_run, draft.runs[run.run_id].closed_at) == (None, NOON)


def test_a_job_seen_for_the_first_time_is_remembered_with_its_time():
    run = a_run(job_created_at=None)
    draft = watched(run, a_job(run), a_pod(run))
    assert draft.runs[run.run_id] == a_run(job_created_at=NOON)
    assert not draft.actions, "its Job is not made again"


def test_a_termination_message_is_kept_with_its_exit_code():
    run = a_run(job_created_at=NOON, permitted_at=NOON)
    word = a_report(run, done=1).model_dump_json(by_alias=True, exclude_none=True)
    draft = watched(run, a_job(run), a_pod(run, running=False, finished=True, exit_code=11, termination_message=word))
    assert (draft.runs[run.run_id].exit_code, draft.open_run) == (11, None)


def test_a_run_over_its_deadline_failed_and_says_so():
    run = a_run(job_created_at=NOON, permitted_at=NOON)
    closed = watched(run, a_job(run, active=False, failed_reason="DeadlineExceeded")).runs[run.run_id]
    assert (closed.outcome, closed.failure_class) == (RunOutcome.FAILED, FailureClass.TRANSIENT)
    assert closed.failure_message == "it ran over its deadline and left no report"


@pytest.mark.parametrize("way", ["its Job cannot be made", "its Job's time is over"])
def test_a_run_that_cannot_begin_is_laid_down_with_what_was_told_of_it_and_tried_later(way):
    told = "the step's Job cannot be made: exceeded quota: pods."
    is_made = way == "its Job's time is over"
    run = a_run(job_created_at=NOON if is_made else None)
    draft = a_draft(run, waiting_reason="PodCannotStart", message=f"{told} No attempt is consumed.")
    draft.now = NOON + timedelta(minutes=6)
    jobs = [a_job(run, active=False, failed_reason="DeadlineExceeded")] if is_made else []
    watch_run(draft, run, observed=seen(*jobs), spec=None, channel=None, rules=RULES)
    closed, record = draft.runs[run.run_id], draft.record
    assert (closed.outcome, closed.closed_at, closed.ledger_read) == (RunOutcome.LOST, draft.now, True)
    assert (record.waiting_reason, record.step_attempt) == ("PodNeverStarted", 1)
    assert record.next_attempt_at == draft.look_again_at == NOON + timedelta(minutes=16)
    assert record.message == (
        f"{told} Next try at 12:16 UTC, or at once when spec.attempt is raised. No attempt is consumed."
    )
    assert draft.actions == [DeleteRun(job_name=run.job_name)]
    assert draft.events == [], "it was an event when it was told first"


def test_a_job_that_outlives_the_wish_to_stop_is_deleted_again_by_its_name_and_looked_at_later():
    run = a_run(job_created_at=NOON, stop_requested_at=NOON)
    draft = a_draft(run)
    assert not end_run(draft, run, observed=seen(a_job(run)))
    assert draft.actions == [DeleteRun(job_name=run.job_name)]
    assert draft.look_again_at == NOON + timedelta(seconds=5)


def test_a_run_that_is_to_stop_is_looked_at_again_at_once_and_its_job_deleted_once():
    run = a_run(job_created_at=NOON)
    draft = a_draft(run)
    assert not end_run(draft, run, observed=seen(a_job(run), a_pod(run)))
    assert draft.runs[run.run_id].stop_requested_at == NOON
    assert (draft.actions, draft.look_again_at) == ([DeleteRun(job_name=run.job_name)], NOON + timedelta(seconds=2))
    asked = draft.runs[run.run_id]
    later = a_draft(asked)
    assert not end_run(later, asked, observed=seen(a_job(asked, deleting=True)))
    assert (later.actions, later.look_again_at) == ([], NOON + timedelta(seconds=5))


def test_a_pod_that_outlives_its_job_is_looked_at_later():
    run = a_run(job_created_at=NOON, stop_requested_at=NOON)
    draft = a_draft(run)
    assert not end_run(draft, run, observed=seen(a_pod(run)))
    assert (draft.actions, draft.look_again_at) == ([], NOON + timedelta(seconds=5))


def test_a_finished_step_leaves_no_retry_behind():
    run = a_run()
    draft = a_draft(run, next_attempt_at=NOON + timedelta(hours=1), error="Gemini 503", lost_runs=2)
    settle_report(draft, run, a_report(run), rules=RULES.retry)
    record = draft.record
    assert (record.next_attempt_at, record.error, record.lost_runs, record.step_attempt) == (None, None, 0, 1)


def test_one_is_not_many():
    assert (count(1, "image"), count(2, "image"), count(0, "clip")) == ("1 image", "2 images", "0 clips")
