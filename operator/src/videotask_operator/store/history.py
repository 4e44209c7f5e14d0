"""Append transitions and what the Notion board is to show of them; these functions take a session and never commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from videotask_operator.core.model import Transition
from videotask_operator.store.models import task_history
from videotask_operator.store.rows import transition_of_row
from videotask_operator.store.words import storable

_APPEND: Final = text("""
    WITH last AS (
        SELECT coalesce(max(seq), 0) AS seq FROM task_history WHERE task_uid = :task_uid
    ), entry AS (
        INSERT INTO task_history (task_uid, seq, status_before, status_after, at, message)
        SELECT :task_uid, last.seq + 1, :before, :after, :at, :message FROM last
        ON CONFLICT ON CONSTRAINT uq_task_history_transition DO NOTHING
        RETURNING task_uid, seq, at
    )
    INSERT INTO notion_outbox (task_uid, seq, created_at) SELECT task_uid, seq, at FROM entry
""")


async def save_history(session: AsyncSession, task_uid: str, transitions: Sequence[Transition]) -> None:
    """Append (key: task, moment, before, after), each with its line in the outbox (key: task, seq)."""
    for transition in transitions:
        await session.execute(
            _APPEND,
            {
                "task_uid": task_uid,
                "before": transition.before,
                "after": transition.after,
                "at": transition.at,
                "message": storable(transition.message),
            },
        )


async def load_history(session: AsyncSession, task_uid: str, *, last: int) -> tuple[Transition, ...]:
    """Return the latest transitions, oldest first."""
    query = (
        select(task_history).where(task_history.c.task_uid == task_uid).order_by(task_history.c.seq.desc()).limit(last)
    )
    rows = (await session.execute(query)).mappings().all()
    return tuple(transition_of_row(row) for row in reversed(rows))
