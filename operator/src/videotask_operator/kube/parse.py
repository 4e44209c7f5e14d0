"""Kubernetes objects as the core sees them; pure, and a broken spec becomes a sentence, never an exception."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from videotask_contract.resources import (
    LABEL_RUN_ID,
    LABEL_TASK,
    ChannelSpec,
    DesiredState,
    VideoTaskSpec,
)
from videotask_operator.core.model import ChannelResource, JobSeen, PodSeen, TaskKey, TaskResource

ANNOTATION_TASK: Final = "videotask.dev/task-name"
"""The task's whole name, which may be longer than a label's 63 characters."""
STEP_CONTAINER: Final = "step"
NOT_STARTED: Final = "NotStarted"
"""Our own reason: nothing is known to be wrong, but the container does not run yet; how long that may be so is not
decided here."""
_JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"

CANNOT_START: Final = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "CreatePodSandboxError",
        "CrashLoopBackOff",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "RunContainerError",
        "SignatureValidationFailed",
    },
)
"""The kubelet's waiting reasons that mean "cannot start" (kubelet's pkg/kubelet/images and container errors)."""
_MAX_PROBLEMS: Final = 5
_MAX_WORDS: Final = 270
"""Of the kubelet or the scheduler: what mends it stands behind them, in a status of 500 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The controller of an object."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What the cache must know of any object."""

    namespace: str
    name: str
    uid: str
    version: int | None
    """resourceVersion; None where the API server's is no number and so cannot be compared."""
    owner: Owner | None
    task_name: str | None
    """The VideoTask a Job or pod says it belongs to."""
    run_id: str

    @property
    def key(self) -> TaskKey | None:
        """The task a Job or pod says it belongs to."""
        return TaskKey(self.namespace, self.task_name) if self.task_name else None


def parse_meta(body: Mapping[str, Any]) -> Meta:
    """Return an object's metadata."""
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    return Meta(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        version=parse_version(metadata.get("resourceVersion")),
        owner=_controller(metadata.get("ownerReferences") or ()),
        task_name=annotations.get(ANNOTATION_TASK) or labels.get(LABEL_TASK),
        run_id=labels.get(LABEL_RUN_ID, ""),
    )


def parse_version(text: str | None) -> int | None:
    """Return a resourceVersion as a number; within one resource type they grow (KEP-5504)."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def parse_time(text: str) -> datetime:
    """Return a Kubernetes time stamp (RFC 3339)."""
    return datetime.fromisoformat(text)


def parse_task(body: Mapping[str, Any], *, known: TaskResource | None = None) -> TaskResource:
    """Return a VideoTask; `known` spares the check of a spec that has not changed since (same uid and generation)."""
    metadata = body["metadata"]
    generation = metadata.get("generation", 1)
    if known is not None and (known.uid, known.generation) == (metadata["uid"], generation):
        spec, problem = known.spec, known.spec_error
    else:
        spec, problem = _parse_task_spec(body.get("spec") or {})
    return TaskResource(
        key=TaskKey(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=generation,
        created_at=parse_time(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        spec=spec,
        spec_error=problem,
        status=body.get("status") or {},
        state=readable_state(body.get("spec")) if spec is None else None,
    )


def readable_state(spec: Any) -> DesiredState | None:
    """Return spec.state of a spec that breaks the contract elsewhere; None where it says nothing that counts."""
    state = spec.get("state") if isinstance(spec, Mapping) else None
    return DesiredState(state) if isinstance(state, str) and state in set(DesiredState) else None


def parse_channel(body: Mapping[str, Any]) -> ChannelResource:
    """Return a Channel."""
    metadata = body["metadata"]
    spec, problem = _parse_channel_spec(body.get("spec") or {})
    return ChannelResource(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        spec=spec,
        spec_error=problem,
        generation=metadata.get("generation", 1),
        status=body.get("status") or {},
    )


def parse_job(body: Mapping[str, Any]) -> JobSeen:
    """Return a Job; the terminal conditions are Complete and Failed (batch/v1 JobCondition)."""
    meta = parse_meta(body)
    conditions = _true_conditions(body)
    failed = conditions.get("Failed")
    return JobSeen(
        name=meta.name,
        uid=meta.uid,
        run_id=meta.run_id,
        active=failed is None and "Complete" not in conditions,
        failed_reason=(failed.get("reason") or "Failed") if failed is not None else None,
        deleting="deletionTimestamp" in body["metadata"],
        created_at=parse_time(body["metadata"]["creationTimestamp"]),
    )


def parse_pod(body: Mapping[str, Any]) -> PodSeen:
    """Return a pod of a run."""
    meta = parse_meta(body)
    status = body.get("status") or {}
    state = _container_state(status)
    terminated = state.get("terminated") or {}
    reason, message = _waiting(body, status, state)
    return PodSeen(
        name=meta.name,
        uid=meta.uid,
        run_id=meta.run_id,
        job_name=_job_name(body, meta),
        created_at=parse_time(body["metadata"]["creationTimestamp"]),
        running=bool(state.get("running")),
        finished=status.get("phase") in {"Succeeded", "Failed"},
        disrupted="DisruptionTarget" in _true_conditions(body),
        exit_code=terminated.get("exitCode"),
        termination_message=terminated.get("message") or None,
        waiting_reason=reason,
        waiting_message=message,
        deleting="deletionTimestamp" in body["metadata"],
        deletion_at=_deletion_time(body["metadata"]),
        node=(body.get("spec") or {}).get("nodeName"),
    )


def _deletion_time(metadata: Mapping[str, Any]) -> datetime | None:
    """Return when a deleted object's grace is over: Kubernetes adds it to the time of the deletion itself."""
    text = metadata.get("deletionTimestamp")
    return parse_time(text) if text else None


def _job_name(body: Mapping[str, Any], meta: Meta) -> str:
    if meta.owner is not None and meta.owner.kind == "Job":
        return meta.owner.name
    # Orphaned by somebody's --cascade=orphan: it runs all the same.
    label: str = (body["metadata"].get("labels") or {}).get(_JOB_NAME_LABEL, "")
    return label


def _controller(references: Iterable[Mapping[str, Any]]) -> Owner | None:
    for reference in references:
        if reference.get("controller"):
            return Owner(kind=reference["kind"], name=reference["name"], uid=reference["uid"])
    return None


def _true_conditions(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    conditions = (body.get("status") or {}).get("conditions") or ()
    return {condition["type"]: condition for condition in conditions if condition.get("status") == "True"}


def _container_state(status: Mapping[str, Any]) -> Mapping[str, Any]:
    for container in status.get("containerStatuses") or ():
        if container.get("name") == STEP_CONTAINER:
            return container.get("state") or {}
    return {}


def _waiting(
    body: Mapping[str, Any], status: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    if status.get("phase", "Pending") != "Pending" or "deletionTimestamp" in body["metadata"]:
        return None, None
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in CANNOT_START:
        return waiting["reason"], _shortened(waiting.get("message"))
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("status") == "False":
            return condition.get("reason") or "Unschedulable", _shortened(condition.get("message"))
    if state.get("running") or state.get("terminated"):
        return None, None
    return NOT_STARTED, _not_started(body["metadata"]["name"], waiting)


def _shortened(words: str | None) -> str | None:
    """Return words without their middle where they are many: an image is named first, and its trouble last."""
    if words is None or len(words) <= _MAX_WORDS:
        return words
    half = (_MAX_WORDS - 3) // 2
    return f"{words[:half]} … {words[-half:]}"


def _not_started(name: str, waiting: Mapping[str, Any]) -> str:
    seen = f" ({waiting['reason']})" if waiting.get("reason") else ""
    return (
        f"the container of pod {name} has not started yet{seen}; `kubectl describe pod {name}` shows what it waits "
        "for, usually its image or its volume"
    )


def _parse_task_spec(spec: Mapping[str, Any]) -> tuple[VideoTaskSpec | None, str | None]:
    try:
        return VideoTaskSpec.model_validate(spec), None
    except ValidationError as error:
        return None, _sentence(error)


def _parse_channel_spec(spec: Mapping[str, Any]) -> tuple[ChannelSpec | None, str | None]:
    try:
        return ChannelSpec.model_validate(spec), None
    except ValidationError as error:
        return None, _sentence(error)


def _sentence(error: ValidationError) -> str:
    details = error.errors()
    places = [detail["loc"] for detail in details]
    problems = [
        _problem(detail["loc"], detail["msg"], detail.get("input"))
        for detail in details
        # A list whose items were all refused is then called too short as well: that is no second problem.
        if not (detail["type"] == "too_short" and _has_part(detail["loc"], places))
    ]
    shown = "; ".join(problems[:_MAX_PROBLEMS])
    more = len(problems) - _MAX_PROBLEMS
    return f"{shown}; and {more} more" if more > 0 else shown


def _has_part(location: tuple[int | str, ...], places: list[tuple[int | str, ...]]) -> bool:
    return any(place != location and place[: len(location)] == location for place in places)


def _problem(location: tuple[int | str, ...], message: str, value: Any) -> str:
    path = "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    words = message.removeprefix("Value error, ")
    seen = f" (was {value!r})" if isinstance(value, str | int | float) and len(repr(value)) <= 60 else ""  # noqa: PLR2004
    # Whole-model checks name their own fields; the path before them would only repeat a part.
    return words if words.startswith(("spec", "storyboard")) else f"{path}: {words}{seen}"
