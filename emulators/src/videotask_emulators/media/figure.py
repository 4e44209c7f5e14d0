"""Draws a full-body figure with what makes cutting out hard: thin hair, a scarf, a staff, a hole under an arm."""
# ruff: noqa: PLR2004, PLR0917 - proportions are what a drawing is made of

from dataclasses import dataclass

import numpy as np

from videotask_emulators.media.colour import Colour, away_from, from_hsv, mix, scale
from videotask_emulators.media.cutout import Cutout, Point

SHEET_WIDTH = 0.8
"""The drawing's width in its own units; the figure stands 0.96 high in a sheet of 1.0."""

_ANIMALS = ("fox", "cat", "dog", "bear", "wolf", "rabbit", "hare", "mouse", "owl", "bird", "gull", "penguin")
_LIGHT_WORDS = ("old", "grandfather", "grandmother", "elder", "aged", "keeper", "wizard", "professor")
_YOUNG_WORDS = ("child", "girl", "boy", "kid", "young", "little", "apprentice", "daughter", "son", "small")
_SKIRT_WORDS = ("girl", "woman", "grandmother", "queen", "she", "her", "mother", "daughter", "dress", "lady", "aunt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What a figure looks like; every colour already stands away from the backdrop."""

    kind: str
    skin: Colour
    hair: Colour
    coat: Colour
    legs: Colour
    boots: Colour
    accent: Colour
    wood: Colour
    skirt: bool
    young: bool
    beard: bool
    hat: bool


def choose_looks(prompt: str, backdrop: Colour, rng: np.random.Generator) -> Looks:
    """Return the looks that the prompt's words ask for; `rng` sets the rest."""
    spoken = [word.strip(".,;:!?\"'()-").lower() for word in prompt.split()]
    words = set(spoken)
    kind = next((animal for animal in _ANIMALS if animal in words or animal + "s" in words), "human")
    if words & {"robot", "android", "automaton"}:
        kind = "robot"
    hue = float(rng.random())
    old = bool(words & set(_LIGHT_WORDS))
    skin = mix((0.96, 0.80, 0.68), (0.42, 0.27, 0.19), float(rng.random()) ** 1.4)
    if kind != "human":
        skin = {
            "fox": (0.82, 0.42, 0.16),
            "robot": (0.45, 0.52, 0.58),
            "bear": (0.44, 0.29, 0.18),
            "cat": (0.36, 0.34, 0.36),
            "wolf": (0.38, 0.40, 0.44),
            "owl": (0.52, 0.38, 0.24),
            "penguin": (0.15, 0.17, 0.22),
            "gull": (0.62, 0.66, 0.70),
        }.get(kind, (0.56, 0.42, 0.30))
    hair = (0.56, 0.56, 0.58) if old else from_hsv(float(rng.uniform(0.02, 0.1)), 0.55, float(rng.uniform(0.14, 0.5)))

    def apart(colour: Colour) -> Colour:
        return away_from(colour, backdrop)

    return Looks(
        kind=kind,
        skin=apart(skin),
        hair=apart(hair),
        coat=apart(_worn(spoken, hue)),
        legs=apart(from_hsv(hue + 0.45, 0.35, 0.32)),
        boots=apart((0.20, 0.14, 0.11)),
        accent=apart(from_hsv(hue + 0.5, 0.62, 0.7)),
        wood=apart((0.36, 0.23, 0.13)),
        skirt=bool(words & set(_SKIRT_WORDS)),
        young=bool(words & set(_YOUNG_WORDS)),
        beard=old and not words & set(_SKIRT_WORDS) and kind == "human",
        hat=old or bool(words & {"hat", "cap", "captain", "sailor", "wizard"}) or float(rng.random()) < 0.3,
    )


def _worn(spoken: list[str], hue: float) -> Colour:
    """Return the coat's colour: the first one that the prompt names, else the figure's own hue."""
    named = {
        "red": 0.0,
        "orange": 0.07,
        "yellow": 0.14,
        "green": 0.36,
        "teal": 0.5,
        "blue": 0.6,
        "purple": 0.78,
        "pink": 0.92,
    }
    for word in spoken:
        if word in named:
            return from_hsv(named[word], 0.6, 0.6)
    return from_hsv(hue, 0.5, 0.56)


def draw_figure(looks: Looks, unit: float, rng: np.random.Generator) -> Cutout:
    """Return the figure on a sheet of 0.8 by 1.0; `unit` is the sheet's height in pixels."""
    sheet = Cutout(SHEET_WIDTH, 1.0, unit)
    top = 0.15 if looks.young else 0.04
    _staff(sheet, looks, top)
    _scarf_tail(sheet, looks, top, rng)
    if looks.kind in {"fox", "cat", "wolf", "dog", "mouse"}:
        _tail(sheet, looks)
    _far_arm(sheet, looks, top)
    _lower_body(sheet, looks, top)
    _torso(sheet, looks, top)
    _crooked_arm(sheet, looks, top)
    _head(sheet, looks, top, rng)
    return sheet


def _shoulder(top: float) -> float:
    return top + 0.215


def _staff(sheet: Cutout, looks: Looks, top: float) -> None:
    """Draw a thin staff, or a robot's aerial rod, from above the head to the ground."""
    sheet.strand([(0.625, top + 0.02), (0.655, 0.968)], 0.008, looks.wood)
    sheet.ring((0.598, top - 0.025, 0.652, top + 0.03), 0.009, looks.wood)
    sheet.blob((0.614, top - 0.01, 0.636, top + 0.014), looks.accent)


def _scarf_tail(sheet: Cutout, looks: Looks, top: float, rng: np.random.Generator) -> None:
    """Let the scarf's end fly, with a fringe of single threads."""
    y = _shoulder(top) + 0.005
    lift = float(rng.uniform(-0.05, 0.03))
    end: Point = (0.16, y + 0.02 + lift)
    sheet.limb([(0.38, y), (0.29, y + 0.03), (0.22, y - 0.01 + lift), end], [0.022, 0.018, 0.02, 0.015], looks.accent)
    for number in range(6):
        spread = (number - 2.5) * 0.007
        sheet.strand([end, (0.135, end[1] + spread), (0.11, end[1] + spread * 1.7)], 0.0035, looks.accent)


def _tail(sheet: Cutout, looks: Looks) -> None:
    sheet.limb([(0.42, 0.66), (0.58, 0.74), (0.70, 0.64), (0.73, 0.54)], [0.02, 0.035, 0.045, 0.012], looks.skin)
    sheet.limb([(0.70, 0.62), (0.73, 0.54)], [0.036, 0.01], mix(looks.skin, (0.2, 0.15, 0.12), 0.6))


def _far_arm(sheet: Cutout, looks: Looks, top: float) -> None:
    """Draw the arm that holds the staff, its hand over the wood."""
    y = _shoulder(top)
    hand: Point = (0.637, y + 0.17)
    sheet.limb(
        [(0.475, y + 0.035), (0.555, y + 0.14), (0.627, y + 0.165)], [0.036, 0.031, 0.024], scale(looks.coat, 0.86)
    )
    sheet.blob((hand[0] - 0.022, hand[1] - 0.023, hand[0] + 0.022, hand[1] + 0.023), looks.skin)
    sheet.strand([(0.630, y + 0.13), (0.639, y + 0.22)], 0.008, looks.wood)


def _lower_body(sheet: Cutout, looks: Looks, top: float) -> None:
    hip = _shoulder(top) + 0.27
    for side, foot in ((-1, 0.345), (1, 0.465)):
        start = 0.4 + side * 0.042
        sheet.limb(
            [(start, hip), ((start + foot) / 2 + side * 0.006, (hip + 0.92) / 2), (foot, 0.92)],
            [0.05, 0.036, 0.026],
            looks.legs,
        )
        sheet.block(
            [
                (foot - 0.03, 0.875),
                (foot + 0.03, 0.875),
                (foot + 0.032 + (0.03 if side > 0 else 0), 0.966),
                (foot - 0.034 - (0.03 if side < 0 else 0), 0.966),
            ],
            looks.boots,
            soften=0.008,
        )
    if looks.skirt:
        low = hip + (0.91 - hip) * 0.55
        sheet.block(
            [(0.338, hip - 0.05), (0.462, hip - 0.05), (0.535, low), (0.4, low + 0.018), (0.27, low)],
            looks.coat,
            soften=0.01,
        )
        for share in (0.25, 0.5, 0.75):
            sheet.strand([(0.36 + 0.08 * share, hip), (0.29 + 0.22 * share, low)], 0.004, scale(looks.coat, 0.75))


def _torso(sheet: Cutout, looks: Looks, top: float) -> None:
    y = _shoulder(top)
    hem = y + (0.29 if looks.skirt else 0.36)
    flare = 0.0 if looks.skirt else 0.028
    sheet.block(
        [
            (0.325, y),
            (0.475, y),
            (0.488, y + 0.05),
            (0.462, y + 0.19),
            (0.482 + flare, hem),
            (0.318 - flare, hem),
            (0.338, y + 0.19),
            (0.312, y + 0.05),
        ],
        looks.coat,
        soften=0.016,
        shade=0.5,
    )
    sheet.strand([(0.4, y + 0.05), (0.402, hem - 0.01)], 0.005, scale(looks.coat, 0.6))
    for number in range(4):
        button = y + 0.075 + 0.05 * number
        sheet.blob((0.409, button, 0.421, button + 0.012), looks.accent)
    sheet.block([(0.337, y + 0.19), (0.463, y + 0.19), (0.466, y + 0.212), (0.334, y + 0.212)], looks.boots)
    sheet.limb([(0.335, y + 0.008), (0.4, y + 0.03), (0.468, y + 0.006)], [0.022, 0.026, 0.022], looks.accent)


def _crooked_arm(sheet: Cutout, looks: Looks, top: float) -> None:
    """Draw the arm on the hip: between it and the body the backdrop shows through."""
    y = _shoulder(top)
    elbow: Point = (0.185, y + 0.155)
    sheet.limb([(0.33, y + 0.035), (0.25, y + 0.085), elbow], [0.036, 0.031, 0.027], looks.coat)
    sheet.limb([elbow, (0.25, y + 0.205), (0.322, y + 0.222)], [0.027, 0.026, 0.022], scale(looks.coat, 0.94))
    sheet.blob((0.312, y + 0.2, 0.35, y + 0.238), looks.skin)


def _head(sheet: Cutout, looks: Looks, top: float, rng: np.random.Generator) -> None:
    x, y = 0.4, top + 0.115
    size = 0.092 if looks.young else 0.08
    sheet.limb([(x, y + 0.05), (x, _shoulder(top) + 0.01)], [0.026, 0.03], scale(looks.skin, 0.88))
    if looks.kind == "robot":
        _robot_head(sheet, looks, x, y, size)
        return
    if looks.kind == "human":
        _hair_behind(sheet, looks, x, y, size, rng)
    else:
        _ears(sheet, looks, x, y, size)
    sheet.blob((x - size * 0.86, y - size, x + size * 0.86, y + size), looks.skin, shade=0.4)
    _face(sheet, looks, x, y, size)
    if looks.kind == "human":
        _hair_before(sheet, looks, x, y, size, rng)
        if looks.hat:
            _hat(sheet, looks, x, y, size)


def _hair_behind(sheet: Cutout, looks: Looks, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    long = 1.9 if looks.skirt else 0.7
    sheet.limb(
        [(x - size * 0.7, y - size * 0.3), (x - size * 0.95, y + size * 0.5), (x - size * 0.8, y + size * long)],
        [size * 0.4, size * 0.35, size * 0.12],
        looks.hair,
    )
    sheet.limb(
        [(x + size * 0.7, y - size * 0.3), (x + size * 0.95, y + size * 0.5), (x + size * 0.8, y + size * long)],
        [size * 0.4, size * 0.35, size * 0.12],
        looks.hair,
    )
    for number in range(26):
        angle = float(np.pi * (0.95 + 1.1 * number / 25))
        reach = size * float(rng.uniform(1.15, 1.55))
        bend = float(rng.uniform(-0.25, 0.25))
        root: Point = (x + np.cos(angle) * size * 0.8, y + np.sin(angle) * size * 0.85)
        tip: Point = (x + np.cos(angle + bend) * reach, y + np.sin(angle + bend) * reach)
        middle: Point = ((root[0] + tip[0]) / 2 + bend * 0.01, (root[1] + tip[1]) / 2)
        sheet.strand([root, middle, tip], 0.0026, looks.hair)


def _hair_before(sheet: Cutout, looks: Looks, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    sheet.limb(
        [
            (x - size * 0.78, y - size * 0.2),
            (x - size * 0.4, y - size * 0.82),
            (x + size * 0.25, y - size * 0.88),
            (x + size * 0.78, y - size * 0.25),
        ],
        [size * 0.2, size * 0.34, size * 0.34, size * 0.18],
        looks.hair,
    )
    for number in range(5):
        start = x - size * 0.5 + size * 0.24 * number
        drop = float(rng.uniform(0.3, 0.45))
        sheet.limb(
            [(start, y - size * 0.8), (start - size * 0.06, y - size * drop)], [size * 0.13, size * 0.02], looks.hair
        )


def _face(sheet: Cutout, looks: Looks, x: float, y: float, size: float) -> None:
    dark: Colour = (0.09, 0.08, 0.10)
    if looks.kind != "human":
        snout = mix(looks.skin, (0.93, 0.90, 0.84), 0.6)
        if looks.kind in {"owl", "bird", "gull", "penguin"}:
            beak: Colour = (0.86, 0.55, 0.14)
            sheet.block([(x - size * 0.2, y + size * 0.1), (x + size * 0.2, y + size * 0.1), (x, y + size * 0.6)], beak)
        else:
            sheet.blob((x - size * 0.42, y + size * 0.08, x + size * 0.42, y + size * 0.85), snout)
            sheet.blob((x - size * 0.15, y + size * 0.16, x + size * 0.15, y + size * 0.4), dark)
    for side in (-1, 1):
        eye_x, eye_y = x + side * size * 0.34, y - size * 0.05
        sheet.blob(
            (eye_x - size * 0.17, eye_y - size * 0.15, eye_x + size * 0.17, eye_y + size * 0.17), (0.96, 0.96, 0.95)
        )
        sheet.blob((eye_x - size * 0.08, eye_y - size * 0.1, eye_x + size * 0.11, eye_y + size * 0.13), dark)
        sheet.strand(
            [
                (eye_x - size * 0.18, eye_y - size * 0.27),
                (eye_x, eye_y - size * 0.33),
                (eye_x + size * 0.18, eye_y - size * 0.27),
            ],
            0.005,
            scale(looks.hair, 0.8),
        )
    if looks.kind == "human":
        sheet.limb(
            [(x, y + size * 0.1), (x + size * 0.03, y + size * 0.27)], [size * 0.06, size * 0.1], scale(looks.skin, 0.9)
        )
        blush = mix(looks.skin, (0.85, 0.3, 0.28), 0.3)
        for side in (-1, 1):
            cheek = x + side * size * 0.5
            sheet.blob((cheek - size * 0.15, y + size * 0.22, cheek + size * 0.15, y + size * 0.45), blush, shade=0.0)
        if looks.beard:
            sheet.block(
                [
                    (x - size * 0.75, y + size * 0.2),
                    (x + size * 0.75, y + size * 0.2),
                    (x + size * 0.5, y + size * 1.1),
                    (x, y + size * 1.45),
                    (x - size * 0.5, y + size * 1.1),
                ],
                looks.hair,
                soften=size * 0.12,
            )
        sheet.strand(
            [(x - size * 0.22, y + size * 0.5), (x, y + size * 0.6), (x + size * 0.22, y + size * 0.5)],
            0.005,
            (0.45, 0.16, 0.15),
        )


def _ears(sheet: Cutout, looks: Looks, x: float, y: float, size: float) -> None:
    inner = mix(looks.skin, (0.9, 0.7, 0.65), 0.5)
    if looks.kind in {"bird", "gull", "penguin"}:
        return
    tall, wide = {"rabbit": (2.3, 0.3), "hare": (2.3, 0.3), "bear": (1.25, 0.45), "mouse": (1.45, 0.6)}.get(
        looks.kind, (1.6, 0.5)
    )
    for side in (-1, 1):
        base = x + side * size * 0.5
        if looks.kind in {"bear", "mouse"}:
            sheet.blob(
                (base - size * wide, y - size * tall, base + size * wide, y - size * (tall - 2 * wide)), looks.skin
            )
            continue
        for share, colour in ((1.0, looks.skin), (0.6, inner)):
            sheet.block(
                [
                    (base - size * wide * share, y - size * 0.5),
                    (base + side * size * 0.14, y - size * (0.5 + (tall - 0.5) * share)),
                    (base + size * wide * share, y - size * 0.45),
                ],
                colour,
            )


def _robot_head(sheet: Cutout, looks: Looks, x: float, y: float, size: float) -> None:
    sheet.strand([(x, y - size * 0.8), (x + size * 0.1, y - size * 1.5)], 0.006, looks.boots)
    sheet.blob((x + size * 0.02, y - size * 1.64, x + size * 0.2, y - size * 1.44), looks.accent)
    sheet.block(
        [
            (x - size, y - size * 0.85),
            (x + size, y - size * 0.85),
            (x + size, y + size * 0.85),
            (x - size, y + size * 0.85),
        ],
        looks.skin,
        soften=size * 0.12,
    )
    for side in (-1, 1):
        eye = x + side * size * 0.42
        sheet.blob((eye - size * 0.24, y - size * 0.35, eye + size * 0.24, y + size * 0.13), (0.12, 0.15, 0.18))
        sheet.blob((eye - size * 0.13, y - size * 0.24, eye + size * 0.13, y + size * 0.02), (0.45, 0.9, 0.95))
    sheet.block(
        [
            (x - size * 0.45, y + size * 0.4),
            (x + size * 0.45, y + size * 0.4),
            (x + size * 0.45, y + size * 0.55),
            (x - size * 0.45, y + size * 0.55),
        ],
        (0.14, 0.17, 0.2),
    )


def _hat(sheet: Cutout, looks: Looks, x: float, y: float, size: float) -> None:
    sheet.block(
        [
            (x - size * 0.72, y - size * 0.62),
            (x - size * 0.6, y - size * 1.28),
            (x + size * 0.6, y - size * 1.28),
            (x + size * 0.72, y - size * 0.62),
        ],
        scale(looks.coat, 0.7),
        soften=size * 0.12,
    )
    sheet.block(
        [
            (x - size * 1.12, y - size * 0.66),
            (x + size * 1.12, y - size * 0.66),
            (x + size * 1.05, y - size * 0.5),
            (x - size * 1.05, y - size * 0.5),
        ],
        scale(looks.coat, 0.6),
        soften=size * 0.04,
    )
    sheet.block(
        [
            (x - size * 0.71, y - size * 0.8),
            (x + size * 0.71, y - size * 0.8),
            (x + size * 0.72, y - size * 0.64),
            (x - size * 0.72, y - size * 0.64),
        ],
        looks.accent,
    )
