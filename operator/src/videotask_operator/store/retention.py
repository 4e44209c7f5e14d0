"""Read and write what becomes of films' files; these functions take a session and never commit."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from sqlalchemy import RowMapping, bindparam, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from videotask_contract.resources import OnDeletion
from videotask_operator.core.retention import Extent, RetentionRecord
from videotask_operator.store.models import retention
from videotask_operator.store.words import storable_or_none

_FIELDS: Final = tuple(field.name for field in fields(RetentionRecord))
_ALL: Final = select(retention).order_by(retention.c.task_uid)
_ONE: Final = select(retention).where(retention.c.task_uid == bindparam("task_uid"))
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


async def save_retention(session: AsyncConnection, kept: RetentionRecord) -> None:
    """Insert or replace (key: task_uid)."""
    row = {name: getattr(kept, name) for name in _FIELDS}
    await session.execute(_UPSERT, {**row, "failure": storable_or_none(kept.failure)})


def _of_row(row: RowMapping) -> RetentionRecord:
    failed = row["failed_extent"]
    words = {"on_deletion": OnDeletion(row["on_deletion"]), "failed_extent": None if failed is None else Extent(failed)}
    return RetentionRecord(**{name: row[name] for name in _FIELDS} | words)
