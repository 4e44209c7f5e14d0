"""How long the record takes between a final report and the next Job; run it as a program on a quiet machine."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from tests.support.builders import NOON, UID, a_record, a_run

from videotask_contract.phases import Phase
from videotask_contract.report import Certainty, Item, Spend
from videotask_contract.steps import Step
from videotask_operator.core.model import Transition
from videotask_operator.core.ports import Transaction
from videotask_operator.local.postgres import start_postgres, stop_postgres
from videotask_operator.store.adaptor import PostgresStore
from videotask_operator.store.migrate import migrate

ROUNDS = 300
RUNS_OF_A_FILM = 6
STEP = Step.VIDEO_GENERATION
ITEMS = tuple(
    Item(item=f"{number:02d}", key="k", path=f"clips/clip_{number:02d}.mp4", size_bytes=1_000_000, sha256="s" * 64)
    for number in range(1, 19)
)


async def report(transaction: Transaction, number: int) -> None:
    """Do what a final report of 18 clips writes."""
    uid = uid_of(number)
    run = await transaction.load_run(f"run{number}")
    record = await transaction.load_task(uid)
    await transaction.load_runs(uid)
    await transaction.save_task(record)
    await transaction.save_run(replace(run, closed_at=NOON, ledger_read=True))
    at = NOON.replace(microsecond=number)
    await transaction.save_history(uid, [Transition(before=Phase.QUEUED, after=Phase.CLAIMED, at=at, message="")])
    await transaction.save_items(uid, STEP, run.run_id, ITEMS)
    await transaction.save_spend(record, STEP, calls_of(number), time_zone="Europe/Zurich")


async def decide(transaction: Transaction, number: int) -> None:
    """Do what opening the next run reads and writes."""
    uid = uid_of(number)
    record = await transaction.load_task(uid)
    await transaction.load_runs(uid)
    await transaction.load_money(record, now=NOON, time_zone="Europe/Zurich")
    await transaction.load_account_runs("studio/gemini-key/api-key")
    await transaction.save_task(record)
    if uid == uid_of(number + 1):
        await transaction.save_run(a_run(number=number + 1, task_uid=uid))
    at = NOON.replace(second=1, microsecond=number)
    await transaction.save_history(uid, [Transition(before=Phase.CLAIMED, after=Phase.QUEUED, at=at, message="")])


async def progress(transaction: Transaction, number: int) -> None:
    """Do what a progress report reads and writes."""
    run = await transaction.load_run(f"run{number}")
    await transaction.load_task(run.task_uid)
    await transaction.save_run(run)


def uid_of(number: int) -> str:
    """Return the task of this run: a film has six."""
    return f"{UID}-{(number - 1) // RUNS_OF_A_FILM}"


def calls_of(number: int) -> tuple[Spend, ...]:
    """Return 18 calls that this run alone made."""
    return tuple(
        Spend(
            call_id=f"{number}-{item.item}",
            run_id=f"run{number}",
            item=item.item,
            model="kling-2.5-turbo",
            amount_usd=Decimal("0.42"),
            certainty=Certainty.SETTLED,
            at=NOON,
        )
        for item in ITEMS
    )


async def begin_film(store: PostgresStore, number: int) -> None:
    """Record a task with its first run."""
    uid = uid_of(number)
    async with store.transaction() as transaction:
        await transaction.save_task(a_record(uid=uid, name=f"film{number}"))
        await transaction.save_run(a_run(number=number, task_uid=uid))


async def measure(url: str) -> dict[str, list[float]]:
    """Return milliseconds of each kind of transaction."""
    store = PostgresStore(url)
    await store.acquire(10)
    milliseconds: dict[str, list[float]] = {"report": [], "decide": [], "progress": []}

    async def timed(name: str, work: Callable[[Transaction, int], Awaitable[None]], number: int) -> None:
        began = time.perf_counter()
        async with store.transaction() as transaction:
            await work(transaction, number)
        milliseconds[name].append((time.perf_counter() - began) * 1000)

    for number in range(1, ROUNDS + 1):
        if uid_of(number) != uid_of(number - 1):
            await begin_film(store, number)
        await timed("progress", progress, number)
        await timed("report", report, number)
        await timed("decide", decide, number)
    await store.close()
    return milliseconds


def main() -> None:
    """Print median and 95th percentile, with fsync as in production."""
    with tempfile.TemporaryDirectory(prefix="videotask-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = start_postgres(folder)
        try:
            migrate(server.url("videotask"))
            measured = asyncio.run(measure(server.url("videotask")))
        finally:
            stop_postgres(folder)
    for kind, values in measured.items():
        p95 = statistics.quantiles(values, n=20)[-1]
        print(f"{kind:10s} p50 {statistics.median(values):6.2f} ms   p95 {p95:6.2f} ms   best {min(values):6.2f} ms")


if __name__ == "__main__":
    main()
