"""Draws one object with a thin part and a hole through it; the prompt's words choose which."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from videotask_emulators.media.colour import Colour, away_from, from_hsv, mix, scale
from videotask_emulators.media.cutout import Cutout

SHEET_WIDTH = 1.0
"""The drawing's width in its own units; it is as wide as high."""


_MATERIALS: dict[str, Colour] = {
    "copper": (0.72, 0.42, 0.26), "brass": (0.70, 0.54, 0.24), "gold": (0.80, 0.62, 0.22), "golden": (0.80, 0.62, 0.22),
    "wooden": (0.50, 0.33, 0.19), "wood": (0.50, 0.33, 0.19), "leather": (0.44, 0.27, 0.18), "iron": (0.32, 0.33, 0.36),
    "silver": (0.55, 0.58, 0.62), "red": (0.66, 0.22, 0.20), "blue": (0.24, 0.38, 0.62), "green": (0.26, 0.48, 0.32),
    "yellow": (0.76, 0.62, 0.24), "teal": (0.20, 0.50, 0.50),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Paints:
    """The colours of a prop; all stand away from the backdrop."""

    body: Colour
    metal: Colour
    accent: Colour
    wood: Colour


def draw_prop(prompt: str, backdrop: Colour, unit: float, rng: np.random.Generator) -> Cutout:
    """Return the object on a sheet of 1.0 by 1.0; `unit` is the sheet's height in pixels."""
    hue = float(rng.random())

    def apart(colour: Colour) -> Colour:
        return away_from(colour, backdrop)

    words = [word.strip(".,;:!?\"'()-").lower() for word in prompt.split()]
    material = next((_MATERIALS[word] for word in words if word in _MATERIALS), from_hsv(hue, 0.5, 0.58))
    paints = Paints(
        body=apart(material),
        metal=apart((0.34, 0.36, 0.40)),
        accent=apart(from_hsv(hue + 0.4, 0.75, 0.75)),
        wood=apart((0.44, 0.28, 0.16)),
    )
    sheet = Cutout(SHEET_WIDTH, 1.0, unit)
    for word in words:
        for names, draw in _DRAWN:
            if word in names:
                draw(sheet, paints)
                return sheet
    _DRAWN[int(rng.integers(len(_DRAWN)))][1](sheet, paints)
    return sheet


def _lantern(sheet: Cutout, paints: Paints) -> None:
    sheet.ring((0.34, 0.04, 0.66, 0.4), 0.018, paints.metal)
    sheet.block([(0.3, 0.34), (0.42, 0.22), (0.58, 0.22), (0.7, 0.34)], paints.metal)
    sheet.block([(0.33, 0.34), (0.67, 0.34), (0.71, 0.86), (0.29, 0.86)], (0.88, 0.62, 0.2))
    sheet.blob((0.42, 0.46, 0.58, 0.8), (0.97, 0.78, 0.3))
    for x in (0.33, 0.5, 0.67):
        sheet.strand([(x, 0.33), (x + (x - 0.5) * 0.2, 0.87)], 0.02, paints.metal)
    sheet.block([(0.26, 0.85), (0.74, 0.85), (0.78, 0.96), (0.22, 0.96)], paints.metal, soften=0.01)


def _book(sheet: Cutout, paints: Paints) -> None:
    sheet.block([(0.16, 0.18), (0.78, 0.1), (0.86, 0.84), (0.24, 0.94)], paints.body, soften=0.01)
    sheet.block([(0.24, 0.93), (0.86, 0.83), (0.88, 0.88), (0.27, 0.97)], (0.72, 0.62, 0.44))
    sheet.block([(0.28, 0.3), (0.68, 0.25), (0.7, 0.4), (0.3, 0.45)], paints.accent)
    sheet.strand([(0.52, 0.12), (0.5, 0.04), (0.58, 0.02)], 0.012, paints.accent)
    sheet.strand([(0.2, 0.18), (0.28, 0.94)], 0.02, scale(paints.body, 0.7))


def _boat(sheet: Cutout, paints: Paints) -> None:
    sheet.strand([(0.5, 0.04), (0.5, 0.72)], 0.016, paints.wood)
    sheet.block([(0.52, 0.08), (0.86, 0.6), (0.52, 0.6)], mix(paints.accent, (0.6, 0.5, 0.4), 0.3))
    sheet.block([(0.48, 0.14), (0.22, 0.6), (0.48, 0.6)], scale(paints.accent, 0.8))
    sheet.block([(0.1, 0.7), (0.92, 0.7), (0.78, 0.94), (0.24, 0.94)], paints.wood, soften=0.02)
    sheet.strand([(0.5, 0.05), (0.1, 0.7)], 0.006, paints.metal)
    sheet.strand([(0.5, 0.05), (0.92, 0.7)], 0.006, paints.metal)


def _pot(sheet: Cutout, paints: Paints) -> None:
    sheet.ring((0.62, 0.36, 0.94, 0.74), 0.045, paints.body)
    sheet.limb([(0.3, 0.66), (0.16, 0.56), (0.08, 0.38)], [0.07, 0.045, 0.03], paints.body)
    sheet.blob((0.2, 0.28, 0.78, 0.92), paints.body, shade=0.5)
    sheet.block([(0.34, 0.3), (0.64, 0.3), (0.58, 0.22), (0.4, 0.22)], scale(paints.body, 0.8))
    sheet.blob((0.45, 0.13, 0.53, 0.23), paints.accent)
    sheet.limb([(0.25, 0.6), (0.5, 0.66), (0.73, 0.6)], [0.02, 0.02, 0.02], paints.accent)
    sheet.block([(0.36, 0.88), (0.62, 0.88), (0.66, 0.96), (0.32, 0.96)], scale(paints.body, 0.7))


def _key(sheet: Cutout, paints: Paints) -> None:
    sheet.ring((0.3, 0.04, 0.7, 0.42), 0.07, paints.metal)
    sheet.ring((0.42, 0.15, 0.58, 0.31), 0.03, paints.accent)
    sheet.limb([(0.5, 0.4), (0.5, 0.95)], [0.035, 0.032], paints.metal)
    for y, length in ((0.74, 0.18), (0.83, 0.13), (0.91, 0.2)):
        sheet.block([(0.5, y), (0.5 + length, y), (0.5 + length, y + 0.04), (0.5, y + 0.04)], paints.metal)


def _telescope(sheet: Cutout, paints: Paints) -> None:
    for foot in (0.2, 0.5, 0.8):
        sheet.strand([(0.5, 0.48), (foot, 0.96)], 0.022, paints.wood)
    sheet.limb([(0.2, 0.56), (0.5, 0.42), (0.88, 0.2)], [0.045, 0.06, 0.085], paints.metal)
    sheet.limb([(0.44, 0.45), (0.58, 0.37)], [0.075, 0.078], paints.accent)
    sheet.limb([(0.82, 0.235), (0.9, 0.19)], [0.095, 0.1], scale(paints.metal, 0.7))


def _radio(sheet: Cutout, paints: Paints) -> None:
    sheet.strand([(0.74, 0.4), (0.92, 0.04)], 0.012, paints.metal)
    sheet.ring((0.26, 0.2, 0.66, 0.56), 0.03, paints.wood)
    sheet.block([(0.1, 0.4), (0.9, 0.4), (0.92, 0.94), (0.08, 0.94)], paints.body, soften=0.03)
    sheet.blob((0.16, 0.5, 0.5, 0.86), scale(paints.body, 0.5))
    sheet.blob((0.24, 0.58, 0.42, 0.78), paints.metal)
    sheet.block([(0.56, 0.5), (0.84, 0.5), (0.84, 0.62), (0.56, 0.62)], (0.92, 0.8, 0.5))
    for x in (0.6, 0.72, 0.84):
        sheet.blob((x - 0.04, 0.7, x + 0.04, 0.78), paints.accent)


def _crate(sheet: Cutout, paints: Paints) -> None:
    sheet.ring((0.4, 0.06, 0.6, 0.3), 0.02, paints.metal)
    sheet.block([(0.12, 0.24), (0.88, 0.24), (0.88, 0.96), (0.12, 0.96)], paints.wood)
    for y in (0.24, 0.48, 0.72):
        sheet.block([(0.12, y), (0.88, y), (0.88, y + 0.2), (0.12, y + 0.2)], scale(paints.wood, 1.0 + (y - 0.4) * 0.4))
    sheet.block([(0.12, 0.26), (0.2, 0.24), (0.88, 0.9), (0.8, 0.96)], scale(paints.wood, 0.75))
    for x in (0.14, 0.8):
        sheet.block([(x, 0.24), (x + 0.06, 0.24), (x + 0.06, 0.96), (x, 0.96)], paints.metal)


_DRAWN: tuple[tuple[tuple[str, ...], Callable[[Cutout, Paints], None]], ...] = (
    (("lantern", "lamp", "candle"), _lantern),
    (("book", "diary", "journal", "map", "letter", "logbook", "notebook"), _book),
    (("boat", "ship", "model", "toy"), _boat),
    (("pot", "teapot", "kettle", "cup", "jug", "mug", "vase", "watering"), _pot),
    (("key", "keys"), _key),
    (("telescope", "camera", "instrument", "compass"), _telescope),
    (("radio", "music", "machine", "clock", "gramophone"), _radio),
    (("crate", "box", "chest", "suitcase", "trunk", "basket"), _crate),
)
