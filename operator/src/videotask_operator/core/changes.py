"""What a person changed about a film under way: found by comparing spec with record, honoured once; pays nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from videotask_contract.changes import (
    ALL_ITEMS,
    PAID_STEPS,
    Redo,
    TakeChoice,
    apply_edits,
    find_item,
    find_scene,
    twin_edits,
    twin_takes,
)
from videotask_contract.errors import BadInputError, FailureClass
from videotask_contract.layout import scene_number
from videotask_contract.phases import ERRORS, TABLE, Phase
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_contract.steps import STEPS, TRAITS, Gate, Step
from videotask_contract.storyboard import ContractModel, Storyboard
from videotask_contract.timing import check_narration_fits, estimated_narration_seconds
from videotask_operator.core.admission import PLACE_HOLDING, holds_place
from videotask_operator.core.begun import begin_afresh, steps_made_anew
from videotask_operator.core.draft import Draft
from videotask_operator.core.estimate import quality_of, scene_count
from videotask_operator.core.model import RunRecord, TaskRecord

PENDING: Final = "ChangePending"
FINAL: Final = "FilmIsFinal"
REFUSALS: Final = frozenset({"InvalidChange", "NarrationTooLong", "RedoRefused", "TakeHeld"})
"""Reasons for which a change holds a film where it stands until its spec is mended."""
_ASKING: Final = frozenset({"WaitingForTurn", "ChannelNotFound", "ChannelInvalid"})
"""Reasons of a film that wants a place, or would, if its Channel could give one."""
_ORDER: Final = [traits.step for traits in STEPS]
_NO_WORK_YET: Final = frozenset({Phase.QUEUED, Phase.SUSPENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the spec asks for and the record has not honoured."""

    redo: Redo | None = None
    storyboard: bool = False
    """Another storyboard was given."""
    edits: bool = False
    takes: frozenset[Step] = frozenset()
    """Steps of which other takes are chosen."""

    @property
    def steps(self) -> frozenset[Step]:
        """The steps concerned at first hand; those that follow them run again too."""
        written = {Step.ASSET_GENERATION} if self.storyboard or self.edits else set()
        asked = {part.step for part in self.redo.steps} if self.redo else set()
        return frozenset(written | asked | self.takes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a change cannot be honoured: reason and words for people, who mend the field it names."""

    reason: str
    message: str


# --- finding -----------------------------------------------------------------------------------------------------


def find_change(record: TaskRecord, spec: VideoTaskSpec) -> Change | None:
    """Return what is asked for and not honoured; None where the record is up to date."""
    wanted = content_digest(spec)
    honoured = record.content_digest
    if honoured is None and record.last_run_number and record.phase is not Phase.CLAIMED:
        honoured = f"{wanted.partition('.')[0]}.{_sha256(None)}"  # a run of a release that knew no edits
    change = Change(
        redo=spec.redo if spec.redo is not None and not is_honoured(record, spec.redo) else None,
        storyboard=honoured is not None and honoured.partition(".")[0] != wanted.partition(".")[0],
        edits=honoured is not None and honoured.partition(".")[2] != wanted.partition(".")[2],
        takes=frozenset(step for step in PAID_STEPS if takes_of(spec, step) != record.honoured_takes.get(step, {})),
    )
    return change if change != Change() else None


def is_honoured(record: TaskRecord, redo: Redo) -> bool:
    """True where this request was taken up before, were it long ago and others since."""
    return redo.request == record.redo_request or redo.request in record.redo_requests


def content_digest(spec: VideoTaskSpec) -> str:
    """Return the sha256 of the storyboard and of the edits, with a dot between them."""
    return f"{_sha256(spec.storyboard)}.{_sha256(spec.edits)}"


def takes_of(spec: VideoTaskSpec, step: Step) -> dict[str, int]:
    """Return the takes of this step's items that a person chose, by reference."""
    return {choice.item: choice.take for choice in spec.takes if choice.step is step}


def edited(spec: VideoTaskSpec) -> VideoTaskSpec:
    """Return the spec with its edits laid over a storyboard that it gives; one that cannot be edited stays."""
    if spec.storyboard is None or spec.edits is None:
        return spec
    try:
        return spec.model_copy(update={"storyboard": apply_edits(spec.storyboard, spec.edits)})
    except (BadInputError, ValidationError):
        return spec


def _sha256(model: ContractModel | None) -> str:
    content = model.model_dump(mode="json", by_alias=True, exclude_none=True) if model is not None else None
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# --- refusing ----------------------------------------------------------------------------------------------------


def refuse_content(spec: VideoTaskSpec, channel: ChannelSpec | None) -> Refusal | None:
    """Return why storyboard, edits, redo or takes name what is not there, or say more than a clip can hold.

    Of a storyboard that is yet to be written only the step can tell what it has.
    """
    twins = _twins(spec)
    if twins is not None:
        return Refusal(reason="InvalidChange", message=twins)
    try:
        board = apply_edits(spec.storyboard, spec.edits) if spec.storyboard else None
        if board is not None:
            for step, reference, path in _references(spec):
                find_item(board, step, reference, field=path)
    except BadInputError as error:
        return Refusal(reason="InvalidChange", message=error.message)
    except ValidationError as error:
        words = error.errors()[0]["msg"].removeprefix("Value error, ")
        return Refusal(
            reason="InvalidChange", message=f"spec.edits: with them the storyboard breaks its rules: {words}"
        )
    return _refuse_long_narration(spec, channel) if channel else None


def _twins(spec: VideoTaskSpec) -> str | None:
    """Say what to do about two references to one item ("7" and "07", a name and a number); None if there are none."""
    chosen: dict[tuple[Step, str], str] = {}
    for choice in spec.takes:
        item = _item(spec, choice.step, choice.item)
        if (choice.step, item) in chosen:
            return twin_takes(choice.step, choice.item, chosen[choice.step, item])
        chosen[choice.step, item] = choice.item
    changed: dict[tuple[Step, str], str] = {}
    assets = [(Step.ASSET_GENERATION, edit.name) for edit in (spec.edits.assets if spec.edits else ())]
    scenes = [(Step.VIDEO_GENERATION, edit.scene) for edit in (spec.edits.scenes if spec.edits else ())]
    for step, reference in (*assets, *scenes):
        item = _item(spec, step, reference)
        if (step, item) in changed:
            return twin_edits(reference, changed[step, item])
        changed[step, item] = reference
    return None


def _references(spec: VideoTaskSpec) -> Iterable[tuple[Step, str, str]]:
    for part in spec.redo.steps if spec.redo else ():
        for reference in part.items:
            yield part.step, reference, f"spec.redo.steps[{part.step.value}].items"
    for choice in spec.takes:
        yield choice.step, choice.item, f"spec.takes[{choice.step.value}/{choice.item}]"


def _refuse_long_narration(spec: VideoTaskSpec, channel: ChannelSpec) -> Refusal | None:
    speed = channel.voice.speed_percent / 100
    for name, text, path in _narrations(spec):
        try:
            check_narration_fits(
                scene=name,
                text=text,
                narration_seconds=estimated_narration_seconds(text, speed=speed),
                clip_seconds=quality_of(spec, channel).clip_seconds,
            )
        except BadInputError as error:
            return Refusal(reason="NarrationTooLong", message=f"{path}.narration: {error.message}")
    return None


def _narrations(spec: VideoTaskSpec) -> Iterable[tuple[str, str, str]]:
    """Yield scene, text and path of each narration that a person wrote, as it would be spoken."""
    in_edits = {edit.scene: edit.narration for edit in (spec.edits.scenes if spec.edits else ()) if edit.narration}
    for reference, text in in_edits.items():
        yield reference, text, f"spec.edits.scenes[{reference}]"
    for position, scene in enumerate(spec.storyboard.scenes if spec.storyboard else (), start=1):
        if not {scene.name, f"{position}", scene_number(position)} & in_edits.keys():
            yield scene.name, scene.narration, f"spec.storyboard.scenes[{scene.name}]"


def refuse_redo(spec: VideoTaskSpec, redo: Redo) -> Refusal | None:
    """Return why new takes are not paid for: of an item whose take is chosen, none of them would be seen."""
    for part in redo.steps:
        asked = {_item(spec, part.step, reference) for reference in part.items}
        for choice in spec.takes:
            if choice.step is part.step and (not asked or _item(spec, choice.step, choice.item) in asked):
                message = (
                    f"redo {redo.request}: {TRAITS[part.step].item_name} {choice.item} is held to take {choice.take}, "
                    f"so a new one would not be seen; remove the entry {part.step.value}/{choice.item} from "
                    "spec.takes, or give spec.redo a request without it. Nothing was paid."
                )
                return Refusal(reason="RedoRefused", message=message)
    return None


def refuse_unseen_words(spec: VideoTaskSpec, change: Change) -> Refusal | None:
    """Return why other words are not taken up: a take that is chosen counts whatever it was made of.

    Which edits are new the record does not say, so one that was honoured before the take was chosen holds a film too.
    """
    for choice in spec.takes:
        if change.storyboard:
            why = "another storyboard is given, where it may belong to another scene"
            else_ = "give back the storyboard that it was made of"
        elif change.edits and _may_be_edited(spec, choice):
            why, else_ = "spec.edits gives it other words, which would not be heard or seen", "take that edit back"
        else:
            continue
        message = (
            f"{TRAITS[choice.step].item_name} {choice.item} is held to take {choice.take}, and {why}; remove the entry "
            f"{choice.step.value}/{choice.item} from spec.takes (it can be chosen again later), or {else_}. "
            "Nothing was paid."
        )
        return Refusal(reason="TakeHeld", message=message)
    return None


def _may_be_edited(spec: VideoTaskSpec, choice: TakeChoice) -> bool:
    edited_items = _edited_items(spec, choice.step)
    item = _item(spec, choice.step, choice.item)
    if spec.storyboard is not None or choice.step is Step.ASSET_GENERATION:
        return item in edited_items
    # Only the step knows which number a scene's name stands for.
    return any(item == other or item.isdigit() is not other.isdigit() for other in edited_items)


def _item(spec: VideoTaskSpec, step: Step, reference: str) -> str:
    """Return one name for all references to an item, as far as the spec alone tells."""
    if spec.storyboard is not None:
        try:
            return find_item(spec.storyboard, step, reference, field="spec")
        except BadInputError:
            return reference
    return scene_number(int(reference)) if reference.isdigit() and step is not Step.ASSET_GENERATION else reference


# --- honouring ---------------------------------------------------------------------------------------------------


def take_up_change(draft: Draft, spec: VideoTaskSpec, *, channel: ChannelSpec | None, admitted: bool) -> bool:
    """Honour what a person changed, once, and tell whether that was all there is to decide now.

    The work goes back to the earliest step concerned, and all that follow run again: what is intact they keep, at no
    cost. Steps that lie ahead need no way back; they find what was asked for when their turn comes.
    """
    record = draft.record
    if record.phase in _NO_WORK_YET or record.resource_gone:
        return False
    change = find_change(record, spec)
    refusal = _refuse(change, spec, channel) if change is not None else None
    if refusal is not None:
        draft.wait(refusal.reason, refusal.message, warn=True)
        return True
    if record.waiting_reason in REFUSALS | {PENDING} or (change is None and _had_asked_for_a_place(record)):
        _forget_refusal(draft)
    if change is None:
        return False
    back = _way_back(record, change)
    # Over its budget it stays there: whether there is room for the step it goes back to is decided with the next run.
    holds = record.phase is Phase.BUDGET_EXCEEDED or holds_place(record.phase, draft.record.waiting_reason)
    if back is not None and not holds and not admitted:
        draft.wait_for_turn()
        return True
    _honour(draft, spec, change, back, _made_anew(draft, spec, channel, back))
    draft.again = True
    return True


def tell_of_pending_change(draft: Draft, spec: VideoTaskSpec, run: RunRecord) -> None:
    """Say of a run under way that a change is taken up when it has ended."""
    record = draft.record
    if record.waiting_reason not in {None, PENDING}:
        return
    change = _change_of_content(record, spec)
    if change is not None:
        draft.wait(PENDING, f"{describe(change, spec)}: taken up when run {run.number} has ended")
    elif record.waiting_reason == PENDING:
        draft.change(waiting_reason=None, message=f"run {run.number} goes on")


def is_changed(record: TaskRecord, spec: VideoTaskSpec) -> bool:
    """Tell whether a spec asks for other content than was taken up last."""
    return _change_of_content(record, spec) is not None


def _change_of_content(record: TaskRecord, spec: VideoTaskSpec) -> Change | None:
    change = find_change(record, spec)
    return change if change is not None and change.steps else None


def refuse_change_of_final(draft: Draft, spec: VideoTaskSpec) -> None:
    """Say that nothing is changed about a film that is over with; it stays as it is."""
    record = draft.record
    change = _change_of_content(record, spec)
    if change is not None:
        why = "an approved film is final" if record.phase is Phase.COMPLETED else f"the film is {record.phase.value}"
        words = f"{describe(change, spec)} is refused: {why}; make a new VideoTask for another version"
        draft.wait(FINAL, words, warn=True)
    elif record.waiting_reason == FINAL:
        draft.change(waiting_reason=None, message=f"{record.phase.value}; nothing is asked of it any more")


def _had_asked_for_a_place(record: TaskRecord) -> bool:
    """Tell whether a film that waits for a person asked for a place of the fleet, perhaps for what was taken back."""
    return record.waiting_reason in _ASKING and (record.review_gate is not None or record.phase in ERRORS)


def _forget_refusal(draft: Draft) -> None:
    record = draft.record
    if record.review_gate is not None:
        words = f"a person decides: {record.review_gate.value} (round {record.review_round})"
        draft.change(waiting_reason="AwaitingApproval", message=words)
    else:
        # Its place of the fleet went to another meanwhile.
        reason = "WaitingForTurn" if record.waiting_reason in REFUSALS and record.phase in PLACE_HOLDING else None
        draft.change(waiting_reason=reason, message=record.error or TABLE[record.phase].meaning)


def _refuse(change: Change | None, spec: VideoTaskSpec, channel: ChannelSpec | None) -> Refusal | None:
    found = refuse_content(spec, channel)
    if found is not None or change is None:
        return found
    return refuse_unseen_words(spec, change) or (refuse_redo(spec, change.redo) if change.redo is not None else None)


def _way_back(record: TaskRecord, change: Change) -> Step | None:
    """Return the earliest step concerned that has had its turn, None where all of them lie ahead."""
    begun = [step for step in _ORDER if step in change.steps and (record.step is None or _is_by(step, record.step))]
    if not begun or record.phase is Phase.CLAIMED:
        return None
    is_next = record.step is begun[0] and record.phase not in ERRORS and record.phase is not TRAITS[begun[0]].working
    return None if is_next and record.phase is not Phase.BUDGET_EXCEEDED else begun[0]


def _is_by(step: Step, current: Step) -> bool:
    return _ORDER.index(step) <= _ORDER.index(current)


def _honour(draft: Draft, spec: VideoTaskSpec, change: Change, back: Step | None, anew: frozenset[Step]) -> None:
    record = draft.record
    totals = _totals(spec)
    touched = touched_items(spec, change)
    for step in change.takes:
        touched[step] = min(touched[step] + _released(record, spec, step), totals[step])
    touched |= {step: totals[step] for step in anew}
    words = f"{describe(change, spec)}{_kept(spec, change, touched)}"
    draft.change(
        redo_request=change.redo.request if change.redo else record.redo_request,
        redo_requests=record.redo_requests | ({change.redo.request} if change.redo else set()),
        redo_counts=_counted(record.redo_counts, spec, change),
        # Before its first run there is nothing to compare with; that run takes the content as it is.
        content_digest=None if record.phase is Phase.CLAIMED else content_digest(spec),
        honoured_takes={step.value: chosen for step in PAID_STEPS if (chosen := takes_of(spec, step))},
        change_marks=_marked(draft, spec, change, touched),
        begun_with=begin_afresh(record.begun_with, _redone_whole(change)),
    )
    if back is not None:
        _send_back(draft, back, change, words)
    draft.tell("ChangeTakenUp", words)


def _send_back(draft: Draft, step: Step, change: Change, words: str) -> None:
    record = draft.record
    draft.change(
        step=step,
        step_attempt=1,
        lost_runs=0,
        next_attempt_at=None,
        error=None,
        review_gate=None,
        approved_gates=record.approved_gates - _gates_asked_again(step, change),
    )
    if record.phase is Phase.BUDGET_EXCEEDED:
        draft.change(message=words, waiting_reason=None)
    else:
        draft.move(TRAITS[step].working, words)


def _gates_asked_again(step: Step, change: Change) -> frozenset[Gate]:
    """Return the gates whose approvals no longer count: what they showed is not what will be."""
    after = {TRAITS[later].gate_after for later in _ORDER[_ORDER.index(step) :]}
    written = {Gate.STORYBOARD} if change.storyboard or change.edits else set()
    return frozenset(gate for gate in after | written if gate is not None)


def _released(record: TaskRecord, spec: VideoTaskSpec, step: Step) -> int:
    """Return how many items are held to a take no more: the one that counts now may never have been made."""
    held = {_item(spec, step, reference) for reference in takes_of(spec, step)}
    before = {_item(spec, step, reference) for reference in record.honoured_takes.get(step.value, {})}
    return len(before - held)


def _made_anew(draft: Draft, spec: VideoTaskSpec, channel: ChannelSpec | None, back: Step | None) -> frozenset[Step]:
    first = back or draft.record.step
    if channel is None or first is None:
        return frozenset()
    ahead = _ORDER[_ORDER.index(first) :]
    return steps_made_anew(draft.record, draft.runs.values(), spec, channel, of=ahead)


def _redone_whole(change: Change) -> list[Step]:
    return [part.step for part in change.redo.steps if not part.items] if change.redo else []


def _counted(counts: Mapping[str, Mapping[str, int]], spec: VideoTaskSpec, change: Change) -> dict[str, dict[str, int]]:
    """Return the counts with this request's own, by what no insertion moves: a scene's name wherever it is known.

    Counts of earlier requests by number meant the storyboard of then, so they are told by name while it is still given.
    """
    board_before = None if change.storyboard else spec.storyboard
    raised: dict[str, dict[str, int]] = {}
    for step, numbers in counts.items():
        for reference, times in numbers.items():
            _raise_count(raised, step, _lasting(board_before, step, reference), times)
    for part in change.redo.steps if change.redo else ():
        for reference in part.items or (ALL_ITEMS,):
            _raise_count(raised, part.step.value, _lasting(spec.storyboard, part.step.value, reference), 1)
    return raised


def _raise_count(counts: dict[str, dict[str, int]], step: str, reference: str, times: int) -> None:
    numbers = counts.setdefault(step, {})
    numbers[reference] = numbers.get(reference, 0) + times


def _lasting(board: Storyboard | None, step: str, reference: str) -> str:
    """Return the name of the scene that a number stands for; whatever else it is, the reference as it is."""
    if board is None or step == Step.ASSET_GENERATION.value or not reference.isdigit():
        return reference
    try:
        return board.scenes[int(find_scene(board, reference, field="spec.redo")) - 1].name
    except BadInputError:
        return reference


def told_redo_requests(status: Mapping[str, Any]) -> frozenset[str]:
    """Return the requests that were honoured, as the resource's own status tells it after the record was lost."""
    told = status.get("redoRequests")
    return frozenset(name for name in told if isinstance(name, str)) if isinstance(told, list) else frozenset()


def told_redo_counts(status: Mapping[str, Any], spec: VideoTaskSpec | None) -> dict[str, dict[str, int]]:
    """Return how often new takes were asked for, as the resource's own status tells it after the record was lost.

    What was honoured is so found in the ledger by its number, and what was not made yet is made. A status of an earlier
    release tells the last request alone: it counts as the first one for what it names.
    """
    told = status.get("redoCounts")
    if isinstance(told, Mapping):
        return {
            step.value: {reference: times for reference, times in told[step.value].items() if _is_count(times)}
            for step in PAID_STEPS
            if isinstance(told.get(step.value), Mapping)
        }
    redo = spec.redo if spec is not None else None
    if spec is None or redo is None or redo.request != status.get("redoRequest"):
        return {}
    return _counted({}, spec, Change(redo=redo))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# --- how much of the film is left standing -------------------------------------------------------------------------


def touched_items(spec: VideoTaskSpec, change: Change) -> dict[Step, int]:
    """Return for each step how many of its items may have to be made anew, at most."""
    totals = _totals(spec)
    if change.storyboard:
        return {step: totals[step] for step in PAID_STEPS}
    redone = {part.step: part for part in change.redo.steps} if change.redo else {}
    touched: dict[Step, int] = {}
    for step in PAID_STEPS:
        own = redone.get(step)
        items = {_item(spec, step, reference) for reference in own.items} if own else set()
        is_all = own is not None and not own.items
        if change.edits:
            items |= _edited_items(spec, step)
        if step in change.takes:
            # A chosen image changes what depends on it; which others were chosen before, the record does not say.
            items |= {_item(spec, step, reference) for reference in takes_of(spec, step)}
        if step is Step.VIDEO_GENERATION and touched[Step.ASSET_GENERATION]:
            is_all = True  # which clips show the new images is not worth finding out: what is not spent is freed
        touched[step] = totals[step] if is_all else min(len(items), totals[step])
        if step is Step.ASSET_GENERATION and step in change.takes:
            touched[step] = max(touched[step], 1)
    return touched


def _edited_items(spec: VideoTaskSpec, step: Step) -> set[str]:
    if spec.edits is None:
        return set()
    if step is Step.ASSET_GENERATION:
        return {edit.name for edit in spec.edits.assets}
    fields = _FIELDS[step]
    scenes = [edit for edit in spec.edits.scenes if any(getattr(edit, name) is not None for name in fields)]
    return {_item(spec, step, edit.scene) for edit in scenes}


_FIELDS: Final[Mapping[Step, tuple[str, ...]]] = {
    Step.VIDEO_GENERATION: ("environment", "characters", "motion"),
    Step.NARRATION_GENERATION: ("narration",),
    Step.SFX_GENERATION: ("sound_effect",),
}


def _totals(spec: VideoTaskSpec) -> dict[Step, int]:
    scenes = scene_count(spec)
    assets = len(spec.storyboard.assets) if spec.storyboard else spec.asset_count
    return {step: assets if step is Step.ASSET_GENERATION else scenes for step in _ORDER}


def marks_of_first_run(record: TaskRecord, spec: VideoTaskSpec) -> dict[str, dict[str, int]]:
    """Return the marks of a film that begins with edits: they too may be taken back."""
    edited_items = {step: len(_edited_items(spec, step)) for step in PAID_STEPS}
    return dict(record.change_marks) | {
        step.value: {"run": record.last_run_number, "left": 0, "edited": number}
        for step, number in edited_items.items()
        if number
    }


def unmade(marks: Mapping[str, Mapping[str, int]], steps: Iterable[Step], *, run: int) -> dict[str, dict[str, int]]:
    """Return the marks with nothing left standing of these steps by the runs up to this number."""
    before = {step: dict(mark) for step, mark in marks.items()}
    return before | {step.value: {"edited": 0, **before.get(step.value, {}), "run": run, "left": 0} for step in steps}


def _marked(
    draft: Draft, spec: VideoTaskSpec, change: Change, touched: Mapping[Step, int]
) -> dict[str, dict[str, int]]:
    record = draft.record
    marks = dict(record.change_marks)
    edited_images = record.change_marks.get(Step.ASSET_GENERATION.value, {}).get("edited", 0)
    for step, items in touched.items():
        # An image that has its own words again is in clips of which the edits of now name none.
        is_all = step is Step.VIDEO_GENERATION and change.edits and edited_images
        number = _totals(spec)[step] if is_all else items
        # Taking an edit back may bring up words that were never made, so the edits before count too.
        before = marks.get(step.value, {}).get("edited", 0) if change.edits else 0
        if number or before:
            left = max(0, finished_items(record, draft.runs.values(), step) - number - before)
            now = len(_edited_items(spec, step)) if change.edits else marks.get(step.value, {}).get("edited", 0)
            marks[step.value] = {"run": record.last_run_number, "left": left, "edited": now}
    return marks


def finished_items(record: TaskRecord, runs: Iterable[RunRecord], step: Step) -> int:
    """Return the items that runs of this step told as done and no change since may have touched.

    Until a run found that some must be made again: one that gave up for want of money knows best.
    """
    mark = record.change_marks.get(step.value, {})
    finished = mark.get("left", 0)
    for run in runs:
        if run.step is step and run.number > mark.get("run", 0):
            is_word_of_want = run.failure_class is FailureClass.OVER_BUDGET and run.ledger_read
            finished = run.done if is_word_of_want else max(finished, run.done)
    return finished


# --- words -------------------------------------------------------------------------------------------------------


def describe(change: Change, spec: VideoTaskSpec) -> str:
    """Return what is asked for, in a line: "redo clip-7-again: video_generation 07, 12"."""
    parts = []
    if change.redo is not None:
        asked = (f"{part.step.value} {_listed(spec, part.step, part.items) or 'all'}" for part in change.redo.steps)
        parts.append(f"redo {change.redo.request}: {', '.join(asked)}")
    if change.storyboard:
        parts.append("another storyboard")
    if change.edits:
        parts.append(_describe_edits(spec))
    for step in sorted(change.takes, key=_ORDER.index):
        chosen = takes_of(spec, step)
        takes = ", ".join(f"{_shown(spec, step, item)} take {take}" for item, take in chosen.items())
        parts.append(f"{step.value}: {takes or 'the latest takes count again'}")
    return "; ".join(parts)


def _describe_edits(spec: VideoTaskSpec) -> str:
    if spec.edits is None or not (spec.edits.assets or spec.edits.scenes):
        return "edits taken back"
    assets = [edit.name for edit in spec.edits.assets]
    scenes = [_shown(spec, Step.VIDEO_GENERATION, edit.scene) for edit in spec.edits.scenes]
    told = [f"{kind} {', '.join(names)}" for kind, names in (("asset", assets), ("scene", scenes)) if names]
    return f"edits: {'; '.join(told)}"


def _kept(spec: VideoTaskSpec, change: Change, touched: Mapping[Step, int]) -> str:
    """Return what stays of the steps that are asked for new takes: "; 16 clips kept"."""
    if change.redo is None:
        return "; what it does not concern is kept" if change.steps else ""
    totals = _totals(spec)
    kept = [
        f"{left} {TRAITS[step].item_name}{'' if left == 1 else 's'} kept"
        for step in _ORDER
        if step in {part.step for part in change.redo.steps} and (left := totals[step] - touched[step]) > 0
    ]
    return f"; {', '.join(kept)}" if kept else ""


def _listed(spec: VideoTaskSpec, step: Step, references: Iterable[str]) -> str:
    return ", ".join(_shown(spec, step, reference) for reference in references)


def _shown(spec: VideoTaskSpec, step: Step, reference: str) -> str:
    return _item(spec, step, reference)
