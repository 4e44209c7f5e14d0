"""The Job that removes a film's files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import UID

from videotask_contract.resources import LABEL_CHANNEL, LABEL_MANAGED_BY
from videotask_contract.steps import Step
from videotask_operator.core.model import TaskKey
from videotask_operator.core.ports import ForeignJobError
from videotask_operator.core.retention import CleanUpOrder, CleanUpState, Extent
from videotask_operator.kube.build_job import JobSettings, build_clean_up_job
from videotask_operator.kube.clean_up import clean_up_state

JOBS = JobSettings(images={step: f"localhost/videotask-{step.slug}:1" for step in Step})
ORDER = CleanUpOrder(
    key=TaskKey("studio", "film"),
    task_uid=UID,
    channel="tides",
    extent=Extent.ALL,
    job_name=f"film-clean-up-{UID[:8]}",
    claim_name="tides-films",
    folder=f"projects/film-{UID[:8]}",
)
JOB = build_clean_up_job(ORDER, JOBS)
POD = JOB["spec"]["template"]["spec"]


def test_it_outlives_the_resource_and_is_none_of_the_films_runs() -> None:
    assert "ownerReferences" not in JOB["metadata"]
    assert LABEL_MANAGED_BY not in JOB["metadata"]["labels"] | JOB["spec"]["template"]["metadata"]["labels"]
    assert JOB["spec"]["ttlSecondsAfterFinished"] > 0
    assert JOB["spec"]["activeDeadlineSeconds"] > 0


def test_it_meets_the_restricted_profile() -> None:
    pod, [container] = POD["securityContext"], POD["containers"]
    own = container["securityContext"]
    assert (pod["runAsNonRoot"], own["runAsNonRoot"], own["privileged"]) == (True, True, False)
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (pod["runAsUser"], pod["fsGroup"]) == (65532, 65532)
    assert POD["automountServiceAccountToken"] is False


def test_it_holds_no_key_and_no_token_and_sees_this_films_folder_alone() -> None:
    [container] = POD["containers"]
    assert all("valueFrom" not in variable for variable in container["env"])
    assert {kind for volume in POD["volumes"] for kind in volume if kind != "name"} == {
        "persistentVolumeClaim",
        "emptyDir",
    }
    [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "channel"]
    assert mount == {"name": "channel", "mountPath": "/volume", "subPath": f"projects/film-{UID[:8]}"}
    assert {"name": "VIDEOTASK_VOLUME", "value": "/volume"} in container["env"]


@pytest.mark.parametrize("extent", Extent)
def test_it_runs_the_program_from_the_composites_image(extent) -> None:
    [container] = build_clean_up_job(replace(ORDER, extent=extent), JOBS)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "localhost/videotask-composite-creation:1"
    assert container["command"] == ["python", "-m", "videotask_steps.clean_up", f"--{extent.value}"]


def test_beside_its_channels_pods_it_may_also_be_the_first() -> None:
    job = build_clean_up_job(ORDER, replace(JOBS, one_node_per_channel=True))
    [term] = job["spec"]["template"]["spec"]["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    wanted = term["labelSelector"]["matchLabels"]
    assert wanted == {LABEL_CHANNEL: "tides"}
    assert wanted.items() <= job["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ([], CleanUpState.RUNNING),
        ([{"type": "FailureTarget", "status": "True"}], CleanUpState.RUNNING),
        ([{"type": "Complete", "status": "False"}], CleanUpState.RUNNING),
        ([{"type": "SuccessCriteriaMet", "status": "True"}], CleanUpState.RUNNING),
        ([{"type": "Complete", "status": "True"}], CleanUpState.DONE),
        ([{"type": "Failed", "status": "True"}], CleanUpState.FAILED),
    ],
)
def test_how_far_it_is_stands_in_its_conditions(conditions, state) -> None:
    assert clean_up_state(JOB | {"status": {"conditions": conditions}}, ORDER) is state


@pytest.mark.parametrize("order", [replace(ORDER, task_uid="another"), replace(ORDER, extent=Extent.WORK)])
def test_a_job_of_another_film_or_another_extent_is_never_taken_for_this_one(order) -> None:
    done = JOB | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    with pytest.raises(ForeignJobError):
        clean_up_state(done, order)
    with pytest.raises(ForeignJobError):
        clean_up_state({"metadata": {}}, order)
