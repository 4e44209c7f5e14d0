"""How long each scene and the film last; the plan, the assembly and the tests all count frames by these rules."""

from __future__ import annotations

import math
from typing import Final

from videotask_contract.errors import BadInputError

LEAD_SECONDS: Final = 0.15
"""Silence before a narration starts in its scene."""
TAIL_SECONDS: Final = 0.35
"""Silence after a narration ends; with 3.5 to 5 s of speech 18 scenes make about 90 s."""
MAX_HOLD_SECONDS: Final = 1.0
"""How long a clip's last frame may be held when the narration is longer than the clip."""
SLOWEST_CHARACTERS_PER_SECOND: Final = 14.0
"""A calm reading pace, spaces counted; the bound for "too long" before anything is paid."""


def scene_frames(*, narration_seconds: float, frames_per_second: int) -> int:
    """Return the frames of a scene: lead, narration and tail, rounded up to whole frames."""
    # The small slack keeps 4.5 s from becoming one frame longer by binary rounding.
    return math.ceil((LEAD_SECONDS + narration_seconds + TAIL_SECONDS) * frames_per_second - 1e-6)


def estimated_narration_seconds(text: str, *, speed: float = 1.0) -> float:
    """Return how long a voice at this speed is expected to need for the text."""
    return len(text) / (SLOWEST_CHARACTERS_PER_SECOND * speed)


def check_narration_fits(*, scene: str, text: str, narration_seconds: float, clip_seconds: int) -> None:
    """Raise BadInputError naming the scene and the words to lose when speech is longer than its clip can be held."""
    room_seconds = clip_seconds + MAX_HOLD_SECONDS - LEAD_SECONDS - TAIL_SECONDS
    if narration_seconds <= room_seconds:
        return
    words = text.split()
    keep = max(1, int(len(words) * room_seconds / narration_seconds))
    raise BadInputError(
        f"scene {scene}: its narration lasts {narration_seconds:.2f} s and only {room_seconds:.2f} s fit a clip of "
        f"{clip_seconds} s; shorten it by about {len(words) - keep} words, for example without "
        f'"{" ".join(words[keep:])}"',
        item=scene,
    )
