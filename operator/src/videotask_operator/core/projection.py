"""The record as kubectl shows it: phase, progress, cost, conditions; rebuilt from the record alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from videotask_contract.phases import ERRORS, TERMINAL, Phase
from videotask_contract.resources import (
    Condition,
    HistoryEntry,
    Review,
    StepStatus,
    VideoTaskStatus,
    to_json,
)
from videotask_contract.steps import STEPS, Step
from videotask_operator.core.approval import approve_command
from videotask_operator.core.breaker import CHANNEL_BLOCKED
from videotask_operator.core.changes import FINAL, REFUSALS
from videotask_operator.core.model import Observation, RunOutcome, RunRecord, TaskRecord, TaskResource, Transition
from videotask_operator.core.pause import CHANNEL_PAUSED, FLEET_PAUSED
from videotask_operator.core.settle import POD_NEVER_STARTED, RETRY_LATER
from videotask_operator.core.watch_run import POD_CANNOT_START, UNREACHABLE

HISTORY_LENGTH = 40
_LAID_ASIDE = frozenset({CHANNEL_BLOCKED, CHANNEL_PAUSED, FLEET_PAUSED})
"""Nothing new begins for it, until a person mends the account or ends the pause."""
_RETRIES = frozenset({"RetryScheduled", RETRY_LATER})
_NOT_STARTING = frozenset({POD_CANNOT_START, POD_NEVER_STARTED})
CLEAN_UP_FAILED = "CleanUpFailed"
_SHOWN_ENDS = frozenset(phase.resource for phase in TERMINAL)
_WAITS_FOR_INPUT = frozenset(
    {
        "InvalidSpec",
        "InvalidSpecPending",
        "ChannelNotFound",
        "ChannelInvalid",
        "NoPrice",
        "EarlierFilm",
        FINAL,
        *REFUSALS,
    },
)
"""Reasons with which the spec as it is cannot be followed."""


def project_status(
    record: TaskRecord,
    *,
    runs: Sequence[RunRecord],
    history: Sequence[Transition],
    step_costs: Mapping[Step, str],
    previous: Mapping[str, Any],
    generation: int,
    now: datetime,
    possibly_usd: Decimal = Decimal(0),
    clean_up_failure: str | None = None,
) -> dict[str, Any]:
    """Return the whole status as JSON; `previous` only keeps the conditions' transition times.

    `possibly_usd` is the part of the cost whose outcome is unknown; `clean_up_failure` says what files could not be
    removed and what a person can do.
    """
    steps = tuple(_step_status(step.step, runs, step_costs) for step in STEPS)
    current = _current_run(record, runs)
    under_way = sum((run.spent_usd for run in runs if run.is_open), Decimal(0))
    status = VideoTaskStatus(
        observed_generation=generation,
        phase=record.phase.resource,
        step=current.step.value if current else None,
        progress=f"{current.done}/{current.total}" if current else None,
        cost_usd=f"{record.pipeline_cost_usd + under_way:.4f}",
        possibly_paid_usd=f"{possibly_usd:.4f}" if possibly_usd else None,
        kept_usd=_kept_usd(runs),
        estimated_cost_usd=f"{record.estimated_cost_usd:.4f}" if record.estimated_cost_usd is not None else None,
        message=record.message[:500],
        attempt=record.step_attempt,
        run=record.last_run_number or None,
        correlation_id=record.correlation_id,
        next_attempt_at=record.next_attempt_at,
        claimed_at=record.claimed_at,
        started_at=record.pipeline_start_time,
        completed_at=record.pipeline_end_time,
        duration_seconds=_duration_seconds(record),
        approved_by=record.approved_by,
        review=_review(record),
        redo_request=record.redo_request,
        redo_requests=tuple(sorted(record.redo_requests)) or None,
        redo_counts=record.redo_counts or None,
        film=record.film,
        steps=steps,
        history=tuple(
            HistoryEntry(phase=line.after.resource, at=line.at, message=line.message[:300])
            for line in history[-HISTORY_LENGTH:]
        ),
        conditions=_conditions(record, previous, generation, now, clean_up_failure),
    )
    return to_json(status)


def shows_its_end(seen: Observation) -> bool:
    """Tell whether a film's status says that it is over and nothing of it is at work: no clock need look at it."""
    # What a lost event left at work must be ended, were its film over.
    is_at_rest = all(pod.finished for pod in seen.pods) and not any(job.active for job in seen.jobs)
    return seen.task is not None and is_at_rest and is_shown_as_over(seen.task)


def is_shown_as_over(task: TaskResource) -> bool:
    """Tell whether a film's status says that it is over."""
    return task.status.get("phase") in _SHOWN_ENDS


def _current_run(record: TaskRecord, runs: Sequence[RunRecord]) -> RunRecord | None:
    return runs[-1] if runs and record.phase is not Phase.QUEUED else None


def _kept_usd(runs: Sequence[RunRecord]) -> str | None:
    """Return what the latest closed run of each step found made already, in all: none of it was paid again."""
    latest = {run.step: run for run in runs if not run.is_open}
    kept = sum((run.kept_usd for run in latest.values()), Decimal(0))
    return f"{kept:.4f}" if kept else None


def _step_status(step: Step, runs: Sequence[RunRecord], costs: Mapping[Step, str]) -> StepStatus:
    mine = [run for run in runs if run.step is step]
    cost = costs.get(step, "0.0000")
    if not mine:
        return StepStatus(name=step.value, state="Pending", cost_usd=cost)
    last = mine[-1]
    return StepStatus(
        name=step.value,
        state=_state(last),
        done=last.done,
        total=last.total,
        kept=last.kept,
        cost_usd=cost,
        started_at=mine[0].opened_at,
        completed_at=last.closed_at,
    )


def _state(run: RunRecord) -> Literal["Pending", "Running", "Done", "Failed"]:
    if run.is_open:
        return "Running"
    return "Done" if run.outcome is RunOutcome.DONE else "Failed"


def _duration_seconds(record: TaskRecord) -> int | None:
    if record.pipeline_start_time is None or record.pipeline_end_time is None:
        return None
    whole = (record.pipeline_end_time - record.pipeline_start_time).total_seconds()
    return max(0, int(whole) - record.waited_seconds)


def _review(record: TaskRecord) -> Review | None:
    if record.review_gate is None or record.review_required_at is None:
        return None
    return Review(
        gate=record.review_gate,
        round=record.review_round,
        requested_at=record.review_required_at,
        command=approve_command(record, record.review_gate, record.review_round),
    )


def _conditions(
    record: TaskRecord, previous: Mapping[str, Any], generation: int, now: datetime, clean_up_failure: str | None
) -> tuple[Condition, ...]:
    reason = record.waiting_reason or ""
    facts: list[tuple[str, bool, str]] = [
        ("Accepted", reason not in _WAITS_FOR_INPUT, reason if reason in _WAITS_FOR_INPUT else "Valid"),
        ("PodStarting", reason not in _NOT_STARTING, reason if reason in _NOT_STARTING else "NothingHoldsItUp"),
        ("RetryScheduled", reason in _RETRIES, "RetryScheduled" if reason in _RETRIES else "NoRetry"),
        ("AwaitingApproval", record.review_gate is not None, "OnShow" if record.review_gate else "NothingOnShow"),
        ("LaidAside", reason in _LAID_ASIDE, reason if reason in _LAID_ASIDE else "NothingHoldsItBack"),
        _attention(record, clean_up_failure),
        ("Finished", record.phase in TERMINAL, record.phase.resource if record.phase in TERMINAL else "UnderWay"),
    ]
    before = {entry.get("type"): entry for entry in previous.get("conditions", ())}
    if clean_up_failure is not None or CLEAN_UP_FAILED in before:  # shown once it happened, and when it is over
        facts.append((CLEAN_UP_FAILED, clean_up_failure is not None, "JobFailed" if clean_up_failure else "Mended"))
    return tuple(
        _condition(
            kind,
            holds=holds,
            reason=why,
            message=clean_up_failure or "" if CLEAN_UP_FAILED in {kind, why} else record.message,
            before=before.get(kind),
            generation=generation,
            now=now,
        )
        for kind, holds, why in facts
    )


def _attention(record: TaskRecord, clean_up_failure: str | None) -> tuple[str, bool, str]:
    if clean_up_failure is not None and not _needs_attention(record):
        return "NeedsAttention", True, CLEAN_UP_FAILED
    return "NeedsAttention", _needs_attention(record), _attention_reason(record)


def _needs_attention(record: TaskRecord) -> bool:
    return (
        record.phase in ERRORS | {Phase.BUDGET_EXCEEDED, Phase.FAILED}
        or record.waiting_reason in _WAITS_FOR_INPUT | _NOT_STARTING | {UNREACHABLE, CHANNEL_BLOCKED}
        or record.review_gate is not None
    )


def _attention_reason(record: TaskRecord) -> str:
    if not _needs_attention(record):
        return "Nothing"
    if record.waiting_reason:
        return record.waiting_reason
    return record.phase.resource


def _condition(
    kind: str,
    *,
    holds: bool,
    reason: str,
    message: str,
    before: Mapping[str, Any] | None,
    generation: int,
    now: datetime,
) -> Condition:
    status: Literal["True", "False"] = "True" if holds else "False"
    # Only the condition that tells something carries the message.
    telling = holds is (kind not in {"Accepted", "PodStarting"})
    unchanged = before is not None and before.get("status") == status
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message[:500] if telling else "",
        last_transition_time=before["lastTransitionTime"] if before is not None and unchanged else now,
        observed_generation=generation,
    )
