"""Lets one process decide and no other: an advisory lock on a connection of its own, and an epoch each write checks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import Final

import psycopg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from videotask_operator.core.ports import NotLeaderError
from videotask_operator.store.connections import LEADER_LOCK, libpq_arguments

_log = structlog.get_logger(__name__)

_PING_SECONDS: Final = 3.0
_PING_DEADLINE_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.5
_PROGRESS_SECONDS: Final = 10.0

# The share lock makes the next holder wait until this transaction has ended, so that none of ours can commit after
# another process has begun to decide.
_CHECK: Final = text("SELECT 1 FROM leader WHERE epoch = :epoch FOR SHARE")


class Fence:
    """The lock, and the epoch it gave. All of its methods belong to one asyncio loop."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: psycopg.AsyncConnection | None = None
        self._epoch: int | None = None
        self._doubted = asyncio.Event()

    @property
    def is_held(self) -> bool:
        """True from taking the lock until its loss is noticed."""
        return self._epoch is not None

    async def acquire(self, timeout_seconds: float) -> None:
        """Take the lock; NotLeaderError says at the deadline who holds it, or why PostgreSQL did not answer."""
        started = time.monotonic()
        told = started
        while True:
            problem = await self._try_acquire()
            if problem is None:
                return
            now = time.monotonic()
            if now - started >= timeout_seconds:
                raise NotLeaderError(f"not the leader after {timeout_seconds:.0f} s: {problem}")
            if now - told >= _PROGRESS_SECONDS:
                told = now
                _log.info("leader_lock_awaited", waited_seconds=round(now - started), reason=problem)
            await asyncio.sleep(_RETRY_SECONDS)

    async def keep(self) -> None:
        """Watch the lock's connection for ever; a loss is noticed at once and the lock is taken again."""
        while True:
            if not self.is_held:
                with contextlib.suppress(NotLeaderError):
                    await self.acquire(_PROGRESS_SECONDS)
                continue
            try:
                await self._watch()
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._lose(_first_line(error))
            except Exception as error:  # noqa: BLE001
                # Whatever it was, a watch that ended would leave nobody to take the lock again.
                _log.exception("leader_lock_watch_failed")
                await self._lose(_first_line(error))

    async def check(self, session: AsyncConnection) -> None:
        """Raise NotLeaderError unless this process still decides; then it does until the transaction ends."""
        if self._epoch is None:
            raise NotLeaderError("this process does not hold the leader lock")
        if (await session.execute(_CHECK, {"epoch": self._epoch})).first() is None:
            await self._lose("another process took the lock")
            raise NotLeaderError("another process took the leader lock")

    def doubt(self) -> None:
        """Have the lock looked at now: something else went wrong with the database."""
        self._doubted.set()

    async def release(self) -> None:
        """Let another process decide."""
        self._epoch = None
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _try_acquire(self) -> str | None:
        """Return None when the lock is ours, else why it is not."""
        try:
            connection = await psycopg.AsyncConnection.connect(
                **libpq_arguments(self._database_url),  # type: ignore[arg-type]
                autocommit=True,
            )
        except (psycopg.Error, OSError) as error:
            return f"PostgreSQL does not answer: {_first_line(error)}"
        try:
            problem = await self._take(connection)
        except BaseException as error:
            await connection.close()
            if isinstance(error, psycopg.errors.UndefinedTable):
                return "the database has no tables yet; run `videotask-operator migrate`"
            if isinstance(error, psycopg.Error):
                return _first_line(error)
            raise
        if problem is not None:
            await connection.close()
        return problem

    async def _take(self, connection: psycopg.AsyncConnection) -> str | None:
        locked = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,))).fetchone()
        if locked is None or not locked[0]:
            holder = await (await connection.execute("SELECT holder FROM leader")).fetchone()
            return f"held by {holder[0] if holder else 'a process that left no name'}"
        cursor = await connection.execute(
            "INSERT INTO leader AS l (single, epoch, holder, acquired_at) VALUES (true, 1, %s, now()) "
            "ON CONFLICT (single) DO UPDATE SET epoch = l.epoch + 1, holder = EXCLUDED.holder, acquired_at = now() "
            "RETURNING epoch",
            (f"{socket.gethostname()}:{os.getpid()}",),
        )
        row = await cursor.fetchone()
        self._epoch = None if row is None else int(row[0])
        self._connection = connection
        _log.info("leader_lock_taken", epoch=self._epoch)
        return None

    async def _watch(self) -> None:
        """Wait until something must be looked at, then prove that the connection lives; raises when it does not."""
        connection = self._connection
        if connection is None:
            raise psycopg.OperationalError("the connection is closed")
        self._doubted.clear()
        # Waiting for notifications is waiting on the socket: a closed connection is seen without a ping.
        listening = asyncio.ensure_future(_listen(connection))
        doubted = asyncio.ensure_future(self._doubted.wait())
        try:
            await asyncio.wait({listening, doubted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            doubted.cancel()
            listening.cancel()
            await asyncio.gather(listening, doubted, return_exceptions=True)
        if listening.done() and not listening.cancelled():
            listening.result()
        async with asyncio.timeout(_PING_DEADLINE_SECONDS):
            await connection.execute("SELECT 1")

    async def _lose(self, reason: str) -> None:
        _log.warning("leader_lock_lost", epoch=self._epoch, reason=reason)
        self._epoch = None
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()


async def _listen(connection: psycopg.AsyncConnection) -> None:
    async for _ in connection.notifies(timeout=_PING_SECONDS):
        return


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
