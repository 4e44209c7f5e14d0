"""Read and write tasks; these functions take a session and never commit."""

from __future__ import annotations

from typing import Final

from sqlalchemy import exists, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from videotask_contract.phases import STOPPED, TERMINAL, Phase
from videotask_contract.resources import Priority
from videotask_operator.core.model import ActiveTask, TaskKey, TaskRecord
from videotask_operator.store.models import step_runs, tasks
from videotask_operator.store.rows import row_of_task, task_of_row

PLACE_HOLDING: Final = frozenset(Phase) - STOPPED - {Phase.QUEUED, Phase.FINAL_REVIEW, Phase.APPROVED}
"""Phases of a task that holds a place of the fleet: a film that waits for a person holds up no other."""
LISTED: Final = PLACE_HOLDING | {Phase.QUEUED}
"""Phases that admission must know of."""

_INSERT = insert(tasks)
# A repeated save must not bring back an old sum, so the cost is written at the first save alone; then spend rules it.
_UPSERT: Final = _INSERT.on_conflict_do_update(
    index_elements=[tasks.c.id],
    set_={
        column.name: _INSERT.excluded[column.name]
        for column in tasks.columns
        if column.computed is None and column.identity is None and column.name not in {"id", "pipeline_cost_usd"}
    },
)


async def load_task(session: AsyncSession, uid: str) -> TaskRecord | None:
    """Return the record of this uid."""
    row = (await session.execute(select(tasks).where(tasks.c.id == uid))).mappings().one_or_none()
    return None if row is None else task_of_row(row)


async def load_task_by_key(session: AsyncSession, key: TaskKey) -> TaskRecord | None:
    """Return the record that was made last under this namespace and name."""
    query = (
        select(tasks)
        .where(tasks.c.namespace == key.namespace, tasks.c.name == key.name)
        .order_by(tasks.c.seq.desc())
        .limit(1)
    )
    row = (await session.execute(query)).mappings().one_or_none()
    return None if row is None else task_of_row(row)


async def load_earlier_task(session: AsyncSession, key: TaskKey, *, uid: str) -> TaskRecord | None:
    """Return the record that was made last under this namespace and name with another uid."""
    query = (
        select(tasks)
        .where(tasks.c.namespace == key.namespace, tasks.c.name == key.name, tasks.c.id != uid)
        .order_by(tasks.c.seq.desc())
        .limit(1)
    )
    row = (await session.execute(query)).mappings().one_or_none()
    return None if row is None else task_of_row(row)


async def save_task(session: AsyncSession, record: TaskRecord) -> None:
    """Insert or update (key: uid); `pipeline_cost_usd` counts at the insert alone."""
    await session.execute(_UPSERT, row_of_task(record))


async def load_active_tasks(session: AsyncSession) -> tuple[ActiveTask, ...]:
    """Return the tasks that are queued or hold a place of the fleet, oldest first."""
    query = (
        select(tasks.c.id, tasks.c.namespace, tasks.c.channel, tasks.c.priority, tasks.c.queued_at, tasks.c.status)
        .where(tasks.c.status.not_in(TERMINAL), tasks.c.status.in_(LISTED))
        .order_by(tasks.c.queued_at, tasks.c.seq)
    )
    return tuple(
        ActiveTask(
            uid=row.id,
            namespace=row.namespace,
            channel=row.channel,
            priority=Priority(row.priority),
            queued_at=row.queued_at,
            active=row.status in PLACE_HOLDING,
        )
        for row in await session.execute(query)
    )


async def load_unfinished_uids(session: AsyncSession) -> tuple[tuple[str, TaskKey], ...]:
    """Return uid and key of all tasks that are not terminal, or have an open run, in the order they were recorded."""
    open_run = exists().where(step_runs.c.task_uid == tasks.c.id, step_runs.c.closed_at.is_(None))
    query = (
        select(tasks.c.id, tasks.c.namespace, tasks.c.name)
        .where(or_(tasks.c.status.not_in(TERMINAL), open_run))
        .order_by(tasks.c.seq)
    )
    return tuple((row.id, TaskKey(row.namespace, row.name)) for row in await session.execute(query))
