"""The two ports of the reconciler, cluster and store, as it sees them; adaptors live in kube, local and store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from videotask_contract.report import Item, Spend
from videotask_contract.steps import Step
from videotask_operator.core.last_wishes import LastWish
from videotask_operator.core.model import (
    AccountBlock,
    ActiveTask,
    Caller,
    ChannelResource,
    EarlierFilms,
    EventDraft,
    Money,
    Observation,
    RunOrder,
    RunRecord,
    TaskKey,
    TaskRecord,
    Transition,
)
from videotask_operator.core.retention import CleanUpOrder, CleanUpState, RetentionRecord


class ForeignJobError(Exception):
    """A Job of the wanted name exists and is not of this run: never adopted."""


class ClusterPort(Protocol):
    """What the reconciler sees of the cluster and may do to it. Reads are from the adaptor's own cache."""

    def on_change(self, notify: Callable[[TaskKey], None]) -> None:
        """Call `notify` (from the reconciler's loop) with each task that may have changed."""

    @property
    def is_synced(self) -> bool:
        """True once all that may be read was listed; before that nothing may be concluded from absence."""

    def task_keys(self) -> Iterable[TaskKey]:
        """Return the keys of all VideoTasks in the cache."""

    def channels(self) -> Iterable[ChannelResource]:
        """Return all Channels in the cache."""

    def observe(self, key: TaskKey) -> Observation:
        """Return all that concerns one task, from the cache; says too whether absence means anything there."""

    def last_wishes(self, key: TaskKey | None = None) -> Iterable[LastWish]:
        """Return what resources that are gone asked for their files last, of this name or of all."""

    def forget_last_wishes(self, wishes: Iterable[LastWish]) -> None:
        """Drop these: they are on record."""

    async def create_run(self, order: RunOrder) -> None:
        """Create ConfigMap and Job; done already under this run id is success. ForeignJobError on a foreign Job."""

    async def delete_run(self, key: TaskKey, job_name: str) -> None:
        """Delete Job, pods and ConfigMap in the background; gone already is success."""

    async def save_status(self, key: TaskKey, *, uid: str, status: dict[str, Any]) -> None:
        """Replace the resource's status if it differs from the cache; a resource gone or re-created is success."""

    async def save_channel_status(self, channel: ChannelResource, status: dict[str, Any]) -> None:
        """Replace a Channel's status if it differs from the cache; one that is gone or re-created is success."""

    async def post_event(self, key: TaskKey, *, uid: str, event: EventDraft) -> None:
        """Post an Event on the VideoTask; failure to do so is logged and harmless."""

    async def post_channel_event(self, channel: ChannelResource, event: EventDraft) -> None:
        """Post an Event on the Channel; failure to do so is logged and harmless."""

    async def run_clean_up(self, order: CleanUpOrder) -> CleanUpState:
        """Start this clean-up unless it was, and say how far it is; ForeignJobError where its name is taken."""

    async def authenticate(self, token: str) -> Caller | None:
        """Return who holds this report token, or None when it is not valid for our audience."""

    async def owns_run(self, caller: Caller, run: RunRecord, key: TaskKey) -> bool:
        """Tell whether the caller is a pod of this run's Job."""

    async def is_pod_gone(self, key: TaskKey, pod_uid: str) -> bool:
        """Tell whether it is proved that this pod runs nothing any more."""


class Transaction(Protocol):
    """One short database transaction; every write is idempotent under its own key."""

    async def load_task(self, uid: str) -> TaskRecord | None:
        """Return the task's record."""

    async def load_task_by_key(self, key: TaskKey) -> TaskRecord | None:
        """Return the record under this namespace and name whose resource is not known to be gone, else the latest."""

    async def load_earlier_task(self, key: TaskKey, *, uid: str) -> TaskRecord | None:
        """Return one of this name with another uid: one whose resource is not known to be gone, else the dearest."""

    async def load_earlier_films(self, key: TaskKey, *, uid: str) -> EarlierFilms:
        """Return what all records of this name with another uid paid, or may have."""

    async def load_runs(self, task_uid: str) -> tuple[RunRecord, ...]:
        """Return all runs of a task, oldest first."""

    async def load_run(self, run_id: str) -> RunRecord | None:
        """Return one run."""

    async def save_task(self, record: TaskRecord) -> None:
        """Insert or update a task (key: uid)."""

    async def save_run(self, run: RunRecord) -> None:
        """Insert or update a run (key: run_id; one open run for each task is a database constraint)."""

    async def save_history(self, task_uid: str, transitions: Sequence[Transition]) -> None:
        """Append to task_history and to the Notion outbox."""

    async def load_history(self, task_uid: str, *, last: int) -> tuple[Transition, ...]:
        """Return the latest transitions, oldest first."""

    async def save_items(self, task_uid: str, step: Step, run_id: str, items: Sequence[Item]) -> None:
        """Insert or update items (key: task, step, item, take)."""

    async def load_items(self, task_uid: str, step: Step) -> tuple[Item, ...]:
        """Return the items of a step, by name and take."""

    async def save_spend(self, record: TaskRecord, step: Step, spend: Sequence[Spend], *, time_zone: str) -> None:
        """Insert or settle paid calls (key: call_id); adds the difference to budget_days of the channel's day."""

    async def save_plan_costs(
        self, record: TaskRecord, planned: Mapping[Step, Decimal], *, now: datetime, time_zone: str
    ) -> None:
        """Insert or replace what each step is planned to cost, in dollars (key: task, step)."""

    async def load_time_zone(self, task_uid: str) -> str | None:
        """Return the time zone of the channel when the task's costs were planned, None where they were not yet."""

    async def load_spend(self, task_uid: str) -> tuple[Spend, ...]:
        """Return every paid call of a task, oldest first."""

    async def load_possibly_usd(self, task_uid: str) -> Decimal:
        """Return the part of a task's spend whose outcome is unknown, in dollars: it counts as paid."""

    async def load_money(self, record: TaskRecord, *, now: datetime, time_zone: str) -> Money:
        """Return what is spent and reserved for the task and for its channel's day that holds `now`."""

    async def load_day_spent(self, namespace: str, channel: str, *, now: datetime, time_zone: str) -> Decimal:
        """Return what a channel spent on its day that holds `now`, in dollars."""

    async def load_step_costs(self, task_uid: str) -> dict[Step, str]:
        """Return dollars spent by step, as decimal strings with four places."""

    async def load_active_tasks(self) -> tuple[ActiveTask, ...]:
        """Return all tasks that are queued or hold a place of the fleet."""

    async def load_account_runs(self, account: str) -> tuple[RunRecord, ...]:
        """Return all open runs on this provider account, oldest first."""

    async def load_account_blocks(self, accounts: Sequence[str]) -> tuple[AccountBlock, ...]:
        """Return the blocks on these accounts, by account."""

    async def save_account_block(self, block: AccountBlock) -> None:
        """Insert or replace a block (key: account)."""

    async def delete_account_block(self, account: str) -> None:
        """Lift a block; lifted already is success."""

    async def load_retention(self) -> tuple[RetentionRecord, ...]:
        """Return every film of which files are to be removed some day, or were."""

    async def load_retention_of(self, task_uid: str) -> RetentionRecord | None:
        """Return what is to become of one film's files, None where nothing was ever asked."""

    async def load_clean_up_candidates(
        self, *, gone: Sequence[str], shown: Sequence[str], now: datetime
    ) -> tuple[TaskRecord, ...]:
        """Return those tasks of which something may be removed now, by uid; of none with an open run.

        Of `gone`, whose resource is not there, all; of `shown` those that were completed and whose days of work are
        over, with what `load_retention` says of them.
        """

    async def save_retention(self, kept: RetentionRecord) -> None:
        """Insert or replace (key: task_uid)."""

    async def load_unfinished_uids(self) -> tuple[tuple[str, TaskKey], ...]:
        """Return uid and key of all tasks whose phase is not terminal, and of all with an open run."""

    async def load_uids(self) -> frozenset[str]:
        """Return the uids of all tasks on record, finished ones among them."""


class StorePort(Protocol):
    """The record."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin; commits on a clean exit and rolls back on an error. Refused (NotLeaderError) without the fence."""

    @property
    def is_leader(self) -> bool:
        """True while this process holds the advisory lock."""


class NotLeaderError(Exception):
    """Another process decides; nothing was written."""


class StoreUnavailableError(Exception):
    """PostgreSQL broke off; what the transaction wrote is lost, or (broken in the commit) kept: decide again."""


class RecordConflictError(Exception):
    """A constraint of the record refused a write (a second open run, an unknown task); nothing was written."""
