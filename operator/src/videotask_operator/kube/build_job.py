"""The ConfigMap and the Job of a run, as dicts; pure, and never with more rights than a step needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from videotask_contract.errors import PermanentError
from videotask_contract.resources import (
    LABEL_CHANNEL,
    LABEL_MANAGED_BY,
    LABEL_RUN_ID,
    LABEL_STEP,
    LABEL_TASK,
    LABEL_TASK_UID,
    MANAGED_BY,
)
from videotask_contract.steps import Step
from videotask_contract.task_file import (
    REPORT_AUDIENCE,
    VARIABLE_TASK_FILE,
    VARIABLE_TERMINATION_LOG,
    VARIABLE_TOKEN_FILE,
    VARIABLE_VOLUME,
)
from videotask_operator.core.model import RunOrder
from videotask_operator.core.retention import CleanUpOrder
from videotask_operator.kube.parse import ANNOTATION_TASK, STEP_CONTAINER
from videotask_operator.kube.paths import TASK_API_VERSION, TASK_KIND

STEP_USER_ID: Final = 65532
"""User, group and fsGroup of every step ("nonroot" of the distroless images)."""
MAX_NAME: Final = 63
"""Job names become labels of pods, and labels end at 63 characters (RFC 1123)."""

_TASK_FOLDER: Final = "/task"
_VOLUME_FOLDER: Final = "/volume"
_TOKEN_FOLDER: Final = "/var/run/videotask"  # noqa: S105  a path, not a token
_TERMINATION_LOG: Final = "/dev/termination-log"
_TASK_FILE: Final = "task.json"
_TMP: Final = "/tmp"  # noqa: S108  an emptyDir of the pod's own
_PLACES: Final = {
    VARIABLE_VOLUME: _VOLUME_FOLDER,
    VARIABLE_TERMINATION_LOG: _TERMINATION_LOG,
    "HOME": _TMP,
    "TMPDIR": _TMP,
}
CLEAN_UP_CONTAINER: Final = "clean-up"
LABEL_CLEAN_UP: Final = "videotask.dev/clean-up"
CLEAN_UP_SECONDS: Final = 3600
"""At most for one clean-up, and how long its Job stays when it is over; a failed one is made again after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What the people who run the cluster decide about the steps' Jobs."""

    images: Mapping[Step, str]
    pull_policy: str = "IfNotPresent"
    pull_secrets: Sequence[str] = ()
    resources: Mapping[Step, Mapping[str, Any]] = field(default_factory=dict)
    """Requests and limits of each step's container."""
    node_selectors: Mapping[Step, Mapping[str, str]] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    service_account: str = "videotask-step"
    """Has no rights; it only gives the report token its name."""
    one_node_per_channel: bool = False
    """For ReadWriteOnce volumes: pods of a channel go where another pod of the channel runs."""
    temporary_size: str = "2Gi"
    """Limit of /tmp, a Kubernetes quantity."""
    token_seconds: int = 3600
    """Life of a report token; the kubelet renews it at 80 % of that."""
    keep_finished_seconds: int = 259_200
    """Finished Jobs, their logs and task.json stay for three days: over a week-end."""


def build_config_map(order: RunOrder) -> dict[str, Any]:
    """Return the ConfigMap that holds the run's task.json; immutable, named as the Job."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(order),
        "immutable": True,
        "data": {_TASK_FILE: order.task_file.model_dump_json(by_alias=True, exclude_none=True)},
    }


def build_job(order: RunOrder, settings: JobSettings) -> dict[str, Any]:
    """Return the run's Job.

    Raises PermanentError where no image is set for the step or the name is too long. Sources: batch/v1 JobSpec,
    "Handling retriable and non-retriable pod failures" (podFailurePolicy wants restartPolicy Never), and the
    "restricted" profile of the pod security standards.
    """
    if len(order.job_name) > MAX_NAME:
        raise PermanentError(f"the Job name {order.job_name!r} has more than {MAX_NAME} characters")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(order),
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": order.deadline_seconds,
            "ttlSecondsAfterFinished": settings.keep_finished_seconds,
            # An evicted pod is no failure of the step: its Job makes another one, once the first has ended.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ],
            },
            "template": {
                "metadata": {"labels": _labels(order), "annotations": _annotations(order)},
                "spec": _pod_spec(order, settings),
            },
        },
    }


def build_clean_up_job(order: CleanUpOrder, settings: JobSettings) -> dict[str, Any]:
    """Return the Job that removes a film's files: no owner, since it outlives the resource; no key and no token.

    It runs from the image of the composites, which has no provider's client. Without our managed-by label it is none
    of a film's runs: nothing looks at it but the one who made it, by its name.
    """
    labels = {LABEL_TASK_UID: order.task_uid, LABEL_CHANNEL: _cut(order.channel), LABEL_CLEAN_UP: order.extent.value}
    step = Step.COMPOSITE_CREATION
    container = {
        "name": CLEAN_UP_CONTAINER,
        "image": _image(step, settings),
        "imagePullPolicy": settings.pull_policy,
        "command": ["python", "-m", "videotask_steps.clean_up", f"--{order.extent.value}"],
        "env": [{"name": name, "value": value} for name, value in _PLACES.items()],
        "resources": dict(settings.resources.get(step, {})),
        "terminationMessagePath": _TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": _container_security(),
        "volumeMounts": [
            {"name": "channel", "mountPath": _VOLUME_FOLDER, "subPath": order.folder},
            {"name": "tmp", "mountPath": _TMP},
        ],
    }
    volumes = [
        {"name": "channel", "persistentVolumeClaim": {"claimName": order.claim_name}},
        {"name": "tmp", "emptyDir": {"sizeLimit": settings.temporary_size}},
    ]
    pod = _bare_pod(step, settings) | {"containers": [container], "volumes": volumes}
    if settings.one_node_per_channel:
        pod["affinity"] = _beside({LABEL_CHANNEL: _cut(order.channel)})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": order.job_name,
            "namespace": order.key.namespace,
            "labels": labels,
            "annotations": {ANNOTATION_TASK: order.key.name},
        },
        "spec": {
            # It may be done twice and killed anywhere; what fails is tried again once the Job's own time is over.
            "backoffLimit": 2,
            "activeDeadlineSeconds": CLEAN_UP_SECONDS,
            "ttlSecondsAfterFinished": CLEAN_UP_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _metadata(order: RunOrder) -> dict[str, Any]:
    return {
        "name": order.job_name,
        "namespace": order.key.namespace,
        "labels": _labels(order),
        "annotations": _annotations(order),
        "ownerReferences": [
            {
                "apiVersion": TASK_API_VERSION,
                "kind": TASK_KIND,
                "name": order.key.name,
                "uid": order.task_uid,
                "controller": True,
                "blockOwnerDeletion": False,
            },
        ],
    }


def _labels(order: RunOrder) -> dict[str, str]:
    return {
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_TASK_UID: order.task_uid,
        LABEL_TASK: _cut(order.key.name),
        LABEL_CHANNEL: _cut(order.channel),
        LABEL_STEP: order.step.value,
        LABEL_RUN_ID: order.run_id,
    }


def _annotations(order: RunOrder) -> dict[str, str]:
    return {ANNOTATION_TASK: order.key.name}


def _cut(name: str) -> str:
    return name[:MAX_NAME].rstrip("-.")


def _pod_spec(order: RunOrder, settings: JobSettings) -> dict[str, Any]:
    spec = _bare_pod(order.step, settings) | {
        "terminationGracePeriodSeconds": order.grace_seconds,
        "containers": [_container(order, settings)],
        "volumes": _volumes(order, settings),
    }
    if settings.one_node_per_channel:
        spec["affinity"] = _beside({LABEL_MANAGED_BY: MANAGED_BY, LABEL_CHANNEL: _cut(order.channel)})
    return spec


def _bare_pod(step: Step, settings: JobSettings) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": settings.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": STEP_USER_ID,
            "runAsGroup": STEP_USER_ID,
            "fsGroup": STEP_USER_ID,
            # Changing the owner of thousands of takes at each start would cost minutes.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if node_selector := settings.node_selectors.get(step):
        spec["nodeSelector"] = dict(node_selector)
    if settings.tolerations:
        spec["tolerations"] = [dict(toleration) for toleration in settings.tolerations]
    if settings.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in settings.pull_secrets]
    return spec


def _image(step: Step, settings: JobSettings) -> str:
    image = settings.images.get(step)
    if not image:
        raise PermanentError(f"no image is set for step {step.value}; set VIDEOTASK_STEP_IMAGES")
    return image


def _container_security() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container(order: RunOrder, settings: JobSettings) -> dict[str, Any]:
    return {
        "name": STEP_CONTAINER,
        "image": _image(order.step, settings),
        "imagePullPolicy": settings.pull_policy,
        "env": _environment(order),
        "resources": dict(settings.resources.get(order.step, {})),
        "terminationMessagePath": _TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": _container_security(),
        "volumeMounts": [
            {"name": "task", "mountPath": _TASK_FOLDER, "readOnly": True},
            {"name": "report-token", "mountPath": _TOKEN_FOLDER, "readOnly": True},
            # The kubelet opens the folder below the volume component by component without following a link out of
            # it. Inside the volume nobody but a person with the whole claim could plant one: a step sees its own
            # folder as the root of its mount, and the folder's name is ours (contract/layout.py).
            {"name": "channel", "mountPath": _VOLUME_FOLDER, "subPath": order.folder},
            {"name": "tmp", "mountPath": _TMP},
        ],
    }


def _environment(order: RunOrder) -> list[dict[str, Any]]:
    plain = {
        VARIABLE_TASK_FILE: f"{_TASK_FOLDER}/{_TASK_FILE}",
        VARIABLE_TOKEN_FILE: f"{_TOKEN_FOLDER}/token",
        **_PLACES,
    }
    environment: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in plain.items()]
    if order.provider is not None:
        environment.append(
            {
                "name": order.provider.key_variable,
                "valueFrom": {"secretKeyRef": {"name": order.secret_name, "key": order.secret_key}},
            },
        )
    return environment


def _volumes(order: RunOrder, settings: JobSettings) -> list[dict[str, Any]]:
    return [
        {"name": "task", "configMap": {"name": order.job_name, "defaultMode": 0o444}},
        {
            "name": "report-token",
            "projected": {
                "defaultMode": 0o440,
                "sources": [
                    {
                        "serviceAccountToken": {
                            "audience": REPORT_AUDIENCE,
                            "expirationSeconds": settings.token_seconds,
                            "path": "token",
                        },
                    },
                ],
            },
        },
        {"name": "channel", "persistentVolumeClaim": {"claimName": order.claim_name}},
        {"name": "tmp", "emptyDir": {"sizeLimit": settings.temporary_size}},
    ]


def _beside(labels: Mapping[str, str]) -> dict[str, Any]:
    # A first pod may go anywhere: a term that matches the pod itself does not bar it (scheduler, inter-pod affinity).
    term = {
        "labelSelector": {"matchLabels": dict(labels)},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
