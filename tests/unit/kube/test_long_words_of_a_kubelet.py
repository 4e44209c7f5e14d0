"""However much the kubelet has to say of a pod that does not start, what mends it stands in the film's status."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.builders import NOON, RULES, a_job, a_record, a_resource, a_run

from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_operator.core.draft import Draft
from videotask_operator.core.model import Observation
from videotask_operator.core.projection import project_status
from videotask_operator.core.watch_run import watch_run
from videotask_operator.kube.parse import parse_pod

IMAGE = "registry.example.com/films/videotask-asset-generation:1.2.3"
PULL = (
    f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": failed to authorize: failed to '
    "fetch anonymous token: unexpected status from GET request to https://registry.example.com/token?scope=repository"
    "%3Afilms%2Fvideotask-asset-generation%3Apull&service=registry.example.com: 403 Forbidden: the account of the "
    "project has no right to read this repository; ask its owner for the role of a reader"
)
NODES = "0/48 nodes are available: " + ", ".join(
    f"{count} node(s) had untolerated taint {{pool-{count}.example.com/dedicated: true}}" for count in range(1, 9)
)
RUN = a_run(job_created_at=NOON)


def pod(*, waiting=None, conditions=()):
    states = [{"name": "step", "state": {"waiting": waiting}}] if waiting else []
    return {
        "metadata": {
            "name": f"{RUN.job_name}-abcde",
            "namespace": "studio",
            "uid": "pod-uid",
            "creationTimestamp": NOON.isoformat(),
            "labels": {"videotask.dev/run-id": RUN.run_id},
            "ownerReferences": [{"kind": "Job", "name": RUN.job_name, "uid": "job-uid", "controller": True}],
        },
        "status": {"phase": "Pending", "containerStatuses": states, "conditions": list(conditions)},
    }


UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NODES}


@pytest.mark.parametrize("after", [timedelta(seconds=30), timedelta(minutes=20)], ids=["soon", "laid down"])
@pytest.mark.parametrize(
    ("body", "start", "advice"),
    [
        (pod(waiting={"reason": "ErrImagePull", "message": PULL}), IMAGE, "correct the chart's images value"),
        (pod(conditions=[UNSCHEDULABLE]), "0/48 nodes are available", "create the PersistentVolumeClaim"),
    ],
    ids=["an image", "nodes"],
)
def test_what_mends_it_is_not_cut_off(body, start, advice, after):
    seen = parse_pod(body)
    record = a_record(phase=Phase.GENERATING_ASSETS, step=Step.ASSET_GENERATION)
    draft = Draft(record=record, runs={RUN.run_id: RUN}, now=NOON + after)
    observed = Observation(task=a_resource(), channel=None, jobs=(a_job(RUN),), pods=(seen,))
    watch_run(draft, RUN, observed=observed, spec=None, channel=None, rules=RULES)
    status = project_status(
        draft.record, runs=[RUN], history=[], step_costs={}, previous={}, generation=1, now=draft.now
    )
    assert start in status["message"]
    assert advice in status["message"]
    assert status["message"].endswith("No attempt is consumed.")
