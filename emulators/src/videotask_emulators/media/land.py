"""Paints open country: hills, coast, forest and desert, from the horizon down to where people stand."""
# ruff: noqa: PLR2004, PLR0917 - proportions are what a drawing is made of

import numpy as np
from numpy.typing import NDArray

from videotask_emulators.media.canvas import Canvas, Point
from videotask_emulators.media.colour import Colour, mix, scale
from videotask_emulators.media.light import Mood, any_warm, lit
from videotask_emulators.media.noise import fractal_field, fractal_line


def paint_hills(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, prompt: str) -> None:
    """Paint mountains, meadows, a path and cottages; white where the prompt says snow."""
    snow = "snow" in prompt or "winter" in prompt or "ice" in prompt.split()
    rock: Colour = (0.42, 0.46, 0.55)
    grass: Colour = (0.86, 0.90, 0.95) if snow else (0.36, 0.52, 0.24)
    _ridge(canvas, mood, rng, horizon, height=0.34, bumps=4, colour=rock, depth=0.72, snowy=True)
    _ridge(canvas, mood, rng, horizon, height=0.2, bumps=3, colour=mix(rock, grass, 0.4), depth=0.5)
    _ridge(canvas, mood, rng, horizon, height=0.1, bumps=3, colour=scale(grass, 0.75), depth=0.3, trees=0.02)
    _ground(canvas, mood, rng, horizon, grass, scale(grass, 0.7))
    _path(canvas, mood, rng, horizon, (0.93, 0.92, 0.9) if snow else (0.66, 0.56, 0.42))
    for _ in range(int(rng.integers(1, 4))):
        side = float(rng.choice([rng.uniform(0.06, 0.32), rng.uniform(0.68, 0.92)]))
        _cottage(canvas, mood, rng, canvas.width * side, horizon + canvas.height * float(rng.uniform(0.02, 0.07)))
    for _ in range(9):
        _pine(canvas, mood, rng, horizon, snow=snow)


def paint_coast(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, prompt: str) -> None:
    """Paint the sea with the sky in it, far headlands, a lighthouse or boats, and a shore to stand on."""
    _sea(canvas, mood, rng, horizon)
    _headland(canvas, mood, rng, horizon, depth=0.6, height=0.12)
    if "lighthouse" in prompt or rng.random() < 0.5:
        x = canvas.width * float(rng.choice([rng.uniform(0.1, 0.28), rng.uniform(0.72, 0.9)]))
        _islet(canvas, mood, rng, x, horizon)
        _lighthouse(canvas, mood, x, horizon - canvas.height * 0.015, canvas.height * float(rng.uniform(0.3, 0.4)))
    for _ in range(int(rng.integers(1, 4))):
        _boat(canvas, mood, rng, horizon)
    sand: Colour = (0.80, 0.71, 0.54) if "beach" in prompt or "shore" in prompt else (0.45, 0.44, 0.42)
    _shore(canvas, mood, rng, horizon, sand)


def paint_forest(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, prompt: str) -> None:
    """Paint rows of trees from haze to near trunks, light between them, and a floor with a path."""
    leaf: Colour = (0.52, 0.34, 0.16) if "autumn" in prompt else (0.20, 0.38, 0.22)
    for row, depth in enumerate((0.75, 0.55, 0.36)):
        shade = scale(leaf, 0.9 - 0.12 * row)
        _ridge(canvas, mood, rng, horizon, height=0.3 - 0.05 * row, bumps=5, colour=shade, depth=depth, trees=0.1)
    _ground(canvas, mood, rng, horizon, scale(leaf, 1.25), scale(leaf, 0.6))
    _path(canvas, mood, rng, horizon, (0.55, 0.44, 0.31))
    for depth in (0.42, 0.24, 0.08, 0.0):
        for _ in range(int(4 + depth * 14)):
            _trunk(canvas, mood, rng, horizon, depth, leaf)
    _shafts(canvas, mood, rng)


def paint_desert(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, prompt: str) -> None:
    """Paint mesas and dunes; grey and cratered where the prompt says moon."""
    airless = "moon" in prompt.split() or "crater" in prompt
    sand: Colour = (0.58, 0.58, 0.60) if airless else (0.82, 0.58, 0.36)
    _ridge(canvas, mood, rng, horizon, height=0.2, bumps=5, colour=scale(sand, 0.7), depth=0.55, steps=5)
    _ridge(canvas, mood, rng, horizon, height=0.12, bumps=2, colour=scale(sand, 0.85), depth=0.35)
    _ground(canvas, mood, rng, horizon, sand, scale(sand, 0.72))
    for share in (0.04, 0.1, 0.19):
        _dune(canvas, mood, rng, horizon + canvas.height * share, scale(sand, 1.0 - share))
    if not airless:
        for _ in range(5):
            _cactus(canvas, mood, rng, horizon)


def _ridge(
    canvas: Canvas,
    mood: Mood,
    rng: np.random.Generator,
    horizon: int,
    *,
    height: float,
    bumps: int,
    colour: Colour,
    depth: float,
    snowy: bool = False,
    trees: float = 0.0,
    steps: int = 0,
) -> None:
    """Lay one range of hills: `height` and `trees` in shares of the canvas, `depth` how far into the haze."""
    line = fractal_line(rng, canvas.width, bumps)
    if steps:
        line = np.clip(np.round(line * steps * 1.6) / steps - 0.35, 0, 1) + fractal_line(rng, canvas.width, 20) * 0.05
    if trees:
        spikes = np.abs(((np.arange(canvas.width) * (60 / canvas.height)) % 2) - 1) * rng.uniform(0.6, 1, canvas.width)
        line = line + (spikes * fractal_line(rng, canvas.width, 40) * trees / height).astype(np.float32)
    top = horizon + 2 - line * canvas.height * height
    mask = np.clip(canvas.rows - top[None, :] + 0.5, 0, 1)
    mask[horizon + 4 :] = 0
    rise = np.clip((canvas.rows - top[None, :]) / (canvas.height * height), 0, 1)[..., None]
    far, near = np.asarray(lit(colour, mood, depth)), np.asarray(lit(colour, mood, min(1.0, depth + 0.25)))
    paint = (far + (near - far) * rise).astype(np.float32)
    if snowy:
        cap = np.clip(1 - rise * 3.2 + (fractal_line(rng, canvas.width, 30)[None, :, None] - 0.5) * 2.2, 0, 1)
        paint += (np.asarray(lit((0.95, 0.96, 1.0), mood, depth * 0.7), dtype=np.float32) - paint) * cap
    canvas.lay(paint.astype(np.float32), mask.astype(np.float32))


def _ground(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, near: Colour, dark: Colour) -> None:
    """Lay a floor in perspective from the horizon to the lower edge, with tufts that grow towards us."""
    rows = canvas.height - horizon
    share = (np.arange(rows, dtype=np.float32) / rows)[:, None, None]
    base = np.asarray(lit(near, mood, 0.42)) * (1 - share) ** 2 + np.asarray(lit(near, mood)) * (1 - (1 - share) ** 2)
    texture = _in_perspective(fractal_field(rng, canvas.width, rows * 2, (26, 40), octaves=5), rows)
    strength = np.clip((texture - 0.45) * 2.4, 0, 1)[..., None] * (0.35 + 0.65 * share)
    canvas.pixels[horizon:] = base + (np.asarray(lit(dark, mood)) - base) * strength


def _in_perspective(texture: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """Return the texture with its far rows pressed together towards the horizon."""
    depth = 1 - np.linspace(0, 1, rows) ** 0.45
    rows_of_texture = np.clip((depth * (texture.shape[0] - 1)).astype(int), 0, texture.shape[0] - 1)
    pressed: NDArray[np.float32] = texture[rows_of_texture]
    return pressed


def _path(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, colour: Colour) -> None:
    start, end = canvas.width * float(rng.uniform(0.38, 0.62)), canvas.width * float(rng.uniform(0.3, 0.7))
    sway = float(rng.uniform(-0.12, 0.12)) * canvas.width
    left: list[Point] = []
    right: list[Point] = []
    for share in np.linspace(0, 1, 24):
        y = horizon + (canvas.height - horizon) * float(share) + 1
        middle = start + (end - start) * float(share) + np.sin(share * 3.1) * sway * (1 - share * 0.4)
        half = canvas.width * (0.006 + 0.15 * float(share) ** 1.5)
        left.append((middle - half, y))
        right.append((middle + half, y))
    canvas.polygons([left + right[::-1]], lit(colour, mood, 0.08), opacity=0.72)


def _cottage(canvas: Canvas, mood: Mood, rng: np.random.Generator, x: float, y: float) -> None:
    unit = canvas.height * float(rng.uniform(0.05, 0.085))
    wall, roof = lit(any_warm(rng), mood, 0.14), lit((0.45, 0.22, 0.18), mood, 0.14)
    canvas.rectangle(x - unit, y - unit, x + unit, y, wall)
    canvas.rectangle(
        x + unit * 0.45, y - unit * 2.0, x + unit * 0.65, y - unit * 1.2, lit((0.4, 0.36, 0.34), mood, 0.14)
    )
    canvas.polygons([[(x - unit * 1.2, y - unit), (x, y - unit * 1.9), (x + unit * 1.2, y - unit)]], roof)
    for side in (-0.6, 0.25):
        _window(canvas, mood, x + unit * side, y - unit * 0.75, unit * 0.35)


def _window(canvas: Canvas, mood: Mood, x: float, y: float, size: float) -> None:
    """Draw a square window; it is lit when the hour is dark."""
    if mood.darkness > 0.3:
        canvas.glow(x + size / 2, y + size / 2, size * 1.6, mood.light, 0.3)
        canvas.rectangle(x, y, x + size, y + size, mood.light)
        return
    canvas.rectangle(x, y, x + size, y + size, lit((0.3, 0.38, 0.46), mood))


def _pine(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, *, snow: bool) -> None:
    near = float(rng.random()) ** 2
    side = float(rng.choice([rng.uniform(-0.02, 0.3), rng.uniform(0.7, 1.02)]))
    x, y = canvas.width * side, horizon + canvas.height * (0.01 + 0.16 * near)
    tall = canvas.height * (0.1 + 0.3 * near)
    colour = lit((0.13, 0.28, 0.20), mood, 0.3 * (1 - near))
    canvas.rectangle(x - tall * 0.025, y - tall * 0.1, x + tall * 0.025, y, lit((0.28, 0.2, 0.14), mood))
    for tier in range(5):
        low, high = y - tall * (0.06 + 0.17 * tier), y - tall * (0.36 + 0.17 * tier)
        half = tall * (0.24 - 0.036 * tier)
        canvas.polygons([[(x - half, low), (x, high), (x + half, low)]], scale(colour, 0.85 + 0.09 * tier))
        if snow:
            cap = lit((0.94, 0.96, 1.0), mood, 0.2 * (1 - near))
            canvas.polygons([[(x - half * 0.6, (low + high) / 2 + tall * 0.02), (x, high), (x + half * 0.1, low)]], cap)


def _trunk(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, depth: float, leaf: Colour) -> None:
    """Draw one tree; near ones run out of the picture above and keep to the sides, so that the stage stays free."""
    near = 1 - depth / 0.42
    x = float(rng.random())
    if near > 0.5:
        x = float(rng.choice([rng.uniform(-0.02, 0.2), rng.uniform(0.8, 1.02)]))
    x *= canvas.width
    y = horizon + canvas.height * (0.01 + 0.3 * near**1.6)
    half = canvas.height * (0.008 + 0.03 * near)
    bark = lit((0.30, 0.22, 0.16), mood, depth)
    canvas.polygons(
        [
            [
                (x - half * 1.5, y),
                (x - half, y - half * 3),
                (x - half * 0.6, -5),
                (x + half * 0.6, -5),
                (x + half, y - half * 3),
                (x + half * 1.6, y),
            ]
        ],
        bark,
    )
    canvas.polygons(
        [[(x + half * 0.1, y), (x + half * 0.3, 0), (x + half * 0.6, -5), (x + half, y)]],
        scale(bark, 1.35),
        opacity=0.5,
    )
    for _ in range(5):
        size = canvas.height * float(rng.uniform(0.05, 0.1)) * (0.5 + near)
        middle_x, middle_y = x + float(rng.normal(0, size * 1.1)), canvas.height * float(rng.uniform(-0.02, 0.2))
        shade = scale(lit(leaf, mood, depth), float(rng.uniform(0.75, 1.2)))
        canvas.ellipse(
            (middle_x - size, middle_y - size * 0.7, middle_x + size, middle_y + size * 0.7), shade, opacity=0.85
        )


def _shafts(canvas: Canvas, mood: Mood, rng: np.random.Generator) -> None:
    for _ in range(4):
        x = canvas.width * float(rng.uniform(0.2, 0.8))
        half, lean = canvas.width * float(rng.uniform(0.015, 0.04)), canvas.width * 0.14
        canvas.polygons(
            [
                [
                    (x - half, 0),
                    (x + half, 0),
                    (x + half * 2 - lean, canvas.height * 0.78),
                    (x - half * 2 - lean, canvas.height * 0.78),
                ]
            ],
            mood.sun,
            opacity=0.10,
        )


def _sea(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int) -> None:
    """Mirror the sky into the water, darkened and rippled along the waves."""
    rows = canvas.height - horizon
    mirrored = canvas.pixels[horizon - 1 :: -1][:rows].copy()
    if mirrored.shape[0] < rows:
        mirrored = np.concatenate([mirrored, np.repeat(mirrored[-1:], rows - mirrored.shape[0], axis=0)])
    waves = _in_perspective(fractal_field(rng, canvas.width, rows * 2, (14, 90), octaves=4), rows) - 0.5
    reach = (waves * canvas.width * 0.05).astype(int)
    columns = np.clip(np.arange(canvas.width)[None, :] + reach, 0, canvas.width - 1)
    mirrored = np.take_along_axis(mirrored, columns[..., None], axis=1)
    water = np.asarray(lit((0.10, 0.30, 0.38), mood), dtype=np.float32)
    share = np.linspace(0.25, 0.8, rows, dtype=np.float32)[:, None, None]
    surface = mirrored + (water - mirrored) * share
    glint = np.clip((waves - 0.12) * 5, 0, 1)[..., None] * np.asarray(mood.sun, dtype=np.float32)
    canvas.pixels[horizon:] = surface * (1 + waves[..., None] * np.float32(0.5)) + glint * np.float32(0.16)


def _headland(
    canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, *, depth: float, height: float
) -> None:
    line = fractal_line(rng, canvas.width, 4) * np.linspace(1, 0, canvas.width) ** 0.8
    if rng.random() < 0.5:
        line = line[::-1]
    top = horizon + 1 - np.clip(line - 0.12, 0, 1) * canvas.height * height * 1.5
    mask = np.clip(canvas.rows - top[None, :] + 0.5, 0, 1)
    mask[horizon + 1 :] = 0
    canvas.lay(lit((0.32, 0.38, 0.36), mood, depth), mask.astype(np.float32))


def _islet(canvas: Canvas, mood: Mood, rng: np.random.Generator, x: float, horizon: int) -> None:
    half = canvas.height * 0.2
    shape: list[Point] = [(x - half, horizon + canvas.height * 0.035)]
    for share in np.linspace(-0.8, 0.8, 13):
        lift = canvas.height * (0.012 + 0.03 * (1 - abs(float(share)))) * float(rng.uniform(0.7, 1.1))
        shape.append((x + half * float(share), horizon - lift))
    shape.append((x + half, horizon + canvas.height * 0.035))
    canvas.polygons([shape], lit((0.30, 0.29, 0.28), mood, 0.15))


def _lighthouse(canvas: Canvas, mood: Mood, x: float, y: float, tall: float) -> None:
    half = tall * 0.09
    lamp_y = y - tall * 0.93
    if mood.darkness > 0.1:
        for way in (-1, 1):
            far = x + way * canvas.width * 1.2
            canvas.polygons(
                [[(x, lamp_y), (far, lamp_y - tall * 0.62), (far, lamp_y + tall * 0.2)]], mood.light, opacity=0.13
            )
    for band in range(5):
        low, high = y - tall * 0.17 * band, y - tall * 0.17 * (band + 1)
        lower, upper = half * (1 - 0.09 * band), half * (1 - 0.09 * (band + 1))
        colour: Colour = (0.93, 0.91, 0.87) if band % 2 else (0.74, 0.18, 0.16)
        shaded = lit(colour, mood, 0.12)
        canvas.polygons([[(x - lower, low), (x - upper, high), (x + upper, high), (x + lower, low)]], shaded)
        canvas.polygons(
            [[(x + lower * 0.2, low), (x + upper * 0.2, high), (x + upper, high), (x + lower, low)]],
            scale(shaded, 0.72),
            opacity=0.8,
        )
    canvas.rectangle(x - half * 0.8, y - tall * 0.87, x + half * 0.8, y - tall * 0.85, lit((0.2, 0.2, 0.22), mood))
    canvas.rectangle(x - half * 0.42, y - tall * 0.97, x + half * 0.42, y - tall * 0.87, mood.light)
    canvas.polygons(
        [[(x - half * 0.6, y - tall * 0.97), (x, y - tall * 1.06), (x + half * 0.6, y - tall * 0.97)]],
        lit((0.5, 0.14, 0.13), mood),
    )
    canvas.glow(x, lamp_y, tall * 0.12, mood.light, 0.9)


def _boat(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int) -> None:
    near = float(rng.uniform(0.0, 0.6))
    x, y = canvas.width * float(rng.uniform(0.1, 0.9)), horizon + canvas.height * (0.012 + 0.13 * near)
    unit = canvas.height * (0.02 + 0.05 * near)
    hull = lit((0.42, 0.22, 0.16), mood, 0.25 * (1 - near))
    sail = lit((0.95, 0.91, 0.82), mood, 0.2 * (1 - near))
    canvas.polygons(
        [
            [
                (x - unit * 1.3, y - unit * 0.4),
                (x + unit * 1.4, y - unit * 0.4),
                (x + unit * 0.9, y),
                (x - unit * 0.9, y),
            ]
        ],
        hull,
    )
    canvas.line([(x, y - unit * 0.4), (x, y - unit * 3)], hull, max(1.0, unit * 0.08))
    canvas.polygons(
        [[(x + unit * 0.08, y - unit * 2.9), (x + unit * 1.2, y - unit * 0.6), (x + unit * 0.08, y - unit * 0.6)]], sail
    )
    canvas.polygons(
        [[(x - unit * 0.08, y - unit * 2.6), (x - unit * 0.9, y - unit * 0.6), (x - unit * 0.08, y - unit * 0.6)]],
        scale(sail, 0.85),
    )
    canvas.ellipse((x - unit * 1.2, y, x + unit * 1.2, y + unit * 0.25), hull, opacity=0.3)


def _shore(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, colour: Colour) -> None:
    """Lay the ground we stand on over the water, with foam along its edge."""
    line = horizon + canvas.height * (0.15 + 0.05 * fractal_line(rng, canvas.width, 3))
    foam = np.clip(1 - np.abs(canvas.rows - line[None, :]) / (canvas.height * 0.008), 0, 1)
    mask = np.clip((canvas.rows - line[None, :]) / 2 + 0.5, 0, 1)
    start = int(line.min())
    texture = np.zeros((canvas.height, canvas.width), dtype=np.float32)
    rows = canvas.height - start
    texture[start:] = _in_perspective(fractal_field(rng, canvas.width, rows * 2, (30, 40), octaves=5), rows)
    light = np.asarray(lit(colour, mood), dtype=np.float32)
    wet = np.clip(1 - (canvas.rows - line[None, :]) / (canvas.height * 0.07), 0, 1)[..., None]
    paint = light * (0.72 + 0.56 * texture[..., None]) * (1 - 0.38 * wet)
    canvas.lay(paint.astype(np.float32), mask.astype(np.float32))
    canvas.lay(lit((0.95, 0.97, 0.98), mood), (foam * 0.75).astype(np.float32))


def _dune(canvas: Canvas, mood: Mood, rng: np.random.Generator, y: float, colour: Colour) -> None:
    crest = y - fractal_line(rng, canvas.width, 2, octaves=2) * canvas.height * 0.07
    below = canvas.rows - crest[None, :]
    mask = np.clip(below + 0.5, 0, 1) * np.clip(1 - below / (canvas.height * 0.16), 0, 1)
    canvas.lay(lit(scale(colour, 1.12), mood), mask.astype(np.float32))
    edge = np.clip(1 - np.abs(below) / 1.5, 0, 1)
    canvas.lay(lit(scale(colour, 1.4), mood), (edge * 0.5).astype(np.float32))


def _cactus(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int) -> None:
    near = float(rng.random())
    x = canvas.width * float(rng.choice([rng.uniform(0.02, 0.26), rng.uniform(0.74, 0.98)]))
    y = horizon + canvas.height * (0.02 + 0.2 * near)
    tall = canvas.height * (0.05 + 0.14 * near)
    colour = lit((0.24, 0.40, 0.24), mood, 0.35 * (1 - near))
    thick = tall * 0.16
    canvas.line([(x, y), (x, y - tall)], colour, thick)
    canvas.line(
        [(x, y - tall * 0.4), (x - tall * 0.28, y - tall * 0.45), (x - tall * 0.28, y - tall * 0.75)],
        colour,
        thick * 0.7,
    )
    canvas.line(
        [(x, y - tall * 0.3), (x + tall * 0.26, y - tall * 0.36), (x + tall * 0.26, y - tall * 0.6)],
        colour,
        thick * 0.7,
    )
