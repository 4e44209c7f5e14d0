"""When a film's files go, by what its spec.retention says; never while a run may be at work, and never the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from videotask_contract.layout import task_folder
from videotask_contract.phases import Phase
from videotask_contract.resources import OnDeletion, Retention
from videotask_operator.core.model import RunRecord, TaskKey, TaskRecord

_MAX_JOB_NAME: Final = 63
_CLEAN_UP: Final = "clean-up"
_TRY_AGAIN_AFTER: Final = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6))
_LONGEST_PAUSE: Final = timedelta(hours=24)
"""A clean-up that fails for good costs one Job and one Event a day, and its condition stands until it is mended."""


class Extent(StrEnum):
    """How much goes; also the program's argument, with two dashes before it."""

    WORK = "work"
    """All that the film was made from."""
    ALL = "all"
    """Every file but the ledgers."""


class CleanUpState(StrEnum):
    """How far a clean-up is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRecord:
    """What a person asked for a film's files, kept beyond the resource, and what was done about it."""

    task_uid: str
    on_deletion: OnDeletion
    work_days: int | None
    claim_name: str
    """Where the files lie; a Channel may be deleted before its films are cleaned."""
    work_cleaned_at: datetime | None = None
    all_cleaned_at: datetime | None = None
    failed_extent: Extent | None = None
    """What could not be removed when it was last tried."""
    failures: int = 0
    """In a row, of that extent."""
    next_try_at: datetime | None = None
    failure: str | None = None
    """What failed and what a person can do; None when nothing did, or it was done since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanUpOrder:
    """All that is needed to start a clean-up; starting it twice under one name changes nothing."""

    key: TaskKey
    task_uid: str
    channel: str
    extent: Extent
    job_name: str
    claim_name: str
    folder: str
    """Below the volume's root; of this uid alone, so that a film of the same name made later is not touched."""


def is_asked_for(retention: Retention) -> bool:
    """Tell whether anything is ever to be removed."""
    return retention.on_deletion is OnDeletion.DELETE or retention.work_days is not None


def may_be_due(kept: RetentionRecord, *, shown_phase: str | None) -> bool:
    """Tell by what is in memory whether a film is worth a look at its record; `shown_phase` None: no such resource."""
    if kept.all_cleaned_at is not None:
        return False
    if shown_phase is None:
        return kept.on_deletion is OnDeletion.DELETE
    return shown_phase == Phase.COMPLETED.resource and kept.work_days is not None and kept.work_cleaned_at is None


def due_clean_up(
    kept: RetentionRecord, *, record: TaskRecord, runs: Iterable[RunRecord], is_shown: bool, now: datetime
) -> CleanUpOrder | None:
    """Return the clean-up that is due, None when there is none.

    A run is over when it is closed, which wants proof that its pod is gone. `is_shown` says that the resource of this
    uid is there: then nothing is removed for its deletion, whatever the record says.
    """
    extent = _due_extent(kept, record, is_shown=is_shown, now=now)
    if extent is None or any(run.is_open for run in runs):
        return None
    failures = kept.failures if kept.failed_extent is extent else 0
    if failures and kept.next_try_at is not None and now < kept.next_try_at:
        return None
    return CleanUpOrder(
        key=record.key,
        task_uid=record.uid,
        channel=record.channel,
        extent=extent,
        job_name=job_name(record, extent, failures=failures),
        claim_name=kept.claim_name,
        folder=task_folder(name=record.name, uid=record.uid),
    )


def job_name(record: TaskRecord, extent: Extent, *, failures: int = 0) -> str:
    """Return <task, cut>-clean-up-<uid8>, or <task, cut>-clean-up-work-<uid8>: two Jobs, for one may follow another.

    After failures comes the number of the try: the Job before it stays for a while, with its words.
    """
    words = [_CLEAN_UP] if extent is Extent.ALL else [_CLEAN_UP, extent.value]
    end = "-".join([*words, record.uid[:8], *([str(failures + 1)] if failures else [])])
    head = record.name.replace(".", "-")[: _MAX_JOB_NAME - len(end) - 1].rstrip("-")
    return f"{head}-{end}"


def failed_clean_up(kept: RetentionRecord, order: CleanUpOrder, *, why: str, now: datetime) -> RetentionRecord:
    """Return what is kept after a try that failed: when the next is due, and words for people."""
    failures = 1 + (kept.failures if kept.failed_extent is order.extent else 0)
    pause = _TRY_AGAIN_AFTER[failures - 1] if failures <= len(_TRY_AGAIN_AFTER) else _LONGEST_PAUSE
    next_try_at = now + pause
    times = "once" if failures == 1 else f"{failures} times"
    advice = "; another spec.retention has it tried at once, or keeps the files" if order.extent is Extent.WORK else ""
    words = (
        f"the clean-up of {_REMOVED[order.extent]} failed {times}: {why}. kubectl logs -n {order.key.namespace} "
        f"job/{order.job_name} tells more; the claim {order.claim_name} must be there and writable. It is tried again "
        f"at {next_try_at:%Y-%m-%d %H:%M} UTC{advice}"
    )
    return replace(kept, failed_extent=order.extent, failures=failures, next_try_at=next_try_at, failure=words)


def cleaned(kept: RetentionRecord, extent: Extent, *, now: datetime) -> RetentionRecord:
    """Return what is kept after a clean-up was done; it forgets earlier failures."""
    done = unfailed(kept)
    return replace(done, all_cleaned_at=now) if extent is Extent.ALL else replace(done, work_cleaned_at=now)


def unfailed(kept: RetentionRecord) -> RetentionRecord:
    """Return it as if nothing had ever failed: the next try is due at once."""
    return replace(kept, failed_extent=None, failures=0, next_try_at=None, failure=None)


_REMOVED: Final = {
    Extent.WORK: "all that the film was made from",
    Extent.ALL: "the deleted film's files",
}


def _due_extent(kept: RetentionRecord, record: TaskRecord, *, is_shown: bool, now: datetime) -> Extent | None:
    if kept.all_cleaned_at is not None:
        return None
    if record.resource_gone and not is_shown:
        return Extent.ALL if kept.on_deletion is OnDeletion.DELETE else None
    ended_at = record.pipeline_end_time
    if not is_shown or record.phase is not Phase.COMPLETED or ended_at is None or kept.work_days is None:
        return None  # a completed film stays so: its work is removed once
    return Extent.WORK if kept.work_cleaned_at is None and now >= ended_at + timedelta(days=kept.work_days) else None
