"""Append transitions and what the Notion board is to show of them; these functions take a session and never commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, DateTime, Integer, Text, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from videotask_operator.core.model import Transition
from videotask_operator.store.models import task_history
from videotask_operator.store.rows import transition_of_row
from videotask_operator.store.words import storable

# The number goes on from the last; a transition that is known already leaves a gap, never a second line.
_APPEND: Final = text("""
    WITH told AS (
        SELECT * FROM unnest(:befores, :afters, :moments, :messages)
            WITH ORDINALITY AS told (before, after, at, message, position)
    ), entry AS (
        INSERT INTO task_history (task_uid, seq, status_before, status_after, at, message)
        SELECT :task_uid,
               (SELECT coalesce(max(seq), 0) FROM task_history WHERE task_uid = :task_uid) + position,
               before, after, at, message
        FROM told ORDER BY position
        ON CONFLICT ON CONSTRAINT uq_task_history_transition DO NOTHING
        RETURNING task_uid, seq, at
    )
    INSERT INTO notion_outbox (task_uid, seq, created_at) SELECT task_uid, seq, at FROM entry
""").bindparams(
    *(bindparam(name, type_=ARRAY(Text)) for name in ("befores", "afters", "messages")),
    bindparam("moments", type_=ARRAY(DateTime(timezone=True))),
)


_LATEST: Final = (
    select(task_history)
    .where(task_history.c.task_uid == bindparam("task_uid"))
    .order_by(task_history.c.seq.desc())
    .limit(bindparam("last", type_=Integer))
)


async def save_history(session: AsyncConnection, task_uid: str, transitions: Sequence[Transition]) -> None:
    """Append (key: task, moment, before, after), each with its line in the outbox (key: task, seq)."""
    if not transitions:
        return
    parameters: dict[str, Any] = {
        "task_uid": task_uid,
        "befores": [transition.before for transition in transitions],
        "afters": [transition.after for transition in transitions],
        "moments": [transition.at for transition in transitions],
        "messages": [storable(transition.message) for transition in transitions],
    }
    await session.execute(_APPEND, parameters)


async def load_history(session: AsyncConnection, task_uid: str, *, last: int) -> tuple[Transition, ...]:
    """Return the latest transitions, oldest first."""
    rows = (await session.execute(_LATEST, {"task_uid": task_uid, "last": last})).mappings().all()
    return tuple(transition_of_row(row) for row in reversed(rows))
