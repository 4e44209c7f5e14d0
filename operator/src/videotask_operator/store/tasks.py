"""Read and write tasks; these functions take a session and never commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Select, bindparam, exists, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from videotask_contract.phases import TERMINAL, Phase
from videotask_contract.resources import Priority
from videotask_operator.core.admission import PLACE_HOLDING, holds_place
from videotask_operator.core.model import ActiveTask, EarlierFilms, TaskKey, TaskRecord
from videotask_operator.store.models import step_runs, tasks
from videotask_operator.store.rows import row_of_task, task_of_row

LISTED: Final = PLACE_HOLDING | {Phase.QUEUED}
"""Phases that admission must know of."""

# Statements are made once: building one costs as much as running it.
_BY_UID: Final = select(tasks).where(tasks.c.id == bindparam("uid"))
_OF_NAME: Final = select(tasks).where(tasks.c.namespace == bindparam("namespace"), tasks.c.name == bindparam("name"))
# A record whose resource is gone is over with; one that is not must still be ended, however old it is.
_BY_KEY: Final = _OF_NAME.order_by(tasks.c.resource_gone, tasks.c.seq.desc()).limit(1)
_EARLIER: Final = (
    _OF_NAME.where(tasks.c.id != bindparam("uid"))
    # Then the dearest: a film that was paid for is not forgotten because another try at it paid nothing.
    .order_by(tasks.c.resource_gone, tasks.c.pipeline_cost_usd.desc(), tasks.c.seq.desc())
    .limit(1)
)
# A run without the start permit paid nothing; one whose ledger was read paid what is recorded.
_EARLIER_FILMS: Final = text("""
    SELECT tasks.attempt, tasks.pipeline_cost_usd AS cost_usd, coalesce(unread.usd, 0) AS unread_usd,
           coalesce(unread.told_usd, 0) AS told_usd, coalesce(unread.at_work, false) AS at_work
    FROM tasks LEFT JOIN LATERAL (
        SELECT bool_or(run.closed_at IS NULL) AS at_work,
               sum(run.spent_usd) FILTER (WHERE run.closed_at IS NULL) AS told_usd,
               sum(greatest(run.reserved_usd - paid.usd, 0)) FILTER (WHERE run.permitted_at IS NOT NULL) AS usd
        FROM step_runs AS run CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_usd), 0) AS usd FROM spend
            WHERE spend.run_id = run.run_id AND spend.task_uid = run.task_uid
        ) AS paid
        WHERE run.task_uid = tasks.id AND NOT run.ledger_read
    ) AS unread ON true
    WHERE tasks.namespace = :namespace AND tasks.name = :name AND tasks.id <> :uid
""")
_ACTIVE: Final = (
    select(
        tasks.c.id,
        tasks.c.namespace,
        tasks.c.channel,
        tasks.c.priority,
        tasks.c.queued_at,
        tasks.c.status,
        tasks.c.waiting_reason,
    )
    .where(tasks.c.status.not_in(TERMINAL), tasks.c.status.in_(LISTED))
    .order_by(tasks.c.queued_at, tasks.c.seq)
)
_UNFINISHED: Final = (
    select(tasks.c.id, tasks.c.namespace, tasks.c.name)
    .where(
        or_(
            tasks.c.status.not_in(TERMINAL),
            exists().where(step_runs.c.task_uid == tasks.c.id, step_runs.c.closed_at.is_(None)),
        ),
    )
    .order_by(tasks.c.seq)
)

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


async def load_task(session: AsyncConnection, uid: str) -> TaskRecord | None:
    """Return the record of this uid."""
    return await _one(session, _BY_UID, {"uid": uid})


async def load_task_by_key(session: AsyncConnection, key: TaskKey) -> TaskRecord | None:
    """Return the record under this namespace and name that is not over with, else the one that was made last."""
    return await _one(session, _BY_KEY, {"namespace": key.namespace, "name": key.name})


async def load_earlier_task(session: AsyncConnection, key: TaskKey, *, uid: str) -> TaskRecord | None:
    """Return the record of this name with another uid that is not over with, else the one that cost most."""
    return await _one(session, _EARLIER, {"namespace": key.namespace, "name": key.name, "uid": uid})


async def load_earlier_films(session: AsyncConnection, key: TaskKey, *, uid: str) -> EarlierFilms:
    """Return what all records of this name with another uid paid, or may have."""
    rows = await session.execute(_EARLIER_FILMS, {"namespace": key.namespace, "name": key.name, "uid": uid})
    return taken_together(EarlierFilms(**_earlier_of_row(dict(row))) for row in rows.mappings())


def _earlier_of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    paid_usd = row["cost_usd"] + row["told_usd"]
    return {name: row[name] for name in ("attempt", "unread_usd", "at_work")} | {"cost_usd": paid_usd}


def taken_together(films: Iterable[EarlierFilms]) -> EarlierFilms:
    """Return one word on all of them; those that paid nothing and never will are as if they had not been."""
    paid = [film for film in films if film.cost_usd > 0 or film.unread_usd > 0 or film.at_work]
    return EarlierFilms(
        cost_usd=sum((film.cost_usd for film in paid), Decimal(0)),
        unread_usd=sum((film.unread_usd for film in paid), Decimal(0)),
        at_work=any(film.at_work for film in paid),
        attempt=max((film.attempt for film in paid), default=0),
    )


async def save_task(session: AsyncConnection, record: TaskRecord) -> None:
    """Insert or update (key: uid); `pipeline_cost_usd` counts at the insert alone."""
    await session.execute(_UPSERT, row_of_task(record))


async def load_active_tasks(session: AsyncConnection) -> tuple[ActiveTask, ...]:
    """Return the tasks that are queued or hold a place of the fleet, oldest first."""
    return tuple(
        ActiveTask(
            uid=row.id,
            namespace=row.namespace,
            channel=row.channel,
            priority=Priority(row.priority),
            queued_at=row.queued_at,
            active=holds_place(Phase(row.status), row.waiting_reason),
        )
        for row in await session.execute(_ACTIVE)
    )


async def load_unfinished_uids(session: AsyncConnection) -> tuple[tuple[str, TaskKey], ...]:
    """Return uid and key of all tasks that are not terminal, or have an open run, in the order they were recorded."""
    return tuple((row.id, TaskKey(row.namespace, row.name)) for row in await session.execute(_UNFINISHED))


async def load_uids(session: AsyncConnection) -> frozenset[str]:
    """Return the uids of all tasks on record."""
    return frozenset((await session.scalars(select(tasks.c.id))).all())


async def _one(session: AsyncConnection, query: Select[Any], parameters: dict[str, str]) -> TaskRecord | None:
    row = (await session.execute(query, parameters)).mappings().one_or_none()
    return None if row is None else task_of_row(row)
