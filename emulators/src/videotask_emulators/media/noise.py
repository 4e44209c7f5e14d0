"""Smooth random fields for skies, ground and light; seeded, so that the same order gives the same picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]


def smooth_field(rng: np.random.Generator, width: int, height: int, cells: tuple[int, int]) -> Field:
    """Return a smooth field of 0 to 1, shape (height, width), with about `cells` (across, down) bumps."""
    grid = rng.random((max(2, cells[1]), max(2, cells[0])), dtype=np.float32)
    image = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(image, dtype=np.float32), 0.0, 1.0)


def fractal_field(rng: np.random.Generator, width: int, height: int, cells: tuple[int, int], octaves: int = 4) -> Field:
    """Return a cloud-like field of 0 to 1, shape (height, width): octaves of smooth fields, each half as strong."""
    total = np.zeros((height, width), dtype=np.float32)
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        total += weight * smooth_field(rng, width, height, (cells[0] << octave, cells[1] << octave))
        weights += weight
        weight *= 0.5
    return total / np.float32(weights)


def fractal_line(rng: np.random.Generator, length: int, bumps: int, octaves: int = 6) -> Field:
    """Return a ridge line of 0 to 1, shape (length,): one-dimensional octaves, for hills and coasts."""
    places = np.linspace(0.0, 1.0, length, dtype=np.float32)
    total = np.zeros(length, dtype=np.float32)
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        knots = rng.random((bumps << octave) + 2)
        total += np.float32(weight) * np.interp(places, np.linspace(0, 1, knots.size), knots).astype(np.float32)
        weights += weight
        weight *= 0.48
    return total / np.float32(weights)
