"""A pod that was evicted after its permit, and that no other follows, is told of; one that follows soon is not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.builders import NOON, RULES, a_job, a_pod, a_resource, a_run, a_situation
from tests.unit.reconciler.test_pods_that_never_start import Clock
from tests.unit.reconciler.test_reconciler import Studio

from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_operator.core.decide import decide

RUN = a_run(job_created_at=NOON, permitted_at=NOON, permitted_pod_uid="pod-of-run1")
EVICTED = a_pod(RUN, running=False, finished=True, disrupted=True, exit_code=143)
AT_WORK = {"phase": Phase.GENERATING_ASSETS, "step": Step.ASSET_GENERATION, "last_run_number": 1}
PATIENCE = RULES.never_starting_seconds


def looked_at(*pods, after: float, **record):
    situation = a_situation().with_record(**AT_WORK | record).with_runs(RUN).seeing(a_job(RUN), *pods)
    return decide(situation.after(after).but(podless_since=NOON if not pods or pods == (EVICTED,) else None).build())


@pytest.mark.parametrize("pods", [(), (EVICTED,)], ids=["pod removed", "pod still listed"])
def test_a_run_whose_evicted_pod_has_no_successor_says_what_to_look_at(pods):
    assert looked_at(*pods, after=PATIENCE - 1).look_again_at == NOON + timedelta(seconds=PATIENCE)
    plan = looked_at(*pods, after=PATIENCE)
    assert plan.record.waiting_reason == "PodCannotStart"
    assert f"kubectl describe job {RUN.job_name} -n studio" in plan.record.message
    assert [event.reason for event in plan.events] == ["PodCannotStart"]
    assert not plan.runs, "its run goes on: no attempt is consumed"


def test_a_successor_that_runs_ends_the_alarm():
    plan = looked_at(a_pod(RUN, name="next"), after=PATIENCE, waiting_reason="PodCannotStart")
    assert (plan.record.waiting_reason, plan.record.message) == (None, "run 1: its pod has started")


async def test_the_loop_notices_since_when_a_run_has_no_pod():
    made = Studio()
    made.clock = Clock()
    made.reconciler.clock = made.cluster.now = made.clock
    async with made.open() as studio:
        studio.cluster.apply(a_resource())
        order = await studio.order_of(Step.ASSET_GENERATION)
        await studio.post(order, "permit", {"runId": order.run_id})
        studio.clock.now += timedelta(hours=1)
        await studio.reconciler.reconcile(a_resource().key)
        pod = studio.cluster.pods.pop(order.job_name)
        await studio.reconciler.reconcile(a_resource().key)
        assert (await studio.record()).waiting_reason is None, "its Job has had no time to make another"
        studio.clock.now += timedelta(seconds=PATIENCE)
        await studio.reconciler.reconcile(a_resource().key)
        assert (await studio.record()).waiting_reason == "PodCannotStart"
        studio.cluster.pods[order.job_name] = pod
        await studio.reconciler.reconcile(a_resource().key)
        assert (await studio.record()).waiting_reason is None
