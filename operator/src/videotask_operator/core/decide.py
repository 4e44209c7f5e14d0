"""The decision for one task: what its record becomes and what is done, from what is seen; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from videotask_contract.errors import FailureClass
from videotask_contract.phases import ERRORS, STOPPED, TABLE, TERMINAL, Phase, phase_of_resource
from videotask_contract.resources import ChannelSpec, DesiredState, Priority, VideoTaskSpec
from videotask_contract.steps import STEPS, TRAITS, Gate, Step
from videotask_operator.core.admission import PLACE_HOLDING, holds_place
from videotask_operator.core.approval import decision_on_show, is_approved, last_round_named, rejection_words
from videotask_operator.core.begun import begin_with, channel_as_begun, others_of_channel, steps_made_anew
from videotask_operator.core.breaker import (
    CHANNEL_BLOCKED,
    becomes_probe,
    claim_hindrance,
    probe_hindrance,
    run_hindrance,
)
from videotask_operator.core.budget import Reservation, decide_reservation
from videotask_operator.core.changes import (
    PENDING,
    content_digest,
    edited,
    finished_items,
    is_changed,
    marks_of_first_run,
    refuse_change_of_final,
    refuse_content,
    take_up_change,
    takes_of,
    tell_of_pending_change,
    told_redo_counts,
    told_redo_requests,
    unmade,
)
from videotask_operator.core.draft import Draft
from videotask_operator.core.estimate import StepEstimate, estimate_by_step, estimate_storyboard, total_usd
from videotask_operator.core.model import (
    Claim,
    CreateRun,
    DeleteRun,
    EarlierFilms,
    Plan,
    RunOutcome,
    RunRecord,
    TaskRecord,
    TaskResource,
    Transition,
)
from videotask_operator.core.order import account_name, build_order, job_name, most_at_once, number_of_job, slot_limit
from videotask_operator.core.pause import pause_hindrance
from videotask_operator.core.settle import POD_NEVER_STARTED, count, show_for_review, wait_for_retry
from videotask_operator.core.situation import Rules, Situation
from videotask_operator.core.slots import decide_grant
from videotask_operator.core.watch_run import POD_CANNOT_START, UNREACHABLE, end_run, watch_run

_LOOK_AGAIN_SECONDS = 30
_LOOK_FOR_LAST_POD_SECONDS = 2
_STEPS_WORDS = 220
"""Of a step's own message, where the command that mends it must stand beside it in a status of 500 characters."""
INVALID_SPEC_PENDING = "InvalidSpecPending"
"""Reason of a film whose run goes on although its spec was broken meanwhile: it keeps its place of the fleet."""
_SUSPENDED = "a person suspended it; set spec.state to Running to go on"
_RECORD_LOST = "its record was lost"


def decide(situation: Situation) -> Plan | None:
    """Return what one look at a task leads to; None when there is nothing to record."""
    task = situation.observed.task
    if situation.record is None:
        return None if task is None or task.deleting else _begin(situation, task)
    draft = Draft(
        record=situation.record,
        runs={run.run_id: run for run in situation.runs},
        now=situation.now,
    )
    _end_unknown_jobs(draft, situation)
    if task is None or task.deleting or task.uid != situation.record.uid:
        _retire(draft, situation)
    elif situation.record.phase not in TERMINAL:
        _advance(draft, situation, task)
    elif draft.open_run is not None:
        end_run(draft, draft.open_run, observed=situation.observed)
    elif task.spec is not None:
        refuse_change_of_final(draft, task.spec)
    return draft.plan()


# --- beginning and end ------------------------------------------------------------------------------------------


def _begin(situation: Situation, task: TaskResource) -> Plan:
    """Make the record of a resource that has none; a status from before a lost database is imported, never rerun."""
    phase, message = _imported_phase(task)
    spec = task.spec
    is_new = phase is Phase.QUEUED
    channel = spec.channel_ref.name if spec else ""
    record = TaskRecord(
        uid=task.uid,
        namespace=task.key.namespace,
        name=task.key.name,
        channel=channel,
        title=spec.title if spec else task.key.name,
        phase=phase,
        priority=spec.priority if spec else Priority.NORMAL,
        attempt=spec.attempt if spec else 1,
        correlation_id=situation.fresh_id,
        queued_at=situation.now,
        step=Step.ASSET_GENERATION,
        resume_phase=Phase.QUEUED if phase is Phase.SUSPENDED else None,
        message=message,
        # What was honoured before the record was lost is not asked for once more.
        redo_request=None if is_new else task.status.get("redoRequest"),
        redo_requests=frozenset() if is_new else told_redo_requests(task.status),
        redo_counts={} if is_new else told_redo_counts(task.status, spec),
        honoured_takes={} if is_new or spec is None else _chosen_takes(spec),
        waiting_since=situation.now if phase is Phase.SUSPENDED else None,
        review_round=max(_round_shown(task), last_round_named(spec) if spec else 0),
        # A lost record's Jobs may still be there, and a name is never used twice.
        last_run_number=max([0, *_numbers_of_jobs(situation, task.uid)]),
    )
    transition = Transition(before=None, after=phase, at=situation.now, message=message)
    return Plan(record=record, transitions=(transition,), again=True)


def _round_shown(task: TaskResource) -> int:
    """Return the round that the status shows, as a lost record left it."""
    review = task.status.get("review")
    shown = review.get("round") if isinstance(review, Mapping) else None
    return shown if isinstance(shown, int) and shown > 0 else 0


def _numbers_of_jobs(situation: Situation, uid: str) -> list[int]:
    numbers = [number_of_job(job.name, uid=uid) for job in situation.observed.jobs]
    return [number for number in numbers if number is not None]


def _end_unknown_jobs(draft: Draft, situation: Situation) -> None:
    """End Jobs of this task that no record knows: theirs was lost, and nothing may be paid for that nobody counts."""
    for job in situation.observed.jobs:
        is_ours = number_of_job(job.name, uid=draft.record.uid) is not None
        if is_ours and job.run_id not in draft.runs and not job.deleting:
            draft.actions.append(DeleteRun(job_name=job.name))


def _waits_for_unknown_pods(draft: Draft, situation: Situation) -> bool:
    """Wait while a pod of a lost record works in the task's folder; its Job, which nobody knows, is ended already."""
    unknown = [pod for pod in situation.observed.pods if pod.run_id not in draft.runs and not pod.finished]
    is_found = any(number_of_job(pod.job_name, uid=draft.record.uid) is not None for pod in unknown)
    if is_found:
        draft.look_again(draft.now + timedelta(seconds=_LOOK_FOR_LAST_POD_SECONDS))
    return is_found


def _chosen_takes(spec: VideoTaskSpec) -> dict[str, dict[str, int]]:
    return {step.value: chosen for step in Step if (chosen := takes_of(spec, step))}


def _imported_phase(task: TaskResource) -> tuple[Phase, str]:
    spelling = task.status.get("phase")
    if not spelling:
        return Phase.QUEUED, "waits for its turn"
    try:
        phase = phase_of_resource(spelling)
    except ValueError:
        return Phase.QUEUED, "waits for its turn"
    if phase in TERMINAL:
        return phase, "imported from the resource's status; the record was lost"
    if phase is Phase.QUEUED:
        return phase, "waits for its turn"
    return Phase.SUSPENDED, f"{_RECORD_LOST}; raise spec.attempt to go on: what the ledger holds is not paid again"


def _retire(draft: Draft, situation: Situation) -> None:
    """The resource is gone or re-created: end what runs, then end the record."""
    run = draft.open_run
    if run is not None and not end_run(draft, run, observed=situation.observed):
        return
    if _waits_for_unknown_pods(draft, situation):
        return
    if draft.record.phase not in TERMINAL:
        if draft.record.phase is Phase.APPROVED:
            draft.move(Phase.COMPLETED, "the resource was deleted after its approval")
        else:
            draft.move(Phase.CANCELLED, "the resource was deleted")
        _end_pipeline(draft)
    draft.change(resource_gone=True)


# --- a living task ----------------------------------------------------------------------------------------------


def _advance(draft: Draft, situation: Situation, task: TaskResource) -> None:
    spec = task.spec
    if spec is None:
        _hold_invalid(draft, situation, task)
        return
    _take_over(draft, situation, spec)
    if draft.record.phase is Phase.APPROVED:
        _complete(draft)
        return
    if spec.state is not DesiredState.RUNNING:
        _stop(draft, situation, spec.state)
        return
    if draft.open_run is not None:
        # A word given while the step runs is for this run: it does not skip an error that comes after it.
        draft.change(attempt=max(draft.record.attempt, spec.attempt))
        _watch(draft, situation, draft.open_run)
        if draft.open_run is not None:
            tell_of_pending_change(draft, spec, draft.open_run)
    elif not take_up_change(draft, spec, channel=_films_channel(draft, situation), admitted=situation.admitted):
        _go_on(draft, situation, spec)
    _name_missing_channel(draft, situation, spec)


def _go_on(draft: Draft, situation: Situation, spec: VideoTaskSpec) -> None:
    phase = draft.record.phase
    if phase is Phase.SUSPENDED:
        _resume(draft, spec, admitted=situation.admitted)
    elif phase in ERRORS:
        _retry_after_error(draft, situation, spec, admitted=situation.admitted)
    elif phase is Phase.QUEUED:
        _queue(draft, situation, spec)
    elif draft.record.review_gate is not None:
        _review(draft, spec, admitted=situation.admitted)
    elif _needs_review(draft.record, spec) is not None:
        show_for_review(draft, _needs_review(draft.record, spec) or Gate.FINAL)
    else:
        _open_next_run(draft, situation, spec)


def _name_missing_channel(draft: Draft, situation: Situation, spec: VideoTaskSpec) -> None:
    """Say instead of "waits for its turn" that there is no Channel that could give one."""
    hindrance = _channel_hindrance(situation, spec) if draft.wants_turn else None
    if hindrance is not None:
        reason, message = hindrance
        is_news = situation.record is None or situation.record.waiting_reason != reason
        draft.wait(reason, message, until=draft.now + timedelta(seconds=_LOOK_AGAIN_SECONDS), warn=is_news)


def _hold_invalid(draft: Draft, situation: Situation, task: TaskResource) -> None:
    if draft.record.phase is Phase.APPROVED:
        _complete(draft)
        return
    if task.state in {DesiredState.SUSPENDED, DesiredState.CANCELLED}:
        _stop(draft, situation, task.state)
        return
    if draft.open_run is not None:
        _watch(draft, situation, draft.open_run)
        if draft.open_run is not None:
            _tell_of_broken_spec(draft, draft.open_run, task)
        return
    if draft.record.phase is Phase.SUSPENDED and draft.record.message.startswith(_RECORD_LOST):
        return  # said for as long as it holds: nothing starts by itself because a spec was mended meanwhile
    draft.wait("InvalidSpec", f"the spec breaks the contract: {task.spec_error}", warn=True)


def _tell_of_broken_spec(draft: Draft, run: RunRecord, task: TaskResource) -> None:
    """Say beside a run under way that the spec cannot be followed; whoever holds its pod up is named first."""
    if run.job_created_at is not None and draft.record.waiting_reason not in {None, PENDING, INVALID_SPEC_PENDING}:
        return
    begun = "goes on as it was begun" if run.job_created_at else "begins once it is mended"
    draft.wait(
        INVALID_SPEC_PENDING,
        f"the spec breaks the contract: {task.spec_error}; run {run.number} {begun}. Mend the spec, or set spec.state "
        "to Suspended or Cancelled",
        warn=True,
    )


def _take_over(draft: Draft, situation: Situation, spec: VideoTaskSpec) -> None:
    """Take a valid spec's words into the record."""
    if draft.record.waiting_reason == "InvalidSpec":
        # Its place of the fleet went to another meanwhile.
        reason = "WaitingForTurn" if draft.record.phase in PLACE_HOLDING else None
        reason = "AwaitingApproval" if draft.record.review_gate is not None else reason
        draft.change(waiting_reason=reason, message=draft.record.error or TABLE[draft.record.phase].meaning)
    elif draft.record.waiting_reason == INVALID_SPEC_PENDING:
        draft.change(waiting_reason=None, message=TABLE[draft.record.phase].meaning)
    draft.change(priority=spec.priority, title=spec.title, channel=spec.channel_ref.name)
    if draft.record.review_gate is None:
        # An old backup of the record forgets rounds that people have decided on since.
        draft.change(review_round=max(draft.record.review_round, last_round_named(spec)))
    _estimate(draft, situation, spec)


def _estimate(draft: Draft, situation: Situation, spec: VideoTaskSpec) -> None:
    channel = _channel_spec(situation)
    if draft.record.phase is not Phase.QUEUED or channel is None:
        return
    try:
        estimates = estimate_by_step(edited(spec), channel, situation.rules.prices)
    except KeyError:
        return
    draft.change(estimated_cost_usd=total_usd(estimates).quantize(Decimal("0.0001")))


def _stop(draft: Draft, situation: Situation, wanted: DesiredState) -> None:
    phase = draft.record.phase
    target = Phase.CANCELLED if wanted is DesiredState.CANCELLED else Phase.SUSPENDED
    if phase is target:
        if draft.record.waiting_reason is not None:
            # It was to go on and had no place yet; now it is not.
            draft.change(waiting_reason=None, message=_SUSPENDED)
        spec = situation.observed.task.spec if situation.observed.task else None
        if spec is not None and draft.record.message.startswith(_RECORD_LOST) and spec.attempt > draft.record.attempt:
            # The word that a lost record asks for was given; the other is asked for now.
            draft.change(attempt=spec.attempt, message=_SUSPENDED)
        return
    run = draft.open_run
    if run is not None and not end_run(draft, run, observed=situation.observed):
        if draft.record.waiting_reason != UNREACHABLE:
            draft.change(message=f"{wanted.value}: waits until its pod is gone")
        return
    if _waits_for_unknown_pods(draft, situation):
        return
    if target is Phase.SUSPENDED:
        draft.change(resume_phase=draft.record.phase)
        draft.move(target, _SUSPENDED)
    else:
        draft.move(target, "a person cancelled it")
        _end_pipeline(draft)
    draft.tell(target.resource, draft.record.message)


def _resume(draft: Draft, spec: VideoTaskSpec, *, admitted: bool) -> None:
    record = draft.record
    if record.message.startswith(_RECORD_LOST) and spec.attempt <= record.attempt:
        return
    back = record.resume_phase or Phase.QUEUED
    if back in PLACE_HOLDING and record.review_gate is None and not admitted:
        draft.wait_for_turn()
        return
    if back not in ERRORS:  # there a raised attempt is still to be honoured
        draft.change(attempt=max(record.attempt, spec.attempt))
    # The time of the next attempt stands: a daily quota does not come back because a film was stopped meanwhile.
    draft.change(resume_phase=None)
    draft.move(back, _words_of(record, back))
    if record.review_gate is not None:
        draft.change(waiting_reason="AwaitingApproval")
    draft.tell("Resumed", "goes on where it stopped")
    draft.again = True


def _words_of(record: TaskRecord, back: Phase) -> str:
    """Return the message of a resumed task: what a person was asked for is asked again."""
    if back in ERRORS and record.error:
        return f"{record.error}; mend it, then raise spec.attempt to go on where it stopped"
    if record.review_gate is not None:
        return f"a person decides: {record.review_gate.value} (round {record.review_round})"
    return "resumed"


def _retry_after_error(draft: Draft, situation: Situation, spec: VideoTaskSpec, *, admitted: bool) -> None:
    record = draft.record
    if spec.attempt <= record.attempt or record.step is None:
        return
    tried = probe_hindrance(situation, record)
    if tried is not None:
        draft.wait(CHANNEL_BLOCKED, tried, until=draft.now + timedelta(seconds=_LOOK_AGAIN_SECONDS))
        return
    if not admitted:
        draft.wait_for_turn()
        return
    draft.change(attempt=spec.attempt, step_attempt=1, lost_runs=0, next_attempt_at=None, error=None)
    draft.move(TRAITS[record.step].working, f"attempt {spec.attempt}: goes on where it stopped")
    draft.tell("Retried", draft.record.message)
    draft.again = True


# --- the queue --------------------------------------------------------------------------------------------------


def _queue(draft: Draft, situation: Situation, spec: VideoTaskSpec) -> None:
    hindrance = _hindrance(situation, spec)
    if hindrance is not None:
        reason, message = hindrance
        draft.wait(reason, message, until=draft.now + timedelta(seconds=_LOOK_AGAIN_SECONDS), warn=True)
        return
    if _is_laid_aside(draft, situation, spec):
        return
    if not situation.admitted:
        draft.wait_for_turn()
        return
    draft.change(claimed_at=draft.now, pipeline_start_time=draft.record.pipeline_start_time or draft.now)
    draft.change(attempt=max(draft.record.attempt, spec.attempt))
    draft.move(Phase.CLAIMED, "has its turn")
    draft.tell("Claimed", "has its turn")
    draft.again = True


def _is_laid_aside(draft: Draft, situation: Situation, spec: VideoTaskSpec) -> bool:
    """Wait, without a place of the fleet, while a pause or a refused account keeps anything new from beginning."""
    record, channel = draft.record, _channel_spec(situation)
    found = channel and pause_hindrance(
        namespace=record.namespace, name=record.channel, channel=channel, fleet_paused=situation.rules.fleet_paused
    )
    if not found:
        look = claim_hindrance if record.phase is Phase.QUEUED else run_hindrance
        refused = look(situation, record, spec)
        found = (CHANNEL_BLOCKED, refused) if refused else None
    if found:
        # No event: one pause is not as many events as there are films.
        draft.wait(*found, until=draft.now + timedelta(seconds=_LOOK_AGAIN_SECONDS))
    elif record.phase is not Phase.QUEUED and becomes_probe(situation, record, spec):
        draft.change(attempt=spec.attempt)
    return bool(found)


def _hindrance(situation: Situation, spec: VideoTaskSpec) -> tuple[str, str] | None:
    """Return reason and message of what keeps a queued task from being claimed, whatever the caps say."""
    found = _channel_hindrance(situation, spec)
    if found is not None:
        return found
    earlier = situation.earlier
    if earlier.attempt >= spec.attempt:
        return "EarlierFilm", _words_on_earlier(earlier)
    channel = _channel_spec(situation)
    return _content_hindrance(spec, channel, situation.rules) if channel else None


def _words_on_earlier(earlier: EarlierFilms) -> str:
    """Say what is known of the money; what is not known counts as paid until it is."""
    paid = f"paid {earlier.cost_usd:.2f} dollars"
    if earlier.at_work:
        paid = f"is still at work and {paid} so far"
    elif earlier.unread_usd > 0:
        paid = f"{paid}, and perhaps up to {earlier.unread_usd:.2f} more"
    return (
        f"an earlier VideoTask of this name {paid}; nothing is paid again without a person's word: set spec.attempt "
        f"to {earlier.attempt + 1} to make it anew, or give this task another name"
    )


def _channel_hindrance(situation: Situation, spec: VideoTaskSpec) -> tuple[str, str] | None:
    name = spec.channel_ref.name
    channel = situation.observed.channel
    if channel is None:
        return "ChannelNotFound", f"spec.channelRef.name: there is no Channel {name!r} in this namespace; create it"
    if channel.spec is None:
        return "ChannelInvalid", f"the Channel {name!r} breaks the contract: {channel.spec_error}"
    return None


def _content_hindrance(spec: VideoTaskSpec, channel: ChannelSpec, rules: Rules) -> tuple[str, str] | None:
    try:
        estimate_by_step(spec, channel, rules.prices)
    except KeyError as error:
        return "NoPrice", _no_price(error)
    refusal = refuse_content(spec, channel)
    return (refusal.reason, refusal.message) if refusal else None


def _no_price(error: KeyError) -> str:
    return f"spec.quality: the price table has no entry for {error}; choose another or add its price"


# --- runs -------------------------------------------------------------------------------------------------------


def _watch(draft: Draft, situation: Situation, run: RunRecord) -> None:
    task = situation.observed.task
    if run.stop_requested_at is not None:
        # Asked to stop and then to go on: it ends first, then the step runs again from its ledger.
        if end_run(draft, run, observed=situation.observed):
            draft.again = True
        return
    is_made = run.job_created_at is not None or any(job.run_id == run.run_id for job in situation.observed.jobs)
    if task is not None and task.spec is not None and not is_made and is_changed(draft.record, task.spec):
        # A Job that is made now would be given what the run was not opened for, and nobody would know.
        end_run(draft, run, observed=situation.observed)
        return
    watch_run(
        draft,
        run,
        observed=situation.observed,
        spec=task.spec if task else None,
        channel=_films_channel(draft, situation),
        rules=situation.rules,
        podless_since=situation.podless_since,
    )
    if draft.open_run is None:
        return
    if task is not None and task.spec is not None and not is_made:
        _name_missing_channel_of_job(draft, situation, task.spec)


def _name_missing_channel_of_job(draft: Draft, situation: Situation, spec: VideoTaskSpec) -> None:
    """Say that an open run's Job cannot be made for want of its Channel."""
    hindrance = _channel_hindrance(situation, spec)
    if hindrance is not None:
        # Its run is open, so it keeps its place of the fleet.
        words = f"the step's Job cannot be made: {hindrance[1]}. No attempt is consumed."
        draft.wait(POD_CANNOT_START, words, until=draft.now + timedelta(seconds=_LOOK_AGAIN_SECONDS), warn=True)


def _open_next_run(draft: Draft, situation: Situation, spec: VideoTaskSpec) -> None:
    record = draft.record
    step = record.step
    if step is None or _waits_for_retry(draft, situation, spec):
        return
    record = draft.record
    if _waits_for_unknown_pods(draft, situation):
        draft.change(message="waits until the last pod from before its record was lost is gone")
        return
    hindrance = _channel_hindrance(situation, spec)
    channel = _films_channel(draft, situation)
    if hindrance is not None or channel is None:
        reason, message = hindrance or ("ChannelInvalid", "the Channel cannot be read")
        draft.wait(reason, message, until=draft.now + timedelta(seconds=_LOOK_AGAIN_SECONDS), warn=True)
        return
    if _is_laid_aside(draft, situation, spec):
        return
    try:
        estimate = _estimate_of_run(record, spec, channel, situation.rules, step)
    except KeyError as error:
        draft.wait("NoPrice", _no_price(error), until=draft.now + timedelta(seconds=_LOOK_AGAIN_SECONDS), warn=True)
        return
    finished = _finished_items(draft, spec, channel, step)
    reservation = decide_reservation(
        estimate=estimate,
        finished_items=finished,
        spec=edited(spec),
        channel=channel,
        money=situation.money,
        prices=situation.rules.prices,
        record=record,
    )
    reservation = _unasked_held_back(draft, spec, step, reservation)
    refusal = reservation.refusal or _still_too_little(draft, step, reservation)
    if refusal is not None and not _must_read_ledger(draft, step) and not _may_all_be_there(draft, step):
        _exceed_budget(draft, step, refusal)
        return
    claim = _claim_slots(situation, record, step, items_left=estimate.items - finished)
    concurrency = _granted(situation, channel, step, claim)
    if not holds_place(record.phase, record.waiting_reason) and not situation.admitted:
        draft.wait_for_turn()
    elif concurrency == 0:
        account = account_name(record.namespace, channel, step)
        message = f"waits for a slot of the provider account {account}: all are in use"
        draft.slot_claim = claim
        draft.wait("WaitingForSlot", message, until=draft.now + timedelta(seconds=_LOOK_AGAIN_SECONDS))
    else:
        _open_run(draft, situation, spec, channel, _Terms(estimate, finished, reservation.usd, concurrency))


def _claim_slots(situation: Situation, record: TaskRecord, step: Step, *, items_left: int) -> Claim:
    """Return what a run opened now could use; since when it waits is said by the claim it made before."""
    earlier = [claim.since for claim in situation.slot_claims if claim.claimant == record.uid]
    wanted = min(most_at_once(step, situation.rules), max(items_left, 1))
    return Claim(claimant=record.uid, since=min([*earlier, situation.now]), wanted=wanted)


def _granted(situation: Situation, channel: ChannelSpec, step: Step, mine: Claim) -> int:
    """Return how many items a run opened now may have under way; 0 means that its account has no slot for it."""
    limit = slot_limit(channel, step)
    others = [claim for claim in situation.slot_claims if claim.claimant != mine.claimant]
    return mine.wanted if limit is None else decide_grant(limit, [*others, mine], mine.claimant)


class _Terms:
    """What a run may have: items, dollars, slots."""

    __slots__ = ("concurrency", "estimate", "finished", "reserved_usd")

    def __init__(self, estimate: StepEstimate, finished: int, reserved_usd: Decimal, concurrency: int) -> None:
        self.estimate = estimate
        self.finished = finished
        self.reserved_usd = reserved_usd
        self.concurrency = concurrency


def _open_run(draft: Draft, situation: Situation, spec: VideoTaskSpec, channel: ChannelSpec, terms: _Terms) -> None:
    record = draft.record
    step = record.step or Step.ASSET_GENERATION
    number = record.last_run_number + 1
    run = RunRecord(
        run_id=situation.fresh_id,
        task_uid=record.uid,
        number=number,
        step=step,
        attempt=record.step_attempt,
        job_name=job_name(task=record.name, step=step, number=number, uid=record.uid),
        storyboard_only=_storyboard_first(record, spec, step),
        account=account_name(record.namespace, channel, step),
        concurrency=terms.concurrency,
        opened_at=draft.now,
        done=0 if _storyboard_first(record, spec, step) else terms.finished,
        total=0 if _storyboard_first(record, spec, step) else terms.estimate.items,
        reserved_usd=terms.reserved_usd,
        ledger_read=terms.reserved_usd == 0,
    )
    anew = steps_made_anew(record, draft.runs.values(), spec, channel, of=[step])
    draft.change(
        begun_with=begin_with(record, spec, channel, step, storyboard_only=run.storyboard_only),
        change_marks=unmade(record.change_marks, anew, run=record.last_run_number),
    )
    draft.put_run(run)
    draft.change(last_run_number=number, next_attempt_at=None, attempt=max(record.attempt, spec.attempt))
    if step is Step.ASSET_GENERATION:
        marks = marks_of_first_run(record, spec) if record.content_digest is None else draft.record.change_marks
        draft.change(content_digest=content_digest(spec), change_marks=marks)
    work = "the storyboard" if run.storyboard_only else _work_of(step, terms.estimate)
    draft.move(TRAITS[step].working, f"run {number}: {work}{_as_begun(situation, spec, channel, step)}")
    order = build_order(run=run, record=draft.record, spec=spec, channel=channel, rules=situation.rules)
    draft.actions.append(CreateRun(order=order))


def _as_begun(situation: Situation, spec: VideoTaskSpec, seen: ChannelSpec, step: Step) -> str:
    """Say which settings the Channel has otherwise by now; "" where there are none."""
    channel = _channel_spec(situation)
    others = others_of_channel(spec, seen, channel, step) if channel else ()
    if not others:
        return ""
    return f", with {' and '.join(others)} as begun (what the Channel has now is for a redo of all, or a new film)"


def _work_of(step: Step, estimate: StepEstimate) -> str:
    return "the film" if step is Step.VIDEO_ASSEMBLY else count(estimate.items, TRAITS[step].item_name)


def _waits_for_retry(draft: Draft, situation: Situation, spec: VideoTaskSpec) -> bool:
    record = draft.record
    if record.next_attempt_at is None or draft.now >= record.next_attempt_at:
        return False
    if spec.attempt > record.attempt:
        reason = None if holds_place(record.phase, record.waiting_reason) else "WaitingForTurn"
        draft.change(attempt=spec.attempt, step_attempt=1, lost_runs=0, next_attempt_at=None, waiting_reason=reason)
        draft.tell("Retried", f"attempt {spec.attempt}: goes on at once, at a person's word")
        return False
    if record.waiting_reason == POD_NEVER_STARTED:
        draft.look_again(record.next_attempt_at)  # what it lacks is said already
        return True
    wait_for_retry(draft, max_attempts=situation.rules.retry.max_attempts)
    return True


def _storyboard_first(record: TaskRecord, spec: VideoTaskSpec, step: Step) -> bool:
    """Tell whether a person looks at the storyboard before this step makes its first image."""
    wanted = Gate.STORYBOARD in spec.gates and Gate.STORYBOARD not in record.approved_gates
    return wanted and step is Step.ASSET_GENERATION


def _estimate_of_run(
    record: TaskRecord, spec: VideoTaskSpec, channel: ChannelSpec, rules: Rules, step: Step
) -> StepEstimate:
    if _storyboard_first(record, spec, step):
        return estimate_storyboard(spec, channel, rules.prices)
    return estimate_by_step(edited(spec), channel, rules.prices)[step]


def _finished_items(draft: Draft, spec: VideoTaskSpec, channel: ChannelSpec, step: Step) -> int:
    if _storyboard_first(draft.record, spec, step):
        return 0 if draft.record.storyboard_sha256 is None else 1
    if step in steps_made_anew(draft.record, draft.runs.values(), spec, channel, of=[step]):
        return 0
    return finished_items(draft.record, draft.runs.values(), step)


def _may_all_be_there(draft: Draft, step: Step) -> bool:
    """Tell whether a run without money is of use: the step was done and runs again, perhaps to keep all it has.

    If something is to be paid after all it says so, and the step is no longer done.
    """
    runs = [run for run in draft.runs.values() if run.step is step and not run.storyboard_only]
    return bool(runs) and runs[-1].outcome is RunOutcome.DONE


def _must_read_ledger(draft: Draft, step: Step) -> bool:
    """Tell whether a run without money is of use: it makes nothing, and its report frees what killed runs hold.

    One such run after another would tell no more than the first.
    """
    runs = [run for run in draft.runs.values() if run.step is step]
    return any(not run.ledger_read for run in runs) and runs[-1].reserved_usd > 0


def _unasked_held_back(draft: Draft, spec: VideoTaskSpec, step: Step, offered: Reservation) -> Reservation:
    """Refuse to make again what a step that was done does not find any more, until a person says so.

    Whoever asked for one new clip was told that the others are kept. A step that was never done makes what it lacks.
    """
    last = next((run for run in reversed(draft.runs.values()) if run.step is step), None)
    if last is None or last.failure_class is not FailureClass.OVER_BUDGET or last.storyboard_only:
        return offered
    is_asked = spec.attempt > draft.record.attempt or offered.usd <= last.reserved_usd
    if is_asked or draft.record.change_marks.get(step.value, {}).get("run", 0) >= last.number:
        return offered
    earlier = [run for run in draft.runs.values() if run.number < last.number]
    was_done = any(run.step is step and run.outcome is RunOutcome.DONE and not run.storyboard_only for run in earlier)
    expected = finished_items(draft.record, earlier, step)
    if not was_done or last.done >= expected:
        return offered
    noun = TRAITS[step].item_name
    words = (
        f"run {last.number} was to find {count(expected, noun)} made already and has {last.done}; it had "
        f"{last.reserved_usd:.4f} dollars, and making the rest may cost up to {offered.usd:.4f}. Nothing more is paid "
        f"without a person's word: look at what became of them, then set spec.attempt to {draft.record.attempt + 1}"
    )
    return Reservation(usd=Decimal(0), refusal=words, advice=offered.advice)


def _still_too_little(draft: Draft, step: Step, offered: Reservation) -> str | None:
    """Return why a step that gave up for want of money stays so: it would be offered no more than it had left.

    One that made something goes on with what its calls under way had reserved and did not need: each run makes more.
    """
    last = next((run for run in reversed(draft.runs.values()) if run.step is step), None)
    if last is None or last.failure_class is not FailureClass.OVER_BUDGET or last.done > last.kept:
        return None
    left = last.reserved_usd - last.spent_usd
    why = (last.failure_message or "")[:_STEPS_WORDS]
    return f"{why}; {offered.advice}" if offered.usd <= left else None


def _exceed_budget(draft: Draft, step: Step, refusal: str) -> None:
    words = f"{step.value}: {refusal}"
    if draft.record.phase is Phase.BUDGET_EXCEEDED:
        draft.change(message=words, waiting_reason=None)
    else:
        draft.move(Phase.BUDGET_EXCEEDED, words)
        draft.warn("BudgetExceeded", words)
    draft.look_again(draft.now + timedelta(seconds=_LOOK_AGAIN_SECONDS))


# --- people -----------------------------------------------------------------------------------------------------


def _needs_review(record: TaskRecord, spec: VideoTaskSpec) -> Gate | None:
    for traits in STEPS:
        gate = traits.gate_after
        if traits.ready is record.phase and gate is not None and gate not in record.approved_gates:
            return gate if gate is Gate.FINAL or gate in spec.gates else None
    return None


def _review(draft: Draft, spec: VideoTaskSpec, *, admitted: bool) -> None:
    approval = decision_on_show(draft.record, spec)
    gate = draft.record.review_gate
    if approval is None or gate is None:
        return
    if not is_approved(approval):
        draft.wait("Rejected", rejection_words(approval, gate), warn=True)
        return
    record = draft.record
    if gate is not Gate.FINAL and not holds_place(record.phase, record.waiting_reason) and not admitted:
        draft.wait_for_turn()
        return
    draft.change(
        approved_gates=record.approved_gates | {gate},
        approved_by=approval.by,
        review_gate=None,
        waiting_reason=None,
    )
    draft.tell("Approved", f"{approval.by} approved {gate.value}, round {record.review_round}")
    if gate is Gate.FINAL:
        draft.move(Phase.APPROVED, f"approved by {approval.by}")
    else:
        draft.change(message=f"{gate.value} approved by {approval.by}")
    draft.again = True


def _complete(draft: Draft) -> None:
    _end_pipeline(draft)
    draft.move(Phase.COMPLETED, f"approved by {draft.record.approved_by}; the film is done")
    draft.tell("Completed", "the film is done")


def _end_pipeline(draft: Draft) -> None:
    """Note when it ended; what is over asks for no approval and is due for no attempt."""
    draft.change(review_gate=None, next_attempt_at=None)
    if draft.record.pipeline_start_time is not None:
        draft.change(pipeline_end_time=draft.now)


def _seconds_between(start: datetime | None, end: datetime) -> int:
    return int((end - start).total_seconds()) if start else 0


def _films_channel(draft: Draft, situation: Situation) -> ChannelSpec | None:
    """Return the Channel with what this film was begun with: a change of it is for the films, or steps, to come."""
    task, channel = situation.observed.task, _channel_spec(situation)
    if channel is None or task is None or task.spec is None:
        return channel
    return channel_as_begun(draft.record, draft.runs.values(), task.spec, channel)


def _channel_spec(situation: Situation) -> ChannelSpec | None:
    channel = situation.observed.channel
    return channel.spec if channel else None


def warn_of_long_film(record: TaskRecord, *, now: datetime, long_film_minutes: int) -> TaskRecord | None:
    """Return the record marked as warned when the film takes too long for the first time, else None."""
    if record.long_film_warned or record.pipeline_start_time is None or record.phase in STOPPED:
        return None
    worked = _seconds_between(record.pipeline_start_time, record.waiting_since or now) - record.waited_seconds
    return replace(record, long_film_warned=True) if worked > long_film_minutes * 60 else None
