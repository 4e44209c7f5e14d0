"""The command `edit`: new words by flags or in an editor that shows the present ones; none is taken unchecked."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from videotask_contract import layout
from videotask_contract.errors import BadInputError, PermanentError, VideoTaskError
from videotask_contract.storyboard import Storyboard
from videotask_operator.cli.change import Change
from videotask_operator.cli.editor import Edit, edit_fields
from videotask_operator.cli.edits import (
    SCENE_FIELDS,
    asset_words,
    clear_edits,
    edit_asset,
    edit_scene,
    scene_words,
)
from videotask_operator.cli.exits import NotNowError
from videotask_operator.cli.place import BuildChange, Place
from videotask_operator.cli.task import Task, parse

_Words = Mapping[str, Any]
_SCENE_FLAGS: Final = {
    "narration": "narration",
    "motion": "motion",
    "soundEffect": "sound_effect",
    "environment": "environment",
    "characters": "characters",
}
_SCENE_WORDS: Final = "--narration, --motion, --sound-effect, --environment or --characters"


def build_edit(place: Place, options: argparse.Namespace, *, edit: Edit) -> BuildChange | None:
    """Return what builds the edit, or takes edits back; None when a person changed nothing in the editor.

    Words of the editor meet the words that it showed, or NotNowError when it is built: nobody else's are overwritten.
    """
    known = _KnownStoryboard(place, _load_given(options.storyboard))
    fields = _given_fields(options)
    if options.clear:
        if fields:
            raise BadInputError("--clear takes edits back; give no new words with it")
        return lambda task: clear_edits(task, scene=options.scene, asset=options.asset, storyboard=known.read(task))
    if options.asset is not None:
        return _build_asset_edit(place, options, fields, known, edit)
    if options.scene is not None:
        return _build_scene_edit(place, options, fields, known, edit)
    raise BadInputError("give --scene SCENE or --asset NAME, or --clear")


class _KnownStoryboard:
    """A film's storyboard, from wherever it can be had; what was fetched once is not fetched again."""

    def __init__(self, place: Place, given: Storyboard | None) -> None:
        self._place = place
        self._found = given

    def read(self, task: Task) -> Storyboard | None:
        """Return it where it is at hand: in the spec, a file that was given, a laptop's volume."""
        return task.storyboard or self._found or self._place.load_storyboard(task)

    def fetch(self, task: Task, flags: str) -> Storyboard:
        """Return it, copied from the channel's volume where it is not at hand; PermanentError says what to do then."""
        known = self.read(task)
        if known is None:
            known = self._found = self._copied(task, flags)
        return known

    def _copied(self, task: Task, flags: str) -> Storyboard:
        sys.stderr.write(f"reading the generated storyboard of {task.name} from its channel's volume …\n")
        try:
            with tempfile.TemporaryDirectory(prefix="videotask-storyboard-") as folder:
                self._place.fetch_parts(task, Path(folder), [layout.STORYBOARD])
                value = json.loads((Path(folder) / layout.STORYBOARD).read_text(encoding="utf-8"))
        except (VideoTaskError, OSError, ValueError) as error:
            raise PermanentError(
                f"the storyboard of {task.name} was generated, and its present words could not be read: {error}. "
                f"Give new words by {flags}, which need no look at it, or a copy of it by --storyboard FILE"
            ) from error
        return parse(Storyboard, value, root=layout.STORYBOARD)


def _build_scene_edit(
    place: Place, options: argparse.Namespace, fields: Mapping[str, Any], known: _KnownStoryboard, edit: Edit
) -> BuildChange | None:
    if "prompt" in fields:
        raise BadInputError(
            "--prompt belongs to --asset; a scene has narration, motion, sound effect, environment, characters"
        )
    scene = options.scene
    shown, given = ({}, fields) if fields else _ask_scene(place.get_task(options.task), scene, known, edit)

    def build(task: Task) -> Change:
        storyboard = known.read(task)
        if shown:
            _refuse_others(f"scene {scene}", given, shown, scene_words(task, scene, storyboard=storyboard))
        return edit_scene(task, scene, given, storyboard=storyboard)

    return build if given else None


def _build_asset_edit(
    place: Place, options: argparse.Namespace, fields: Mapping[str, Any], known: _KnownStoryboard, edit: Edit
) -> BuildChange | None:
    if set(fields) - {"prompt"}:
        raise BadInputError("--asset: an asset has a --prompt and nothing else")
    name = options.asset
    shown, given = ({}, fields) if fields else _ask_asset(place.get_task(options.task), name, known, edit)

    def build(task: Task) -> Change:
        storyboard = known.read(task)
        if shown:
            _refuse_others(name, given, shown, {"prompt": asset_words(task, name, storyboard=storyboard)})
        return edit_asset(task, name, given["prompt"], storyboard=storyboard)

    return build if given else None


def _refuse_others(what: str, given: _Words, shown: _Words, now: _Words) -> None:
    """Raise NotNowError when a field that was edited says something else by now than the editor had shown."""
    for field in given:
        if now.get(field) != shown.get(field):
            raise NotNowError(
                f"{field} of {what} says {now.get(field)!r} by now: somebody else wrote it while your editor was open; "
                "edit it again"
            )


def _ask_scene(task: Task, scene: str, known: _KnownStoryboard, edit: Edit) -> tuple[_Words, _Words]:
    """Return the words that were shown and those that a person changed."""
    _needs_terminal(_SCENE_WORDS)
    storyboard = known.fetch(task, _SCENE_WORDS)
    shown = scene_words(task, scene, storyboard=storyboard)
    return shown, edit_fields(
        shown,
        about=f"Scene {scene} of {task.name}.",
        fields=SCENE_FIELDS,
        check=lambda fields: edit_scene(task, scene, fields, storyboard=storyboard),
        edit=edit,
    )


def _ask_asset(task: Task, name: str, known: _KnownStoryboard, edit: Edit) -> tuple[_Words, _Words]:
    """Return the words that were shown and those that a person changed."""
    _needs_terminal("--prompt")
    storyboard = known.fetch(task, "--prompt")
    shown = {"prompt": asset_words(task, name, storyboard=storyboard)}
    return shown, edit_fields(
        shown,
        about=f"The image {name} of {task.name}.",
        fields=("prompt",),
        check=lambda fields: edit_asset(task, name, fields["prompt"], storyboard=storyboard),
        edit=edit,
    )


def _given_fields(options: argparse.Namespace) -> dict[str, Any]:
    found = {field: getattr(options, flag) for field, flag in (_SCENE_FLAGS | {"prompt": "prompt"}).items()}
    fields: dict[str, Any] = {field: value for field, value in found.items() if value is not None}
    if "characters" in fields:
        fields["characters"] = [name.strip() for name in fields["characters"].split(",") if name.strip()]
    return fields


def _load_given(file: Path | None) -> Storyboard | None:
    if file is None:
        return None
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"--storyboard: {file} cannot be read as JSON: {error}") from error
    return parse(Storyboard, value, root="--storyboard")


def _needs_terminal(flags: str) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInputError(f"there is no terminal to open an editor on; give {flags}")
