"""Paints a street: far towers, houses in perspective on both sides, lamps, and paving to stand on."""
# ruff: noqa: PLR2004, PLR0917 - proportions are what a drawing is made of

import numpy as np

from videotask_emulators.media.canvas import Canvas
from videotask_emulators.media.colour import Colour, mix, scale
from videotask_emulators.media.light import Mood, any_colour, any_warm, lit


def paint_street(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, prompt: str) -> None:
    """Paint a street towards the horizon; awnings and crates where the prompt says market."""
    _far_towers(canvas, mood, rng, horizon)
    vanishing_x = canvas.width * float(rng.uniform(0.42, 0.58))
    _paving(canvas, mood, rng, horizon, vanishing_x)
    for side in (-1, 1):
        _row_of_houses(canvas, mood, rng, horizon, vanishing_x, side, market="market" in prompt or "shop" in prompt)
    for share in (0.12, 0.28, 0.62):
        for side in (-1, 1):
            _lamp(canvas, mood, horizon, vanishing_x, side, share)


def _far_towers(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int) -> None:
    for depth in (0.75, 0.55):
        x = 0.0
        while x < canvas.width:
            wide = canvas.width * float(rng.uniform(0.03, 0.08))
            tall = canvas.height * float(rng.uniform(0.08, 0.3)) * (1.2 - depth)
            colour = lit((0.40, 0.42, 0.50), mood, depth)
            canvas.rectangle(x, horizon - tall, x + wide, horizon + 2, colour)
            if rng.random() < 0.3:
                canvas.polygons(
                    [[(x, horizon - tall), (x + wide / 2, horizon - tall * 1.35), (x + wide, horizon - tall)]], colour
                )
            x += wide * float(rng.uniform(0.9, 1.4))


def _paving(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, vanishing_x: float) -> None:
    """Lay stones whose joints meet at the vanishing point, wet enough to hold some of the sky."""
    rows = canvas.height - horizon
    stone = any_warm(rng)
    base = mix((0.46, 0.45, 0.45), stone, 0.35)
    depth = np.float32(1.0) / np.maximum((np.arange(rows, dtype=np.float32) + 1.5) / rows, 1e-3)[:, None]
    across = (canvas.columns - vanishing_x) / canvas.width * depth * 9
    along = depth * 5
    row_number = np.floor(along)
    column_number = np.floor(across + 0.5 * (row_number % 2))
    shade = ((np.sin(row_number * 12.9898 + column_number * 78.233) * 43758.5453) % 1.0).astype(np.float32)
    joint_x = np.abs((across + 0.5 * (row_number % 2)) % 1 - 0.5) > 0.46
    joint_y = np.abs(along % 1 - 0.5) > 0.44
    fade = np.clip(1.2 - depth / 9, 0, 1)
    tone = 1 + ((shade - 0.5) * 0.3 - (joint_x | np.broadcast_to(joint_y, joint_x.shape)) * 0.3) * fade
    ground = np.asarray(lit(base, mood, 0.05), dtype=np.float32)
    sheen = np.asarray(mood.low, dtype=np.float32) * np.linspace(0.3, 0.02, rows, dtype=np.float32)[:, None, None]
    canvas.pixels[horizon:] = ground * tone[..., None].astype(np.float32) + sheen


def _row_of_houses(
    canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, vanishing_x: float, side: int, *, market: bool
) -> None:
    """Draw houses from far to near; each is a wall seen from the side with windows in perspective."""
    edges = [0.07, 0.13, 0.22, 0.36, 0.58, 1.15]
    for near_edge, far_edge in zip(edges[1:], edges[:-1], strict=True):
        depth = 0.5 * (1 - near_edge / 1.15)
        wall = lit(mix(any_warm(rng), any_colour(rng, 0.4, 0.7), 0.3), mood, depth)
        tall = float(rng.uniform(0.85, 1.25))
        _house(canvas, mood, rng, horizon, vanishing_x, side, far_edge, near_edge, tall, wall)
        if market and near_edge > 0.3:
            _awning(canvas, mood, rng, horizon, vanishing_x, side, far_edge, near_edge)


def _at(canvas: Canvas, horizon: int, vanishing_x: float, side: int, share: float, lift: float) -> tuple[float, float]:
    """Return where a point of a house front stands: `share` how near, `lift` how high in street widths."""
    x = vanishing_x + side * canvas.width * 0.5 * share
    y = horizon + canvas.height * 0.26 * share - lift * canvas.height * 0.72 * share
    return x, y


def _house(
    canvas: Canvas,
    mood: Mood,
    rng: np.random.Generator,
    horizon: int,
    vanishing_x: float,
    side: int,
    far: float,
    near: float,
    tall: float,
    wall: Colour,
) -> None:
    def at(share: float, lift: float) -> tuple[float, float]:
        return _at(canvas, horizon, vanishing_x, side, share, lift)

    wall = scale(wall, 0.86 if side > 0 else 1.05)
    canvas.polygons([[at(far, 0), at(near, 0), at(near, tall), at(far, tall)]], wall)
    canvas.polygons([[at(far, tall), at(near, tall), at(near, tall + 0.09), at(far, tall + 0.09)]], scale(wall, 0.6))
    canvas.polygons([[at(far, 0), at(near, 0), at(near, 0.05), at(far, 0.05)]], scale(wall, 0.6))
    columns = 3 if near > 0.3 else 2
    for storey in range(3):
        for column in range(columns):
            left = far * (near / far) ** ((column + 0.25) / columns)
            right = far * (near / far) ** ((column + 0.72) / columns)
            low = 0.14 + storey * (tall - 0.1) / 3
            high = low + (0.17 if storey else 0.2)
            lit_up = mood.darkness > 0.3 and rng.random() < 0.62
            pane = mood.light if lit_up else lit((0.24, 0.31, 0.38), mood, 0.1)
            canvas.polygons([[at(left, low), at(right, low), at(right, high), at(left, high)]], scale(wall, 0.72))
            inset, rise = (right - left) * 0.1, (high - low) * 0.1
            canvas.polygons(
                [
                    [
                        at(left + inset, low + rise),
                        at(right - inset, low + rise),
                        at(right - inset, high - rise),
                        at(left + inset, high - rise),
                    ]
                ],
                pane,
            )
            if lit_up:
                x, y = at((left + right) / 2, (low + high) / 2)
                canvas.glow(x, y, canvas.height * 0.03 * near, mood.light, 0.25)


def _awning(
    canvas: Canvas,
    mood: Mood,
    rng: np.random.Generator,
    horizon: int,
    vanishing_x: float,
    side: int,
    far: float,
    near: float,
) -> None:
    colour = lit(any_colour(rng, 0.6, 0.8), mood)
    stripes = 8
    for stripe in range(stripes):
        left, right = far + (near - far) * stripe / stripes, far + (near - far) * (stripe + 1) / stripes
        top_left = _at(canvas, horizon, vanishing_x, side, left, 0.42)
        top_right = _at(canvas, horizon, vanishing_x, side, right, 0.42)
        out_left = _at(canvas, horizon, vanishing_x, side, left * 0.86, 0.36)
        out_right = _at(canvas, horizon, vanishing_x, side, right * 0.86, 0.36)
        paint = colour if stripe % 2 else lit((0.93, 0.90, 0.84), mood)
        canvas.polygons([[top_left, top_right, out_right, out_left]], paint)


def _lamp(canvas: Canvas, mood: Mood, horizon: int, vanishing_x: float, side: int, share: float) -> None:
    x, y = _at(canvas, horizon, vanishing_x, side, share * 0.72, 0)
    top = y - canvas.height * 0.36 * share
    iron = lit((0.12, 0.13, 0.15), mood, 0.25 * (1 - share))
    canvas.line([(x, y), (x, top)], iron, max(1.0, canvas.height * 0.009 * share))
    reach = canvas.height * 0.02 * share
    canvas.ellipse((x - reach, top - reach * 2, x + reach, top), mood.light if mood.darkness > 0.1 else iron)
    if mood.darkness > 0.1:
        canvas.glow(x, top - reach, canvas.height * 0.1 * share + 4, mood.light, 0.5)
