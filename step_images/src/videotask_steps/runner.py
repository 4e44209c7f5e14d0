"""Runs one step from its first moment to its last word; it must always end with a report and its exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import structlog
from pydantic import ValidationError

from videotask_contract import VERSION
from videotask_contract.errors import BadInputError, VideoTaskError
from videotask_contract.exits import ExitCode
from videotask_contract.report import Failure, FinalReport, Progress, to_termination_message
from videotask_contract.steps import TRAITS, Provider, Step
from videotask_contract.task_file import (
    VARIABLE_TASK_FILE,
    VARIABLE_TERMINATION_LOG,
    VARIABLE_TOKEN_FILE,
    VARIABLE_VOLUME,
    TaskFile,
)
from videotask_steps import early_stop
from videotask_steps.context import Limits, StepContext, Work
from videotask_steps.final_report import build_early_report, build_final_report, failure_of
from videotask_steps.ledger import Ledger
from videotask_steps.logs import bind_run, configure_logs
from videotask_steps.progress import ProgressTracker
from videotask_steps.reporter import Reporter, progress_reports
from videotask_steps.stop_sign import StopSign

_log: Final = structlog.stdlib.get_logger(__name__)

DEFAULT_TASK_FILE: Final = "/task/task.json"
DEFAULT_VOLUME: Final = "/volume"
DEFAULT_TERMINATION_LOG: Final = "/dev/termination-log"

_EXIT_MEANINGS: Final = {
    ExitCode.DONE: "every item is made, or kept from an earlier run",
    ExitCode.PERMANENT: "the same call would fail the same way: safety block, 4xx, missing file",
    ExitCode.TRANSIENT: "time may heal it: network, 5xx, unusable media",
    ExitCode.RATE_LIMITED: "the provider asks to wait",
    ExitCode.OUTCOME_UNKNOWN: "a call may have been charged; look before doing it again",
    ExitCode.OVER_BUDGET: "the next call would pass the reservation",
    ExitCode.BAD_INPUT: "the task's own data is wrong",
    ExitCode.NOT_PERMITTED: "another pod holds the start permit, or the run is closed",
    ExitCode.INTERRUPTED: "told to stop: SIGTERM, suspend, cancel",
    ExitCode.ACCOUNT: "the provider refused the account: dead or missing key, arrears, exhausted pack",
}


def main(step: Step, work: Work, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the step and exit with the code that says how it ended."""
    _parser(step).parse_args(arguments)
    early_stop.install()
    configure_logs()
    sys.exit(asyncio.run(_run(step, work)))


async def _run(step: Step, work: Work) -> ExitCode:
    stopping = StopSign()
    _hear_signals(stopping)
    path = Path(os.environ.get(VARIABLE_TASK_FILE, DEFAULT_TASK_FILE))
    try:
        task = _load_task(path, step)
    except VideoTaskError as error:
        return _end(build_early_report(run_id="", step=step, failure=failure_of(error)))
    bind_run(task)
    async with Reporter(task) as reporter:
        report = await _run_permitted(step, task, work, reporter, stopping)
        code = _end(report)
        # Without a permit the run may be another pod's, and a word from this one over the wire could end it.
        if code is not ExitCode.NOT_PERMITTED:
            await reporter.send_final(report)
        return code


async def _run_permitted(step: Step, task: TaskFile, work: Work, reporter: Reporter, stopping: StopSign) -> FinalReport:
    limits = Limits(concurrency=task.concurrency, reservation_usd=task.reservation_usd)
    volume = Path(os.environ.get(VARIABLE_VOLUME, DEFAULT_VOLUME))
    try:
        _refuse_foreign_task(step, task)
        limits.apply(await reporter.ask_permit(stopping))
        ledger = await Ledger.open(volume, step, run_id=task.run_id)
    except Exception as error:  # noqa: BLE001  as below: the run must end with a report
        return build_early_report(run_id=task.run_id, step=step, failure=_failure_of(error))
    context = StepContext(
        task=task,
        volume=volume,
        ledger=ledger,
        limits=limits,
        progress=ProgressTracker(),
        stopping=stopping,
    )
    try:
        return await _work(context, work, reporter)
    finally:
        ledger.close()


async def _work(context: StepContext, work: Work, reporter: Reporter) -> FinalReport:
    _log.info("step_started", concurrency=context.limits.concurrency, volume=str(context.volume))
    failure = None
    async with progress_reports(
        reporter,
        changed=context.progress.changed,
        take_progress=lambda: _progress(context),
        obey=context.obey,
    ):
        try:
            context.stopping.raise_if_set()
            await work(context)
        except Exception as error:  # noqa: BLE001  whatever it was, the run must end with a report
            failure = _failure_of(error)
    return build_final_report(context, failure)


def _failure_of(error: Exception) -> Failure:
    if not isinstance(error, VideoTaskError):
        _log.error("step_crashed", exc_info=error)
    return failure_of(error)


def _progress(context: StepContext) -> Progress:
    progress, ledger, run_id = context.progress, context.ledger, context.task.run_id
    return Progress(
        run_id=run_id,
        done=progress.done,
        total=progress.total,
        kept=progress.kept,
        spent_usd=ledger.spent_usd(run_id) - ledger.possibly_usd(run_id),
        message=progress.message,
        concurrency=context.limits.concurrency,
        in_flight=context.in_flight,
    )


def _end(report: FinalReport) -> ExitCode:
    """Leave the report where Kubernetes reads it, say it in the log, and return the exit code."""
    path = Path(os.environ.get(VARIABLE_TERMINATION_LOG, DEFAULT_TERMINATION_LOG))
    try:
        path.write_text(to_termination_message(report), encoding="utf-8")
    except OSError as error:
        _log.warning("termination_message_not_written", path=str(path), error=error.strerror)
    counts = {"done": report.done, "total": report.total, "kept": report.kept, "spent_usd": str(report.spent_usd)}
    failure = report.failure
    if failure is None:
        _log.info("step_done", **counts)
        return ExitCode.DONE
    _log.error(
        "step_failed",
        failure_class=failure.failure_class.value,
        is_transient=failure.failure_class.is_transient,
        message=failure.message,
        provider_code=failure.provider_code,
        **counts,
    )
    return failure.failure_class.exit_code


def _load_task(path: Path, step: Step) -> TaskFile:
    try:
        return TaskFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}; {step.value} needs its task.json") from error
    except ValidationError as error:
        raise BadInputError(f"{path} is no valid task.json: {_first_problem(error)}") from error


def _refuse_foreign_task(step: Step, task: TaskFile) -> None:
    if task.step is not step:
        raise BadInputError(
            f"this image makes {step.value} and its task.json is for {task.step.value}; "
            "give each step the image of its own name",
        )


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "document"
    return f"{field}: {first['msg']}"


def _hear_signals(stopping: StopSign) -> None:
    loop = asyncio.get_running_loop()
    for number in early_stop.SIGNALS:
        loop.add_signal_handler(number, stopping.ask, f"{number.name} was received")
    if early_stop.requested():
        stopping.ask("SIGTERM was received")


def _parser(step: Step) -> argparse.ArgumentParser:
    traits = TRAITS[step]
    parser = argparse.ArgumentParser(
        prog=f"videotask_steps.steps.{step.value}",
        description=f"Makes a film's {step.value} as one run of one VideoTask; the operator starts it as a Job.",
        epilog=_epilog(traits.provider),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{step.value} {VERSION}")
    return parser


def _epilog(provider: Provider | None) -> str:
    variables = {
        VARIABLE_TASK_FILE: f"path of task.json (default {DEFAULT_TASK_FILE})",
        VARIABLE_VOLUME: f"the task's own folder on the channel's volume (default {DEFAULT_VOLUME})",
        VARIABLE_TOKEN_FILE: "projected token for the report endpoint; none is sent when unset",
        VARIABLE_TERMINATION_LOG: f"where the last report is left (default {DEFAULT_TERMINATION_LOG})",
    }
    if provider is not None:
        variables[provider.key_variable] = f"key of the {provider.value} account; required"
    width = max(map(len, variables)) + 2
    lines = ["environment:", *(f"  {name:<{width}}{meaning}" for name, meaning in variables.items())]
    lines += ["", "exit codes:", *(f"  {code.value:<4}{_EXIT_MEANINGS[code]}" for code in ExitCode)]
    return "\n".join(lines)
