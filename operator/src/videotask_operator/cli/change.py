"""What a command wants to change: a JSON merge patch and the words for it; nothing is sent from here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from videotask_operator.cli.exits import NotNowError
from videotask_operator.cli.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A patch for one VideoTask, as `kubectl patch --type=merge` takes it."""

    patch: Mapping[str, Any] | None
    """None when the resource says already what is wanted."""
    words: str
    """What was done, in a person's words."""
    guarded: bool = False
    """True when the patch was made from what was read (a list): it may only meet that very version."""


def change_spec(words: str, *, guarded: bool = False, **fields: Any) -> Change:
    """Return a change of these fields of the spec; None removes a field."""
    return Change(patch={"spec": fields}, words=words, guarded=guarded)


def guard(patch: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Return the patch with the version that it was made from: the API server refuses it for any other.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    if task.version is None:
        return dict(patch)
    return {**patch, "metadata": {"resourceVersion": task.version}}


def merge(document: Any, patch: Any) -> Any:
    """Return the document with a JSON merge patch laid over it (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def patch_text(patch: Mapping[str, Any]) -> str:
    """Return the patch as one line of JSON."""
    return json.dumps(patch, ensure_ascii=False, separators=(",", ":"))


def refuse_when_over(task: Task, what: str) -> None:
    """Raise NotNowError when nothing leaves the task's phase any more."""
    if task.is_over:
        raise NotNowError(
            f"{task.name} is {task.phase.resource}, and nothing changes that any more: it cannot be {what}; "
            "make a new VideoTask for another film"
        )
