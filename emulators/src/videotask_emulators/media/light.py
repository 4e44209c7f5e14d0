"""The hour and the light of a picture, and the finish that film gives it: bloom, vignette, grain."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from videotask_emulators.media.canvas import Canvas
from videotask_emulators.media.colour import Colour, from_hsv, mix
from videotask_emulators.media.noise import smooth_field


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """The colours of an hour. `stars` and `clouds` are shares of 0 to 1, `sun_height` a share of the sky from below."""

    name: str
    zenith: Colour
    low: Colour
    haze: Colour
    sun: Colour
    light: Colour
    ground_tint: Colour
    darkness: float
    stars: float
    clouds: float
    sun_height: float


_MOODS: tuple[tuple[tuple[str, ...], Mood], ...] = (
    (
        ("night", "midnight", "moon", "moonlit", "stars", "starry"),
        Mood(
            name="night", zenith=(0.04, 0.07, 0.18), low=(0.20, 0.29, 0.47), haze=(0.17, 0.24, 0.38),
            sun=(0.95, 0.96, 0.88), light=(1.0, 0.78, 0.42), ground_tint=(0.34, 0.44, 0.62), darkness=0.42,
            stars=1.0, clouds=0.35, sun_height=0.72,
        ),
    ),
    (
        ("dusk", "sunset", "evening", "twilight", "golden"),
        Mood(
            name="dusk", zenith=(0.19, 0.20, 0.42), low=(0.99, 0.63, 0.36), haze=(0.88, 0.56, 0.44),
            sun=(1.0, 0.86, 0.58), light=(1.0, 0.72, 0.38), ground_tint=(0.80, 0.52, 0.46), darkness=0.34,
            stars=0.15, clouds=0.65, sun_height=0.16,
        ),
    ),
    (
        ("dawn", "sunrise", "morning", "mist", "misty", "fog"),
        Mood(
            name="dawn", zenith=(0.42, 0.58, 0.78), low=(0.99, 0.84, 0.70), haze=(0.92, 0.84, 0.80),
            sun=(1.0, 0.95, 0.80), light=(1.0, 0.86, 0.62), ground_tint=(0.90, 0.80, 0.74), darkness=0.16,
            stars=0.0, clouds=0.5, sun_height=0.26,
        ),
    ),
    (
        ("storm", "stormy", "rain", "rainy", "thunder", "grey", "gale", "tempest"),
        Mood(
            name="storm", zenith=(0.18, 0.22, 0.27), low=(0.52, 0.58, 0.61), haze=(0.46, 0.52, 0.55),
            sun=(0.78, 0.82, 0.82), light=(1.0, 0.82, 0.52), ground_tint=(0.52, 0.58, 0.62), darkness=0.42,
            stars=0.0, clouds=1.0, sun_height=0.55,
        ),
    ),
    (
        ("day", "noon", "afternoon", "sunny", "bright", "summer"),
        Mood(
            name="day", zenith=(0.20, 0.47, 0.80), low=(0.76, 0.89, 0.96), haze=(0.74, 0.85, 0.92),
            sun=(1.0, 0.98, 0.88), light=(1.0, 0.94, 0.78), ground_tint=(1.0, 1.0, 0.94), darkness=0.0,
            stars=0.0, clouds=0.6, sun_height=0.7,
        ),
    ),
)  # fmt: skip


def choose_mood(prompt: str, rng: np.random.Generator) -> Mood:
    """Return the hour that the prompt's first telling word names; one by chance where there is none."""
    words = [word.strip(".,;:!?\"'()-").lower() for word in prompt.split()]
    for word in words:
        for names, mood in _MOODS:
            if word in names:
                return mood
    return _MOODS[int(rng.integers(len(_MOODS)))][1]


def lit(colour: Colour, mood: Mood, depth: float = 0.0) -> Colour:
    """Return a thing's own colour as the hour shows it, `depth` (0 near to 1 far) of the way into the haze."""
    tinted = mix(colour, (colour[0] * mood.ground_tint[0], colour[1] * mood.ground_tint[1],
                          colour[2] * mood.ground_tint[2]), 0.85)  # fmt: skip
    dark = mix(tinted, mix((0.02, 0.03, 0.06), mood.haze, 0.25), mood.darkness)
    return mix(dark, mood.haze, depth)


def any_warm(rng: np.random.Generator) -> Colour:
    """Return a warm, muted colour by chance, as painted wood and plaster have."""
    return from_hsv(float(rng.uniform(-0.02, 0.13)), float(rng.uniform(0.25, 0.6)), float(rng.uniform(0.5, 0.85)))


def any_colour(rng: np.random.Generator, saturation: float = 0.5, value: float = 0.7) -> Colour:
    """Return a colour of any hue."""
    return from_hsv(float(rng.random()), saturation, value)


def finish(canvas: Canvas, mood: Mood, rng: np.random.Generator) -> None:
    """Add bloom from the bright parts, slow light, a vignette and fine grain."""
    width, height = canvas.width, canvas.height
    small = canvas.to_image().resize((max(2, width // 8), max(2, height // 8)), Image.Resampling.BOX)
    bright = np.clip((np.asarray(small, dtype=np.float32) / 255 - 0.72) / 0.28, 0, 1)
    haloed = Image.fromarray((bright * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(max(2.0, width / 220)))
    bloom = np.asarray(haloed.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32) / 255
    canvas.pixels += bloom * np.float32(0.22)
    patches = smooth_field(rng, width, height, (4, 3))[..., None]
    canvas.pixels *= np.float32(0.93) + patches * np.float32(0.14)
    across = (canvas.columns / width - 0.5) * 2
    down = (canvas.rows / height - 0.5) * 2
    edge = np.clip((across**2 + down**2) / 2, 0, 1)[..., None].astype(np.float32)
    canvas.pixels *= 1 - edge * np.float32(0.30 + 0.12 * mood.darkness)
    canvas.pixels += rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(0.008)
