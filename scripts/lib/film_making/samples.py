"""The sample Channel and VideoTasks, read from samples/; it must never change what they say but a film's name."""

from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from film_making.failure import FilmError
from film_making.places import SAMPLES, shown
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_contract.steps import Provider
from videotask_operator.local.resources import explain

Manifest = dict[str, Any]

DEMO_KEYS = {provider: f"{provider.value}-demo-key" for provider in Provider}
"""What the emulators accept; see emulators/README.md."""


def load_sample(path: Path, kind: str) -> Manifest:
    """Return the first object of this kind in a file of samples/."""
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    except FileNotFoundError as error:
        raise FilmError(f"{shown(path)} is missing from this checkout") from error
    for document in documents:
        if document.get("kind") == kind:
            found: Manifest = document
            return found
    raise FilmError(f"{shown(path)} holds no {kind}")


def load_channel() -> Manifest:
    """Return the sample Channel."""
    return load_sample(SAMPLES / "channel.yaml", "Channel")


def load_task(*, full: bool) -> Manifest:
    """Return the sample VideoTask: the house film of 22 images and 18 scenes, or the quick one of 4 scenes."""
    return load_sample(SAMPLES / ("videotask.yaml" if full else "videotask-demo.yaml"), "VideoTask")


def with_fresh_name(task: Manifest) -> Manifest:
    """Return the task under a name that no film had before: its own and the second it is made in."""
    moment = datetime.now().astimezone()
    return {**task, "metadata": {**task["metadata"], "name": f"{task['metadata']['name']}-{moment:%m%d-%H%M%S}"}}


def with_first_scenes(task: Manifest, count: int) -> Manifest:
    """Return the task cut to its first scenes and the assets they need."""
    board = task["spec"]["storyboard"]
    scenes = board["scenes"][:count]
    needed = {scene["environment"] for scene in scenes}
    needed.update(name for scene in scenes for name in scene.get("characters", ()))
    assets = [asset for asset in board["assets"] if asset["name"] in needed]
    return {**task, "spec": {**task["spec"], "storyboard": {"assets": assets, "scenes": scenes}}}


def parse_channel(manifest: Manifest) -> ChannelSpec:
    """Return the Channel's spec; FilmError with the field's path when it breaks the contract."""
    try:
        return ChannelSpec.model_validate(manifest["spec"])
    except ValidationError as error:
        raise FilmError(f"samples/channel.yaml: {explain(error)}") from error


def parse_task(manifest: Manifest) -> VideoTaskSpec:
    """Return the VideoTask's spec; FilmError with the field's path when it breaks the contract."""
    try:
        return VideoTaskSpec.model_validate(manifest["spec"])
    except ValidationError as error:
        raise FilmError(f"the sample VideoTask: {explain(error)}") from error
