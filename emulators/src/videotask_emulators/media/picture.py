"""Makes the image that an order asks for, with its true matte when it has one; it never looks at who asks."""

import io
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from videotask_emulators.media.colour import Colour, backdrop_colour
from videotask_emulators.media.cutout import Cutout
from videotask_emulators.media.figure import SHEET_WIDTH as FIGURE_WIDTH
from videotask_emulators.media.figure import choose_looks, draw_figure
from videotask_emulators.media.noise import smooth_field
from videotask_emulators.media.prop import SHEET_WIDTH as PROP_WIDTH
from videotask_emulators.media.prop import draw_prop
from videotask_emulators.media.scenery import paint_environment

Subject = Literal["environment", "figure", "prop"]
Spoil = Literal["", "one_colour_image", "tiny_image", "busy_background", "wrong_aspect"]

_PLAIN = re.compile(
    r"\b(?:plain|solid|uniform|seamless|blank|single[- ]colou?red?)\b(?:[\s,-]+\w+){0,4}?[\s,-]+(?:back(?:ground|drop))"
)
_FIGURE_WORDS = ("character", "full-body", "full body", "figure", "person", "whole body")
_PROP_WORDS = ("prop", "object", "item", "product", "lantern", "still life")
_PAINTED_LONG_SIDE = 2752


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOrder:
    """A picture to make: sizes in pixels; `look_seed` is the prompt's own, `take_seed` changes with every take."""

    prompt: str
    width: int
    height: int
    look_seed: int
    take_seed: int
    spoil: Spoil = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A made picture: the file's bytes, its type, and a PNG of the true alpha where it shows a figure or a prop."""

    content: bytes
    mime_type: str
    matte_png: bytes | None


def choose_subject(prompt: str) -> Subject:
    """Return what the prompt asks for: a plain background means a figure or a prop, all else is an environment."""
    lowered = prompt.lower()
    plain = _PLAIN.search(lowered)
    if plain is None:
        return "environment"
    before = lowered[: plain.start()] or lowered
    figure = max(before.rfind(word) for word in _FIGURE_WORDS)
    return "prop" if max(before.rfind(word) for word in _PROP_WORDS) > figure else "figure"


def make_picture(order: PictureOrder) -> Picture:
    """Return the picture as PNG or JPEG: figures always JPEG, environments by the prompt's own chance."""
    if order.spoil == "tiny_image":
        return Picture(
            content=_encoded(Image.new("RGB", (1, 1), (120, 120, 120)), "png"), mime_type="image/png", matte_png=None
        )
    if order.spoil == "one_colour_image":
        image = Image.new("RGB", (order.width, order.height), (96, 104, 116))
        return Picture(content=_encoded(image, "png"), mime_type="image/png", matte_png=None)
    width, height = order.width, order.height
    if order.spoil == "wrong_aspect":
        width, height = (height, width) if width != height else (width * 2, height)
    subject = choose_subject(order.prompt)
    if subject == "environment":
        return _environment(order, width, height)
    return _standing(order, width, height, subject)


def _environment(order: PictureOrder, width: int, height: int) -> Picture:
    rng = np.random.default_rng(order.look_seed)
    shrink = max(1.0, max(width, height) / _PAINTED_LONG_SIDE)
    image = paint_environment(order.prompt, round(width / shrink), round(height / shrink), rng)
    if shrink > 1:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    image = _retake(image, order.take_seed)
    kind = "png" if order.look_seed % 3 == 0 else "jpeg"
    return Picture(content=_encoded(image, kind), mime_type=f"image/{kind}", matte_png=None)


def _retake(image: Image.Image, take_seed: int) -> Image.Image:
    """Return the picture as another take of the same prompt: a slightly different crop and exposure."""
    rng = np.random.default_rng(take_seed)
    width, height = image.size
    inset = float(rng.uniform(0.0, 0.03))
    left, top = float(rng.uniform(0, inset)) * width, float(rng.uniform(0, inset)) * height
    box = (left, top, left + width * (1 - inset), top + height * (1 - inset))
    exposure = float(rng.uniform(0.94, 1.06))
    return image.resize((width, height), Image.Resampling.BICUBIC, box=box).point(lambda value: value * exposure)


def _standing(order: PictureOrder, width: int, height: int, subject: Subject) -> Picture:
    """Draw a figure or a prop before an uneven, noisy, plain backdrop with a soft shadow where it stands."""
    look, take = np.random.default_rng(order.look_seed), np.random.default_rng(order.take_seed)
    colour = backdrop_colour(order.prompt)
    shape = FIGURE_WIDTH if subject == "figure" else PROP_WIDTH
    share = float(take.uniform(0.86, 0.92)) if subject == "figure" else float(take.uniform(0.66, 0.74))
    tall = round(min(height * share, width * 0.94 / shape))
    wide = round(tall * shape)
    sheet = _draw(order.prompt, colour, subject, tall, look)
    colours, alpha = sheet.finished(wide, tall)
    if order.look_seed % 2:
        colours, alpha = colours[:, ::-1], alpha[:, ::-1]
    left = round((width - wide) / 2 + width * float(take.uniform(-0.02, 0.02)))
    top = round((height - tall) * (0.62 if subject == "figure" else 0.55))
    scene = (
        _busy(order, width, height)
        if order.spoil == "busy_background"
        else _backdrop(take, width, height, colour, foot=(left + wide / 2, top + tall * 0.963), wide=wide)
    )
    cover = np.zeros((height, width), dtype=np.float32)
    cover[top : top + tall, left : left + wide] = alpha
    part = scene[top : top + tall, left : left + wide]
    part += (colours - part) * alpha[..., None]
    scene += take.standard_normal((height, width, 1), dtype=np.float32) * np.float32(0.009)
    scene += take.standard_normal((height, width, 3), dtype=np.float32) * np.float32(0.004)
    image = Image.fromarray((np.clip(scene, 0, 1) * 255 + 0.5).astype(np.uint8))
    matte = Image.fromarray((cover * 255 + 0.5).astype(np.uint8))
    return Picture(content=_encoded(image, "jpeg"), mime_type="image/jpeg", matte_png=_encoded(matte, "png"))


def _draw(prompt: str, backdrop: Colour, subject: Subject, tall: int, rng: np.random.Generator) -> Cutout:
    unit = float(tall * (2 if tall < 1400 else 1))  # noqa: PLR2004 - small drawings are drawn at twice the size for smooth edges
    if subject == "figure":
        return draw_figure(choose_looks(prompt, backdrop, rng), unit, rng)
    return draw_prop(prompt, backdrop, unit, rng)


def _backdrop(
    rng: np.random.Generator, width: int, height: int, colour: Colour, *, foot: tuple[float, float], wide: int
) -> NDArray[np.float32]:
    """Return a studio backdrop: slow gradient, vignette, and a contact shadow at `foot` (x, y in pixels)."""
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    slope_x, slope_y = float(rng.uniform(-0.035, 0.035)), float(rng.uniform(-0.03, 0.03))
    light = 1 + across * slope_x + down * slope_y - (across**2 + down**2) * np.float32(0.045)
    light += (smooth_field(rng, width, height, (3, 3)) - 0.5) * np.float32(0.03)
    x, y = foot
    fall = ((np.arange(width, dtype=np.float32)[None, :] - x) / (wide * 0.34)) ** 2
    fall = fall + ((np.arange(height, dtype=np.float32)[:, None] - y) / (wide * 0.055)) ** 2
    shadow = np.exp(-fall) * np.float32(0.24)
    return np.asarray(np.asarray(colour) * (light * (1 - shadow))[..., None], dtype=np.float32)


def _busy(order: PictureOrder, width: int, height: int) -> NDArray[np.float32]:
    """Return a whole scene instead of the plain backdrop that was asked for, as real models sometimes do."""
    rng = np.random.default_rng(order.look_seed + 1)
    scene = paint_environment("a busy market street in the city, day", width, height, rng)
    return np.asarray(scene.filter(ImageFilter.GaussianBlur(1)), dtype=np.float32) / np.float32(255)


def _encoded(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    if kind == "jpeg":
        image.save(stream, "JPEG", quality=92, subsampling=0)
    else:
        image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
