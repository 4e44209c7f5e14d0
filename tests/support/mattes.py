"""How good a cut-out is against the true matte of its image: overlap, a rim of background, a veil around it."""

from __future__ import annotations

import io
import urllib.request

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from videotask_steps.media.perception import lab_of

Plane = NDArray[np.float64]

RIM_PX = 3
"""Distance from the true outline, inwards and outwards, in which a rim shows."""
BACKGROUND_LIKE = 10.0
"""CIELAB; a rim colour this near to the background behind it is background."""


def fetch_true_matte(emulator_url: str, sha256: str) -> Plane:
    """Return the emulator's matte (0 to 1) of the image with this SHA-256."""
    with urllib.request.urlopen(f"{emulator_url}/_control/matte?sha256={sha256}", timeout=30) as answer:
        return read_matte(answer.read())


def read_matte(png: bytes) -> Plane:
    """Return a matte (0 to 1) from its PNG."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L"), dtype=np.float64) / 255


def matte_of(cutout: Image.Image, *, size: tuple[int, int]) -> Plane:
    """Return a cut-out's alpha (0 to 1) at the size (width, height) of the true matte."""
    alpha = cutout.getchannel("A")
    scaled = alpha if alpha.size == size else alpha.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(scaled, dtype=np.float64) / 255


def overlap(one: Plane, other: Plane) -> float:
    """Return intersection over union of what is more than half opaque."""
    first, second = one > 0.5, other > 0.5
    return float((first & second).sum() / max(1, (first | second).sum()))


def background_rim(cutout: Image.Image, picture: Image.Image, truth: Plane) -> float:
    """Return the share of a cut-out's edge, by opacity, that shows the background that was behind it.

    `cutout` is RGBA and `picture` the image it came from, both of the true matte's size.
    """
    rgba = np.asarray(cutout, dtype=np.float64)
    inside = truth > 0.5
    near = ndimage.binary_dilation(inside, iterations=RIM_PX) & ~ndimage.binary_erosion(inside, iterations=RIM_PX)
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)
    clear = (truth < 0.02) & ~ndimage.binary_dilation(inside, iterations=2)
    weight = ndimage.gaussian_filter(clear.astype(np.float64), 8)
    behind = np.stack(
        [ndimage.gaussian_filter(pixels[..., band] * clear, 8) / np.maximum(weight, 1e-6) for band in range(3)], axis=-1
    )
    seen = near & (rgba[..., 3] > 64) & (weight > 1e-3)
    colours = lab_of(rgba[..., :3][seen].astype(np.uint8))
    backs = lab_of(np.clip(behind[seen], 0, 255).astype(np.uint8))
    is_background = np.sqrt(np.square(colours - backs).sum(axis=-1)) < BACKGROUND_LIKE
    opacity = rgba[..., 3][seen]
    return float((opacity * is_background).sum() / max(1.0, opacity.sum()))


def veil(alpha: Plane, truth: Plane) -> float:
    """Return the mean opacity farther than 4 pixels outside the true outline: a veil or a pasted rectangle."""
    outside = ~ndimage.binary_dilation(truth > 0.02, iterations=4)
    return float(alpha[outside].mean())
