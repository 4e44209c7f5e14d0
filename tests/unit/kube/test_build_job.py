from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from tests.support.builders import RULES, UID, a_channel, a_record, a_resource, a_run

from videotask_contract.errors import PermanentError
from videotask_contract.resources import LABEL_CHANNEL, LABEL_RUN_ID, LABEL_STEP, LABEL_TASK, LABEL_TASK_UID
from videotask_contract.steps import TRAITS, Provider, Step
from videotask_contract.task_file import REPORT_AUDIENCE, TaskFile
from videotask_operator.core.model import RunOrder, TaskKey
from videotask_operator.core.order import build_order, job_name
from videotask_operator.kube.build_job import JobSettings, build_config_map, build_job

LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$")
JOBS = JobSettings(images={step: f"localhost/videotask-{step.slug}:1" for step in Step})


def an_order(step: Step = Step.VIDEO_GENERATION, *, task: str = "film", number: int = 3) -> RunOrder:
    name = job_name(task=task, step=step, number=number, uid=UID)
    order = build_order(
        run=a_run(number=number, step=step, job_name=name),
        record=a_record(name=task),
        spec=a_resource().spec,
        channel=a_channel().spec,
        rules=RULES,
    )
    return replace(order, key=TaskKey("studio", task))


def pod_spec(order: RunOrder, settings: JobSettings = JOBS) -> dict:
    return build_job(order, settings)["spec"]["template"]["spec"]


def environment(order: RunOrder) -> dict:
    return {variable["name"]: variable for variable in pod_spec(order)["containers"][0]["env"]}


@pytest.mark.parametrize("step", list(Step))
def test_every_step_meets_the_restricted_profile(step) -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, field by field
    spec = pod_spec(an_order(step))
    pod, [container] = spec["securityContext"], spec["containers"]
    own = container["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert own["runAsNonRoot"] is True
    assert (pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (65532, 65532, 65532)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["allowPrivilegeEscalation"] is False
    assert own["privileged"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "hostUsers"} & set(spec)
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds == {"configMap", "projected", "persistentVolumeClaim", "emptyDir"}


def test_a_pod_holds_no_token_for_the_api_server_and_cannot_write_outside_its_volumes() -> None:
    spec = pod_spec(an_order())
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    [projected] = [volume["projected"] for volume in spec["volumes"] if "projected" in volume]
    [source] = projected["sources"]
    assert source["serviceAccountToken"]["audience"] == REPORT_AUDIENCE
    assert source["serviceAccountToken"]["expirationSeconds"] >= 3600


def test_a_step_sees_its_own_tasks_folder_and_no_more_of_the_volume() -> None:
    order = an_order()
    [channel] = [mount for mount in pod_spec(order)["containers"][0]["volumeMounts"] if mount["name"] == "channel"]
    assert channel == {"name": "channel", "mountPath": "/volume", "subPath": f"projects/film-{UID[:8]}"}
    [volume] = [volume for volume in pod_spec(order)["volumes"] if volume["name"] == "channel"]
    assert volume["persistentVolumeClaim"] == {"claimName": "tides-films"}


@pytest.mark.parametrize("name", ["../../etc", "a/../../b", "film"])
def test_no_name_leads_out_of_the_volume(name) -> None:
    # Kubernetes refuses such names itself; the folder is cut from the name and must hold even so.
    folder = an_order(task="film" if "/" in name else name).folder
    assert folder.count("/") == 1
    assert ".." not in folder.split("/")


@pytest.mark.parametrize("step", list(Step))
def test_a_step_gets_the_key_of_its_own_provider_and_no_other(step) -> None:
    variables = environment(an_order(step))
    provider = TRAITS[step].provider
    keys = {name for name in variables if name.endswith("_API_KEY")}
    assert keys == ({provider.key_variable} if provider else set())
    if provider:
        reference = variables[provider.key_variable]["valueFrom"]["secretKeyRef"]
        assert reference == {"name": f"{provider.value}-key", "key": "api-key"}
        assert "value" not in variables[provider.key_variable]


def test_a_step_is_told_where_everything_lies() -> None:
    plain = {name: variable.get("value") for name, variable in environment(an_order()).items()}
    assert plain == {
        "VIDEOTASK_TASK_FILE": "/task/task.json",
        "VIDEOTASK_VOLUME": "/volume",
        "VIDEOTASK_REPORT_TOKEN_FILE": "/var/run/videotask/token",
        "VIDEOTASK_TERMINATION_LOG": "/dev/termination-log",
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        Provider.KLING.key_variable: None,
    }
    mounts = {mount["mountPath"] for mount in pod_spec(an_order())["containers"][0]["volumeMounts"]}
    assert mounts == {"/task", "/volume", "/var/run/videotask", "/tmp"}


def test_a_job_never_repeats_paid_work_by_itself_but_replaces_an_evicted_pod() -> None:
    job = build_job(an_order(), JOBS)["spec"]
    assert job["backoffLimit"] == 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert job["podReplacementPolicy"] == "Failed"
    [rule] = job["podFailurePolicy"]["rules"]
    assert rule == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def test_deadline_grace_and_image_are_the_orders_and_the_settings() -> None:
    order = replace(an_order(), deadline_seconds=777, grace_seconds=120)
    job = build_job(order, JOBS)
    assert job["spec"]["activeDeadlineSeconds"] == 777
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 120
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "localhost/videotask-video-generation:1"
    assert container["terminationMessagePolicy"] == "File"


def test_the_clusters_own_wishes_reach_the_pod() -> None:
    settings = replace(
        JOBS,
        node_selectors={Step.VIDEO_GENERATION: {"disk": "fast"}, Step.VIDEO_ASSEMBLY: {"disk": "other"}},
        tolerations=[{"key": "film", "operator": "Exists"}],
        resources={Step.VIDEO_GENERATION: {"requests": {"cpu": "100m"}}},
        pull_secrets=["registry"],
        service_account="steps",
        one_node_per_channel=True,
    )
    spec = pod_spec(an_order(), settings)
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["tolerations"] == [{"key": "film", "operator": "Exists"}]
    assert spec["containers"][0]["resources"] == {"requests": {"cpu": "100m"}}
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["serviceAccountName"] == "steps"
    [term] = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchLabels"][LABEL_CHANNEL] == "tides"


@pytest.mark.parametrize("kind", ["job", "config_map"])
def test_both_objects_belong_to_the_task_and_carry_its_labels(kind) -> None:
    order = an_order()
    body = build_job(order, JOBS) if kind == "job" else build_config_map(order)
    [owner] = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
        "VideoTask",
        UID,
        True,
        False,
    )
    labels = body["metadata"]["labels"]
    assert labels["app.kubernetes.io/managed-by"] == "videotask-operator"
    assert labels[LABEL_TASK_UID] == UID
    assert labels[LABEL_STEP] == "video_generation"
    assert labels[LABEL_RUN_ID] == "run3"
    assert body["metadata"]["name"] == order.job_name


@pytest.mark.parametrize("task", ["film", "x" * 253, "a" * 62 + "-b", "a" * 62 + ".b", "1.2.3"])
@pytest.mark.parametrize("step", list(Step))
def test_names_and_labels_stay_within_63_characters(task, step) -> None:
    job = build_job(an_order(step, task=task, number=9999), JOBS)
    assert len(job["metadata"]["name"]) <= 63
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", job["metadata"]["name"])
    labels = job["metadata"]["labels"] | job["spec"]["template"]["metadata"]["labels"]
    assert [value for value in labels.values() if not LABEL_VALUE.match(value)] == []
    assert labels[LABEL_TASK] == task[:63].rstrip("-.")
    assert job["spec"]["template"]["metadata"]["annotations"]["videotask.dev/task-name"] == task


def test_the_config_map_holds_the_task_file_and_cannot_be_changed() -> None:
    order = an_order()
    body = build_config_map(order)
    assert body["immutable"] is True
    assert TaskFile.model_validate_json(body["data"]["task.json"]) == order.task_file
    assert "apiKey" not in json.dumps(body)


def test_a_step_without_an_image_names_the_setting() -> None:
    with pytest.raises(PermanentError, match="VIDEOTASK_STEP_IMAGES"):
        build_job(an_order(), JobSettings(images={}))


def test_a_name_that_is_too_long_is_refused_before_the_api_server_sees_it() -> None:
    with pytest.raises(PermanentError, match="more than 63"):
        build_job(replace(an_order(), job_name="x" * 64), JOBS)
