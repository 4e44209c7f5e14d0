"""Has files removed when their time is over: notes what people asked for, asks for due clean-ups, records their end.

It never removes anything itself, since the operator has no volume, and never asks for what core.retention did not find
due. Each look does the same again until a clean-up is recorded as done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from videotask_contract.errors import VideoTaskError
from videotask_operator.core.model import EventDraft, EventType, TaskKey, TaskResource
from videotask_operator.core.ports import ClusterPort, ForeignJobError, StorePort, Transaction
from videotask_operator.core.retention import (
    CleanUpOrder,
    CleanUpState,
    Extent,
    RetentionRecord,
    due_clean_up,
    is_asked_for,
    may_be_due,
)

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class RetentionKeeper:
    """Looks at all films; belongs to the reconciler's loop."""

    cluster: ClusterPort
    store: StorePort
    clock: Callable[[], datetime]
    wake: Callable[[TaskKey], None]
    """Asks for a look at a film whose resource is gone and whose record does not say so."""
    _told: set[str] = field(default_factory=set)
    """Jobs whose failure was told; it is told once, and the Job is tried again when its own time is over."""

    async def look(self) -> None:
        """Do what is due now."""
        for order in await self._due():
            try:
                state = await self.cluster.run_clean_up(order)
            except (ForeignJobError, VideoTaskError) as error:
                self._tell_failure(order, str(error))  # of this film alone; the others have their turn
                continue
            await self._take_up(order, state)

    async def _due(self) -> list[CleanUpOrder]:
        now = self.clock()
        shown: dict[str, str] = {}
        async with self.store.transaction() as transaction:
            known = {kept.task_uid: kept for kept in await transaction.load_retention()}
            for key in self.cluster.task_keys():
                observed = self.cluster.observe(key)
                claim = observed.channel.spec.volume.claim_name if observed.channel and observed.channel.spec else None
                if observed.task is not None:
                    shown[observed.task.uid] = str(observed.task.status.get("phase", ""))
                    await _note(transaction, observed.task, claim, known)
            candidates = [kept for kept in known.values() if may_be_due(kept, shown_phase=shown.get(kept.task_uid))]
            orders = [await self._order(transaction, kept, now) for kept in candidates]
        return [order for order in orders if order is not None]

    async def _order(self, transaction: Transaction, kept: RetentionRecord, now: datetime) -> CleanUpOrder | None:
        record = await transaction.load_task(kept.task_uid)
        if record is None:
            return None
        observed = self.cluster.observe(record.key)
        if not observed.in_sight:
            return None  # nobody can tell there whether the film was deleted
        shown = observed.task
        runs = await transaction.load_runs(record.uid)
        is_shown = shown is not None and shown.uid == record.uid
        if not is_shown and not record.resource_gone:
            self.wake(record.key)  # deleted while nobody looked
        return due_clean_up(kept, record=record, runs=runs, is_shown=is_shown, now=now)

    async def _take_up(self, order: CleanUpOrder, state: CleanUpState) -> None:
        match state:
            case CleanUpState.RUNNING:
                return
            case CleanUpState.FAILED:
                self._tell_failure(order, "its Job failed; its pod's log says why. It is tried again")
            case CleanUpState.DONE:
                await self._record(order)

    async def _record(self, order: CleanUpOrder) -> None:
        now = self.clock()
        async with self.store.transaction() as transaction:
            for kept in await transaction.load_retention():
                if kept.task_uid == order.task_uid:
                    await transaction.save_retention(_cleaned(kept, order.extent, now))
        log.info("film_cleaned", task=str(order.key), extent=order.extent.value, folder=order.folder)
        if order.extent is Extent.WORK:
            message = "all that the film was made from was removed, as spec.retention asks; film and ledger stay"
            event = EventDraft(type=EventType.NORMAL, reason="WorkRemoved", message=message)
            await self.cluster.post_event(order.key, uid=order.task_uid, event=event)

    def _tell_failure(self, order: CleanUpOrder, message: str) -> None:
        if order.job_name not in self._told:
            self._told.add(order.job_name)
            log.warning("clean_up_failed", task=str(order.key), job=order.job_name, message=message)


async def _note(
    transaction: Transaction, task: TaskResource, claim_name: str | None, known: dict[str, RetentionRecord]
) -> None:
    """Keep what the resource asks for now; what was once asked for and is no longer counts as not asked for."""
    before = known.get(task.uid)
    if task.spec is None or claim_name is None or (before is None and not is_asked_for(task.spec.retention)):
        return
    wish = task.spec.retention
    fresh = before or RetentionRecord(
        task_uid=task.uid, on_deletion=wish.on_deletion, work_days=wish.work_days, claim_name=claim_name
    )
    now = replace(fresh, on_deletion=wish.on_deletion, work_days=wish.work_days, claim_name=claim_name)
    if now != before and await transaction.load_task(task.uid) is not None:
        await transaction.save_retention(now)
        known[task.uid] = now


def _cleaned(kept: RetentionRecord, extent: Extent, now: datetime) -> RetentionRecord:
    return replace(kept, all_cleaned_at=now) if extent is Extent.ALL else replace(kept, work_cleaned_at=now)
