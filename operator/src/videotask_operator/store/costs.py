"""Read what a month cost from the record, in a read-only transaction; changes nothing and decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from videotask_contract.errors import TransientError
from videotask_contract.report import Certainty
from videotask_contract.steps import Step
from videotask_operator.core.costs import CostFact, CostKey, CostsReport, add_up
from videotask_operator.store.connections import connect_arguments, psycopg_url, shown
from videotask_operator.store.days import day_of

_OF: Final = (
    "(CAST(:namespace AS text) IS NULL OR tasks.namespace = :namespace) "
    "AND (CAST(:channel AS text) IS NULL OR tasks.channel = :channel)"
)

_SPENT: Final = text(f"""
    SELECT tasks.namespace, tasks.channel, tasks.name AS film, spend.step, spend.day, spend.certainty,
           sum(spend.amount_usd) AS usd, coalesce(sum(spend.amount_usd) FILTER (WHERE EXISTS (
               SELECT 1 FROM items JOIN step_runs AS maker ON maker.run_id = items.run_id
               WHERE items.task_uid = spend.task_uid AND items.step = spend.step AND items.item = spend.item
                 AND maker.number < run.number)), 0) AS redo_usd
    FROM spend JOIN tasks ON tasks.id = spend.task_uid
    LEFT JOIN step_runs AS run ON run.run_id = spend.run_id AND run.task_uid = spend.task_uid
    WHERE spend.day >= :first AND spend.day < :after AND {_OF}
    GROUP BY 1, 2, 3, 4, 5, 6
""")  # noqa: S608  a constant of this file, no word of anybody's

_PLANNED: Final = text(f"""
    SELECT tasks.namespace, tasks.channel, tasks.name AS film, plan.step, plan.day, plan.usd
    FROM planned_costs AS plan JOIN tasks ON tasks.id = plan.task_uid
    WHERE plan.day >= :first AND plan.day < :after AND plan.usd > 0 AND {_OF}
    UNION ALL
    SELECT tasks.namespace, tasks.channel, tasks.name, NULL, CAST(tasks.queued_at AS date), tasks.estimated_cost_usd
    FROM tasks
    WHERE tasks.estimated_cost_usd > 0 AND tasks.queued_at >= :first AND tasks.queued_at < :after AND {_OF}
      AND NOT EXISTS (SELECT 1 FROM planned_costs WHERE task_uid = tasks.id)
""")  # noqa: S608

# A channel's day is at most 14 hours away from UTC's: two days more on either side hold all that may count.
_KEPT: Final = text(f"""
    SELECT tasks.namespace, tasks.channel, tasks.name AS film, run.step, run.closed_at, run.kept_usd AS usd,
           (SELECT min(time_zone) FROM planned_costs WHERE task_uid = tasks.id) AS time_zone
    FROM (SELECT DISTINCT ON (task_uid, step) * FROM step_runs WHERE closed_at IS NOT NULL
          ORDER BY task_uid, step, number DESC) AS run
    JOIN tasks ON tasks.id = run.task_uid
    WHERE run.kept_usd > 0 AND run.closed_at >= :first - 2 AND run.closed_at < :after + 2 AND {_OF}
""")  # noqa: S608


@contextmanager
def open_read_only(database_url: str) -> Iterator[Connection]:
    """Yield a connection in a read-only transaction that sees one moment of the record; TransientError without one."""
    engine = create_engine(psycopg_url(database_url), connect_args=connect_arguments(), poolclass=NullPool)
    try:
        with engine.connect().execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        ) as connection:
            yield connection
    except OperationalError as error:
        problem = str(error.orig).strip()
        raise TransientError(f"PostgreSQL at {shown(database_url)} did not answer: {problem}") from error
    finally:
        engine.dispose()


def costs_report(
    connection: Connection,
    *,
    month: date,
    by: Sequence[CostKey],
    channel: str | None = None,
    namespace: str | None = None,
) -> CostsReport:
    """Return what a month (its first day) cost, summed by these keys; days are the channels' own.

    - planned: the estimate by step as it stood when the film was claimed, on that day. Of films that older releases
      planned only the whole is known, and counts under step and provider "-".
    - paid, possibly paid: the spend of the month's days, to the last place; together they are `total`.
    - kept: what the last ended run of each step found made already, on the day it ended: not paid again.
    - redo: the part of the spend that made an item anew: a call for an item of which a run before had made a take. So
      a new take that a person asked for counts, and what an edit remakes; a second try after unusable media does
      not, since nothing that counts had been made. A line for a whole run (its report was cut) never counts.
    """
    after = (month + timedelta(days=32)).replace(day=1)
    asked = {"first": month, "after": after, "channel": channel, "namespace": namespace}
    facts = [*_spent(connection, asked), *_planned(connection, asked), *_kept(connection, asked)]
    return add_up((fact for fact in facts if month <= fact.day < after), month=month, by=by)


def _spent(connection: Connection, asked: dict[str, Any]) -> Iterator[CostFact]:
    for row in connection.execute(_SPENT, asked):
        place = _place(row, row.day)
        if row.certainty == Certainty.SETTLED:
            yield replace(place, paid_usd=row.usd, redo_usd=row.redo_usd)
        else:
            yield replace(place, possibly_paid_usd=row.usd, redo_usd=row.redo_usd)


def _planned(connection: Connection, asked: dict[str, Any]) -> Iterator[CostFact]:
    for row in connection.execute(_PLANNED, asked):
        yield replace(_place(row, row.day), planned_usd=row.usd)


def _kept(connection: Connection, asked: dict[str, Any]) -> Iterator[CostFact]:
    for row in connection.execute(_KEPT, asked):
        yield replace(_place(row, day_of(row.closed_at, row.time_zone or "UTC")), kept_usd=Decimal(row.usd))


def _place(row: Any, day: date) -> CostFact:
    step = Step(row.step) if row.step is not None else None
    return CostFact(namespace=row.namespace, channel=row.channel, film=row.film, step=step, day=day)
