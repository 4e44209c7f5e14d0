"""Puts cut-out figures into their environment, feet on the ground; equal inputs must give equal pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from videotask_steps.media.cutout import Cutout

CHARACTER_HEIGHT: Final = 0.68
"""Of the frame's height, for one or two; more figures stand farther off and are smaller."""
PROP_HEIGHT: Final = 0.30
SMALLER_PER_FIGURE: Final = 0.05
"""Taken from the height for every figure beyond two."""
SMALLEST_HEIGHT: Final = 0.42
GROUND: Final = 0.93
"""Where feet stand, from the top, as a share of the frame's height."""
PROP_GROUND: Final = 0.945
"""Props stand a little nearer."""
MAX_FIGURE_WIDTH: Final = 0.46
"""Of the frame's width: a lying or winged figure is scaled by its width instead."""
SIDE_MARGIN: Final = 0.05
"""Of the frame's width, left free on both sides."""
_SHADOW: Final = 0.5
"""Share of the light that the darkest part of a contact shadow takes away."""
_TINT: Final = 0.22
"""How far a figure takes on the light of its environment; 0 not at all, 1 wholly."""
_MIDDLE_GREY: Final = 118.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One character or prop to place."""

    cutout: Cutout
    is_prop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one figure stands: its size and its upper left corner, pixels of the frame."""

    width: int
    height: int
    left: int
    top: int


def compose(environment: Image.Image, figures: Sequence[Figure], *, width: int, height: int) -> Image.Image:
    """Return an RGB frame of this size: the environment, and the figures in it from left to right."""
    scene = fill_frame(environment.convert("RGB"), width=width, height=height)
    places = arrange(figures, width=width, height=height)
    shaded = _shaded(scene, [(figure, place) for figure, place in zip(figures, places, strict=True)])
    light = _light_of(scene)
    frame = Image.fromarray(shaded)
    # Those farther away, higher on the ground line, are covered by those nearer.
    for figure, place in sorted(zip(figures, places, strict=True), key=lambda pair: pair[1].top + pair[1].height):
        subject = _lit(_scaled(figure.cutout, place), light)
        frame.paste(subject, (place.left, place.top), subject)
    return frame


def fill_frame(picture: Image.Image, *, width: int, height: int) -> Image.Image:
    """Return the picture scaled to cover the frame, what stands over at two sides cut off evenly."""
    scale = max(width / picture.width, height / picture.height)
    cut_width, cut_height = width / scale, height / scale
    left, top = (picture.width - cut_width) / 2, (picture.height - cut_height) / 2
    return picture.resize(
        (width, height), Image.Resampling.LANCZOS, box=(left, top, left + cut_width, top + cut_height)
    )


def arrange(figures: Sequence[Figure], *, width: int, height: int) -> list[Place]:
    """Return a place for each figure, left to right, with even gaps; all are made smaller when they do not fit."""
    sizes = [_size(figure, count=len(figures), width=width, height=height) for figure in figures]
    room = width * (1 - 2 * SIDE_MARGIN)
    total = sum(size[0] for size in sizes)
    if total > room:
        sizes = [(wide * room / total, tall * room / total) for wide, tall in sizes]
        total = room
    gap = (width - total) / (len(sizes) + 1)
    places = []
    left = gap
    for figure, (wide, tall) in zip(figures, sizes, strict=True):
        foot = height * _ground(figure)
        places.append(
            Place(width=max(1, round(wide)), height=max(1, round(tall)), left=round(left), top=round(foot - tall)),
        )
        left += wide + gap
    return places


def _size(figure: Figure, *, count: int, width: int, height: int) -> tuple[float, float]:
    left, top, right, bottom = figure.cutout.box
    shape = (right - left) / (bottom - top)
    share = max(SMALLEST_HEIGHT, CHARACTER_HEIGHT - SMALLER_PER_FIGURE * max(0, count - 2))
    if figure.is_prop:
        share *= PROP_HEIGHT / CHARACTER_HEIGHT
    tall = share * height
    return (tall * shape, tall) if tall * shape <= MAX_FIGURE_WIDTH * width else _by_width(width, shape)


def _by_width(width: int, shape: float) -> tuple[float, float]:
    wide = MAX_FIGURE_WIDTH * width
    return wide, wide / shape


def _ground(figure: Figure) -> float:
    if figure.cutout.is_cut_below:
        return 1.0  # a figure that its own picture cuts off at the knees would float anywhere else
    return PROP_GROUND if figure.is_prop else GROUND


def _scaled(cutout: Cutout, place: Place) -> Image.Image:
    return cutout.trimmed.resize((place.width, place.height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _shaded(scene: Image.Image, placed: Sequence[tuple[Figure, Place]]) -> NDArray[np.uint8]:
    """Return the scene with a soft shadow on the ground under each figure."""
    shadow = Image.new("L", scene.size)
    for figure, place in placed:
        if figure.cutout.is_cut_below:
            continue
        lying = (
            _scaled(figure.cutout, place)
            .getchannel("A")
            .resize((place.width, max(6, round(0.085 * place.height))), Image.Resampling.BOX)
        )
        foot = place.top + place.height
        layer = Image.new("L", scene.size)
        layer.paste(lying, (place.left, foot - round(0.62 * lying.height)))
        shadow = Image.fromarray(np.maximum(np.asarray(shadow), np.asarray(layer)))
    soft = shadow.filter(ImageFilter.GaussianBlur(scene.height * 0.009))
    kept = 1 - _SHADOW * np.asarray(soft, dtype=np.float32)[..., None] / 255
    return np.rint(np.asarray(scene, dtype=np.float32) * kept).astype(np.uint8)


def _light_of(scene: Image.Image) -> NDArray[np.float32]:
    """Return gains for red, green and blue: how the environment's light differs from an even, middle-grey one."""
    pixels = np.asarray(scene.resize((64, 36), Image.Resampling.BOX), dtype=np.float32)
    mean = pixels[9:].reshape(-1, 3).mean(axis=0)  # the sky lights a figure less than what is around it
    gains: NDArray[np.float32] = np.clip(np.power(np.maximum(mean, 8) / _MIDDLE_GREY, _TINT), 0.72, 1.08)
    return gains


def _lit(subject: Image.Image, light: NDArray[np.float32]) -> Image.Image:
    pixels = np.asarray(subject, dtype=np.float32).copy()
    pixels[..., :3] = np.clip(pixels[..., :3] * light, 0, 255)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))
