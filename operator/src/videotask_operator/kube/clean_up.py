"""How far a clean-up's Job is; pure, and a Job of somebody else is never taken for ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from videotask_contract.resources import LABEL_TASK_UID
from videotask_operator.core.ports import ForeignJobError
from videotask_operator.core.retention import CleanUpOrder, CleanUpState
from videotask_operator.kube.build_job import LABEL_CLEAN_UP


def clean_up_state(body: Mapping[str, Any], order: CleanUpOrder) -> CleanUpState:
    """Return the state of this clean-up by its Job's conditions; ForeignJobError when the Job is not this one's."""
    labels = body.get("metadata", {}).get("labels") or {}
    if (labels.get(LABEL_TASK_UID), labels.get(LABEL_CLEAN_UP)) != (order.task_uid, order.extent.value):
        raise ForeignJobError(f"Job {order.job_name} exists and is no clean-up of {order.key}; delete it")
    conditions = body.get("status", {}).get("conditions") or []
    true = {condition.get("type") for condition in conditions if condition.get("status") == "True"}
    if "Failed" in true:
        return CleanUpState.FAILED
    return CleanUpState.DONE if "Complete" in true else CleanUpState.RUNNING
