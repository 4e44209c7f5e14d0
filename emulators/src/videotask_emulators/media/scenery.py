"""Paints an environment, outdoors or indoors, for a film frame; its lower third is always ground to stand on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from videotask_emulators.media import interior, land, town
from videotask_emulators.media.canvas import Canvas
from videotask_emulators.media.colour import Colour, mix
from videotask_emulators.media.light import Mood, choose_mood, finish
from videotask_emulators.media.sky import paint_sky

HORIZON_SHARE = 0.6
"""Where the horizon stands, as a share of the height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A kind of place, the words in a prompt that mean it, and what paints it below the sky."""

    words: tuple[str, ...]
    paint: Callable[[Canvas, Mood, np.random.Generator, int, str], None]
    indoors: bool = False


_PLACES: tuple[Place, ...] = (
    Place(
        words=(
            "interior", "inside", "room", "kitchen", "library", "workshop", "hall", "cabin", "studio", "bedroom",
            "attic", "office", "shop", "cellar", "classroom", "laboratory", "tavern", "bakery", "parlour",
        ),
        paint=interior.paint_room,
        indoors=True,
    ),
    Place(
        words=(
            "sea", "coast", "harbour", "harbor", "beach", "island", "ocean", "cliff", "lighthouse", "shore", "pier",
            "bay", "dock", "lake", "reef", "waves", "tide",
        ),
        paint=land.paint_coast,
    ),
    Place(
        words=(
            "city", "street", "town", "market", "rooftop", "alley", "square", "skyline", "station", "bridge", "plaza",
        ),
        paint=town.paint_street,
    ),
    Place(words=("forest", "wood", "woods", "jungle", "grove", "garden", "park", "orchard"), paint=land.paint_forest),
    Place(words=("desert", "dune", "dunes", "canyon", "mars", "moon", "planet", "crater"), paint=land.paint_desert),
    Place(
        words=(
            "mountain", "mountains", "valley", "hill", "hills", "meadow", "field", "farm", "village", "path", "snow",
        ),
        paint=land.paint_hills,
    ),
)  # fmt: skip


def choose_place(prompt: str, rng: np.random.Generator) -> Place:
    """Return the place whose word stands first in the prompt; one by chance where there is none."""
    words = [word.strip(".,;:!?\"'()").lower() for word in prompt.split()]
    for word in words:
        for place in _PLACES:
            if word in place.words or (word.endswith("s") and word[:-1] in place.words):
                return place
    return _PLACES[int(rng.integers(len(_PLACES)))]


def paint_environment(prompt: str, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """Return an RGB picture of the prompt's place at the prompt's hour; `rng` sets all that the prompt leaves open."""
    canvas = Canvas(width, height)
    mood = choose_mood(prompt, rng)
    place = choose_place(prompt, rng)
    horizon = round(height * HORIZON_SHARE)
    if not place.indoors:
        paint_sky(canvas, mood, rng, horizon)
    place.paint(canvas, mood, rng, horizon, prompt.lower())
    finish(canvas, mood, rng)
    return canvas.to_image()


def haze_towards(colour: Colour, mood: Mood, share: float) -> Colour:
    """Return the colour seen through `share` of the air between here and the horizon."""
    return mix(colour, mood.haze, share)
