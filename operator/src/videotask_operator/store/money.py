"""Record what was paid and say what may still be; no dollar may count twice, and none may be missed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sqlalchemy import ARRAY, Date, DateTime, Numeric, Text, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from videotask_contract.report import LUMP_PREFIX, Certainty, Spend
from videotask_contract.steps import Step
from videotask_operator.core.model import Money, TaskRecord
from videotask_operator.store.days import day_of, start_of_day
from videotask_operator.store.models import planned_costs
from videotask_operator.store.models import spend as spend_table
from videotask_operator.store.rows import spend_of_row
from videotask_operator.store.words import storable

FOUR_PLACES: Final = Decimal("0.0001")

# One statement, so that a call, its day and the task's cost can never be seen apart. All parts see the table as it
# was before, hence the sum of what was plus what changes.
_RECORD: Final = text("""
    WITH told AS (
        SELECT * FROM unnest(
            :call_ids, :run_ids, :items, :models, :amounts, :certainties, :moments, :days
        ) AS told (call_id, run_id, item, model, amount_usd, certainty, at, day)
    ), dropped AS (
        DELETE FROM spend WHERE task_uid = :task_uid AND call_id = ANY(:lump_ids) RETURNING day, amount_usd
    ), changed AS (
        INSERT INTO spend AS known
            (task_uid, call_id, run_id, step, item, model, amount_usd, certainty, at, day)
        SELECT :task_uid, call_id, run_id, :step, item, model, amount_usd, certainty, at, day FROM told
        WHERE NOT starts_with(told.call_id, :lump_prefix) OR NOT EXISTS (
            SELECT 1 FROM spend AS single
            WHERE single.task_uid = :task_uid AND single.run_id = told.run_id AND single.call_id <> told.call_id)
        ON CONFLICT (task_uid, call_id) DO UPDATE
            SET amount_usd = EXCLUDED.amount_usd, certainty = EXCLUDED.certainty
            WHERE known.certainty = 'possibly' AND EXCLUDED.certainty = 'settled'
                OR starts_with(known.call_id, :lump_prefix) AND EXCLUDED.amount_usd > known.amount_usd
        RETURNING call_id, day, amount_usd
    ), difference AS (
        SELECT changed.day, changed.amount_usd - coalesce(before.amount_usd, 0) AS usd
        FROM changed LEFT JOIN spend AS before ON before.task_uid = :task_uid AND before.call_id = changed.call_id
        UNION ALL
        SELECT day, -amount_usd FROM dropped
    ), by_day AS (
        INSERT INTO budget_days AS known (namespace, channel, day, spent_usd)
        SELECT :namespace, :channel, day, sum(usd) FROM difference GROUP BY day
        ON CONFLICT (namespace, channel, day) DO UPDATE SET spent_usd = known.spent_usd + EXCLUDED.spent_usd
    )
    UPDATE tasks SET pipeline_cost_usd =
        (SELECT coalesce(sum(amount_usd), 0) FROM spend WHERE task_uid = :task_uid)
        + (SELECT coalesce(sum(usd), 0) FROM difference)
    WHERE id = :task_uid AND EXISTS (SELECT 1 FROM difference)
""").bindparams(
    *(
        bindparam(name, type_=ARRAY(Text))
        for name in ("call_ids", "run_ids", "items", "models", "certainties", "lump_ids")
    ),
    bindparam("amounts", type_=ARRAY(Numeric(18, 8))),
    bindparam("moments", type_=ARRAY(DateTime(timezone=True))),
    bindparam("days", type_=ARRAY(Date)),
)

# A reservation counts until its run's ledger was read, less what is already recorded as spent under it: the same
# dollar must not count as spent and as reserved. A run that was closed before the day began cannot spend on it.
_DAY_SPENT: Final = text(
    "SELECT spent_usd FROM budget_days WHERE namespace = :namespace AND channel = :channel AND day = :day"
)

_MONEY: Final = text("""
    WITH unread AS (
        SELECT run.task_uid, run.closed_at IS NULL OR run.closed_at >= :day_start AS of_day,
               greatest(run.reserved_usd - coalesce(
                   (SELECT sum(amount_usd) FROM spend
                    WHERE spend.run_id = run.run_id AND spend.task_uid = run.task_uid), 0), 0) AS usd
        FROM step_runs AS run JOIN tasks ON tasks.id = run.task_uid
        WHERE NOT run.ledger_read AND tasks.namespace = :namespace AND tasks.channel = :channel
    )
    SELECT
        (SELECT coalesce(sum(amount_usd), 0) FROM spend WHERE task_uid = :task_uid) AS task_spent_usd,
        (SELECT coalesce(sum(usd), 0) FROM unread WHERE task_uid = :task_uid) AS task_reserved_usd,
        coalesce((SELECT spent_usd FROM budget_days
                  WHERE namespace = :namespace AND channel = :channel AND day = :day), 0) AS channel_day_spent_usd,
        (SELECT coalesce(sum(usd), 0) FROM unread WHERE of_day) AS channel_day_reserved_usd
""").bindparams(bindparam("day_start", type_=DateTime(timezone=True)))


_BY_STEP: Final = (
    select(spend_table.c.step, func.sum(spend_table.c.amount_usd))
    .where(spend_table.c.task_uid == bindparam("task_uid"))
    .group_by(spend_table.c.step)
)


_INSERT_PLAN = insert(planned_costs)
_PLAN: Final = _INSERT_PLAN.on_conflict_do_update(
    index_elements=list(planned_costs.primary_key.columns),
    set_={name: _INSERT_PLAN.excluded[name] for name in ("usd", "day", "time_zone")},
)
_PLANNED_ZONE: Final = select(func.min(planned_costs.c.time_zone)).where(
    planned_costs.c.task_uid == bindparam("task_uid")
)
_POSSIBLY: Final = select(func.coalesce(func.sum(spend_table.c.amount_usd), 0)).where(
    spend_table.c.task_uid == bindparam("task_uid"), spend_table.c.certainty == Certainty.POSSIBLY.value
)


async def save_spend(
    session: AsyncConnection, record: TaskRecord, step: Step, told: Sequence[Spend], *, time_zone: str
) -> None:
    """Insert or settle paid calls (key: task, call_id), with their channel-days and the task's cost.

    A call stays on the day on which it was first recorded; what is settled never becomes uncertain again. A lump (one
    line for all that a run spent) grows when more is told, and gives way to the run's single calls, whichever of them
    is told first.
    """
    calls = once_each(told)
    if not calls:
        return
    parameters: dict[str, Any] = {
        "task_uid": record.uid,
        "namespace": record.namespace,
        "channel": record.channel,
        "step": step,
        "lump_prefix": LUMP_PREFIX,
        "lump_ids": sorted(lumps_replaced_by(calls)),
        "call_ids": [storable(call.call_id) for call in calls],
        "run_ids": [storable(call.run_id) for call in calls],
        "items": [storable(call.item) for call in calls],
        "models": [storable(call.model) for call in calls],
        "amounts": [call.amount_usd for call in calls],
        "certainties": [call.certainty for call in calls],
        "moments": [call.at for call in calls],
        "days": [day_of(call.at, time_zone) for call in calls],
    }
    await session.execute(_RECORD, parameters)


def once_each(told: Iterable[Spend]) -> tuple[Spend, ...]:
    """Return each call once: the first word on it, unless a later one settles it; no lump beside its single calls."""
    calls: dict[str, Spend] = {}
    for call in told:
        known = calls.get(call.call_id)
        if known is None or settles(known.certainty, call.certainty):
            calls[call.call_id] = call
    replaced = lumps_replaced_by(calls.values())
    return tuple(call for call in calls.values() if call.call_id not in replaced)


def is_lump(call: Spend) -> bool:
    """Tell whether this line stands for all that its run spent."""
    return call.call_id.startswith(LUMP_PREFIX)


def lumps_replaced_by(calls: Iterable[Spend]) -> set[str]:
    """Return the ids of the lumps that give way to these single calls."""
    return {f"{LUMP_PREFIX}{call.run_id}" for call in calls if not is_lump(call)}


def settles(known: Certainty, told: Certainty) -> bool:
    """Tell whether the new word on a call replaces the known one."""
    return known is Certainty.POSSIBLY and told is Certainty.SETTLED


async def save_plan_costs(
    session: AsyncConnection, record: TaskRecord, planned: Mapping[Step, Decimal], *, now: datetime, time_zone: str
) -> None:
    """Insert or replace what each step is planned to cost (key: task, step), on the channel's day that holds `now`."""
    rows = [
        {"task_uid": record.uid, "step": step.value, "usd": usd, "day": day_of(now, time_zone), "time_zone": time_zone}
        for step, usd in planned.items()
    ]
    if rows:
        await session.execute(_PLAN, rows)


async def load_time_zone(session: AsyncConnection, task_uid: str) -> str | None:
    """Return the time zone of the channel when a task's costs were planned, None where they were not yet."""
    zone: str | None = (await session.execute(_PLANNED_ZONE, {"task_uid": task_uid})).scalar_one()
    return zone


async def load_money(session: AsyncConnection, record: TaskRecord, *, now: datetime, time_zone: str) -> Money:
    """Return what counts against the caps of the task and of its channel's day that holds `now`.

    Reserved is, over all runs whose ledger was not yet read, the reservation less what is recorded as spent under the
    run, never below nothing. For the channel's day that is the runs still open on it, whenever they were opened; a
    killed run whose ledger nobody reads any more holds up its task for ever, and its channel for that day alone.
    """
    row = (
        await session.execute(
            _MONEY,
            {
                "task_uid": record.uid,
                "namespace": record.namespace,
                "channel": record.channel,
                "day": day_of(now, time_zone),
                "day_start": start_of_day(now, time_zone),
            },
        )
    ).one()
    return Money(**row._mapping)  # noqa: SLF001  SQLAlchemy's public name for a row as a mapping


async def load_possibly_usd(session: AsyncConnection, task_uid: str) -> Decimal:
    """Return the part of a task's spend whose outcome is unknown, in dollars: it counts as paid."""
    return Decimal((await session.execute(_POSSIBLY, {"task_uid": task_uid})).scalar_one())


async def load_day_spent(
    session: AsyncConnection, namespace: str, channel: str, *, now: datetime, time_zone: str
) -> Decimal:
    """Return what a channel spent on its day that holds `now`, in dollars."""
    parameters = {"namespace": namespace, "channel": channel, "day": day_of(now, time_zone)}
    return Decimal((await session.execute(_DAY_SPENT, parameters)).scalar() or 0)


async def load_step_costs(session: AsyncConnection, task_uid: str) -> dict[Step, str]:
    """Return dollars spent by step, every step, as decimal strings with four places."""
    sums = {row[0]: row[1] for row in await session.execute(_BY_STEP, {"task_uid": task_uid})}
    return {step: four_places(sums.get(step.value, Decimal(0))) for step in Step}


def four_places(usd: Decimal) -> str:
    """Return dollars as people and the status read them."""
    return str(usd.quantize(FOUR_PLACES, rounding=ROUND_HALF_UP))


async def load_spend(session: AsyncConnection, task_uid: str) -> tuple[Spend, ...]:
    """Return every paid call of a task, oldest first."""
    query = (
        select(spend_table).where(spend_table.c.task_uid == task_uid).order_by(spend_table.c.at, spend_table.c.call_id)
    )
    return tuple(spend_of_row(row) for row in (await session.execute(query)).mappings())
