"""Paints a room: wall, floorboards in perspective, a window with the sky in it, shelves, a lamp and a rug."""
# ruff: noqa: PLR2004, PLR0917 - proportions are what a drawing is made of

import numpy as np

from videotask_emulators.media.canvas import Canvas
from videotask_emulators.media.colour import Colour, mix, scale
from videotask_emulators.media.light import Mood, any_colour, any_warm, lit
from videotask_emulators.media.noise import fractal_field
from videotask_emulators.media.sky import paint_sky


def paint_room(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, prompt: str) -> None:
    """Paint a room lit by its window and a lamp; `horizon` is where the wall meets the floor, a little lower."""
    skirting = round(horizon + canvas.height * 0.06)
    wall = mix(any_warm(rng), any_colour(rng, 0.35, 0.55), 0.4)
    _wall(canvas, mood, rng, skirting, wall)
    _floor(canvas, mood, rng, skirting)
    window_left = rng.random() < 0.5
    window_x = canvas.width * (0.2 if window_left else 0.8)
    _window(canvas, mood, rng, window_x, skirting)
    shelf_x = canvas.width * (0.82 if window_left else 0.18)
    _shelves(canvas, mood, rng, shelf_x, skirting, books="library" in prompt or rng.random() < 0.6)
    if any(word in prompt for word in ("workshop", "kitchen", "laboratory", "bakery", "shop", "studio")):
        _table(canvas, mood, rng, skirting)
    elif any(word in prompt for word in ("cabin", "tavern", "hall", "cottage")):
        _fireplace(canvas, mood, skirting)
    else:
        _frames(canvas, mood, rng, skirting)
    _rug(canvas, mood, rng)
    _lamp(canvas, mood, canvas.width * (0.62 if window_left else 0.38), skirting)
    _window_light(canvas, mood, window_x, skirting, 1 if window_left else -1)


def _indoors(colour: Colour, mood: Mood) -> Colour:
    """Return a thing's colour under the room's own lamp: warmer and less dark than outside."""
    warm = (colour[0] * 1.0, colour[1] * 0.92, colour[2] * 0.78)
    return scale(mix(colour, warm, 0.7), 0.92 - 0.42 * mood.darkness)


def _wall(canvas: Canvas, mood: Mood, rng: np.random.Generator, skirting: int, wall: Colour) -> None:
    top, low = _indoors(scale(wall, 0.62), mood), _indoors(wall, mood)
    canvas.fill_gradient(top, low, end_row=skirting)
    stain = fractal_field(rng, canvas.width, canvas.height, (6, 5), octaves=5)[..., None]
    canvas.pixels *= np.float32(0.88) + stain * np.float32(0.24)
    if rng.random() < 0.6:
        stripe = ((canvas.columns // max(1, canvas.width // 46)) % 2).astype(np.float32)
        canvas.pixels *= (1 - stripe * np.float32(0.05))[..., None]
    panel = canvas.height * 0.17
    canvas.rectangle(0, skirting - panel, canvas.width, skirting, _indoors(scale(wall, 0.72), mood))
    canvas.rectangle(0, skirting - panel, canvas.width, skirting - panel * 0.92, _indoors(scale(wall, 0.95), mood))
    step = canvas.width / 14
    for number in range(15):
        x = number * step
        canvas.line([(x, skirting - panel * 0.9), (x, skirting)], _indoors(scale(wall, 0.5), mood), 2, opacity=0.7)
    canvas.rectangle(0, skirting - canvas.height * 0.02, canvas.width, skirting, _indoors(scale(wall, 0.5), mood))


def _floor(canvas: Canvas, mood: Mood, rng: np.random.Generator, skirting: int) -> None:
    rows = canvas.height - skirting
    wood: Colour = (0.50, 0.34, 0.21)
    depth = (np.float32(1.0) / np.linspace(0.42, 1.0, rows, dtype=np.float32))[:, None]
    across = (canvas.columns - canvas.width / 2) / canvas.width * depth * 15
    board = np.floor(across)
    along = depth * 4 + (board * 0.37) % 1
    shade = (np.sin(board * 12.9898 + np.floor(along) * 4.1) * 43758.5453) % 1.0
    joint = (np.abs(across % 1 - 0.5) > 0.475) | (np.abs(along % 1) < 0.03)
    grain = fractal_field(rng, canvas.width, rows, (60, 4), octaves=4)
    tone = (0.78 + 0.3 * shade + 0.22 * (grain - 0.5)) * np.where(joint, 0.62, 1.0)
    near = np.linspace(0.8, 1.1, rows)[:, None]
    paint = np.asarray(_indoors(wood, mood))[None, None, :] * (tone * near)[..., None]
    canvas.pixels[skirting:] = paint.astype(np.float32)


def _window(canvas: Canvas, mood: Mood, rng: np.random.Generator, x: float, skirting: int) -> None:
    wide, tall = canvas.height * 0.17, canvas.height * 0.38
    bottom = skirting - canvas.height * 0.2
    left, top = round(x - wide), round(bottom - tall)
    view = Canvas(round(wide * 2), round(tall))
    paint_sky(view, mood, rng, round(tall * 0.85))
    view.ellipse((-wide * 0.4, tall * 0.72, wide * 1.6, tall * 1.6), lit((0.25, 0.38, 0.25), mood, 0.4))
    right, low = min(canvas.width, left + view.width), top + view.height
    left_in, top_in = max(0, left), max(0, top)
    canvas.pixels[top_in:low, left_in:right] = view.pixels[top_in - top :, left_in - left : right - left]
    frame = _indoors((0.82, 0.76, 0.66), mood)
    thick = canvas.height * 0.014
    for points in (
        [(left, top), (right, top), (right, low), (left, low), (left, top)],
        [(x, top), (x, low)],
        [(left, top + tall * 0.4), (right, top + tall * 0.4)],
    ):
        canvas.line([(float(a), float(b)) for a, b in points], frame, thick)
    canvas.rectangle(left - thick * 2, low, right + thick * 2, low + thick * 1.6, frame)
    cloth = _indoors(any_colour(rng, 0.5, 0.55), mood)
    for side, edge in ((-1, left), (1, right)):
        outer, inner = edge + side * wide * 0.28, edge - side * wide * 0.16
        canvas.polygons(
            [
                [
                    (outer, top - thick * 2),
                    (inner, top - thick * 2),
                    (edge, low * 0.9 + top * 0.1),
                    (outer, low + thick * 4),
                ]
            ],
            cloth,
            opacity=0.96,
        )
        for fold in np.linspace(0.2, 0.8, 3):
            middle = outer + (inner - outer) * float(fold)
            canvas.line(
                [(middle, top), (outer + (edge - outer) * float(fold), low)], scale(cloth, 0.75), 3, opacity=0.6
            )


def _shelves(canvas: Canvas, mood: Mood, rng: np.random.Generator, x: float, skirting: int, *, books: bool) -> None:
    half, tall = canvas.height * 0.2, canvas.height * 0.5
    wood = _indoors((0.36, 0.24, 0.15), mood)
    canvas.rectangle(x - half, skirting - tall, x + half, skirting + canvas.height * 0.02, scale(wood, 0.55))
    boards = 4
    for board in range(boards + 1):
        y = skirting + canvas.height * 0.02 - tall * board / boards
        if board < boards:
            _fill_shelf(canvas, mood, rng, x - half * 0.92, x + half * 0.92, y, tall / boards * 0.82, books=books)
        canvas.rectangle(x - half, y - canvas.height * 0.012, x + half, y, wood)
    for side in (-1, 1):
        canvas.rectangle(
            x + side * half - 4, skirting - tall, x + side * half + 4, skirting + canvas.height * 0.02, wood
        )


def _fill_shelf(
    canvas: Canvas,
    mood: Mood,
    rng: np.random.Generator,
    left: float,
    right: float,
    y: float,
    tall: float,
    *,
    books: bool,
) -> None:
    while left < right:
        wide = canvas.height * float(rng.uniform(0.008, 0.02) if books else rng.uniform(0.03, 0.05))
        if rng.random() < (0.9 if books else 0.6):
            colour = _indoors(any_colour(rng, 0.5, 0.55), mood)
            top = y - tall * float(rng.uniform(0.65, 1.0) if books else rng.uniform(0.3, 0.7))
            if books:
                canvas.rectangle(left, top, left + wide, y, colour)
            else:
                canvas.ellipse((left, top, left + wide, y), colour)
        left += wide * 1.08


def _frames(canvas: Canvas, mood: Mood, rng: np.random.Generator, skirting: int) -> None:
    for share in (0.44, 0.56):
        x, y = canvas.width * share, skirting - canvas.height * float(rng.uniform(0.42, 0.48))
        wide, tall = canvas.height * 0.055, canvas.height * float(rng.uniform(0.06, 0.09))
        canvas.rectangle(x - wide, y - tall, x + wide, y + tall, _indoors((0.55, 0.42, 0.2), mood))
        canvas.rectangle(
            x - wide * 0.8, y - tall * 0.8, x + wide * 0.8, y + tall * 0.8, _indoors(any_colour(rng), mood)
        )
        canvas.ellipse(
            (x - wide * 0.4, y - tall * 0.3, x + wide * 0.4, y + tall * 0.6), _indoors(any_colour(rng), mood)
        )


def _table(canvas: Canvas, mood: Mood, rng: np.random.Generator, skirting: int) -> None:
    """Draw a long table against the wall with jars and tools on it, and tools hung above."""
    wood = _indoors((0.44, 0.29, 0.17), mood)
    left, right = canvas.width * 0.37, canvas.width * 0.63
    top = skirting - canvas.height * 0.13
    for x in (left + canvas.width * 0.012, right - canvas.width * 0.012):
        canvas.rectangle(x - canvas.height * 0.01, top, x + canvas.height * 0.01, skirting + canvas.height * 0.03, wood)
    canvas.rectangle(left, top - canvas.height * 0.018, right, top + canvas.height * 0.008, scale(wood, 1.2))
    x = left + canvas.height * 0.02
    while x < right - canvas.height * 0.06:
        wide, tall = canvas.height * float(rng.uniform(0.025, 0.05)), canvas.height * float(rng.uniform(0.03, 0.08))
        y = top - canvas.height * 0.018
        canvas.rectangle(x, y - tall, x + wide, y, _indoors(any_colour(rng, 0.45, 0.55), mood))
        canvas.rectangle(x + wide * 0.2, y - tall * 1.15, x + wide * 0.8, y - tall, _indoors((0.3, 0.22, 0.16), mood))
        x += wide * float(rng.uniform(1.2, 2.2))
    rail = top - canvas.height * 0.2
    canvas.line([(left, rail), (right, rail)], scale(wood, 0.7), canvas.height * 0.008)
    for share in np.linspace(0.08, 0.92, 7):
        hung = left + (right - left) * float(share)
        low = rail + canvas.height * float(rng.uniform(0.05, 0.1))
        canvas.line([(hung, rail), (hung, low)], _indoors((0.36, 0.37, 0.4), mood), canvas.height * 0.006)
        canvas.ellipse(
            (hung - canvas.height * 0.012, low - 4, hung + canvas.height * 0.012, low + canvas.height * 0.02),
            _indoors(any_warm(rng), mood),
        )


def _fireplace(canvas: Canvas, mood: Mood, skirting: int) -> None:
    """Draw a hearth with a fire in it."""
    x, low = canvas.width * 0.5, skirting + canvas.height * 0.02
    stone = _indoors((0.46, 0.42, 0.4), mood)
    unit = canvas.height
    canvas.rectangle(x - unit * 0.11, 0, x + unit * 0.11, low - unit * 0.3, scale(stone, 0.8))
    canvas.rectangle(x - unit * 0.2, low - unit * 0.3, x + unit * 0.2, low, stone)
    canvas.rectangle(
        x - unit * 0.22, low - unit * 0.325, x + unit * 0.22, low - unit * 0.295, _indoors((0.4, 0.27, 0.17), mood)
    )
    canvas.rectangle(x - unit * 0.13, low - unit * 0.21, x + unit * 0.13, low, (0.06, 0.05, 0.05))
    canvas.glow(x, low - unit * 0.05, unit * 0.16, (1.0, 0.5, 0.18), 0.7)
    for dx, tall, colour in (
        (-0.05, 0.1, (0.9, 0.36, 0.1)),
        (0.04, 0.13, (0.95, 0.5, 0.14)),
        (0.0, 0.09, (1.0, 0.8, 0.35)),
    ):
        canvas.polygons(
            [
                [
                    (x + unit * (dx - 0.045), low - 2),
                    (x + unit * dx, low - unit * tall),
                    (x + unit * (dx + 0.045), low - 2),
                ]
            ],
            colour,
        )


def _rug(canvas: Canvas, mood: Mood, rng: np.random.Generator) -> None:
    x, y = canvas.width / 2, canvas.height * 0.87
    first, second = any_colour(rng, 0.5, 0.5), any_colour(rng, 0.45, 0.7)
    for size, colour in ((1.0, first), (0.9, second), (0.84, first), (0.5, second), (0.44, first)):
        wide, tall = canvas.width * 0.33 * size, canvas.height * 0.085 * size
        canvas.ellipse((x - wide, y - tall, x + wide, y + tall), _indoors(colour, mood), opacity=0.9)


def _lamp(canvas: Canvas, mood: Mood, x: float, skirting: int) -> None:
    y = skirting - canvas.height * 0.5
    canvas.line([(x, 0), (x, y)], _indoors((0.15, 0.13, 0.12), mood), canvas.height * 0.004)
    wide = canvas.height * 0.055
    shade: Colour = (0.92, 0.68, 0.34)
    canvas.glow(x, y + wide, canvas.height * 0.26, (1.0, 0.76, 0.44), 0.26 + 0.3 * mood.darkness)
    canvas.polygons([[(x - wide * 0.4, y), (x + wide * 0.4, y), (x + wide, y + wide), (x - wide, y + wide)]], shade)
    canvas.ellipse((x - wide * 0.7, y + wide * 0.8, x + wide * 0.7, y + wide * 1.15), (1.0, 0.93, 0.74))


def _window_light(canvas: Canvas, mood: Mood, x: float, skirting: int, way: int) -> None:
    """Lay the window's light over the floor, slanting into the room."""
    wide = canvas.height * 0.16
    lean = way * canvas.height * 0.24
    for side in (-1, 1):
        left, right = x + side * wide * 0.52 - wide * 0.42, x + side * wide * 0.52 + wide * 0.42
        top, low = skirting + canvas.height * 0.05, skirting + canvas.height * 0.22
        canvas.polygons(
            [[(left + lean * 0.4, top), (right + lean * 0.4, top), (right * 1.0 + lean, low), (left + lean, low)]],
            mood.sun,
            opacity=0.14 * (1 - mood.darkness * 0.6),
        )
