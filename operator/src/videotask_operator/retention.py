"""Has files removed when their time is over: notes what people asked for, asks for due clean-ups, records their end.

It never removes anything itself, since the operator has no volume, and never asks for what core.retention did not find
due. Each look does the same again until a clean-up is recorded as done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from videotask_contract.errors import VideoTaskError
from videotask_contract.resources import Retention
from videotask_operator.core.last_wishes import LastWish
from videotask_operator.core.model import EventDraft, EventType, Observation, TaskKey, TaskRecord
from videotask_operator.core.ports import ClusterPort, ForeignJobError, StorePort, Transaction
from videotask_operator.core.projection import CLEAN_UP_FAILED
from videotask_operator.core.retention import (
    CleanUpOrder,
    CleanUpState,
    Extent,
    RetentionRecord,
    cleaned,
    due_clean_up,
    failed_clean_up,
    is_asked_for,
    may_be_due,
)

log = structlog.get_logger()

_AT_ONCE: Final = 5
"""Clean-ups under way on one volume: who deletes two hundred films floods neither the cluster nor the volume, and a
volume that cannot be had keeps no other waiting."""


@dataclass(slots=True, kw_only=True)
class RetentionKeeper:
    """Looks at all films; belongs to the reconciler's loop."""

    cluster: ClusterPort
    store: StorePort
    clock: Callable[[], datetime]
    wake: Callable[[TaskKey], None]
    """Asks for a look at a film: its resource is gone and its record does not say so, or it has something to show."""
    _told: set[str] = field(default_factory=set)
    """Jobs that could not be asked for while the cluster did not answer; it is told once."""
    _under_way: set[str] = field(default_factory=set)
    """Jobs that ran when they were last looked at."""
    _failures: dict[str, str] | None = None
    """What failed, in words, by uid; None until it was read."""
    _wishes: dict[str, RetentionRecord] | None = None
    """What was noted at the last look, by uid; None until it was read."""
    _unsure: set[str] = field(default_factory=set)
    """Uids of which something was written since: it may have been rolled back, so that only the record knows."""

    async def look(self) -> None:
        """Do what is due now."""
        for order in self._in_turn(await self._due()):
            try:
                state = await self.cluster.run_clean_up(order)
            except ForeignJobError as error:
                await self._fail(order, str(error))  # of this film alone; the others have their turn
            except VideoTaskError as error:
                if error.failure_class.is_transient:
                    self._tell_silence(order, error.message)
                else:
                    await self._fail(order, error.message)
            else:
                self._told.discard(order.job_name)
                await self._take_up(order, state)

    def _in_turn(self, orders: list[CleanUpOrder]) -> list[CleanUpOrder]:
        """Return those to ask for now: what runs already before all others, what got no answer behind them."""
        self._under_way &= {order.job_name for order in orders}
        waiting = sorted(orders, key=lambda one: (one.job_name in self._told, one.job_name not in self._under_way))
        asked: Counter[tuple[str, str]] = Counter()
        chosen = []
        for order in waiting:
            volume = (order.key.namespace, order.claim_name)
            asked[volume] += 1
            if asked[volume] <= _AT_ONCE:
                chosen.append(order)
        return chosen

    async def failure_of(self, transaction: Transaction, uid: str) -> str | None:
        """Return what failed of a film's clean-up and what a person can do; None when nothing did."""
        if self._failures is None:
            self._failures = _failures(await transaction.load_retention())
        return self._failures.get(uid)

    async def note(self, transaction: Transaction, key: TaskKey, observed: Observation) -> None:
        """Keep what a film's resource asks for now, with each decision: it may be deleted before the next look.

        So it is with what one that is gone asked for last, should the decision fail in which it was to be noted.
        """
        for wish in self.cluster.last_wishes(key):
            kept = await transaction.load_retention_of(wish.uid)
            await self._note_last(transaction, wish, {} if kept is None else {wish.uid: kept})
        task = observed.task
        if task is None or task.spec is None:
            return
        if self._wishes is None:
            self._wishes = {kept.task_uid: kept for kept in await transaction.load_retention()}
        if task.uid not in self._unsure and _is_noted(self._wishes.get(task.uid), task.spec.retention, observed):
            return
        # What was loaded at the last look may have been cleaned since: only what is in the record now is changed.
        kept = await transaction.load_retention_of(task.uid)
        known = {} if kept is None else {task.uid: kept}
        await self._note(transaction, task.uid, task.spec.retention, _claim_of(observed), known)

    async def _due(self) -> list[CleanUpOrder]:
        now = self.clock()
        shown: dict[str, str] = {}
        async with self.store.transaction() as transaction:
            known = {kept.task_uid: kept for kept in await transaction.load_retention()}
            last_wishes = tuple(self.cluster.last_wishes())
            for wish in last_wishes:
                await self._note_last(transaction, wish, known)
            for key in self.cluster.task_keys():
                observed = self.cluster.observe(key)
                if observed.task is not None:
                    shown[observed.task.uid] = str(observed.task.status.get("phase", ""))
                    if observed.task.spec is not None:
                        wanted = observed.task.spec.retention
                        await self._note(transaction, observed.task.uid, wanted, _claim_of(observed), known)
            self._failures = _failures(known.values())
            candidates = [kept for kept in known.values() if may_be_due(kept, shown_phase=shown.get(kept.task_uid))]
            uids = [kept.task_uid for kept in candidates]
            records = await transaction.load_clean_up_candidates(
                gone=[uid for uid in uids if uid not in shown], shown=[uid for uid in uids if uid in shown], now=now
            )
        # After the commit, and with no pause in between: what is kept in mind is what is on record.
        self._wishes = known
        self._unsure.clear()
        self.cluster.forget_last_wishes(last_wishes)
        orders = [(known[record.uid].failures, self._order(known[record.uid], record, now)) for record in records]
        # One that fails again and again does not come before those that were never tried.
        return [order for _, order in sorted(orders, key=lambda pair: pair[0]) if order is not None]

    async def _note_last(self, transaction: Transaction, wish: LastWish, known: dict[str, RetentionRecord]) -> None:
        claim_name = None
        for channel in self.cluster.channels():
            if (channel.namespace, channel.name) == (wish.key.namespace, wish.channel) and channel.spec is not None:
                claim_name = channel.spec.volume.claim_name
        await self._note(transaction, wish.uid, wish.retention, claim_name, known)

    async def _note(
        self,
        transaction: Transaction,
        uid: str,
        wish: Retention,
        claim_name: str | None,
        known: dict[str, RetentionRecord],
    ) -> None:
        """Keep what the resource asks for now; what was once asked for and is no longer counts as not asked for."""
        before = known.get(uid)
        if before is not None:
            now = _wished(before, wish, claim_name)
        elif claim_name is not None and is_asked_for(wish):
            now = RetentionRecord(
                task_uid=uid, on_deletion=wish.on_deletion, work_days=wish.work_days, claim_name=claim_name
            )
        else:
            return
        if before is not None and now != before:
            # It is due at once; that it failed stays known, for the Job that did still has its name.
            now = replace(now, next_try_at=None, failure=None)
        if now != before and await transaction.load_task(uid) is not None:
            self._unsure.add(uid)
            await transaction.save_retention(now)
            known[uid] = now

    def _order(self, kept: RetentionRecord, record: TaskRecord, now: datetime) -> CleanUpOrder | None:
        observed = self.cluster.observe(record.key)
        if not observed.in_sight:
            return None  # nobody can tell there whether the film was deleted
        shown = observed.task
        is_shown = shown is not None and shown.uid == record.uid
        if not is_shown and not record.resource_gone:
            self.wake(record.key)  # deleted while nobody looked
        return due_clean_up(kept, record=record, runs=(), is_shown=is_shown, now=now)  # none of them has an open run

    async def _take_up(self, order: CleanUpOrder, state: CleanUpState) -> None:
        if state is CleanUpState.RUNNING:
            self._under_way.add(order.job_name)
        match state:
            case CleanUpState.RUNNING:
                return
            case CleanUpState.FAILED:
                await self._fail(order, "its Job failed")
            case CleanUpState.DONE:
                await self._record(order)

    async def _record(self, order: CleanUpOrder) -> None:
        now = self.clock()
        await self._change(order, lambda kept: cleaned(kept, order.extent, now=now))
        log.info("film_cleaned", task=str(order.key), extent=order.extent.value, folder=order.folder)
        if order.extent is Extent.WORK:
            message = "all that the film was made from was removed, as spec.retention asks; film and ledger stay"
            event = EventDraft(type=EventType.NORMAL, reason="WorkRemoved", message=message)
            await self.cluster.post_event(order.key, uid=order.task_uid, event=event)

    async def _fail(self, order: CleanUpOrder, why: str) -> None:
        """Say what failed where people look, and wait longer each time before the next try."""
        now = self.clock()
        kept = await self._change(order, lambda kept: failed_clean_up(kept, order, why=why, now=now))
        if kept is None or kept.failure is None:
            return
        log.warning("clean_up_failed", task=str(order.key), job=order.job_name, message=kept.failure)
        event = EventDraft(type=EventType.WARNING, reason=CLEAN_UP_FAILED, message=kept.failure)
        await self.cluster.post_event(order.key, uid=order.task_uid, event=event)
        if order.extent is Extent.ALL:
            await self._tell_channel(order, event)  # the film's own resource is gone, and nobody describes it

    async def _tell_channel(self, order: CleanUpOrder, event: EventDraft) -> None:
        for channel in self.cluster.channels():
            if (channel.namespace, channel.name) == (order.key.namespace, order.channel):
                told = replace(event, message=f"{order.key.name}: {event.message}")
                await self.cluster.post_channel_event(channel, told)

    async def _change(
        self, order: CleanUpOrder, change: Callable[[RetentionRecord], RetentionRecord]
    ) -> RetentionRecord | None:
        """Record what became of a clean-up and have it shown."""
        async with self.store.transaction() as transaction:
            known = {kept.task_uid: kept for kept in await transaction.load_retention()}
            before = known.get(order.task_uid)
            if before is None:
                return None
            after = known[order.task_uid] = change(before)
            await transaction.save_retention(after)
        self._failures = _failures(known.values())
        if after.failure != before.failure:
            self.wake(order.key)
        return after

    def _tell_silence(self, order: CleanUpOrder, message: str) -> None:
        if order.job_name not in self._told:
            self._told.add(order.job_name)
            log.warning("clean_up_not_asked_for", task=str(order.key), job=order.job_name, message=message)


def _failures(kept: Iterable[RetentionRecord]) -> dict[str, str]:
    return {one.task_uid: one.failure for one in kept if one.failure is not None}


def _claim_of(observed: Observation) -> str | None:
    return observed.channel.spec.volume.claim_name if observed.channel and observed.channel.spec else None


def _wished(kept: RetentionRecord, wish: Retention, claim_name: str | None) -> RetentionRecord:
    """Return what is asked for now; without its Channel the film's files lie where they lay."""
    claim = claim_name or kept.claim_name
    return replace(kept, on_deletion=wish.on_deletion, work_days=wish.work_days, claim_name=claim)


def _is_noted(before: RetentionRecord | None, wish: Retention, observed: Observation) -> bool:
    if before is None:
        return not is_asked_for(wish)
    return _wished(before, wish, _claim_of(observed)) == before
