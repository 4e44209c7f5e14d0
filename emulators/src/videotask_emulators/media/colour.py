"""Colours as float triples of 0 to 1, for the painters; it knows nothing of images."""
# ruff: noqa: PLR2004 - proportions are what sounds and colours are made of

import colorsys
import re

import numpy as np

Colour = tuple[float, float, float]

_NAMED: dict[str, Colour] = {
    "white": (0.95, 0.95, 0.95),
    "grey": (0.76, 0.77, 0.78),
    "gray": (0.76, 0.77, 0.78),
    "black": (0.10, 0.10, 0.11),
    "green": (0.16, 0.72, 0.28),
    "blue": (0.20, 0.42, 0.78),
    "pink": (0.90, 0.70, 0.74),
    "magenta": (0.86, 0.12, 0.70),
    "beige": (0.86, 0.81, 0.72),
    "cream": (0.93, 0.90, 0.82),
    "yellow": (0.92, 0.82, 0.35),
}


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour `share` (0 to 1) of the way from `first` to `second`."""
    return (
        first[0] + (second[0] - first[0]) * share,
        first[1] + (second[1] - first[1]) * share,
        first[2] + (second[2] - first[2]) * share,
    )


def scale(colour: Colour, factor: float) -> Colour:
    """Return the colour made brighter or darker by `factor`, clipped to 0 to 1."""
    return (min(1.0, colour[0] * factor), min(1.0, colour[1] * factor), min(1.0, colour[2] * factor))


def from_hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the RGB colour of a hue, saturation and value of 0 to 1 (the hue wraps round)."""
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def distance(first: Colour, second: Colour) -> float:
    """Return the Euclidean distance between two colours: 0 is equal, 1.73 is black against white."""
    return float(np.linalg.norm(np.subtract(first, second)))


def to_bytes(colour: Colour) -> tuple[int, int, int]:
    """Return the colour as three whole numbers of 0 to 255."""
    return (round(colour[0] * 255), round(colour[1] * 255), round(colour[2] * 255))


def away_from(colour: Colour, backdrop: Colour, *, least: float = 0.34) -> Colour:
    """Return `colour`, darkened or lit until it stands at least `least` away from the backdrop."""
    towards: Colour = (0.06, 0.06, 0.09) if sum(backdrop) > 1.2 else (0.97, 0.96, 0.92)
    for step in range(11):
        moved = mix(colour, towards, step / 10)
        if distance(moved, backdrop) >= least:
            return moved
    return towards


def backdrop_colour(prompt: str) -> Colour:
    """Return the colour that the prompt asks for its plain background; light grey where it names none."""
    lowered = prompt.lower()
    code = re.search(r"#([0-9a-f]{6})\b", lowered)
    if code:
        value = int(code.group(1), 16)
        return ((value >> 16) / 255, (value >> 8 & 255) / 255, (value & 255) / 255)
    around = re.search(r"((?:[\w-]+\s+){0,4})(?:[\w-]*background|backdrop)", lowered)
    words = around.group(1) if around else ""
    for name, colour in _NAMED.items():
        if re.search(rf"\b{name}\b", words):
            if "light" in words or "pale" in words:
                return mix(colour, (0.95, 0.95, 0.95), 0.35)
            return mix(colour, (0.1, 0.1, 0.1), 0.4) if "dark" in words else colour
    return (0.83, 0.84, 0.85)
