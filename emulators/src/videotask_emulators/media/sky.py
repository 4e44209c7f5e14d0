"""Paints a sky: its gradient, sun or moon, stars and clouds lit from where the sun stands."""
# ruff: noqa: PLR0917 - proportions are what a drawing is made of

import numpy as np

from videotask_emulators.media.canvas import Canvas
from videotask_emulators.media.colour import mix
from videotask_emulators.media.light import Mood
from videotask_emulators.media.noise import fractal_field


def paint_sky(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int) -> tuple[float, float]:
    """Paint the whole canvas as sky down to `horizon` (a row) and return where the sun or moon stands, in pixels."""
    canvas.fill_gradient(mood.zenith, mood.low, end_row=horizon, power=0.85 if mood.name == "day" else 1.15)
    sun_x = canvas.width * float(rng.uniform(0.16, 0.84))
    sun_y = horizon * (1 - mood.sun_height * float(rng.uniform(0.85, 1.0)))
    if mood.stars:
        _scatter_stars(canvas, mood, rng, horizon)
    if mood.name != "storm":
        _hang_sun(canvas, mood, sun_x, sun_y)
    _drift_clouds(canvas, mood, rng, horizon, sun_x, sun_y)
    return sun_x, sun_y


def _scatter_stars(canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int) -> None:
    for _ in range(int(520 * mood.stars)):
        x, y = int(rng.integers(canvas.width)), int(rng.integers(horizon))
        size = max(1, round(canvas.height / 700 * float(rng.choice([1, 1, 1, 2]))))
        strength = np.float32(rng.uniform(0.15, 0.85) * (1 - y / horizon))
        canvas.pixels[y : y + size, x : x + size] += strength


def _hang_sun(canvas: Canvas, mood: Mood, x: float, y: float) -> None:
    height = canvas.height
    radius = height * (0.034 if mood.name == "night" else 0.045)
    canvas.glow(x, y, height * 0.24, mood.sun, 0.34 if mood.name == "night" else 0.5)
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), mood.sun)
    if mood.name == "night":
        shade = mix(mood.sun, mood.zenith, 0.22)
        for dx, dy, size in ((-0.3, -0.2, 0.26), (0.25, 0.3, 0.2), (0.1, -0.45, 0.14)):
            left, top, reach = x + dx * radius, y + dy * radius, size * radius
            canvas.ellipse((left - reach, top - reach, left + reach, top + reach), shade, opacity=0.6)


def _drift_clouds(
    canvas: Canvas, mood: Mood, rng: np.random.Generator, horizon: int, sun_x: float, sun_y: float
) -> None:
    width = canvas.width
    field = fractal_field(rng, width, horizon, (5, 7), octaves=5)
    least = 0.62 - 0.2 * mood.clouds
    body = np.clip((field - least) / 0.16, 0, 1)
    fade = np.clip(canvas.rows[:horizon] / horizon, 0, 1)
    body *= (1 - fade**3) * np.float32(0.92 if mood.name == "storm" else 0.8)
    above = np.roll(field, round(canvas.height * 0.012), axis=0)
    edge = np.clip((field - above) * 5 + 0.5, 0, 1)[..., None]
    near = np.exp(-np.hypot(canvas.columns - sun_x, canvas.rows[:horizon] - sun_y) / (canvas.height * 0.45))[..., None]
    dark = np.asarray(mix(mood.low, mood.zenith, 0.55 if mood.name != "day" else 0.12), dtype=np.float32)
    light = np.asarray(mix(mood.sun, mood.low, 0.25), dtype=np.float32)
    if mood.name == "night":
        dark, light = dark * np.float32(0.8), dark * np.float32(1.5)
    colours = dark + (light - dark) * np.clip(edge * 0.6 + near * 0.6, 0, 1)
    part = canvas.pixels[:horizon]
    part += (colours.astype(np.float32) - part) * body[..., None]
