"""A step's program as the operator sees it from outside: it starts, asks, pays, finishes items and reports."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tests.unit.reconciler.histories.laws import Law, hold
from tests.unit.reconciler.histories.reached import Fault
from tests.unit.reconciler.histories.world import ZERO, Pod, World, items_of

from videotask_contract.errors import FailureClass
from videotask_contract.exits import ExitCode
from videotask_contract.report import Directive, Failure, Film, FinalReport
from videotask_contract.steps import TRAITS, Step

_SAID = tuple(
    failure
    for failure in FailureClass
    if failure not in {FailureClass.OVER_BUDGET, FailureClass.NOT_PERMITTED, FailureClass.LOST}
)
"""Classes a step may end with of its own; the others have causes that the world knows."""
_SAID_OFTEN = (FailureClass.BAD_INPUT, FailureClass.REFUSED, FailureClass.PERMANENT)
"""They lead to the steps' error phases."""
_SELDOM_AT_WORK = frozenset({Step.NARRATION_GENERATION, Step.SFX_GENERATION})
"""Steps that few storms find at work."""
_RETRY_AFTER = {FailureClass.RATE_LIMITED: (None, 50.0), FailureClass.DAILY_QUOTA: (None, 40_000.0)}


async def act(world: World, pod: Pod) -> None:
    """Let one act of the pod happen."""
    if not pod.lives:
        await _speak_after_death(world, pod)
    elif pod.seen.deleting and world.chance(0.7):
        return  # a call in flight may take most of the grace time
    elif pod.seen.deleting and (pod.todo is None or world.chance(0.3)):
        world.end_pod(pod, 137)
    elif not pod.seen.running:
        if pod.seen.waiting_reason is None or not world.chance(0.7):
            pod.seen = replace(pod.seen, running=True, waiting_reason=None, waiting_message=None)
    elif pod.todo is None:
        await _ask_permit(world, pod)
    else:
        await _work(world, pod)


async def _speak_after_death(world: World, pod: Pod) -> None:
    """Send a report again, or for the first time, after the pod has ended."""
    if pod.report is not None and world.chance(0.1):
        run = world.store._state.runs.get(pod.order.run_id)
        is_late = run is not None and not run.is_open
        world.reached.faults[Fault.REPORT_LATE if is_late else Fault.REPORT_AGAIN] += 1
        await world.operator.post(pod, "final", pod.report)


async def _ask_permit(world: World, pod: Pod) -> None:
    if world.chance(0.02):
        failure = Failure(failure_class=FailureClass.NETWORK, message="because of no start permit in time")
        await _end(world, pod, _early_report(pod, failure))
        return
    status, answer = await world.operator.post(pod, "permit", None)
    if status != 200:
        return
    match Directive(answer["directive"]):
        case Directive.STOP:
            if world.strikes(Fault.REPORT_OF_STRANGER, 0.5):
                await world.operator.post(pod, "final", _forged_report(pod))
            failure = Failure(failure_class=FailureClass.NOT_PERMITTED, message="because of no start permit")
            await _end(world, pod, _early_report(pod, failure))
        case Directive.SUSPEND:
            failure = Failure(failure_class=FailureClass.INTERRUPTED, message="because of a suspend")
            await _end(world, pod, _early_report(pod, failure))
        case Directive.CONTINUE:
            _begin(world, pod, Decimal(answer.get("reservationUsd", pod.order.task_file.reservation_usd)))


def _begin(world: World, pod: Pod, reservation_usd: Decimal) -> None:
    pod.reservation_usd = reservation_usd
    pod.todo = []
    at_work = world.pods_at_work(pod.order.task_uid)
    hold(Law.ONE_POD, len(at_work) == 1, lambda: f"at work for {pod.order.key}: {at_work}")
    task, ledger, uid = pod.order.task_file, pod.ledger, pod.order.task_uid
    if task.step is Step.ASSET_GENERATION:
        world.boards[uid] = task.edits
    if task.storyboard_only:
        return
    ledger.redo, ledger.chosen = dict(task.redo), dict(task.takes)
    world.take_up(ledger, pod.order)
    pod.keys = world.keys_wanted(uid, pod.order.step)
    for item, key in pod.keys.items():
        if ledger.has(item, key):
            ledger.current[item] = key
        else:
            pod.todo.append(item)


async def _work(world: World, pod: Pod) -> None:
    if pod.item is not None:
        world.end_call(pod.ledger, pod.order, pod.item)
        pod.item = None
    elif pod.seen.deleting or pod.has_heard_stop:
        await _end_with_report(world, pod, FailureClass.INTERRUPTED)
    elif world.chance(0.3 if pod.order.step in _SELDOM_AT_WORK else 0.14):
        await _end_with_report(world, pod, world.random.choice(_SAID + _SAID_OFTEN))
    elif not pod.todo:
        await _end_with_report(world, pod, None)
        return
    elif TRAITS[pod.order.step].provider is None:
        item = pod.todo.pop(0)
        pod.ledger.keep(item, pod.keys[item])
    elif world.begin_call(pod, pod.todo[0]):
        pod.todo.pop(0)
    else:
        await _end_with_report(world, pod, FailureClass.OVER_BUDGET)
    if pod.works and world.chance(0.4) and not world.strikes(Fault.PROGRESS_UNHEARD, 0.2):
        await _tell_progress(world, pod)


async def _tell_progress(world: World, pod: Pod) -> None:
    body = {
        "runId": pod.order.run_id,
        "done": _done(pod),
        "total": len(items_of(pod.order.step)),
        "spentUsd": str(_spent(pod)),
    }
    if pod.told is not None and world.strikes(Fault.PROGRESS_STALE, 0.1):
        body = pod.told
    pod.told = body
    status, answer = await world.operator.post(pod, "progress", body)
    pod.has_heard_stop |= status == 200 and answer["directive"] != Directive.CONTINUE


def _done(pod: Pod) -> int:
    return sum(pod.ledger.has(item, key) for item, key in pod.keys.items())


def _spent(pod: Pod) -> Decimal:
    return sum((call.amount_usd for call in pod.ledger.calls.values() if call.run_id == pod.order.run_id), ZERO)


async def _end_with_report(world: World, pod: Pod, failure_class: FailureClass | None) -> None:
    retry_after = world.random.choice(_RETRY_AFTER.get(failure_class, (None, None, 90.0)))
    failure = None
    if failure_class is not None:
        message = f"because of {failure_class}"
        if failure_class is FailureClass.OVER_BUDGET:
            message += "; raise spec.budgetUSD, or the channel's spec.budget.perDayUSD"
        failure = Failure(failure_class=failure_class, message=message, retry_after_seconds=retry_after)
    is_last = pod.order.step is Step.VIDEO_ASSEMBLY and failure is None
    film = Film(path="film.mp4", duration_seconds=9, size_bytes=1, sha256="ab", loudness_lufs=-14)
    report = FinalReport(
        run_id=pod.order.run_id,
        step=pod.order.step.value,
        outcome="failed" if failure else "done",
        done=_done(pod),
        total=0 if pod.order.task_file.storyboard_only else len(items_of(pod.order.step)),
        storyboard_sha256="ab" if pod.order.step is Step.ASSET_GENERATION else None,
        spent_usd=_spent(pod),
        failure=failure,
        film=film if is_last else None,
        spend=tuple(pod.ledger.calls.values()),
    )
    await _end(world, pod, report)


def _early_report(pod: Pod, failure: Failure) -> FinalReport:
    """Return the report of a program that opened no ledger."""
    return FinalReport(
        run_id=pod.order.run_id, step=pod.order.step.value, outcome="failed", done=0, total=0, failure=failure, cut=True
    )


def _forged_report(pod: Pod) -> FinalReport:
    """Return what a pod without the start permit has no right to say."""
    items = len(items_of(pod.order.step))
    return FinalReport(
        run_id=pod.order.run_id, step=pod.order.step.value, outcome="done", done=items, total=items, cut=True
    )


async def _end(world: World, pod: Pod, report: FinalReport) -> None:
    """Leave the last word: as termination message, over the wire, or not at all."""
    failure_class = report.failure.failure_class if report.failure else None
    code = failure_class.exit_code if failure_class else ExitCode.DONE
    pod.report = report
    if world.strikes(Fault.REPORT_MISSING, 0.05):
        world.end_pod(pod, int(code))
        return
    message = report
    if report.spend and world.strikes(Fault.REPORT_CUT, 0.3):
        message = report.model_copy(update={"spend": (), "cut": True})
    is_sent = failure_class is not FailureClass.NOT_PERMITTED and not world.strikes(Fault.REPORT_UNHEARD, 0.3)
    text = None if is_sent and world.chance(0.3) else message.model_dump_json(by_alias=True, exclude_none=True)
    if is_sent:
        await world.operator.post(pod, "final", report)
    world.end_pod(pod, int(code), message=text)
