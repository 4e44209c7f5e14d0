"""A spec that is broken while a run is under way is told of, and who wants a stop is heard all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import NOON, a_job, a_pod, a_resource, a_run, a_situation, a_spec

from videotask_contract.phases import TABLE, Phase
from videotask_contract.resources import DesiredState
from videotask_contract.steps import Step
from videotask_operator.core.admission import holds_place
from videotask_operator.core.decide import decide
from videotask_operator.core.model import CreateRun, DeleteRun
from videotask_operator.kube.parse import parse_task

AT_WORK = {"phase": Phase.GENERATING_ASSETS, "step": Step.ASSET_GENERATION, "last_run_number": 1}
BROKEN = replace(a_resource(), spec=None, spec_error="edits.scenes.0.narration: must not be blank")


def under_way(resource=BROKEN, *, begun=True, **record):
    run = a_run(job_created_at=NOON if begun else None)
    situation = a_situation().with_resource(resource).with_record(**AT_WORK | record).with_runs(run)
    return situation.seeing(a_job(run), a_pod(run)) if begun else situation


def plan_of(situation):
    plan = decide(situation.build())
    assert plan is not None
    return plan


@pytest.mark.parametrize("state", [DesiredState.SUSPENDED, DesiredState.CANCELLED])
def test_a_stop_is_heard_in_a_spec_that_breaks_the_contract_elsewhere(state):
    plan = plan_of(under_way(replace(BROKEN, state=state)))
    [run] = plan.runs
    assert run.stop_requested_at == NOON
    assert plan.actions == (DeleteRun(job_name=run.job_name),)


def test_a_queued_film_with_a_broken_spec_can_be_cancelled():
    resource = replace(BROKEN, state=DesiredState.CANCELLED)
    assert plan_of(a_situation().with_resource(resource).with_record()).record.phase is Phase.CANCELLED


def test_a_film_whose_run_goes_on_with_a_broken_spec_says_so_once_and_keeps_its_place():
    plan = plan_of(under_way())
    record = plan.record
    assert "narration: must not be blank" in record.message
    assert "run 1 goes on as it was begun" in record.message
    assert [event.reason for event in plan.events] == ["InvalidSpecPending"]
    assert holds_place(record.phase, record.waiting_reason)
    again = under_way(waiting_reason=record.waiting_reason, message=record.message)
    assert not plan_of(again).events


def test_a_run_whose_job_was_not_made_yet_waits_and_says_for_what():
    plan = plan_of(under_way(begun=False))
    assert "run 1 begins once it is mended" in plan.record.message
    mended = a_situation().with_record(**AT_WORK, waiting_reason=plan.record.waiting_reason).with_runs(a_run())
    mended_plan = plan_of(mended)
    assert [type(action) for action in mended_plan.actions] == [CreateRun]
    assert mended_plan.record.waiting_reason is None


def test_a_run_that_goes_on_when_the_spec_is_mended_says_again_what_is_done():
    held = plan_of(under_way()).record
    mended = under_way(a_resource(), waiting_reason=held.waiting_reason, message=held.message)
    record = plan_of(mended).record
    assert (record.waiting_reason, record.message) == (None, TABLE[Phase.GENERATING_ASSETS].meaning)


def test_a_change_that_waits_for_the_run_gives_way_to_the_word_that_the_spec_is_broken():
    plan = plan_of(under_way(waiting_reason="ChangePending", message="redo r1: taken up when run 1 has ended"))
    assert plan.record.waiting_reason == "InvalidSpecPending"
    assert "narration: must not be blank" in plan.record.message


def test_what_kept_a_job_from_being_made_is_no_longer_the_reason_once_the_spec_is_broken():
    plan = plan_of(under_way(begun=False, waiting_reason="PodCannotStart", message="the step's Job cannot be made"))
    assert plan.record.waiting_reason == "InvalidSpecPending"
    assert "narration: must not be blank" in plan.record.message


def test_an_approved_film_is_finished_whatever_was_broken_since():
    assert (
        plan_of(a_situation().with_resource(BROKEN).with_record(phase=Phase.APPROVED)).record.phase is Phase.COMPLETED
    )


@pytest.mark.parametrize(
    ("state", "read"), [("Suspended", DesiredState.SUSPENDED), ("Suspend", None), (None, None), ({}, None)]
)
def test_the_wish_to_stop_is_read_from_a_spec_that_breaks_the_contract(state, read):
    metadata = {"name": "film", "namespace": "studio", "uid": "u", "creationTimestamp": "2026-11-21T12:00:00Z"}
    task = parse_task({"metadata": metadata, "spec": {**a_spec(title=" "), "state": state}})
    assert (task.spec, task.state) == (None, read)
