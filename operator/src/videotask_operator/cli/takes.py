"""Redo and take as patches: new takes are asked for once for each request, and a choice never outlives its redo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from videotask_contract.changes import Redo, RedoStep, TakeChoice
from videotask_contract.errors import BadInputError
from videotask_contract.resources import to_json
from videotask_contract.steps import TRAITS, Step
from videotask_contract.storyboard import Storyboard
from videotask_operator.cli.change import Change, change_spec, refuse_when_over
from videotask_operator.cli.exits import NotNowError
from videotask_operator.cli.references import check_item, is_same_item, item_words, refuse_other_name
from videotask_operator.cli.task import Task, parse

_MAX_HEAD: Final = 40


def name_request(steps: Sequence[RedoStep], *, now: datetime, token: str) -> str:
    """Return a request id that a person can read: clip-7-12-1122-003105-k3f9."""
    parts = [part for step in steps for part in (TRAITS[step.step].item_name, *step.items)]
    head = re.sub(r"[^A-Za-z0-9.-]+", "-", "-".join(parts))[:_MAX_HEAD].rstrip(".-")
    return f"{head}-{now:%m%d-%H%M%S}-{token}"


def ask_redo(task: Task, steps: Sequence[RedoStep], *, request: str, storyboard: Storyboard | None) -> Change:
    """Return the request for new takes of these items; takes chosen for them are let go in the same patch.

    A request that the operator has not taken up yet is kept: its items are asked for together with these. The very
    request that waits changes nothing, so a command with an id of its own may be given again. Raises BadInputError
    when the storyboard has no such item, or the request id was used before.
    """
    refuse_when_over(task, "made anew")
    for step in steps:
        for item in step.items:
            check_item(storyboard, step.step, item, field=f"{step.step.value}:{item}")
    before = task.redo
    is_waiting = before is not None and before.request == request and not task.is_redo_honoured
    if before is not None and is_waiting and _sets(before.steps) == _sets(steps):
        return Change(patch=None, words=f"new takes of {_words(steps)} were asked for already (request {request})")
    if request in task.honoured_requests or (before is not None and before.request == request):
        raise BadInputError(
            f"spec.redo.request: {request!r} was asked for already; to have more made and paid, give another --request"
        )
    waiting = () if task.is_redo_honoured else _redo_of(task)
    wanted = _union(waiting, steps)
    fields: dict[str, Any] = {"redo": _json_redo(request, wanted)}
    takes = task.takes
    kept = [choice for choice in takes if not _names(wanted, choice.step, choice.item, storyboard)]
    if len(kept) < len(takes):
        fields["takes"] = _json_takes(kept)
    words = f"asked for new takes of {_words(steps)} (request {request})"
    if waiting:
        words += f", together with {_words(waiting)} that still waited"
    if len(kept) < len(takes):
        words += "; the takes chosen for them are let go"
    return change_spec(words, guarded=True, **fields)


def choose_takes(
    task: Task, choices: Sequence[tuple[Step, str, int | None]], *, storyboard: Storyboard | None
) -> Change:
    """Return the choice of these takes by step, item and number; None as the number: the latest again."""
    refuse_when_over(task, "given another take")
    takes = list(task.takes)
    for step, item, number in choices:
        check_item(storyboard, step, item, field=f"{step.value}:{item}")
        if number is not None and not task.is_redo_honoured and _names(_redo_of(task), step, item, storyboard):
            raise NotNowError(
                f"{item_words(step, [item])} is asked to be made anew, and that is not taken up yet; "
                "choose a take when it is"
            )
        left = [take for take in takes if take.step is not step or not is_same_item(storyboard, step, take.item, item)]
        if number is None and left == takes:
            standing = [take.item for take in takes if take.step is step]
            refuse_other_name(storyboard, step, item, standing, field="spec.takes", how=" or number")
        takes = left
        if number is not None:
            takes.append(parse(TakeChoice, {"step": step.value, "item": item, "take": number}, root="spec.takes"))
    said = ", ".join(_choice_words(*choice) for choice in choices)
    if tuple(takes) == task.takes:
        return Change(patch=None, words=f"{said}: so it is already")
    return change_spec(f"chose {said}; it costs nothing", guarded=True, takes=_json_takes(takes))


def _choice_words(step: Step, item: str, number: int | None) -> str:
    which = "the latest take" if number is None else f"take {number}"
    return f"{which} of {item_words(step, [item])}"


def _union(first: Sequence[RedoStep], second: Sequence[RedoStep]) -> tuple[RedoStep, ...]:
    found: dict[Step, tuple[str, ...]] = {}
    for one in (*first, *second):
        known = found.get(one.step)
        if known == () or not one.items:
            found[one.step] = ()  # all of them
        else:
            found[one.step] = tuple(dict.fromkeys((*(known or ()), *one.items)))
    return tuple(RedoStep(step=step, items=items) for step, items in found.items())


def _sets(steps: Sequence[RedoStep]) -> dict[Step, frozenset[str]]:
    return {one.step: frozenset(one.items) for one in steps}


def _redo_of(task: Task) -> tuple[RedoStep, ...]:
    return () if task.redo is None else task.redo.steps


def _names(steps: Sequence[RedoStep], step: Step, item: str, storyboard: Storyboard | None) -> bool:
    """Tell whether this item is among those of the steps."""
    return any(
        one.step is step and (not one.items or any(is_same_item(storyboard, step, known, item) for known in one.items))
        for one in steps
    )


def _json_redo(request: str, steps: Sequence[RedoStep]) -> dict[str, Any]:
    listed = [{"step": one.step.value} | ({"items": list(one.items)} if one.items else {}) for one in steps]
    parse(Redo, {"request": request, "steps": listed}, root="spec.redo")
    return {"request": request, "steps": listed}


def _json_takes(takes: Sequence[TakeChoice]) -> list[dict[str, Any]] | None:
    return [to_json(take) for take in takes] or None


def _words(steps: Sequence[RedoStep]) -> str:
    return " and ".join(item_words(step.step, step.items) for step in steps)
