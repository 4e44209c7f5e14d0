"""Read and write what becomes of films' files; these functions take a session and never commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Final

from sqlalchemy import DateTime, RowMapping, Text, and_, any_, bindparam, exists, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from videotask_contract.phases import Phase
from videotask_contract.resources import OnDeletion
from videotask_operator.core.model import TaskRecord
from videotask_operator.core.retention import Extent, RetentionRecord
from videotask_operator.store.models import retention, step_runs, tasks
from videotask_operator.store.rows import task_of_row
from videotask_operator.store.words import storable_or_none

_FIELDS: Final = tuple(field.name for field in fields(RetentionRecord))
_ALL: Final = select(retention).order_by(retention.c.task_uid)
_ONE: Final = select(retention).where(retention.c.task_uid == bindparam("task_uid"))
_GONE: Final = bindparam("gone", type_=ARRAY(Text))
_SHOWN: Final = bindparam("shown", type_=ARRAY(Text))
_NOW: Final = bindparam("now", type_=DateTime(timezone=True))
# In hours, for a day of an interval has as many as the session's time zone says.
_WORK_IS_OVER: Final = tasks.c.pipeline_end_time + func.make_interval(0, 0, 0, 0, 24 * retention.c.work_days) <= _NOW
_CANDIDATES: Final = (
    select(tasks)
    .join(retention, retention.c.task_uid == tasks.c.id)
    .where(
        ~exists().where(step_runs.c.task_uid == tasks.c.id, step_runs.c.closed_at.is_(None)),
        or_(
            tasks.c.id == any_(_GONE),
            and_(tasks.c.id == any_(_SHOWN), tasks.c.status == Phase.COMPLETED, _WORK_IS_OVER),
        ),
    )
    .order_by(tasks.c.id)
)
_INSERT = insert(retention)
_UPSERT: Final = _INSERT.on_conflict_do_update(
    index_elements=[retention.c.task_uid],
    set_={name: _INSERT.excluded[name] for name in _FIELDS if name != "task_uid"},
)


async def load_retention(session: AsyncConnection) -> tuple[RetentionRecord, ...]:
    """Return every film of which files are to be removed some day, or were."""
    rows = (await session.execute(_ALL)).mappings()
    return tuple(_of_row(row) for row in rows)


async def load_retention_of(session: AsyncConnection, task_uid: str) -> RetentionRecord | None:
    """Return what is to become of one film's files, None where nothing was ever asked."""
    row = (await session.execute(_ONE, {"task_uid": task_uid})).mappings().one_or_none()
    return None if row is None else _of_row(row)


async def load_clean_up_candidates(
    session: AsyncConnection, *, gone: Sequence[str], shown: Sequence[str], now: datetime
) -> tuple[TaskRecord, ...]:
    """Return the tasks without an open run that are of `gone`, or of `shown` and whose days of work are over."""
    rows = await session.execute(_CANDIDATES, {"gone": list(gone), "shown": list(shown), "now": now})
    return tuple(task_of_row(row) for row in rows.mappings())


async def save_retention(session: AsyncConnection, kept: RetentionRecord) -> None:
    """Insert or replace (key: task_uid)."""
    row = {name: getattr(kept, name) for name in _FIELDS}
    await session.execute(_UPSERT, {**row, "failure": storable_or_none(kept.failure)})


def _of_row(row: RowMapping) -> RetentionRecord:
    failed = row["failed_extent"]
    words = {"on_deletion": OnDeletion(row["on_deletion"]), "failed_extent": None if failed is None else Extent(failed)}
    return RetentionRecord(**{name: row[name] for name in _FIELDS} | words)
