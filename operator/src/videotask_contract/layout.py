"""Where each file of a film lies on the channel's volume; no name from a person becomes a path but here."""

from __future__ import annotations

from typing import Final

from videotask_contract.steps import Step
from videotask_contract.storyboard import Asset

STORYBOARD: Final = "storyboard.json"
FILM: Final = "film.mp4"
LEDGER_FOLDER: Final = "ledger"


def task_folder(*, name: str, uid: str) -> str:
    """Return a task's folder below the volume's root: projects/<name, cut>-<first 8 of the uid>."""
    return f"projects/{name[:54].rstrip('-.')}-{uid[:8]}"


def ledger(step: Step) -> str:
    """Return the ledger of one step, one JSON record a line."""
    return f"{LEDGER_FOLDER}/{step.value}.jsonl"


def scene_number(position: int) -> str:
    """Return the zero-padded number of the scene at this 1-based position; also its item id."""
    return f"{position:02d}"


def asset_stem(asset: Asset) -> str:
    """Return an asset's path without extension: assets/characters/heron (the provider chooses png or jpg)."""
    return f"assets/{asset.kind.folder}/{asset.name}"


def composite(number: str) -> str:
    """Return a scene's composite, 1920x1080 PNG by default."""
    return f"composites/composite_{number}.png"


def clip(number: str, *, take: int = 1) -> str:
    """Return a scene's clip; later takes stand beside the first, which is never overwritten."""
    return f"clips/clip_{number}{_take(take)}.mp4"


def narration(number: str, *, take: int = 1) -> str:
    """Return a scene's narration."""
    return f"narration/narration_{number}{_take(take)}.mp3"


def effect(number: str, *, take: int = 1) -> str:
    """Return a scene's sound effect."""
    return f"sfx/sfx_{number}{_take(take)}.mp3"


def segment(number: str) -> str:
    """Return a scene's encoded picture, kept so that a redo encodes only what changed."""
    return f"segments/segment_{number}.mp4"


def _take(take: int) -> str:
    return "" if take == 1 else f".take{take}"
