"""What a person changes about a film that is under way: edits, redo, the choice of a take; all else stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from videotask_contract.errors import BadInputError
from videotask_contract.layout import scene_number
from videotask_contract.steps import Step
from videotask_contract.storyboard import (
    MAX_ITEMS,
    MAX_SCENE_CHARACTERS,
    ContractModel,
    Effect,
    Motion,
    Name,
    Narration,
    Prompt,
    Storyboard,
)

PAID_STEPS: Final = (
    Step.ASSET_GENERATION,
    Step.VIDEO_GENERATION,
    Step.NARRATION_GENERATION,
    Step.SFX_GENERATION,
)
"""Steps whose items can be asked for again; composites and the film follow from them and cost nothing."""
ALL_ITEMS: Final = "*"
"""Among a step's redo counts: every item."""
MAX_CHOICES: Final = 240

PaidStep = Literal[Step.ASSET_GENERATION, Step.VIDEO_GENERATION, Step.NARRATION_GENERATION, Step.SFX_GENERATION]
Reference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=40)]
"""An asset's name; or a scene's name or number ("7", "07")."""
RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=63)]


class AssetEdit(ContractModel):
    """New words for one asset of the storyboard, given or generated."""

    name: Name
    prompt: Prompt


class SceneEdit(ContractModel):
    """New words for one scene; a field that is left out stays as the storyboard has it."""

    scene: Reference
    environment: Name | None = None
    characters: Annotated[tuple[Name, ...], Field(max_length=MAX_SCENE_CHARACTERS)] | None = None
    motion: Motion | None = None
    narration: Narration | None = None
    sound_effect: Effect | None = None

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if len(self.model_dump(exclude_none=True)) == 1:
            raise ValueError(f"edits.scenes[{self.scene}]: nothing is edited; give at least one field")
        return self


class Edits(ContractModel):
    """Changes to single fields of the storyboard, laid over it whenever it is read anew."""

    assets: Annotated[tuple[AssetEdit, ...], Field(max_length=MAX_ITEMS)] = ()
    scenes: Annotated[tuple[SceneEdit, ...], Field(max_length=MAX_ITEMS)] = ()


class RedoStep(ContractModel):
    """Items of one step that are to be made anew."""

    step: PaidStep
    items: Annotated[tuple[Reference, ...], Field(max_length=MAX_ITEMS)] = ()
    """Empty: all items of the step."""


class Redo(ContractModel):
    """A request for new takes; it is honoured once, and asking again needs a new request id."""

    request: RequestId
    steps: Annotated[tuple[RedoStep, ...], Field(min_length=1, max_length=len(PAID_STEPS))]


class TakeChoice(ContractModel):
    """An earlier take that counts from now on, at no cost."""

    step: PaidStep
    item: Reference
    take: Annotated[int, Field(ge=1, le=1000)]


def apply_edits(storyboard: Storyboard, edits: Edits | None) -> Storyboard:
    """Return the storyboard with the edits laid over it.

    Raises BadInputError naming the field when an edit names an asset or scene that is not there, or two edits name the
    same one; a result that breaks the storyboard's own rules raises pydantic's ValidationError.
    """
    if edits is None:
        return storyboard
    assets = {asset.name: asset for asset in storyboard.assets}
    for edit in edits.assets:
        if edit.name not in assets:
            raise BadInputError(
                f"spec.edits.assets[{edit.name}]: the storyboard has no such asset; it has {', '.join(assets)}",
                item=edit.name,
            )
        assets[edit.name] = assets[edit.name].model_copy(update={"prompt": edit.prompt})
    scenes = list(storyboard.scenes)
    edited: dict[str, str] = {}
    for change in edits.scenes:
        number = find_scene(storyboard, change.scene, field=f"spec.edits.scenes[{change.scene}]")
        if number in edited:
            raise BadInputError(twin_edits(change.scene, edited[number]), item=number)
        edited[number] = change.scene
        fields = change.model_dump(exclude_none=True, exclude={"scene"})
        scenes[int(number) - 1] = scenes[int(number) - 1].model_copy(update=fields)
    changed = storyboard.model_copy(update={"assets": tuple(assets.values()), "scenes": tuple(scenes)})
    return Storyboard.model_validate(changed.model_dump())


def find_scene(storyboard: Storyboard, reference: str, *, field: str) -> str:
    """Return the number ("07") of the scene of this name or number; BadInputError names the field if there is none."""
    for position, scene in enumerate(storyboard.scenes, start=1):
        if scene.name == reference:
            return scene_number(position)
    if reference.isdigit() and 1 <= int(reference) <= len(storyboard.scenes):
        return scene_number(int(reference))
    raise BadInputError(
        f"{field}: the storyboard has no scene {reference!r}; give a scene's name or its number from 1 to "
        f"{len(storyboard.scenes)}",
        item=reference,
    )


def find_item(storyboard: Storyboard, step: Step, reference: str, *, field: str) -> str:
    """Return the item's id in the step's ledger, an asset's name or a scene's number; BadInputError names the field."""
    if step is not Step.ASSET_GENERATION:
        return find_scene(storyboard, reference, field=field)
    names = [asset.name for asset in storyboard.assets]
    if reference not in names:
        raise BadInputError(
            f"{field}: the storyboard has no asset {reference!r}; it has {', '.join(names)}", item=reference
        )
    return reference


def redo_number(storyboard: Storyboard, step: Step, item: str, counts: Mapping[str, int]) -> int:
    """Return how often a new take of this item was asked for: 0 for the first one.

    `counts` are a step's redo counts by reference, as task.json has them; several references may mean one item. They
    are of all requests that ever were, so a reference may mean an item that was renamed, dropped or mistyped: it counts
    for none. `check_redo` names what a person can still mend.
    """
    total = counts.get(ALL_ITEMS, 0)
    return total + sum(count for reference, count in counts.items() if _is_item(storyboard, step, reference, item))


def check_redo(storyboard: Storyboard, step: Step, references: Iterable[str]) -> None:
    """Raise BadInputError if the storyboard lacks one of the items that the request of now asks for."""
    for reference in references:
        try:
            find_item(storyboard, step, reference, field="spec.redo")
        except BadInputError as error:
            raise BadInputError(
                f"{error.message}. Ask anew by a spec.redo with another request id, or remove spec.redo",
                item=reference,
            ) from None


def _is_item(storyboard: Storyboard, step: Step, reference: str, item: str) -> bool:
    if reference == ALL_ITEMS:
        return False
    try:
        return find_item(storyboard, step, reference, field="spec.redo") == item
    except BadInputError:
        return False


def chosen_take(storyboard: Storyboard, step: Step, item: str, choices: Mapping[str, int]) -> int | None:
    """Return the take that a person chose for this item, None where nobody chose.

    Raises BadInputError naming the fields where it was chosen twice, under two references.
    """
    chosen = [one for one in choices if find_item(storyboard, step, one, field="spec.takes") == item]
    if len(chosen) > 1:
        raise BadInputError(twin_takes(step, chosen[1], chosen[0]), item=item)
    return choices[chosen[0]] if chosen else None


def twin_edits(reference: str, earlier: str) -> str:
    """Return what to do about two edits of one scene, or of one asset."""
    return (
        f"spec.edits: [{reference}] and [{earlier}] are the same one, and nothing says which words count; put all that "
        "is edited about it into one entry"
    )


def twin_takes(step: Step, reference: str, earlier: str) -> str:
    """Return what to do about two chosen takes of one item."""
    return (
        f"spec.takes: [{step.value}/{reference}] and [{step.value}/{earlier}] are the same item, and nothing says "
        "which take counts; keep one of them"
    )
