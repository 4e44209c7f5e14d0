"""Edits of single fields of the storyboard as patches; edits that stand are kept unless they are taken back by name."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from videotask_contract.changes import AssetEdit, Edits, SceneEdit, TakeChoice, apply_edits, find_scene
from videotask_contract.errors import BadInputError
from videotask_contract.resources import to_json
from videotask_contract.steps import Step
from videotask_contract.storyboard import Asset, Scene, Storyboard
from videotask_operator.cli.change import Change, change_spec, refuse_when_over
from videotask_operator.cli.references import is_same_item, refuse_other_name
from videotask_operator.cli.task import Task, parse
from videotask_operator.local.resources import explain

_Edit = TypeVar("_Edit", AssetEdit, SceneEdit)
SCENE_FIELDS: Final = ("narration", "motion", "soundEffect", "environment", "characters")
_REMADE: Final = {
    "narration": "the narration",
    "motion": "the clip",
    "soundEffect": "the effect",
    "environment": "the composite and the clip",
    "characters": "the composite and the clip",
}
_STEPS: Final = {
    "narration": Step.NARRATION_GENERATION,
    "motion": Step.VIDEO_GENERATION,
    "soundEffect": Step.SFX_GENERATION,
    "environment": Step.VIDEO_GENERATION,
    "characters": Step.VIDEO_GENERATION,
}
"""What is made of a field: a take of it that is chosen would hide the new words."""
_SCENE_STEP: Final = Step.VIDEO_GENERATION
"""Any step whose items are scenes: references to scenes are read alike in all of them."""


def edit_scene(task: Task, reference: str, fields: Mapping[str, Any], *, storyboard: Storyboard | None) -> Change:
    """Return new words for fields of one scene (by their names in JSON); earlier edits of other fields stay.

    Takes that are chosen of what these fields make are let go in the same patch, else nobody would see the new words.
    Raises BadInputError naming field, value and fix.
    """
    refuse_when_over(task, "edited")
    parse(SceneEdit, {"scene": reference, **fields}, root=f"spec.edits.scenes[{reference}]")
    edits = task.edits
    standing = next((edit for edit in edits.scenes if _is_scene(storyboard, edit, reference)), None)
    # The reference that stands is kept: it is the entry's key in the list.
    old = {"scene": reference} if standing is None else to_json(standing)
    edit = parse(SceneEdit, {**old, **fields}, root=f"spec.edits.scenes[{reference}]")
    remade = " and ".join(dict.fromkeys(_REMADE[field] for field in SCENE_FIELDS if field in fields))
    words = f"edited {_listed(fields)} of scene {reference}; remakes {remade}, then the film"
    scenes = _with(edits.scenes, standing, edit)
    remade_items = {(_STEPS[field], reference) for field in fields}
    edits = Edits(assets=edits.assets, scenes=scenes)
    return _save(task, edits, words, storyboard=storyboard, remade=remade_items)


def edit_asset(task: Task, name: str, prompt: str, *, storyboard: Storyboard | None) -> Change:
    """Return a new prompt for one asset; a take that is chosen of it is let go in the same patch.

    Raises BadInputError naming field, value and fix.
    """
    refuse_when_over(task, "edited")
    edits = task.edits
    edit = parse(AssetEdit, {"name": name, "prompt": prompt}, root=f"spec.edits.assets[{name}]")
    standing = next((known for known in edits.assets if known.name == name), None)
    words = f"edited the prompt of {name}; remakes its image, the composites and clips that show it, then the film"
    assets = _with(edits.assets, standing, edit)
    edits = Edits(assets=assets, scenes=edits.scenes)
    return _save(task, edits, words, storyboard=storyboard, remade={(Step.ASSET_GENERATION, name)})


def clear_edits(task: Task, *, scene: str | None, asset: str | None, storyboard: Storyboard | None) -> Change:
    """Return the removal of the edits of one scene or asset, or of all when neither is named."""
    refuse_when_over(task, "edited")
    edits = task.edits
    if scene is None and asset is None:
        left, what = Edits(), "all edits"
    elif scene is not None:
        kept = tuple(edit for edit in edits.scenes if not _is_scene(storyboard, edit, scene))
        left, what = Edits(assets=edits.assets, scenes=kept), f"the edits of scene {scene}"
    else:
        kept_assets = tuple(edit for edit in edits.assets if edit.name != asset)
        left, what = Edits(assets=kept_assets, scenes=edits.scenes), f"the edit of {asset}"
    if left == edits:
        if scene is not None:
            standing = [edit.scene for edit in edits.scenes]
            how = " or number, or --storyboard FILE"
            refuse_other_name(storyboard, _SCENE_STEP, scene, standing, field="spec.edits.scenes", how=how)
        return Change(patch=None, words=f"{what}: there are none")
    return _save(task, left, f"took back {what}", storyboard=storyboard, remade=_items_of(edits) - _items_of(left))


def scene_words(task: Task, reference: str, *, storyboard: Storyboard | None) -> dict[str, Any]:
    """Return the scene's present words by field: the storyboard's with the edits over them; edits alone without one.

    Raises BadInputError when the storyboard has no such scene.
    """
    if storyboard is not None:
        number = find_scene(storyboard, reference, field="--scene")
        scene: Scene = apply_edits(storyboard, task.edits).scenes[int(number) - 1]
        return {key: value for key, value in to_json(scene).items() if key in SCENE_FIELDS}
    standing = next((edit for edit in task.edits.scenes if _is_scene(None, edit, reference)), None)
    return {} if standing is None else {key: value for key, value in to_json(standing).items() if key != "scene"}


def asset_words(task: Task, name: str, *, storyboard: Storyboard | None) -> str:
    """Return the asset's present prompt; empty when neither storyboard nor edit has it. Raises BadInputError."""
    standing = next((edit.prompt for edit in task.edits.assets if edit.name == name), "")
    if storyboard is None or standing:
        return standing
    try:
        asset: Asset = storyboard.asset(name)
    except KeyError:
        names = ", ".join(asset.name for asset in storyboard.assets)
        raise BadInputError(f"--asset: the storyboard has no asset {name!r}; it has {names}") from None
    return asset.prompt


def _with(edits: tuple[_Edit, ...], standing: _Edit | None, new: _Edit) -> tuple[_Edit, ...]:
    """Return the edits with the new one in the place of the one that stood, else at the end."""
    replaced = [new if edit is standing else edit for edit in edits]
    if standing is None:
        replaced.append(new)
    return tuple(replaced)


def _save(
    task: Task, edits: Edits, words: str, *, storyboard: Storyboard | None, remade: AbstractSet[tuple[Step, str]]
) -> Change:
    if storyboard is not None:
        _check_over(storyboard, edits)
    value = {
        # Null, not an empty list: what is not edited is not in the resource.
        "assets": [to_json(edit) for edit in edits.assets] or None,
        "scenes": [to_json(edit) for edit in edits.scenes] or None,
    }
    if edits == task.edits:
        return Change(patch=None, words=f"{words.partition(';')[0]}: so it is already")
    fields: dict[str, Any] = {"edits": value if edits.assets or edits.scenes else None}
    kept = [choice for choice in task.takes if not _is_among(remade, choice, storyboard)]
    if len(kept) < len(task.takes):
        fields["takes"] = [to_json(choice) for choice in kept] or None
        words += "; the takes chosen for what it remakes are let go"
    return change_spec(words, guarded=True, **fields)


def _items_of(edits: Edits) -> frozenset[tuple[Step, str]]:
    """Return the items that are made of edited words."""
    images = {(Step.ASSET_GENERATION, edit.name) for edit in edits.assets}
    scenes = {(_STEPS[field], edit.scene) for edit in edits.scenes for field in to_json(edit) if field in _STEPS}
    return frozenset(images | scenes)


def _is_among(items: AbstractSet[tuple[Step, str]], choice: TakeChoice, storyboard: Storyboard | None) -> bool:
    return any(step is choice.step and is_same_item(storyboard, step, item, choice.item) for step, item in items)


def _check_over(storyboard: Storyboard, edits: Edits) -> None:
    try:
        apply_edits(storyboard, edits)
    except ValidationError as error:
        raise BadInputError(f"with these edits: {explain(error, root='spec')}") from error


def _is_scene(storyboard: Storyboard | None, edit: SceneEdit, reference: str) -> bool:
    return is_same_item(storyboard, _SCENE_STEP, edit.scene, reference)


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(field for field in SCENE_FIELDS if field in fields)
