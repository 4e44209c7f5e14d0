"""How a run is closed: by its report, by its pod's exit, or by its loss; and what that makes of the task."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from videotask_contract.errors import FailureClass
from videotask_contract.layout import FILM, task_folder
from videotask_contract.phases import Phase
from videotask_contract.report import Film, FinalReport
from videotask_contract.resources import FilmStatus
from videotask_contract.steps import TRAITS, Gate, Step, next_step
from videotask_operator.core.admission import holds_place
from videotask_operator.core.changes import finished_items
from videotask_operator.core.draft import Draft
from videotask_operator.core.model import DeleteRun, RunOutcome, RunRecord, TaskRecord
from videotask_operator.core.retry import RetryRules, Verdict, counted_attempt, decide_retry

RETRY_LATER: Final = "RetryLater"
"""Reason of a film whose next attempt is far: it asks for a place of the fleet again when its time has come."""
POD_NEVER_STARTED: Final = "PodNeverStarted"
"""Reason of a film whose pod could not start for so long that its run was closed: the same holds of its place."""
_NEXT_TRY_OF_POD: Final = timedelta(minutes=10)
"""Longer than a film then keeps a place again, so that those that lack something hold the smaller part of the fleet."""
_KEEPS_ITS_PLACE: Final = timedelta(minutes=10)


def settle_report(draft: Draft, run: RunRecord, report: FinalReport, *, rules: RetryRules) -> None:
    """Close the run with its own report; a closed run is left as it is."""
    if not run.is_open:
        return
    draft.reports.append(report)
    _mark_ledger_read(draft, run, report)
    closed = replace(
        run,
        closed_at=draft.now,
        # A report without items is from a run that ended before it could count them.
        done=report.done if report.total else run.done,
        total=report.total or run.total,
        kept=report.kept,
        kept_usd=report.kept_usd,
        # One that was cut may be from before its ledger was open: what the run told before stands.
        spent_usd=max(run.spent_usd, report.spent_usd) if report.cut else report.spent_usd,
        ledger_read=_tells_all(report) or _cannot_have_spent(run, report),
        retry_after_seconds=report.failure.retry_after_seconds if report.failure else None,
    )
    _count_items(draft, run.step, report)
    if report.kept and report.kept_usd:
        draft.tell("ItemsKept", _kept_message(run.step, report))
    if run.storyboard_only and report.outcome == "done" and report.storyboard_sha256 is not None:
        _show_storyboard(draft, closed, report)
        return
    is_all_done = report.outcome == "done" and report.done == report.total > 0 and report.failure is None
    if is_all_done and not _lacks_film(run, report):
        _finish(draft, closed, report)
        return
    failure_class = report.failure.failure_class if report.failure else FailureClass.TRANSIENT
    message = report.failure.message if report.failure else _what_is_missing(run, report)
    closed = replace(closed, failure_item=report.failure.item if report.failure else None)
    fail_run(draft, closed, failure_class=failure_class, message=message, rules=rules)


def _lacks_film(run: RunRecord, report: FinalReport) -> bool:
    """Tell whether an assembly says that it is done and has no film to show for it, or an empty one."""
    return run.step is Step.VIDEO_ASSEMBLY and (report.film is None or report.film.size_bytes <= 0)


def _what_is_missing(run: RunRecord, report: FinalReport) -> str:
    if report.done >= report.total and _lacks_film(run, report):
        return "the assembly reports that it is done and names no film with anything in it"
    return f"only {report.done} of {report.total} items are done"


def lose_run(draft: Draft, run: RunRecord, *, message: str, rules: RetryRules) -> None:
    """Close a run whose Job is gone, or ended, with neither report nor exit code."""
    closed = replace(run, closed_at=draft.now, outcome=RunOutcome.LOST)
    fail_run(draft, closed, failure_class=FailureClass.LOST, message=message, rules=rules)


def begin_again(draft: Draft, run: RunRecord) -> None:
    """Close a run that never began, whose Job's time is over, so that another takes its place."""
    draft.put_run(replace(run, closed_at=draft.now, outcome=RunOutcome.LOST, ledger_read=True))
    draft.again = True


def lay_down(draft: Draft, run: RunRecord, *, words: str, warn: bool) -> None:
    """Close a run whose pod cannot start, and have another take its place after a while: what it lacks is its own.

    Until then the film holds no place of the fleet. The next run's Job is made of the Channel as it is then.
    """
    begin_again(draft, run)
    draft.actions.append(DeleteRun(job_name=run.job_name))
    at = draft.now + _NEXT_TRY_OF_POD
    draft.change(next_attempt_at=at)
    when = f"Next try at {at:%H:%M} UTC, or at once when spec.attempt is raised. No attempt is consumed."
    draft.wait(POD_NEVER_STARTED, f"{words} {when}", until=at, warn=warn)


def stop_run(draft: Draft, run: RunRecord) -> None:
    """Close a run that a person's suspend, cancel or delete ended; its pod is proved gone."""
    ledger_read = run.ledger_read or _never_began(run)
    draft.put_run(replace(run, closed_at=draft.now, outcome=RunOutcome.STOPPED, ledger_read=ledger_read))


def fail_run(draft: Draft, run: RunRecord, *, failure_class: FailureClass, message: str, rules: RetryRules) -> None:
    """Close the run as failed and decide by its class what follows."""
    stopped = run.stop_requested_at is not None and failure_class is FailureClass.INTERRUPTED
    outcome = RunOutcome.STOPPED if stopped else run.outcome or RunOutcome.FAILED
    closed = replace(
        run,
        closed_at=run.closed_at or draft.now,
        outcome=outcome,
        ledger_read=run.ledger_read or _never_began(run),
        failure_class=failure_class,
        failure_message=message[:1000],
    )
    draft.put_run(closed)
    if stopped:
        return
    record = draft.record
    earlier = [one for one in draft.runs.values() if one.step is run.step and one.number < run.number]
    attempt = counted_attempt(
        failure_class=failure_class,
        attempt=record.step_attempt,
        is_further=closed.done > finished_items(record, earlier, run.step),
    )
    retry = decide_retry(
        failure_class=failure_class,
        attempt=attempt,
        lost_runs=record.lost_runs,
        retry_after_seconds=closed.retry_after_seconds,
        now=draft.now,
        rules=rules,
        again=bool(earlier) and max(earlier, key=lambda one: one.number).failure_class is failure_class,
    )
    words = f"{run.step.value}: {message}"
    match retry.verdict:
        case Verdict.AGAIN_NOW:
            # An evicted pod's Job makes another pod, which would only be told to stop.
            draft.actions.append(DeleteRun(job_name=run.job_name))
            draft.change(lost_runs=record.lost_runs + 1, waiting_reason=None, message=f"{words}; run again at once")
            draft.warn("RunLost", f"run {run.number} of {words}; run again at once, no attempt consumed")
            draft.again = True
        case Verdict.LATER:
            draft.change(step_attempt=attempt + 1, lost_runs=0, next_attempt_at=retry.at)
            wait_for_retry(draft, max_attempts=rules.max_attempts)
        case Verdict.OVER_BUDGET:
            draft.move(Phase.BUDGET_EXCEEDED, words)
            draft.warn("BudgetExceeded", words)
        case Verdict.ERROR:
            draft.move(TRAITS[run.step].failed, words)
            draft.change(error=words)
            draft.warn("StepFailed", f"{words}; mend it, then raise spec.attempt to go on where it stopped")


def wait_for_retry(draft: Draft, *, max_attempts: int) -> None:
    """Say when the step is tried again and what its last run failed of; also after whatever came between."""
    record = draft.record
    at = record.next_attempt_at
    failed = [run for run in draft.runs.values() if run.step is record.step and run.failure_message]
    why = f": {failed[-1].failure_message}" if failed else ""
    when = f"{at:%H:%M} UTC" if at else "once"
    words = f"attempt {record.step_attempt} of {max_attempts} at {when}{why}"
    # One that has given its place back waits without one to the end, however short the rest of its time is.
    is_long = at is not None and at - draft.now > _KEEPS_ITS_PLACE
    lays_down = is_long or not holds_place(record.phase, record.waiting_reason)
    draft.wait(RETRY_LATER if lays_down else "RetryScheduled", words, until=at, warn=True)


def _mark_ledger_read(draft: Draft, run: RunRecord, report: FinalReport) -> None:
    """One step has one ledger: a report that tells all of it speaks for the killed runs before it too."""
    if report.cut:
        return
    for earlier in tuple(draft.runs.values()):
        if earlier.step is run.step and not earlier.ledger_read and earlier.run_id != run.run_id:
            lines = [line.amount_usd for line in report.spend if line.run_id == earlier.run_id]
            draft.put_run(replace(earlier, ledger_read=True, spent_usd=sum(lines, Decimal(0))))


def _tells_all(report: FinalReport) -> bool:
    """Tell whether the report says all that its run spent, so that nothing of its reservation is left to count.

    One that was cut to fit a termination message gives the sum, which is recorded as one line; one without a count of
    items was made before its ledger was open, and says nothing.
    """
    return not report.cut or report.total > 0


def _never_began(run: RunRecord) -> bool:
    """Tell whether no pod of this run ever got the start permit, nor gets it once it is closed: it paid nothing."""
    return run.permitted_at is None and run.spent_usd == 0


def _cannot_have_spent(run: RunRecord, report: FinalReport) -> bool:
    """Tell whether neither the run nor its report knows of anything paid."""
    return _never_began(run) and report.spent_usd == 0


def _finish(draft: Draft, run: RunRecord, report: FinalReport) -> None:
    draft.put_run(replace(run, outcome=RunOutcome.DONE, exit_code=0))
    traits = TRAITS[run.step]
    record = draft.record
    draft.change(
        step=next_step(run.step),
        step_attempt=1,
        lost_runs=0,
        next_attempt_at=None,
        error=None,
        storyboard_sha256=report.storyboard_sha256 or record.storyboard_sha256,
        film=_film(record, report.film) if report.film else record.film,
    )
    kept = f"; {_kept_message(run.step, report)}" if report.kept and report.kept_usd else ""
    draft.move(traits.ready, f"{count(report.total, traits.item_name)} done{kept}")
    if run.step is Step.VIDEO_ASSEMBLY:
        show_for_review(draft, Gate.FINAL)
    draft.again = True


def _show_storyboard(draft: Draft, run: RunRecord, report: FinalReport) -> None:
    """The storyboard is written: a person looks at it before the first image is paid."""
    draft.put_run(replace(run, outcome=RunOutcome.DONE, exit_code=0))
    draft.change(
        step_attempt=1,
        lost_runs=0,
        next_attempt_at=None,
        error=None,
        storyboard_sha256=report.storyboard_sha256,
    )
    show_for_review(draft, Gate.STORYBOARD)
    draft.again = True


def _count_items(draft: Draft, step: Step, report: FinalReport) -> None:
    traits = TRAITS[step]
    if traits.metadata_done and traits.metadata_total and report.total:
        counts = {traits.metadata_done: report.done, traits.metadata_total: report.total}
        draft.change(step_completion_metadata={**draft.record.step_completion_metadata, **counts})


def show_for_review(draft: Draft, gate: Gate) -> None:
    """Put a gate on show, in a round of its own; decisions of earlier rounds no longer count."""
    draft.change(review_gate=gate, review_round=draft.record.review_round + 1, review_required_at=draft.now)
    words = f"{_SHOWN[gate]} ready for review, round {draft.record.review_round}"
    draft.wait("AwaitingApproval", f"{words}: look, then approve by the command in status.review")
    draft.tell("AwaitingApproval", words)


_SHOWN: Final = {
    Gate.STORYBOARD: "the storyboard is",
    Gate.ASSETS: "the images are",
    Gate.VIDEO: "the clips are",
    Gate.NARRATION: "the narrations are",
    Gate.FINAL: "the film is",
}


def _film(record: TaskRecord, film: Film) -> FilmStatus:
    return FilmStatus(
        path=f"{task_folder(name=record.name, uid=record.uid)}/{film.path or FILM}",
        duration_seconds=f"{film.duration_seconds:.3f}",
        size_bytes=film.size_bytes,
        sha256=film.sha256,
    )


def count(number: int, noun: str) -> str:
    """Return "1 image" or "22 images"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _kept_message(step: Step, report: FinalReport) -> str:
    return f"{count(report.kept, TRAITS[step].item_name)} kept, {report.kept_usd:.2f} dollars not paid again"
