"""A pod that the cluster has forgotten may still work and pay: it is heard, and told to stop."""

from __future__ import annotations

import pytest
from tests.support.builders import a_resource
from tests.unit.reconciler.test_reconciler import Studio

from videotask_contract.steps import Step


def a_studio_that_knows_living_pods_only() -> Studio:
    made = Studio()
    cluster = made.cluster

    async def owns_run(caller, run, _key) -> bool:
        return run.permitted_pod_uid == caller.pod_uid or caller.pod_name in cluster.pods

    cluster.owns_run = owns_run
    return made


@pytest.mark.parametrize("is_permitted", [True, False])
async def test_the_pod_with_the_permit_is_heard_without_its_pod_and_no_other_is(is_permitted):
    async with a_studio_that_knows_living_pods_only().open() as studio:
        studio.cluster.apply(a_resource())
        order = await studio.order_of(Step.ASSET_GENERATION)
        progress = {"runId": order.run_id, "done": 0, "total": 2}
        if is_permitted:
            await studio.post(order, "permit", {"runId": order.run_id})
        else:
            await studio.post(order, "progress", progress)  # its run is known from before
        del studio.cluster.pods[order.job_name]
        status, answer = await studio.post(order, "progress", progress)
        assert status == (200 if is_permitted else 403), answer
