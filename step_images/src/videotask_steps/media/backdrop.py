"""The smooth surface behind a subject, fitted to its picture; it must never learn the subject's own colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from videotask_steps.media.perception import lab_of

Pixels = NDArray[np.float32]

_SIDE: Final = 192
"""Pixels; a smooth surface needs no more, and averaging to this size takes noise away."""
_RING: Final = 0.045
"""Width of the border that is taken for background at first, as a share of the side."""
_ROUNDS: Final = 5
_NEAR: Final = 12.0
"""CIELAB; border pixels farther off than this say nothing about the background's spread."""
_FITS: Final = 2.0
"""CIELAB; the barely visible difference. A plain backdrop stays within 1, scenery does not."""
_MAD_TO_SIGMA: Final = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """The background as it would be without its subject."""

    rgb: Pixels
    """sRGB levels 0 to 255, shape (height, width, 3)."""
    lab: Pixels
    """The same in CIELAB."""
    noise: float
    """Robust spread of the real background around the surface, CIELAB units, before any smoothing."""
    border_share: float
    """Share of the upper, left and right border where the picture, grain smoothed away, fits the surface; 0 to 1."""


def fit_backdrop(pixels: NDArray[np.uint8]) -> Backdrop:
    """Fit a background to sRGB pixels of shape (height, width, 3).

    A quadratic is fitted robustly to the border, then a quartic to all pixels that look like it, again and again;
    what is left of a vignette or a corner is taken up by a heavily smoothed residual.
    """
    height, width = pixels.shape[:2]
    small = _small(pixels)
    values = small.reshape(-1, 3).astype(np.float64)
    ring = _ring(small.shape[0], small.shape[1])
    surface = _border_surface(values, ring, small.shape[:2])
    terms = _terms(small.shape[:2], degree=4)
    plain = np.zeros(len(values), dtype=bool)
    for _ in range(_ROUNDS):
        distance = _distance(values, surface)
        near = distance[ring & (distance < _NEAR)]
        spread = _MAD_TO_SIGMA * float(np.median(near)) if len(near) > 0 else 0.0
        plain = distance < max(3.0, 3.0 * spread)
        if plain.sum() < 4 * terms.shape[1]:
            break
        surface = terms @ _solved(terms[plain], values[plain])
    surface += _residual(values - surface, plain, small.shape[:2])
    surface = np.clip(surface, 0, 255).reshape(small.shape)
    rgb = _enlarged(surface, width=width, height=height)
    lab = _enlarged(lab_of(np.rint(surface).astype(np.uint8)), width=width, height=height)
    return Backdrop(
        rgb=rgb,
        lab=lab,
        noise=_noise(pixels, lab, plain=plain.reshape(small.shape[:2])),
        border_share=_border_share(pixels, lab),
    )


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def _ring(height: int, width: int) -> NDArray[np.bool_]:
    thick = max(2, round(max(height, width) * _RING))
    ring = np.ones((height, width), dtype=bool)
    ring[thick:-thick, thick:-thick] = False
    return ring.ravel()


def _terms(shape: tuple[int, ...], *, degree: int) -> NDArray[np.float64]:
    rows, columns = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return np.stack(
        [rows.ravel() ** i * columns.ravel() ** j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=1
    )


def _border_surface(
    values: NDArray[np.float64], ring: NDArray[np.bool_], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return a quadratic through the border by least absolute deviations: legs cut by the edge do not bend it."""
    terms = _terms(shape, degree=2)
    weights = np.ones(int(ring.sum()))
    surface = np.zeros_like(values)
    for _ in range(12):
        root = np.sqrt(weights)[:, None]
        surface = terms @ _solved(terms[ring] * root, values[ring] * root)
        misses = np.sqrt(np.square(values[ring] - surface[ring]).sum(axis=1))
        weights = 1 / np.maximum(misses, 0.5)
    return surface


def _solved(terms: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least-squares coefficients; normal equations do for 15 well-scaled terms and are ten times faster."""
    ridge = 1e-9 * len(terms) * np.eye(terms.shape[1])
    return np.linalg.solve(terms.T @ terms + ridge, terms.T @ values).astype(np.float64)


def _distance(values: NDArray[np.float64], surface: NDArray[np.float64]) -> NDArray[np.float32]:
    seen = lab_of(np.rint(values).astype(np.uint8))
    meant = lab_of(np.rint(np.clip(surface, 0, 255)).astype(np.uint8))
    distance: NDArray[np.float32] = np.sqrt(np.square(seen - meant).sum(axis=-1))
    return distance


def _residual(misses: NDArray[np.float64], plain: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.float64]:
    weight = plain.reshape(shape).astype(np.float64)
    total = ndimage.gaussian_filter(weight, 6.0)
    bands = [
        ndimage.gaussian_filter(misses[:, band].reshape(shape) * weight, 6.0) / (total + 0.05) for band in range(3)
    ]
    return np.stack(bands, axis=-1).reshape(-1, 3)


def _enlarged(surface: NDArray[np.floating], *, width: int, height: int) -> Pixels:
    bands = [
        np.asarray(
            Image.fromarray(surface[..., band].astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
        )
        for band in range(3)
    ]
    return np.stack(bands, axis=-1)


def _border_share(pixels: NDArray[np.uint8], lab: Pixels) -> float:
    height, width = pixels.shape[:2]
    thick = max(8, round(max(height, width) * _RING))
    fits, count = 0, 0
    for part in (np.s_[:thick], np.s_[:, :thick], np.s_[:, -thick:]):
        misses = lab_of(pixels[part]) - lab[part]
        calm = [ndimage.gaussian_filter(misses[..., band], 2.0) for band in range(3)]
        distance = np.sqrt(np.square(calm).sum(axis=0))
        fits, count = fits + int((distance < _FITS).sum()), count + distance.size
    return fits / count


def _noise(pixels: NDArray[np.uint8], lab: Pixels, *, plain: NDArray[np.bool_]) -> float:
    height, width = pixels.shape[:2]
    at_full = np.asarray(Image.fromarray(plain).resize((width, height), Image.Resampling.NEAREST))
    if not at_full.any():
        return float("inf")
    step = 2  # a quarter of the pixels measures it as well
    chosen = at_full[::step, ::step]
    misses = lab_of(pixels[::step, ::step][chosen]) - lab[::step, ::step][chosen]
    return _MAD_TO_SIGMA * float(np.median(np.abs(misses - np.median(misses, axis=0)), axis=0).mean())
