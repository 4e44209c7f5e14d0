"""Colour as people see it: sRGB to CIELAB; it must never be used to store colours, only to compare them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEVELS: Final = np.arange(256, dtype=np.float64) / 255
_TOE: Final = 0.04045
_LINEAR: Final = np.where(_LEVELS <= _TOE, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Linear light of each sRGB level (IEC 61966-2-1)."""
_TO_XYZ: Final = (
    np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    / np.array([[0.95047], [1.0], [1.08883]])
).astype(np.float32)
"""Linear sRGB to XYZ, relative to the white point D65."""
_KNEE: Final = np.float32(216 / 24389)
_SLOPE: Final = np.float32(24389 / 27 / 116)


def lab_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return CIELAB (D65) of sRGB pixels, shape (..., 3); L runs from 0 to 100."""
    xyz = _LINEAR[pixels] @ _TO_XYZ.T
    curve = np.where(xyz > _KNEE, np.cbrt(xyz), _SLOPE * xyz + np.float32(16 / 116))
    lab: NDArray[np.float32] = np.empty(curve.shape, dtype=np.float32)
    lab[..., 0] = 116 * curve[..., 1] - 16
    lab[..., 1] = 500 * (curve[..., 0] - curve[..., 1])
    lab[..., 2] = 200 * (curve[..., 1] - curve[..., 2])
    return lab
