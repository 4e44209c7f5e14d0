"""A run's last word, put together from its ledger; done must never be said unless every item is."""

from __future__ import annotations

from decimal import Decimal

from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.report import Failure, FinalReport
from videotask_contract.steps import Step
from videotask_steps.context import StepContext

_MAX_MESSAGE = 1000


def build_final_report(context: StepContext, failure: Failure | None) -> FinalReport:
    """Return the report of a run that had a ledger."""
    task, ledger, progress = context.task, context.ledger, context.progress
    if failure is None and (problem := _unfinished(context)) is not None:
        failure = problem
    items = ledger.items(run_id=task.run_id)
    counted = {(item, record.key) for item, record in ledger.current_items().items()}
    return FinalReport(
        run_id=task.run_id,
        step=task.step.value,
        outcome="done" if failure is None else "failed",
        done=progress.done,
        total=progress.total,
        kept=progress.kept,
        kept_usd=sum((item.cost_usd for item in items if item.kept and (item.item, item.key) in counted), Decimal(0)),
        spent_usd=ledger.spent_usd(task.run_id),
        storyboard_sha256=context.storyboard_sha256,
        failure=failure,
        film=context.film if failure is None else None,
        items=items,
        spend=ledger.spend(),
    )


def build_early_report(*, run_id: str, step: Step, failure: Failure) -> FinalReport:
    """Return the report of a run that ended before it could open its ledger: it says nothing of what was spent."""
    return FinalReport(run_id=run_id, step=step.value, outcome="failed", done=0, total=0, failure=failure, cut=True)


def failure_of(error: BaseException) -> Failure:
    """Put an exception into the words of the report; what is not ours is a bug of ours and heals, if ever, by time."""
    if isinstance(error, VideoTaskError):
        return Failure(
            failure_class=error.failure_class,
            message=error.message[:_MAX_MESSAGE],
            item=error.item,
            provider_code=error.provider_code,
            retry_after_seconds=error.retry_after_seconds if isinstance(error, TransientError) else None,
        )
    if isinstance(error, OSError):
        message = f"the volume or the machine failed: {error}"
    else:
        message = f"unexpected {type(error).__name__}: {error}; please report this as a bug"
    return Failure(failure_class=FailureClass.TRANSIENT, message=message[:_MAX_MESSAGE])


def _unfinished(context: StepContext) -> Failure | None:
    progress = context.progress
    if context.task.storyboard_only and progress.total == 0 and context.storyboard_sha256 is not None:
        return None
    if progress.total > 0 and progress.done == progress.total:
        return None
    return Failure(
        failure_class=FailureClass.PERMANENT,
        message=f"the step ended with {progress.done} of {progress.total} items and no reason; please report this bug",
    )
