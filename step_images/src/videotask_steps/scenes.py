"""A storyboard's scenes by number, and what people call them in messages; nothing else may number a scene."""

from __future__ import annotations

from collections.abc import Iterator

from videotask_contract import layout
from videotask_contract.storyboard import Scene, Storyboard


def numbered_scenes(storyboard: Storyboard) -> Iterator[tuple[str, Scene]]:
    """Yield each scene with its zero-padded number, which is also its item id."""
    for position, scene in enumerate(storyboard.scenes, start=1):
        yield layout.scene_number(position), scene


def scene_label(number: str, scene: Scene) -> str:
    """Return "scene 07 (dawn-over-reeds)"."""
    return f"scene {number} ({scene.name})"
