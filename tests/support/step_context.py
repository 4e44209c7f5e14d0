"""What a step's code has at hand while it works, made without its program."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from videotask_contract.task_file import TaskFile
from videotask_steps.context import Limits, StepContext
from videotask_steps.ledger import Ledger
from videotask_steps.progress import ProgressTracker
from videotask_steps.stop_sign import StopSign


def context_of(
    volume: Path, task: TaskFile, ledger: Ledger, *, concurrency: int = 1, reservation_usd: Decimal = Decimal(10)
) -> StepContext:
    """Return the context of a run of this task on the volume, which writes this ledger."""
    return StepContext(
        task=task,
        volume=volume,
        ledger=ledger,
        limits=Limits(concurrency=concurrency, reservation_usd=reservation_usd),
        progress=ProgressTracker(),
        stopping=StopSign(),
    )


async def a_context(volume: Path, task: TaskFile, *, concurrency: int = 1) -> StepContext:
    """Open the task's ledger on the volume for its run, and return the run's context."""
    ledger = await Ledger.open(volume, task.step, run_id=task.run_id, wait_seconds=0)
    return context_of(volume, task, ledger, concurrency=concurrency)
