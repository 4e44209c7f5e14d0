"""The store port over PostgreSQL: begins and ends transactions, one after another; decides nothing itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from videotask_contract.report import Item, Spend
from videotask_contract.steps import Step
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
from videotask_operator.core.ports import NotLeaderError, RecordConflictError, StoreUnavailableError
from videotask_operator.core.retention import RetentionRecord
from videotask_operator.store import account_blocks, history, money, retention, runs, tasks
from videotask_operator.store.connections import connect_arguments, psycopg_url
from videotask_operator.store.fence import Fence

_log = structlog.get_logger(__name__)

_LONG_SECONDS: Final = 2.0
"""A transaction open for longer than this waits for something that is not the database."""


class PostgresTransaction:
    """The queries of one session, as the port names them."""

    def __init__(self, session: AsyncConnection) -> None:
        self._session = session

    async def load_task(self, uid: str) -> TaskRecord | None:
        """See the port."""
        return await tasks.load_task(self._session, uid)

    async def load_task_by_key(self, key: TaskKey) -> TaskRecord | None:
        """See the port."""
        return await tasks.load_task_by_key(self._session, key)

    async def load_earlier_task(self, key: TaskKey, *, uid: str) -> TaskRecord | None:
        """See the port."""
        return await tasks.load_earlier_task(self._session, key, uid=uid)

    async def load_earlier_films(self, key: TaskKey, *, uid: str) -> EarlierFilms:
        """See the port."""
        return await tasks.load_earlier_films(self._session, key, uid=uid)

    async def load_runs(self, task_uid: str) -> tuple[RunRecord, ...]:
        """See the port."""
        return await runs.load_runs(self._session, task_uid)

    async def load_run(self, run_id: str) -> RunRecord | None:
        """See the port."""
        return await runs.load_run(self._session, run_id)

    async def save_task(self, record: TaskRecord) -> None:
        """See the port."""
        await tasks.save_task(self._session, record)

    async def save_run(self, run: RunRecord) -> None:
        """See the port."""
        await runs.save_run(self._session, run)

    async def save_history(self, task_uid: str, transitions: Sequence[Transition]) -> None:
        """See the port."""
        await history.save_history(self._session, task_uid, transitions)

    async def load_history(self, task_uid: str, *, last: int) -> tuple[Transition, ...]:
        """See the port."""
        return await history.load_history(self._session, task_uid, last=last)

    async def save_items(self, task_uid: str, step: Step, run_id: str, items: Sequence[Item]) -> None:
        """See the port."""
        await runs.save_items(self._session, task_uid=task_uid, step=step, run_id=run_id, reported=items)

    async def load_items(self, task_uid: str, step: Step) -> tuple[Item, ...]:
        """See the port."""
        return await runs.load_items(self._session, task_uid, step)

    async def save_spend(self, record: TaskRecord, step: Step, spend: Sequence[Spend], *, time_zone: str) -> None:
        """See the port."""
        await money.save_spend(self._session, record, step, spend, time_zone=time_zone)

    async def save_plan_costs(
        self, record: TaskRecord, planned: Mapping[Step, Decimal], *, now: datetime, time_zone: str
    ) -> None:
        """See the port."""
        await money.save_plan_costs(self._session, record, planned, now=now, time_zone=time_zone)

    async def load_time_zone(self, task_uid: str) -> str | None:
        """See the port."""
        return await money.load_time_zone(self._session, task_uid)

    async def load_spend(self, task_uid: str) -> tuple[Spend, ...]:
        """See the port."""
        return await money.load_spend(self._session, task_uid)

    async def load_possibly_usd(self, task_uid: str) -> Decimal:
        """See the port."""
        return await money.load_possibly_usd(self._session, task_uid)

    async def load_money(self, record: TaskRecord, *, now: datetime, time_zone: str) -> Money:
        """See the port."""
        return await money.load_money(self._session, record, now=now, time_zone=time_zone)

    async def load_day_spent(self, namespace: str, channel: str, *, now: datetime, time_zone: str) -> Decimal:
        """See the port."""
        return await money.load_day_spent(self._session, namespace, channel, now=now, time_zone=time_zone)

    async def load_step_costs(self, task_uid: str) -> dict[Step, str]:
        """See the port."""
        return await money.load_step_costs(self._session, task_uid)

    async def load_active_tasks(self) -> tuple[ActiveTask, ...]:
        """See the port."""
        return await tasks.load_active_tasks(self._session)

    async def load_account_runs(self, account: str) -> tuple[RunRecord, ...]:
        """See the port."""
        return await runs.load_account_runs(self._session, account)

    async def load_account_blocks(self, accounts: Sequence[str]) -> tuple[AccountBlock, ...]:
        """See the port."""
        return await account_blocks.load_account_blocks(self._session, accounts)

    async def save_account_block(self, block: AccountBlock) -> None:
        """See the port."""
        await account_blocks.save_account_block(self._session, block)

    async def delete_account_block(self, account: str) -> None:
        """See the port."""
        await account_blocks.delete_account_block(self._session, account)

    async def load_retention(self) -> tuple[RetentionRecord, ...]:
        """See the port."""
        return await retention.load_retention(self._session)

    async def load_retention_of(self, task_uid: str) -> RetentionRecord | None:
        """See the port."""
        return await retention.load_retention_of(self._session, task_uid)

    async def load_clean_up_candidates(
        self, *, gone: Sequence[str], shown: Sequence[str], now: datetime
    ) -> tuple[TaskRecord, ...]:
        """See the port."""
        return await retention.load_clean_up_candidates(self._session, gone=gone, shown=shown, now=now)

    async def save_retention(self, kept: RetentionRecord) -> None:
        """See the port."""
        await retention.save_retention(self._session, kept)

    async def load_unfinished_uids(self) -> tuple[tuple[str, TaskKey], ...]:
        """See the port."""
        return await tasks.load_unfinished_uids(self._session)

    async def load_uids(self) -> frozenset[str]:
        """See the port."""
        return await tasks.load_uids(self._session)


class PostgresStore:
    """The record. Make one, `await acquire(...)`, keep a task on `keep()`, `await close()` at the end.

    Transactions run one after another: what a decision reads (caps, slots, open runs) cannot change before it is
    recorded, and since the fence lets one process write, no row locks are needed and none can deadlock.
    """

    def __init__(self, database_url: str) -> None:
        self._engine = create_async_engine(
            psycopg_url(database_url),
            connect_args=connect_arguments(),
            pool_size=5,
            max_overflow=5,
            pool_timeout=10,
        )
        self._fence = Fence(database_url)
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None

    @property
    def is_leader(self) -> bool:
        """True while this process holds the advisory lock."""
        return self._fence.is_held

    async def acquire(self, timeout_seconds: float) -> None:
        """Take the lock; NotLeaderError says at the deadline who holds it, or why PostgreSQL did not answer."""
        await self._fence.acquire(timeout_seconds)

    async def keep(self) -> None:
        """Hold the lock, for ever, and take it again after a loss; run it as a task beside the loop."""
        await self._fence.keep()

    async def close(self) -> None:
        """Release the lock and close all connections."""
        await self._fence.release()
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """Begin; commits on a clean exit and rolls back on an error.

        Raises NotLeaderError without the fence, RecordConflictError when a constraint refuses a write, and
        StoreUnavailableError when PostgreSQL broke off: decide again then, for the last commit may have been kept.
        Waits its turn; await nothing but the database inside. A second one inside the first is an error.
        """
        if not self._fence.is_held:
            raise NotLeaderError("this process does not hold the leader lock")
        if self._holder is not None and self._holder is asyncio.current_task():
            raise RuntimeError("a transaction was begun inside another; it would wait for itself")
        async with self._turn:
            self._holder = asyncio.current_task()
            started = time.monotonic()
            try:
                async with self._session() as session:
                    yield PostgresTransaction(session)
            except IntegrityError as error:
                raise RecordConflictError(str(error.orig).strip()) from error
            except DBAPIError as error:
                self._fence.doubt()
                if error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError)):
                    raise StoreUnavailableError(str(error.orig).strip()) from error
                raise
            finally:
                self._holder = None
                _warn_of_long(time.monotonic() - started)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncConnection]:
        """Yield a session whose transaction has passed the fence; commit at the end."""
        session = await self._fenced_session()
        try:
            yield session
            await session.commit()
        finally:
            await session.close()

    async def _fenced_session(self) -> AsyncConnection:
        """Return a session that has passed the fence; connections that a restart of PostgreSQL cut are replaced."""
        try:
            return await self._begin()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        # Nothing was written yet, and the pool has dropped all connections of before: once more is safe.
        return await self._begin()

    async def _begin(self) -> AsyncConnection:
        session = await self._engine.connect()
        try:
            await self._fence.check(session)
        except BaseException:
            await session.close()
            raise
        return session


def _warn_of_long(seconds: float) -> None:
    if seconds > _LONG_SECONDS:
        _log.warning("transaction_held_long", seconds=round(seconds, 2))
