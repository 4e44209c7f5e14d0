"""The store port in memory, for simulated histories and tests; never another behaviour than PostgreSQL's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from videotask_contract.phases import TERMINAL, Phase
from videotask_contract.report import Certainty, Item, Spend
from videotask_contract.steps import Step
from videotask_operator.core.admission import holds_place
from videotask_operator.core.model import (
    AccountBlock,
    ActiveTask,
    EarlierFilms,
    Money,
    RunRecord,
    TaskKey,
    TaskRecord,
    Transition,
)
from videotask_operator.core.ports import NotLeaderError, RecordConflictError
from videotask_operator.core.retention import RetentionRecord
from videotask_operator.store.days import day_of, start_of_day
from videotask_operator.store.money import four_places, is_lump, lumps_replaced_by, once_each, settles
from videotask_operator.store.tasks import LISTED, taken_together
from videotask_operator.store.words import storable, storable_or_none

_EIGHT_PLACES: Final = Decimal("0.00000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paid:
    step: Step
    call: Spend
    day: date


@dataclass(slots=True)
class _State:
    """All that is recorded; the values in the dictionaries never change, so that a shallow copy is a snapshot."""

    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    items: dict[tuple[str, Step, str, int], Item] = field(default_factory=dict)
    spend: dict[tuple[str, str], _Paid] = field(default_factory=dict)
    days: dict[tuple[str, str, date], Decimal] = field(default_factory=dict)
    history: dict[str, tuple[Transition, ...]] = field(default_factory=dict)
    blocks: dict[str, AccountBlock] = field(default_factory=dict)
    planned: dict[tuple[str, Step], tuple[Decimal, date, str]] = field(default_factory=dict)
    retention: dict[str, RetentionRecord] = field(default_factory=dict)

    def copy(self) -> _State:
        """Return a snapshot."""
        return _State(
            tasks=dict(self.tasks),
            runs=dict(self.runs),
            items=dict(self.items),
            spend=dict(self.spend),
            days=dict(self.days),
            history=dict(self.history),
            blocks=dict(self.blocks),
            planned=dict(self.planned),
            retention=dict(self.retention),
        )


class MemoryTransaction:
    """The port's methods over a snapshot."""

    def __init__(self, state: _State) -> None:
        self._state = state

    async def load_task(self, uid: str) -> TaskRecord | None:
        """See the port."""
        return self._state.tasks.get(uid)

    async def load_task_by_key(self, key: TaskKey) -> TaskRecord | None:
        """See the port."""
        named = self._named(key, other_than=None)
        return max(named, key=lambda pair: (not pair[1].resource_gone, pair[0]))[1] if named else None

    async def load_earlier_task(self, key: TaskKey, *, uid: str) -> TaskRecord | None:
        """See the port."""
        named = self._named(key, other_than=uid)
        if not named:
            return None
        return max(named, key=lambda pair: (not pair[1].resource_gone, pair[1].pipeline_cost_usd, pair[0]))[1]

    async def load_earlier_films(self, key: TaskKey, *, uid: str) -> EarlierFilms:
        """See the port."""
        return taken_together(self._earlier_film(task) for _, task in self._named(key, other_than=uid))

    async def load_runs(self, task_uid: str) -> tuple[RunRecord, ...]:
        """See the port."""
        return tuple(sorted(self._runs(task_uid), key=lambda run: run.number))

    async def load_run(self, run_id: str) -> RunRecord | None:
        """See the port."""
        return self._state.runs.get(run_id)

    async def save_task(self, record: TaskRecord) -> None:
        """See the port."""
        known = self._state.tasks.get(record.uid)
        cost = record.pipeline_cost_usd if known is None else known.pipeline_cost_usd
        self._state.tasks[record.uid] = replace(_stored_task(record), pipeline_cost_usd=_stored_usd(cost))

    async def save_run(self, run: RunRecord) -> None:
        """See the port."""
        self._require_task(run.task_uid)
        others = [other for other in self._runs(run.task_uid) if other.run_id != run.run_id]
        if run.is_open and any(other.is_open for other in others):
            raise RecordConflictError(f"task {run.task_uid} has an open run already")
        if any(other.number == run.number for other in others):
            raise RecordConflictError(f"run number {run.number} of task {run.task_uid} is used already")
        self._state.runs[run.run_id] = _stored_run(run)

    async def save_history(self, task_uid: str, transitions: Sequence[Transition]) -> None:
        """See the port."""
        for transition in transitions:
            self._require_task(task_uid)
            known = self._state.history.get(task_uid, ())
            if _identity(transition) not in {_identity(entry) for entry in known}:
                entry = replace(transition, message=storable(transition.message))
                self._state.history[task_uid] = (*known, entry)

    async def load_history(self, task_uid: str, *, last: int) -> tuple[Transition, ...]:
        """See the port."""
        entries = self._state.history.get(task_uid, ())
        return entries[max(0, len(entries) - last) :]

    async def save_items(self, task_uid: str, step: Step, run_id: str, items: Sequence[Item]) -> None:
        """See the port."""
        for item in items:
            self._require_task(task_uid)
            if run_id not in self._state.runs:
                raise RecordConflictError(f"run {run_id} is not recorded")
            stored = item.model_copy(update={"item": storable(item.item), "path": storable(item.path)})
            self._state.items[task_uid, step, stored.item, stored.take] = stored

    async def load_items(self, task_uid: str, step: Step) -> tuple[Item, ...]:
        """See the port."""
        keys = sorted(key for key in self._state.items if key[:2] == (task_uid, step))
        return tuple(self._state.items[key] for key in keys)

    async def save_spend(self, record: TaskRecord, step: Step, spend: Sequence[Spend], *, time_zone: str) -> None:
        """See the port."""
        calls = once_each(spend)
        if not calls:
            return
        self._require_task(record.uid)
        for call_id in sorted(lumps_replaced_by(calls)):
            self._forget(record, call_id)
        for call in calls:
            self._remember(record, _Paid(step=step, call=_stored_call(call), day=day_of(call.at, time_zone)))
        known = self._state.tasks[record.uid]
        self._state.tasks[record.uid] = replace(known, pipeline_cost_usd=self._spent(record.uid))

    async def save_plan_costs(
        self, record: TaskRecord, planned: Mapping[Step, Decimal], *, now: datetime, time_zone: str
    ) -> None:
        """See the port."""
        self._require_task(record.uid)
        for step, usd in planned.items():
            self._state.planned[record.uid, step] = (_stored_usd(usd), day_of(now, time_zone), time_zone)

    async def load_time_zone(self, task_uid: str) -> str | None:
        """See the port."""
        planned = self._state.planned.items()
        return min((time_zone for (uid, _), (_, _, time_zone) in planned if uid == task_uid), default=None)

    async def load_spend(self, task_uid: str) -> tuple[Spend, ...]:
        """See the port."""
        return tuple(sorted((paid.call for paid in self._paid(task_uid)), key=lambda call: (call.at, call.call_id)))

    async def load_possibly_usd(self, task_uid: str) -> Decimal:
        """See the port."""
        calls = (paid.call for paid in self._paid(task_uid))
        return sum((call.amount_usd for call in calls if call.certainty is Certainty.POSSIBLY), Decimal(0))

    async def load_money(self, record: TaskRecord, *, now: datetime, time_zone: str) -> Money:
        """See the port."""
        unread = self._unread_runs(record.namespace, record.channel)
        day_start = start_of_day(now, time_zone)
        day = (record.namespace, record.channel, day_of(now, time_zone))
        return Money(
            task_spent_usd=self._spent(record.uid),
            task_reserved_usd=self._reserved(run for run in unread if run.task_uid == record.uid),
            channel_day_spent_usd=self._state.days.get(day, Decimal(0)),
            channel_day_reserved_usd=self._reserved(
                run for run in unread if run.closed_at is None or run.closed_at >= day_start
            ),
        )

    async def load_day_spent(self, namespace: str, channel: str, *, now: datetime, time_zone: str) -> Decimal:
        """See the port."""
        return self._state.days.get((namespace, channel, day_of(now, time_zone)), Decimal(0))

    async def load_step_costs(self, task_uid: str) -> dict[Step, str]:
        """See the port."""
        sums = dict.fromkeys(Step, Decimal(0))
        for paid in self._paid(task_uid):
            sums[paid.step] += paid.call.amount_usd
        return {step: four_places(usd) for step, usd in sums.items()}

    async def load_active_tasks(self) -> tuple[ActiveTask, ...]:
        """See the port."""
        listed = [task for task in self._state.tasks.values() if task.phase in LISTED]
        return tuple(
            ActiveTask(
                uid=task.uid,
                namespace=task.namespace,
                channel=task.channel,
                priority=task.priority,
                queued_at=task.queued_at,
                active=holds_place(task.phase, task.waiting_reason),
            )
            for task in sorted(listed, key=lambda task: task.queued_at)
        )

    async def load_account_runs(self, account: str) -> tuple[RunRecord, ...]:
        """See the port."""
        found = [run for run in self._state.runs.values() if run.is_open and run.account == account]
        return tuple(sorted(found, key=lambda run: (run.opened_at, run.run_id)))

    async def load_account_blocks(self, accounts: Sequence[str]) -> tuple[AccountBlock, ...]:
        """See the port."""
        return tuple(self._state.blocks[account] for account in sorted(set(accounts)) if account in self._state.blocks)

    async def save_account_block(self, block: AccountBlock) -> None:
        """See the port."""
        self._require_task(block.by_task_uid)
        self._state.blocks[block.account] = replace(block, message=storable(block.message))

    async def delete_account_block(self, account: str) -> None:
        """See the port."""
        self._state.blocks.pop(account, None)

    async def load_retention(self) -> tuple[RetentionRecord, ...]:
        """See the port."""
        return tuple(self._state.retention[uid] for uid in sorted(self._state.retention))

    async def load_retention_of(self, task_uid: str) -> RetentionRecord | None:
        """See the port."""
        return self._state.retention.get(task_uid)

    async def load_clean_up_candidates(
        self, *, gone: Sequence[str], shown: Sequence[str], now: datetime
    ) -> tuple[TaskRecord, ...]:
        """See the port."""
        busy = {run.task_uid for run in self._state.runs.values() if run.is_open}
        wanted = {*gone, *(uid for uid in shown if self._is_work_over(uid, now))} - busy
        return tuple(self._state.tasks[uid] for uid in sorted(wanted & self._state.retention.keys()))

    async def save_retention(self, kept: RetentionRecord) -> None:
        """See the port."""
        self._require_task(kept.task_uid)
        self._state.retention[kept.task_uid] = replace(kept, failure=storable_or_none(kept.failure))

    async def load_unfinished_uids(self) -> tuple[tuple[str, TaskKey], ...]:
        """See the port."""
        running = {run.task_uid for run in self._state.runs.values() if run.is_open}
        return tuple(
            (task.uid, task.key)
            for task in self._state.tasks.values()
            if task.phase not in TERMINAL or task.uid in running
        )

    async def load_uids(self) -> frozenset[str]:
        """See the port."""
        return frozenset(self._state.tasks)

    # --- within the snapshot ------------------------------------------------------------------------------------

    def _named(self, key: TaskKey, *, other_than: str | None) -> list[tuple[int, TaskRecord]]:
        named = [task for task in self._state.tasks.values() if task.key == key and task.uid != other_than]
        return list(enumerate(named))

    def _is_work_over(self, uid: str, now: datetime) -> bool:
        task, kept = self._state.tasks.get(uid), self._state.retention.get(uid)
        if task is None or kept is None or task.phase is not Phase.COMPLETED:
            return False
        if task.pipeline_end_time is None or kept.work_days is None:
            return False
        return task.pipeline_end_time + timedelta(days=kept.work_days) <= now

    def _earlier_film(self, task: TaskRecord) -> EarlierFilms:
        unread = [run for run in self._runs(task.uid) if not run.ledger_read]
        told_usd = sum((run.spent_usd for run in unread if run.is_open), Decimal(0))
        return EarlierFilms(
            cost_usd=task.pipeline_cost_usd + told_usd,
            unread_usd=self._reserved(run for run in unread if run.permitted_at is not None),
            at_work=any(run.is_open for run in unread),
            attempt=task.attempt,
        )

    def _require_task(self, uid: str) -> None:
        if uid not in self._state.tasks:
            raise RecordConflictError(f"task {uid} is not recorded")

    def _runs(self, task_uid: str) -> list[RunRecord]:
        return [run for run in self._state.runs.values() if run.task_uid == task_uid]

    def _paid(self, task_uid: str) -> list[_Paid]:
        return [paid for (uid, _), paid in self._state.spend.items() if uid == task_uid]

    def _spent(self, task_uid: str) -> Decimal:
        return sum((paid.call.amount_usd for paid in self._paid(task_uid)), Decimal(0))

    def _unread_runs(self, namespace: str, channel: str) -> list[RunRecord]:
        tasks = self._state.tasks
        return [
            run
            for run in self._state.runs.values()
            if not run.ledger_read
            and (tasks[run.task_uid].namespace, tasks[run.task_uid].channel) == (namespace, channel)
        ]

    def _reserved(self, runs: Iterable[RunRecord]) -> Decimal:
        return sum((self._reserved_by(run) for run in runs), Decimal(0))

    def _reserved_by(self, run: RunRecord) -> Decimal:
        calls = [paid.call for paid in self._paid(run.task_uid) if paid.call.run_id == run.run_id]
        return max(run.reserved_usd - sum((call.amount_usd for call in calls), Decimal(0)), Decimal(0))

    def _remember(self, record: TaskRecord, told: _Paid) -> None:
        key = (record.uid, told.call.call_id)
        known = self._state.spend.get(key)
        if known is None:
            singles = (paid.call.run_id for paid in self._paid(record.uid) if not is_lump(paid.call))
            if is_lump(told.call) and told.call.run_id in singles:
                return
            self._state.spend[key] = told
            self._count(record, told.day, told.call.amount_usd)
        elif settles(known.call.certainty, told.call.certainty) or _grows(known.call, told.call):
            update = {"amount_usd": told.call.amount_usd, "certainty": told.call.certainty}
            self._state.spend[key] = replace(known, call=known.call.model_copy(update=update))
            self._count(record, known.day, told.call.amount_usd - known.call.amount_usd)

    def _forget(self, record: TaskRecord, call_id: str) -> None:
        known = self._state.spend.pop((record.uid, call_id), None)
        if known is not None:
            self._count(record, known.day, -known.call.amount_usd)

    def _count(self, record: TaskRecord, day: date, usd: Decimal) -> None:
        key = (record.namespace, record.channel, day)
        self._state.days[key] = self._state.days.get(key, Decimal(0)) + usd


class MemoryStore:
    """The record in memory. `is_leader` may be set, to play the loss of the lock."""

    def __init__(self) -> None:
        self._state = _State()
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None
        self.is_leader = True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        """Begin; what was written is kept on a clean exit and forgotten on an error."""
        if not self.is_leader:
            raise NotLeaderError("this process does not hold the leader lock")
        if self._holder is not None and self._holder is asyncio.current_task():
            raise RuntimeError("a transaction was begun inside another; it would wait for itself")
        async with self._turn:
            self._holder = asyncio.current_task()
            try:
                state = self._state.copy()
                yield MemoryTransaction(state)
                self._state = state
            finally:
                self._holder = None


def _grows(known: Spend, told: Spend) -> bool:
    return is_lump(known) and told.amount_usd > known.amount_usd


def _identity(transition: Transition) -> tuple[object, ...]:
    return (transition.at, transition.before, transition.after)


def _stored_usd(usd: Decimal) -> Decimal:
    return usd.quantize(_EIGHT_PLACES, rounding=ROUND_HALF_UP)


def _stored_call(call: Spend) -> Spend:
    words = {name: storable(getattr(call, name)) for name in ("call_id", "run_id", "item", "model")}
    return call.model_copy(update={**words, "amount_usd": _stored_usd(call.amount_usd)})


def _stored_task(record: TaskRecord) -> TaskRecord:
    estimate = record.estimated_cost_usd
    return replace(
        record,
        title=storable(record.title),
        message=storable(record.message),
        error=storable_or_none(record.error),
        approved_by=storable_or_none(record.approved_by),
        waiting_reason=storable_or_none(record.waiting_reason),
        estimated_cost_usd=None if estimate is None else _stored_usd(estimate),
        step_completion_metadata=json.loads(json.dumps(record.step_completion_metadata)),
        redo_counts=json.loads(json.dumps(record.redo_counts)),
        honoured_takes=json.loads(json.dumps(record.honoured_takes)),
        change_marks=json.loads(json.dumps(record.change_marks)),
    )


def _stored_run(run: RunRecord) -> RunRecord:
    return replace(
        run,
        kept_usd=_stored_usd(run.kept_usd),
        reserved_usd=_stored_usd(run.reserved_usd),
        spent_usd=_stored_usd(run.spent_usd),
        failure_message=storable_or_none(run.failure_message),
        failure_item=storable_or_none(run.failure_item),
    )
