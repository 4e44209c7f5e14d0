"""Between a record and its row; what an older version wrote oddly is read as missing and must never stop a resume."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final

import structlog
from pydantic import ValidationError
from sqlalchemy import RowMapping

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Certainty, Item, Spend
from videotask_contract.resources import FilmStatus, Priority
from videotask_contract.steps import Gate, Step
from videotask_operator.core.model import RunOutcome, RunRecord, TaskRecord, Transition
from videotask_operator.store.words import storable, storable_or_none

Row = RowMapping

_log = structlog.get_logger(__name__)

_RENAMED: Final = {"uid": "id", "phase": "status"}
"""Columns that have another name than the record's field."""
_TASK_FIELDS: Final = tuple(field.name for field in fields(TaskRecord))
_TASK_WORDS: Final = ("title", "error", "message", "approved_by", "waiting_reason")
_TASK_COUNTS: Final = ("redo_counts", "honoured_takes", "change_marks")
_RUN_FIELDS: Final = tuple(field.name for field in fields(RunRecord))
_RUN_WORDS: Final = ("failure_message", "failure_item")


def row_of_task(record: TaskRecord) -> dict[str, Any]:
    """Return the values of a row of `tasks`."""
    row = {_RENAMED.get(name, name): getattr(record, name) for name in _TASK_FIELDS}
    row["approved_gates"] = sorted(record.approved_gates)
    row["redo_requests"] = sorted(record.redo_requests)
    row["film"] = None if record.film is None else record.film.model_dump(mode="json", by_alias=True)
    for name in _TASK_WORDS:
        row[name] = storable_or_none(row[name])
    return row


def task_of_row(row: Row) -> TaskRecord:
    """Return the record of a row of `tasks`."""
    values = {name: row[_RENAMED.get(name, name)] for name in _TASK_FIELDS}
    values |= {
        "phase": Phase(values["phase"]),
        "priority": Priority(values["priority"]),
        "step": _step(values["step"]),
        "resume_phase": None if values["resume_phase"] is None else Phase(values["resume_phase"]),
        "review_gate": None if values["review_gate"] is None else Gate(values["review_gate"]),
        "approved_gates": _gates(values["approved_gates"]),
        "redo_requests": frozenset(values["redo_requests"]),
        "film": _film(values["film"]),
        "step_completion_metadata": _metadata(values["step_completion_metadata"]),
        **{name: _counts(values[name]) for name in _TASK_COUNTS},
        "begun_with": _by_step(values["begun_with"]),
    }
    return TaskRecord(**values)


def row_of_run(run: RunRecord) -> dict[str, Any]:
    """Return the values of a row of `step_runs`."""
    row = {name: getattr(run, name) for name in _RUN_FIELDS}
    for name in _RUN_WORDS:
        row[name] = storable_or_none(row[name])
    return row


def run_of_row(row: Row) -> RunRecord:
    """Return the record of a row of `step_runs`."""
    values = {name: row[name] for name in _RUN_FIELDS}
    values |= {
        "step": Step(values["step"]),
        "outcome": None if values["outcome"] is None else RunOutcome(values["outcome"]),
        "failure_class": None if values["failure_class"] is None else FailureClass(values["failure_class"]),
    }
    return RunRecord(**values)


def row_of_item(task_uid: str, step: Step, run_id: str, item: Item) -> dict[str, Any]:
    """Return the values of a row of `items`."""
    names = ("take", "key", "size_bytes", "sha256", "duration_seconds", "cost_usd", "kept")
    row = {name: getattr(item, name) for name in names}
    return row | {
        "task_uid": task_uid,
        "step": step,
        "run_id": run_id,
        "item": storable(item.item),
        "path": storable(item.path),
    }


def item_of_row(row: Row) -> Item:
    """Return the item of a row of `items`."""
    return Item(**{name: row[name] for name in Item.model_fields})


def spend_of_row(row: Row) -> Spend:
    """Return the paid call of a row of `spend`."""
    values = {name: row[name] for name in Spend.model_fields}
    return Spend(**(values | {"certainty": Certainty(values["certainty"])}))


def transition_of_row(row: Row) -> Transition:
    """Return the transition of a row of `task_history`."""
    before = row["status_before"]
    return Transition(
        before=None if before is None else Phase(before),
        after=Phase(row["status_after"]),
        at=row["at"],
        message=row["message"],
    )


def _step(value: str | None) -> Step | None:
    return None if value is None else Step(value)


def _gates(values: Iterable[str]) -> frozenset[Gate]:
    known = {gate.value for gate in Gate}
    return frozenset(Gate(value) for value in values if value in known)


def _film(value: object) -> FilmStatus | None:
    if value is None:
        return None
    try:
        return FilmStatus.model_validate(value)
    except ValidationError as error:
        _log.warning("film_unreadable", error=str(error)[:500])
        return None


def _counts(value: object) -> dict[str, dict[str, int]]:
    steps = value.items() if isinstance(value, dict) else ()
    return {
        step: {name: number for name, number in numbers.items() if isinstance(number, int)}
        for step, numbers in steps
        if isinstance(numbers, dict)
    }


def _by_step(value: object) -> dict[str, dict[str, Any]]:
    steps = value.items() if isinstance(value, dict) else ()
    return {step: settings for step, settings in steps if isinstance(settings, dict)}


def _metadata(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
