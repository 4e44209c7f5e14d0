"""Items as people write them on a command line, "video_generation:7,12"; a typo is an error, never another item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from videotask_contract.changes import PAID_STEPS, RedoStep, TakeChoice, find_item
from videotask_contract.errors import BadInputError
from videotask_contract.steps import TRAITS, Step
from videotask_contract.storyboard import Storyboard
from videotask_operator.local.resources import explain

LATEST: Final = "latest"
_STEP_NAMES: Final = {"film": Step.VIDEO_ASSEMBLY} | {
    name: step
    for step in Step
    for name in (step.value, step.slug, TRAITS[step].item_name, f"{TRAITS[step].item_name}s")
}
"""A step by its name, with dashes too, or by what it makes: clip, clips."""


def parse_step(word: str) -> Step:
    """Return the step of this name; BadInputError names those there are."""
    step = _STEP_NAMES.get(word)
    if step is None:
        raise BadInputError(f"{word!r} is no step; give one of {', '.join(Step)}, or what it makes: images, clips, …")
    return step


def parse_redo(words: Sequence[str]) -> tuple[RedoStep, ...]:
    """Return the steps and items of "video_generation:7,12 asset_generation:heron"; a step alone means all items.

    The same step named twice is one step with the items of both. Raises BadInputError.
    """
    items: dict[Step, dict[str, None]] = {}
    whole: set[Step] = set()
    for word in words:
        name, colon, listed = word.partition(":")
        step = _paid_step(name)
        references = [part.strip() for part in listed.split(",")] if colon else []
        if not all(references) or (colon and not references):
            raise BadInputError(f"{word!r}: an item is missing; write {step.value}:7,12, or {step.value} alone for all")
        items.setdefault(step, {}).update(dict.fromkeys(references))
        if not colon:
            whole.add(step)
    return tuple(_redo_step(step, () if step in whole else tuple(found)) for step, found in items.items())


def parse_take(word: str) -> tuple[Step, str, int | None]:
    """Return step, item and take of "video_generation:7=1"; take None for "latest". Raises BadInputError."""
    reference, equals, number = word.partition("=")
    name, colon, item = reference.partition(":")
    if not (equals and colon and item and number):
        raise BadInputError(f"{word!r}: write STEP:ITEM=TAKE, for example video_generation:7=1, or =latest")
    step = _paid_step(name)
    if number == LATEST:
        return step, item, None
    if not number.isdecimal():
        raise BadInputError(f"{word!r}: {number!r} is no take; give its number (1 is the first), or latest")
    try:
        choice = TakeChoice(step=step, item=item, take=int(number))
    except ValidationError as error:
        raise BadInputError(f"{word!r}: {explain(error, root='take')}") from error
    return step, choice.item, choice.take


def check_item(storyboard: Storyboard | None, step: Step, reference: str, *, field: str) -> None:
    """Raise BadInputError unless the storyboard has this item; without a storyboard, only its form is checked."""
    if storyboard is not None:
        find_item(storyboard, step, reference, field=field)


def is_same_item(storyboard: Storyboard | None, step: Step, one: str, other: str) -> bool:
    """Tell whether two references mean one item: "7", "07" and the seventh scene's name do.

    Where the storyboard is not at hand, a name and a number cannot be told to be one; the operator can.
    """
    return _identity(storyboard, step, one) == _identity(storyboard, step, other)


def refuse_other_name(
    storyboard: Storyboard | None, step: Step, reference: str, standing: Sequence[str], *, field: str, how: str
) -> None:
    """Raise BadInputError where one of the entries that stand may mean this item: "7" and a name cannot be compared.

    Only the storyboard tells which number a scene's name stands for, and a generated one may not be at hand.
    """
    if storyboard is not None or step is Step.ASSET_GENERATION:
        return
    others = [one for one in standing if one.isdigit() is not reference.isdigit()]
    if others:
        raise BadInputError(
            f"{field}: has no {reference!r}, but it may be one of {', '.join(others)}, which only the generated "
            f"storyboard tells; give that name{how}"
        )


def item_words(step: Step, items: Sequence[str]) -> str:
    """Return "clips 7, 12", "image heron" or "all clips"."""
    name = TRAITS[step].item_name
    if not items:
        return f"all {name}s"
    return f"{name}{'s' if len(items) > 1 else ''} {', '.join(items)}"


def _paid_step(name: str) -> Step:
    step = parse_step(name)
    if step not in PAID_STEPS:
        follows = "the composites follow from the images" if step is Step.COMPOSITE_CREATION else "the film follows"
        raise BadInputError(f"{step.value} is not asked for: {follows}; give one of {', '.join(PAID_STEPS)}")
    return step


def _redo_step(step: Step, items: Sequence[str]) -> RedoStep:
    try:
        return RedoStep(step=step, items=tuple(items))
    except ValidationError as error:
        raise BadInputError(explain(error, root=step.value)) from error


def _identity(storyboard: Storyboard | None, step: Step, reference: str) -> str:
    if storyboard is not None:
        try:
            return find_item(storyboard, step, reference, field="item")
        except BadInputError:
            return reference  # it stands in the resource already; the operator complains of it
    if step is not Step.ASSET_GENERATION and reference.isdigit():
        return str(int(reference))
    return reference
