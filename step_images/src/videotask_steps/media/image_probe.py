"""What an image file really holds, found by decoding it wholly; it must never trust a name or a header alone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from videotask_steps.media.bad_media import BadMediaError, check_file, undecodable

MAX_PIXELS: Final = 80_000_000
"""Larger images are refused before they are unpacked; 4K at 16:9 holds about 17 million."""
ONE_COLOUR_LEVELS: Final = 4.0
"""Means of image blocks that differ by less than this (of 255) show one colour and noise."""
ASPECT_TOLERANCE: Final = 0.03
"""Providers round to multiples of 16: 1376x768 stands for 16:9 and is 0.8 % wider."""
_BLOCKS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProbe:
    """What was seen in an image."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    format: str
    """Pillow's name of the format: PNG, JPEG, WEBP."""
    is_one_colour: bool
    """True when nothing but noise is to be seen."""


def probe_image(path: Path, *, item: str | None = None) -> ImageProbe:
    """Decode the image wholly and return what it holds; BadMediaError when it is empty, cut off or no image."""
    check_file(path, item=item)
    try:
        # A decompression bomb is bad media here, whatever the warning filter outside says.
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image_format = image.format or "unknown"
                if image.width * image.height > MAX_PIXELS:
                    raise BadMediaError(
                        f"{path.name} has {image.width}x{image.height} pixels; at most {MAX_PIXELS:,} are read",
                        item=item,
                    )
                picture = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise undecodable(path, error, kind="an image", item=item) from error
    return ImageProbe(
        width=picture.width,
        height=picture.height,
        format=image_format,
        is_one_colour=_is_one_colour(picture),
    )


def check_image(
    path: Path,
    *,
    item: str | None = None,
    aspect_ratio: float | None = None,
    min_width: int = 256,
    min_height: int = 256,
) -> ImageProbe:
    """Return the probe of a usable image; BadMediaError names what was seen and asked.

    `aspect_ratio` is width divided by height (16 / 9), None when any will do; sizes are pixels.
    """
    probe = probe_image(path, item=item)
    seen = f"{path.name} is {probe.width}x{probe.height} {probe.format}"
    if probe.width < min_width or probe.height < min_height:
        raise BadMediaError(f"{seen}; at least {min_width}x{min_height} was asked for", item=item)
    if aspect_ratio is not None and abs(probe.width / probe.height / aspect_ratio - 1) > ASPECT_TOLERANCE:
        raise BadMediaError(f"{seen}; width to height of {aspect_ratio:.3f} was asked for", item=item)
    if probe.is_one_colour:
        raise BadMediaError(f"{seen} and shows one colour only; a picture was asked for", item=item)
    return probe


def _is_one_colour(picture: Image.Image) -> bool:
    # Box-averaged blocks: noise vanishes, a small subject still moves at least one block.
    size = (min(_BLOCKS, picture.width), min(_BLOCKS, picture.height))
    blocks = np.asarray(picture.resize(size, Image.Resampling.BOX), dtype=np.float32).reshape(-1, 3)
    return bool((blocks.max(axis=0) - blocks.min(axis=0)).max() < ONE_COLOUR_LEVELS)
