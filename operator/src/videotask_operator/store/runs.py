"""Read and write runs and their items; these functions take a session and never commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, case, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from videotask_contract.report import Item
from videotask_contract.steps import Step
from videotask_operator.core.model import RunRecord
from videotask_operator.store.models import items, step_runs
from videotask_operator.store.rows import item_of_row, row_of_item, row_of_run, run_of_row

# Statements are made once: building one costs as much as running it.
_OF_TASK: Final = select(step_runs).where(step_runs.c.task_uid == bindparam("uid")).order_by(step_runs.c.number)
_BY_ID: Final = select(step_runs).where(step_runs.c.run_id == bindparam("run_id"))
_OF_ACCOUNT: Final = (
    select(step_runs)
    .where(step_runs.c.account == bindparam("account"), step_runs.c.closed_at.is_(None))
    .order_by(step_runs.c.opened_at, step_runs.c.run_id)
)

_INSERT_RUN = insert(step_runs)
_UPSERT_RUN: Final = _INSERT_RUN.on_conflict_do_update(
    index_elements=[step_runs.c.run_id],
    set_={column.name: _INSERT_RUN.excluded[column.name] for column in step_runs.columns if not column.primary_key},
)

_INSERT_ITEM = insert(items)
_UPSERT_ITEM: Final = _INSERT_ITEM.on_conflict_do_update(
    index_elements=list(items.primary_key.columns),
    set_={
        **{name: _INSERT_ITEM.excluded[name] for name in ("key", "path", "size_bytes", "sha256", "duration_seconds")},
        "kept": _INSERT_ITEM.excluded.kept,
        "cost_usd": _INSERT_ITEM.excluded.cost_usd,
        # A run that kept the item did not make it.
        "run_id": case((_INSERT_ITEM.excluded.kept, items.c.run_id), else_=_INSERT_ITEM.excluded.run_id),
    },
)


async def load_runs(session: AsyncConnection, task_uid: str) -> tuple[RunRecord, ...]:
    """Return all runs of a task, oldest first."""
    return tuple(run_of_row(row) for row in (await session.execute(_OF_TASK, {"uid": task_uid})).mappings())


async def load_run(session: AsyncConnection, run_id: str) -> RunRecord | None:
    """Return one run."""
    row = (await session.execute(_BY_ID, {"run_id": run_id})).mappings().one_or_none()
    return None if row is None else run_of_row(row)


async def save_run(session: AsyncConnection, run: RunRecord) -> None:
    """Insert or update (key: run_id); a second open run of a task, or a number used twice, is refused."""
    await session.execute(_UPSERT_RUN, row_of_run(run))


async def load_account_runs(session: AsyncConnection, account: str) -> tuple[RunRecord, ...]:
    """Return all open runs on this account, oldest first."""
    found = (await session.execute(_OF_ACCOUNT, {"account": account})).mappings()
    return tuple(run_of_row(row) for row in found)


async def save_items(
    session: AsyncConnection, *, task_uid: str, step: Step, run_id: str, reported: Sequence[Item]
) -> None:
    """Insert or update (key: task, step, item, take); `run_id` stays that of the run that made the item."""
    rows = [row_of_item(task_uid, step, run_id, item) for item in reported]
    if rows:
        await session.execute(_UPSERT_ITEM, rows)


async def load_items(session: AsyncConnection, task_uid: str, step: Step) -> tuple[Item, ...]:
    """Return the items of a step, by name and take."""
    query = select(items).where(items.c.task_uid == task_uid, items.c.step == step).order_by(items.c.item, items.c.take)
    return tuple(item_of_row(row) for row in (await session.execute(query)).mappings())
