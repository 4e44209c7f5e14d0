"""What a film says of a pod that does not start: the reason as Kubernetes has it, what it means, what mends it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.builders import NOON, RULES, a_job, a_pod, a_record, a_run

from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_operator.core.draft import Draft
from videotask_operator.core.model import EventType, Observation
from videotask_operator.core.watch_run import watch_run

PATIENCE = timedelta(seconds=RULES.never_starting_seconds)
RUN = a_run(job_created_at=NOON)
ADVICE = {
    "CreateContainerConfigError": "create the Secret key it names, or correct the Channel's spec.credentials",
    "ErrImagePull": "make the image available to the node, or correct the chart's images value",
    "ImagePullBackOff": "make the image available to the node, or correct the chart's images value",
    "ErrImageNeverPull": "load the image onto the node, or change the chart's image pull policy",
    "InvalidImageName": "correct the chart's images value",
    "Unschedulable": "free or add node resources, or create the PersistentVolumeClaim the Channel names",
    "SomethingNew": "kubectl describe pod tells more",
}


def waits(reason: str | None = "Unschedulable", message: str | None = "0/3 nodes are available", **changes):
    return a_pod(RUN, running=False, waiting_reason=reason, waiting_message=message, **changes)


def looked_at(*pods, after: timedelta = PATIENCE, job=None, run=RUN, **record) -> Draft:
    known = a_record(phase=Phase.GENERATING_ASSETS, step=Step.ASSET_GENERATION, message="run 1: 2 images", **record)
    draft = Draft(record=known, runs={run.run_id: run}, now=NOON + after)
    observed = Observation(task=None, channel=None, jobs=(job or a_job(run),), pods=pods)
    watch_run(draft, run, observed=observed, spec=None, channel=None, rules=RULES)
    assert draft.open_run is not None, "it stays open, whatever holds it up"
    assert draft.record.step_attempt == 1, "and consumes no attempt"
    return draft


@pytest.mark.parametrize(("reason", "advice"), ADVICE.items())
def test_each_reason_is_told_with_its_detail_and_what_mends_it(reason, advice):
    draft = looked_at(waits(reason, "in the kubelet's words"))
    words = f"{reason}: in the kubelet's words; {advice}. No attempt is consumed."
    assert (draft.record.waiting_reason, draft.record.message) == ("PodCannotStart", words)
    [event] = draft.events
    assert (event.type, event.reason, event.message) == (EventType.WARNING, "PodCannotStart", words)
    assert draft.look_again_at == draft.now + timedelta(seconds=60)


def test_a_pod_that_gives_no_reason_points_to_the_volume():
    words = looked_at(waits(None, None)).record.message
    assert words.startswith("NotStarted: no pod was made for its Job: look at the Job's events; ")
    assert "check that the Channel's volume can be mounted" in words


def test_a_job_that_gets_no_pod_at_all_is_told_too():
    draft = looked_at()
    assert draft.record.waiting_reason == "PodCannotStart"
    assert draft.record.message.startswith("NotStarted: no pod was made for its Job: look at the Job's events")


@pytest.mark.parametrize("pods", [(), (waits(),)], ids=["no pod", "a pod that waits"])
def test_nothing_is_said_before_patience_is_over_and_all_is_said_when_it_is(pods):
    early = looked_at(*pods, after=PATIENCE - timedelta(milliseconds=1))
    assert (early.record.waiting_reason, early.record.message, early.events) == (None, "run 1: 2 images", [])
    assert early.look_again_at == NOON + PATIENCE, "and looked at again just then"
    assert looked_at(*pods, after=PATIENCE).record.waiting_reason == "PodCannotStart"


def test_the_patience_counts_from_the_pod_and_not_from_its_job():
    later = NOON + timedelta(seconds=5)
    draft = looked_at(waits(created_at=later), after=PATIENCE)
    assert (draft.record.waiting_reason, draft.look_again_at) == (None, later + PATIENCE)


def test_the_latest_of_the_pods_that_wait_is_the_one_told():
    first = waits("ErrImagePull", "the first", name="a", uid="a", created_at=NOON)
    second = waits("Unschedulable", "the second", name="b", uid="b", created_at=NOON + timedelta(seconds=1))
    assert looked_at(second, first, after=2 * PATIENCE).record.message.startswith("Unschedulable: the second; ")


@pytest.mark.parametrize("reason", [None, "PodCannotStart", "ChangePending"])
def test_a_pod_that_has_started_takes_back_what_was_said_of_it_and_nothing_else(reason):
    draft = looked_at(a_pod(RUN), waiting_reason=reason)
    if reason == "PodCannotStart":
        assert (draft.record.waiting_reason, draft.record.message) == (None, "run 1: its pod has started")
    else:
        assert (draft.record.waiting_reason, draft.record.message) == (reason, "run 1: 2 images")
    assert (draft.events, draft.look_again_at) == ([], None)


def test_a_pod_that_works_beside_one_that_waits_is_enough():
    working = a_pod(RUN, name="b", uid="b")
    assert looked_at(waits(), working, waiting_reason="PodCannotStart").record.waiting_reason is None


def test_a_pod_that_asked_for_the_start_permit_has_started_though_no_watch_shows_it():
    permitted = a_run(job_created_at=NOON, permitted_at=NOON, permitted_pod_uid="pod")
    assert looked_at(run=permitted, after=2 * PATIENCE).record.waiting_reason is None
    waiting = looked_at(waits(), run=permitted, after=2 * PATIENCE)
    assert waiting.record.waiting_reason == "PodCannotStart", "the next pod of its Job may wait all the same"


def test_what_holds_it_up_is_an_event_once():
    draft = looked_at(waits(), after=2 * PATIENCE, waiting_reason="PodCannotStart")
    assert draft.events == []
    assert draft.record.message.startswith("Unschedulable: ")
