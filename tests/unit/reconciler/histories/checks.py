"""Holds each transaction, and each history as a whole, to the laws; recomputes what it can from the world itself."""

# ruff: noqa: B023  the words of a broken law are made at once or never

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

from tests.unit.reconciler.histories.laws import Law, hold
from tests.unit.reconciler.histories.world import CHANNEL_CAP, FLEET_CAP, ZERO, World, lasting_name

from videotask_contract.changes import ALL_ITEMS
from videotask_contract.errors import FailureClass
from videotask_contract.phases import ERRORS, STOPPED, TERMINAL, Phase, is_legal
from videotask_contract.resources import ChannelState, Decision
from videotask_contract.steps import Step
from videotask_operator.core.model import RunOutcome, RunRecord, TaskRecord

_WAITS_FOR_PEOPLE = {Phase.QUEUED, Phase.FINAL_REVIEW, Phase.APPROVED}
_PLACE_HOLDING = frozenset(Phase) - STOPPED - _WAITS_FOR_PEOPLE
_LAID_DOWN = {
    "AwaitingApproval",
    "ChannelBlocked",
    "ChannelInvalid",
    "ChannelNotFound",
    "ChannelPaused",
    "FleetPaused",
    "InvalidChange",
    "InvalidSpec",
    "NarrationTooLong",
    "NoPrice",
    "PodNeverStarted",
    "RedoRefused",
    "Rejected",
    "RetryLater",
    "TakeHeld",
    "WaitingForTurn",
}
"""Waiting reasons of a film that has given its place back."""
_MINUTES = (1, 5, 15, 60)
_PATIENCE_WITH_PODS = timedelta(minutes=5)
_NO_ATTEMPT = {FailureClass.LOST, FailureClass.INTERRUPTED, FailureClass.NOT_PERMITTED}
_FREE_LOSSES = 5
_ERROR_AT_ONCE = {FailureClass.BAD_INPUT, FailureClass.REFUSED, FailureClass.PERMANENT, FailureClass.ACCOUNT}


def check_transaction(world: World, before, after) -> None:
    """Hold what one transaction changed to the laws that know no exception."""
    closing = _check_runs(world, before, after)
    changed = [task for uid, task in after.tasks.items() if before.tasks.get(uid) is not task]
    for task in changed:
        uid, known = task.uid, before.tasks.get(task.uid)
        if known != task:
            is_due = task.review_gate is not None or task.next_attempt_at is not None
            hold(Law.ENDED, task.phase not in TERMINAL or not is_due, lambda: f"{task.key} is over and asks for more")
            _check_history(world, before, after, task, known)
            if known is not None:
                _check_words(world, known, task)
                _check_attempt(world, known, task, closing.get(uid), _of_its_step(after, closing.get(uid)))
            if task.waiting_reason is not None and (known is None or known.waiting_reason != task.waiting_reason):
                world.reached.reasons[task.waiting_reason] += 1
    if changed:
        _check_places(after)
    _check_days(world, before, after)


def _check_days(world: World, before, after) -> None:
    """New money counts for the day on which its call was made where the channel is; what is changed keeps its day.

    Only of a film that was never planned by this record, and whose channel no look of this life has shown, nobody can
    know where it is.
    """
    if before.spend == after.spend:
        return
    for name, paid in after.spend.items():
        known = before.spend.get(name)
        if known is paid:
            continue
        channel = world.channel_of[name[0]]
        if known is not None:
            hold(Law.OWN_DAY, paid.day == known.day, lambda: f"{name} went from {known.day} to {paid.day}")
        elif channel in world.operator.channels_known or any(uid == name[0] for uid, _ in after.planned):
            day = world.own_day(channel, paid.call.at)
            hold(Law.OWN_DAY, paid.day == day, lambda: f"{name} of {channel} counts for {paid.day}, not {day}")
    days: dict[tuple[str, str, date], Decimal] = {}
    for (uid, _), paid in after.spend.items():
        day = ("studio", world.channel_of[uid], paid.day)
        days[day] = days.get(day, ZERO) + paid.call.amount_usd
    found = {day: usd for day, usd in after.days.items() if usd}
    hold(Law.OWN_DAY, found == {day: usd for day, usd in days.items() if usd}, lambda: f"{found}, not {days}")


def _check_history(world: World, before, after, task: TaskRecord, known: TaskRecord | None) -> None:
    new = after.history.get(task.uid, ())[len(before.history.get(task.uid, ())) :]
    phase = known.phase if known else None
    for line in new:
        hold(Law.LEGAL, line.before is phase, lambda line=line: f"{line} follows {phase}")
        if phase is not None:
            hold(Law.ENDED, phase not in TERMINAL, lambda line=line: f"{task.key} left {phase}: {line}")
            is_allowed = is_legal(phase, line.after)
            hold(Law.LEGAL, is_allowed, lambda line=line: f"{line.before} -> {line.after} of {task.key}")
            world.reached.transitions[phase, line.after] += 1
        world.reached.phases[line.after] += 1
        phase = line.after
    told = {(line.at, line.before, line.after) for line in after.history.get(task.uid, ())}
    # The clock stands still here: the same step twice in one instant is one line.
    is_told = phase is task.phase or (world.now, phase, task.phase) in told
    hold(Law.LEGAL, is_told, lambda: f"{task.key} went to {task.phase} without a line of history")
    if new and known is not None and task.phase in {Phase.SUSPENDED, Phase.CANCELLED}:
        left = world.pods_at_work(task.uid)
        hold(Law.STOPPED, not left, lambda: f"at work for {task.key}, which is {task.phase}: {left}")


def _check_words(world: World, known: TaskRecord, task: TaskRecord) -> None:
    if known.phase in ERRORS and task.phase in _PLACE_HOLDING:
        is_asked = _is_raised(world, known, task) or _is_changed(known, task)
        hold(Law.WORD, is_asked, lambda: f"{task.key} went on after {known.phase} without a word")
        world.not_before.pop(task.uid, None)
    if task.redo_request not in {None, known.redo_request}:
        _check_redo(world, known, task)
    for gate in task.approved_gates - known.approved_gates:
        word = (task.uid, gate.value, known.review_round, Decision.APPROVED.value)
        hold(Law.WORD, word in world.words, lambda word=word: f"{word} was never said")


def _is_raised(world: World, known: TaskRecord, task: TaskRecord) -> bool:
    return known.attempt < task.attempt <= world.asked_attempt[task.uid]


def _is_changed(known: TaskRecord, task: TaskRecord) -> bool:
    """Tell whether a person's redo, edit or choice of a take was honoured."""
    return any(
        getattr(known, name) != getattr(task, name) for name in ("redo_request", "content_digest", "honoured_takes")
    )


def _check_redo(world: World, known: TaskRecord, task: TaskRecord) -> None:
    """A request is honoured once, for what it names and nothing else."""
    request = (task.uid, task.redo_request)
    hold(Law.REDO, request in world.redo_asked, lambda: f"{request} was never asked for")
    hold(Law.REDO, request not in world.redo_honoured or world.has_lost_database, lambda: f"{request} came twice")
    world.redo_honoured.add(request)
    counts = Counter({(step, item): n for step, items in known.redo_counts.items() for item, n in items.items()})
    for part in world.redo_asked[request].steps:
        counts.update((part.step.value, lasting_name(part.step, item)) for item in part.items or (ALL_ITEMS,))
    found = {(step, item): n for step, items in task.redo_counts.items() for item, n in items.items()}
    hold(Law.REDO, found == counts, lambda: f"{request}: {found}, not {counts}")


def _of_its_step(after, closed: RunRecord | None) -> list[RunRecord]:
    """Return the runs of the step before this one, in their order."""
    if closed is None:
        return []
    same = (run for run in after.runs.values() if (run.task_uid, run.step) == (closed.task_uid, closed.step))
    return sorted((run for run in same if run.number < closed.number), key=lambda run: run.number)


def _check_attempt(
    world: World, known: TaskRecord, task: TaskRecord, closed: RunRecord | None, earlier: list[RunRecord]
) -> None:
    counted = 1 if closed and _is_further_under_a_limit(known, closed, earlier) else known.step_attempt
    # A run that closed without a failure never had its pod start: what it waits for is another place, not an attempt.
    waits_anew = bool(closed and closed.failure_class) and task.next_attempt_at not in {None, known.next_attempt_at}
    if task.step_attempt > known.step_attempt or waits_anew:
        failure = closed.failure_class if closed else None
        found_attempt = (known.step_attempt, task.step_attempt)
        hold(Law.ATTEMPT, task.step_attempt == counted + 1, lambda: f"{task.key}: {failure}: {found_attempt}")
        is_due = failure not in _NO_ATTEMPT or known.lost_runs >= _FREE_LOSSES
        hold(Law.ATTEMPT, failure is not None and is_due, lambda: f"{task.key}: {failure} consumed an attempt")
        hold(Law.ATTEMPT, failure not in _ERROR_AT_ONCE, lambda: f"{task.key}: {failure} is tried again by itself")
        wait = _scheduled_wait(closed, counted, earlier)
        found = task.next_attempt_at
        hold(Law.SCHEDULE, found == world.now + wait, lambda: f"{task.key}: {failure}: {found}, not in {wait}")
    if task.lost_runs > known.lost_runs:
        failure = closed.failure_class if closed else None
        hold(Law.ATTEMPT, failure in _NO_ATTEMPT, lambda: f"{task.key}: {failure} counted as a lost run")
    if task.phase in ERRORS and known.phase not in ERRORS | {Phase.SUSPENDED}:
        failure = closed.failure_class if closed else None
        is_due = failure in _ERROR_AT_ONCE or counted > len(_MINUTES)
        hold(Law.ATTEMPT, is_due, lambda: f"{task.key}: {failure} ended in error at attempt {known.step_attempt}")
    if task.next_attempt_at is None and (_is_raised(world, known, task) or _is_changed(known, task)):
        world.not_before.pop(task.uid, None)
    if task.next_attempt_at is not None and task.next_attempt_at != known.next_attempt_at:
        world.not_before[task.uid] = task.next_attempt_at


def _is_further_under_a_limit(known: TaskRecord, closed: RunRecord, earlier: list[RunRecord]) -> bool:
    """Tell whether a limit stopped this run with more done than any before it, since a person last changed the step."""
    if closed.failure_class not in {FailureClass.RATE_LIMITED, FailureClass.DAILY_QUOTA}:
        return False
    mark = known.change_marks.get(closed.step.value, {"run": 0, "left": 0})
    most = mark["left"]
    for run in earlier:
        if run.number > mark["run"]:
            # One that gave up for want of money has counted what must be made again.
            is_recount = run.failure_class is FailureClass.OVER_BUDGET and run.ledger_read
            most = run.done if is_recount else max(most, run.done)
    return closed.done > most


def _scheduled_wait(closed: RunRecord, attempt: int, earlier: list[RunRecord]) -> timedelta:
    asked = closed.retry_after_seconds
    match closed.failure_class:
        case FailureClass.NETWORK:
            return timedelta(minutes=1)
        case FailureClass.RATE_LIMITED if attempt > 1 and earlier and earlier[-1].failure_class is closed.failure_class:
            return max(timedelta(minutes=5), timedelta(seconds=asked or 0))
        case FailureClass.RATE_LIMITED | FailureClass.DAILY_QUOTA:
            return timedelta(minutes=5) if asked is None else timedelta(seconds=asked)
        case _:
            return max(timedelta(minutes=_MINUTES[attempt - 1]), timedelta(seconds=asked or 0))


def _check_runs(world: World, before, after) -> dict[str, RunRecord]:
    """Check what changed about runs; return those that closed, by task."""
    closing: dict[str, RunRecord] = {}
    if before.runs == after.runs:
        return closing
    changed = False
    for run_id, run in after.runs.items():
        known = before.runs.get(run_id)
        if known is run:
            continue
        changed = True
        if known is None:
            _check_opening(world, before, after, run)
        elif not known.is_open:
            same = (run.closed_at, run.outcome, run.failure_class) == (
                known.closed_at,
                known.outcome,
                known.failure_class,
            )
            hold(Law.CLOSED, same, lambda run=run: f"run {run.number} was changed after it had closed")
        elif not run.is_open:
            _check_closing(world, run)
            closing[run.task_uid] = run
    if changed:
        _check_open_runs(world, after)
    return closing


def _check_opening(world: World, before, after, run: RunRecord) -> None:
    earlier = [other for other in before.runs.values() if other.task_uid == run.task_uid]
    hold(Law.ONE_RUN, run.number > max([other.number for other in earlier], default=0), "its number is no new one")
    task = before.tasks[run.task_uid]
    due = world.not_before.pop(run.task_uid, None)
    is_time = due is None or world.now >= due or _is_raised(world, task, after.tasks[run.task_uid])
    hold(Law.NOT_BEFORE, is_time, lambda: f"{task.key} ran at {world.now}, due at {due}")
    lost = world.attempt_at_loss.get(run.task_uid)
    hold(Law.WORD, lost is None or world.asked_attempt[run.task_uid] > lost, lambda: f"{task.key} ran without a record")
    hold(Law.WORD, task.phase not in TERMINAL, lambda: f"{task.key} is over")
    seen = world.operator.channels_seen.get((task.namespace, task.channel))
    is_paused = world.operator.fleet_paused or (seen and seen.spec and seen.spec.state is ChannelState.PAUSED)
    hold(Law.WORD, not is_paused, lambda: f"{task.key} ran although its channel or the fleet is paused")


def _check_closing(world: World, run: RunRecord) -> None:
    if run.failure_class is not None:
        world.reached.failures[run.failure_class] += 1
    if run.outcome is not None:
        world.reached.outcomes[run.outcome] += 1
    may_have_paid = run.permitted_at is not None or run.spent_usd > 0
    hold(
        Law.MONEY, run.ledger_read or may_have_paid, lambda: f"run {run.number} never began and keeps what it reserved"
    )
    if run.outcome is RunOutcome.DONE:
        is_done = run.storyboard_only or world.is_made(run.task_uid, run.step)
        hold(Law.PROOF, is_done, lambda: f"{run.step} counts as done and is not")
    left = [pod.seen.name for pod in world.pods.values() if pod.works and pod.order.run_id == run.run_id]
    hold(Law.CLOSED, not left, lambda: f"run {run.number} ({run.step}) closed as {run.outcome} while {left} works")


def _check_open_runs(world: World, after) -> None:
    open_runs = [run for run in after.runs.values() if run.is_open]
    per_task = Counter(run.task_uid for run in open_runs)
    hold(Law.ONE_RUN, all(count == 1 for count in per_task.values()), per_task)
    slots: Counter[str] = Counter()
    for run in open_runs:
        # One whose pod did not begin for so long makes no calls, and asks anew before its first.
        counts = run.permitted_at is not None or world.now - run.opened_at <= _PATIENCE_WITH_PODS
        if counts and run.account is not None and world.channel_of[run.task_uid] == "dunes":
            slots[run.account] += run.concurrency
    hold(Law.SLOTS, all(count <= 2 for count in slots.values()), slots)


def _check_places(after) -> None:
    holding = [
        task for task in after.tasks.values() if task.phase in _PLACE_HOLDING and task.waiting_reason not in _LAID_DOWN
    ]
    hold(Law.PLACES, len(holding) <= FLEET_CAP, lambda: [f"{task.name} {task.phase}" for task in holding])
    for name, count in Counter(task.channel for task in holding).items():
        hold(Law.PLACES, count <= CHANNEL_CAP, lambda name=name, count=count: f"{name} holds {count} places")


def check_waiting(world: World) -> None:
    """Nobody waits for a place, or was given one, who is over: no look would ever give it back."""
    reconciler, tasks = world.operator.reconciler, world.store._state.tasks
    for uid in reconciler._admitted | set(reconciler._admissible):
        task = tasks.get(uid)
        lives = task is not None and task.phase not in TERMINAL and not task.resource_gone
        hold(Law.PLACES, lives, lambda: f"{task and task.name} {uid} waits for a place and is over")


# --- the whole ----------------------------------------------------------------------------------------------------


def check_whole(world: World) -> None:
    """Hold the record as a whole to the world: money, and films that are over."""
    state = world.store._state
    spent: dict[tuple[str, Step], Decimal] = {}
    for (uid, _), paid in state.spend.items():
        spent[uid, paid.step] = spent.get((uid, paid.step), ZERO) + paid.call.amount_usd
    last: dict[tuple[str, Step], RunRecord] = {}
    unread = set()
    for run in state.runs.values():
        last[run.task_uid, run.step] = run
        if not run.ledger_read:
            unread.add((run.task_uid, run.step))
    for place, run in last.items():
        if run.outcome is RunOutcome.DONE and place not in unread:
            charged = sum((call.amount_usd for call in world.ledger(*place).calls.values()), ZERO)
            found = spent.get(place, ZERO)
            hold(Law.MONEY, found == charged, lambda place=place: f"{place}: {found} recorded, {charged} on the bill")
            owed = sum((world.bill.get(call_id, ZERO) for call_id in world.ledger(*place).calls), ZERO)
            hold(Law.MONEY, owed <= found, lambda place=place: f"{place}: {owed} was charged and {found} is recorded")
    for uid, task in state.tasks.items():
        of_task = sum((usd for (other, _), usd in spent.items() if other == uid), ZERO)
        hold(Law.MONEY, task.pipeline_cost_usd == of_task, lambda task=task: f"{task.key}: its cost is not its calls'")
        if task.phase is Phase.COMPLETED and uid not in world.imported:
            for step in Step:
                is_done = world.is_made(uid, step) and world.is_as_recorded(uid, step)
                hold(Law.PROOF, is_done, lambda task=task, step=step: f"{task.key} is completed without {step}")
    for (uid, step), ledger in world.volume.items():
        _check_bill(world, uid, step, ledger)


def _check_bill(world: World, uid: str, step: Step, ledger) -> None:
    """Each item is charged once, or once more for each call whose outcome was not known."""
    sure: Counter[tuple[str, int]] = Counter()
    for call in ledger.calls.values():
        if call.certainty.value == "settled" and call.call_id in world.bill:
            sure[call.item, ledger.keys[call.call_id]] += 1
    hold(Law.ONCE, all(count == 1 for count in sure.values()), lambda: f"{step} of {uid}: {sure}")
