"""Makes a sound effect that differs by prompt: a broadband bed with events on it, each shaped by the prompt's words."""
# ruff: noqa: PLR2004 - proportions are what sounds and colours are made of

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from videotask_emulators.media.soundfile import Samples, encode

RATE = 44100
"""Samples a second of every effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectOrder:
    """An effect to make: `duration_seconds` is kept to the sample, before the codec's own framing."""

    text: str
    duration_seconds: float
    loop: bool
    seed: int
    output_format: str
    silent: bool = False


def make_effect(order: EffectOrder) -> bytes:
    """Return the encoded effect; the same order gives the same bytes."""
    count = round(order.duration_seconds * RATE)
    if order.silent:
        return encode(np.zeros(count, dtype=np.float32), RATE, order.output_format)
    rng = np.random.default_rng(order.seed)
    tail = RATE // 4 if order.loop else 0
    sound = _compose(order.text.lower(), count + tail, rng)
    if tail:
        sound = _closed(sound, count, tail)
    peak = float(np.abs(sound).max()) or 1.0
    return encode((sound / peak * 0.7).astype(np.float32), RATE, order.output_format)


def _compose(text: str, count: int, rng: np.random.Generator) -> Samples:
    """Lay every sound whose words stand in the text over a quiet bed of the effect's own colour."""
    bed = _band(rng, count, float(rng.uniform(60, 300)), float(rng.uniform(2500, 8000))) * _swell(rng, count, 0.5)
    total = bed * np.float32(0.16)
    makers = [make for words, make in _SOUNDS if any(word in text for word in words)]
    if not makers:
        makers = [_SOUNDS[int(rng.integers(len(_SOUNDS)))][1]]
    for make in makers[:3]:
        sound = make(rng, count)
        total = total + sound / (float(np.abs(sound).max()) or 1.0) * np.float32(0.8)
    return total.astype(np.float32)


def _closed(sound: Samples, count: int, tail: int) -> Samples:
    """Return a loop: what lies beyond its end is faded into its start."""
    share = np.linspace(0, 1, tail, dtype=np.float32)
    closed = sound[:count].copy()
    size = min(tail, count)
    closed[:size] = closed[:size] * share[:size] + sound[count : count + size] * (1 - share[:size])
    return closed


def _band(rng: np.random.Generator, count: int, low_hz: float, high_hz: float) -> Samples:
    """Return noise between two frequencies with soft edges, shaped in the spectrum."""
    size = 1 << (count - 1).bit_length()
    spectrum = np.fft.rfft(rng.standard_normal(size))
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    shape = 1 / (1 + (low_hz / np.maximum(hertz, 1)) ** 4) / (1 + (hertz / high_hz) ** 4)
    noise = np.fft.irfft(spectrum * shape, size)[:count]
    return np.asarray(noise / (np.abs(noise).max() or 1.0), dtype=np.float32)


def _swell(rng: np.random.Generator, count: int, per_second: float) -> Samples:
    """Return a slow loudness curve of 0.25 to 1."""
    knots = max(3, int(count / RATE * per_second) + 3)
    curve = np.interp(np.linspace(0, knots - 1, count), np.arange(knots), rng.uniform(0.25, 1.0, knots))
    return curve.astype(np.float32)


def _time(count: int) -> Samples:
    return np.asarray(np.arange(count) / RATE, dtype=np.float32)


def _scatter(rng: np.random.Generator, count: int, per_second: float, make: Callable[[], Samples]) -> Samples:
    """Return short sounds at chance moments, at least two."""
    total = np.zeros(count, dtype=np.float32)
    for _ in range(max(2, int(count / RATE * per_second))):
        sound = make()
        start = int(rng.integers(max(1, count - sound.size // 2)))
        part = sound[: count - start]
        total[start : start + part.size] += part
    return total


def _wind(rng: np.random.Generator, count: int) -> Samples:
    low = _band(rng, count, 120, 700) * _swell(rng, count, 0.9)
    whistle = _band(rng, count, 900, 1500) * _swell(rng, count, 1.4) ** 3
    wind: Samples = low + whistle * np.float32(0.5)
    return wind


def _waves(rng: np.random.Generator, count: int) -> Samples:
    phase = float(rng.uniform(0, 6.28))
    surge = (0.5 + 0.5 * np.sin(_time(count) * float(rng.uniform(0.9, 1.6)) + phase)) ** 2
    return np.asarray(
        _band(rng, count, 80, 900) * surge + _band(rng, count, 1500, 7000) * surge**3 * 0.6, dtype=np.float32
    )


def _rain(rng: np.random.Generator, count: int) -> Samples:
    drops = _scatter(
        rng, count, 40, lambda: _click(rng, float(rng.uniform(1500, 5000)), 0.02) * np.float32(rng.uniform(0.2, 1))
    )
    rain: Samples = _band(rng, count, 900, 9000) * np.float32(0.6) + drops
    return rain


def _thunder(rng: np.random.Generator, count: int) -> Samples:
    return _scatter(
        rng, count, 0.2, lambda: _thump(rng, 55, 2.0) + _band(rng, RATE * 2, 30, 400) * _decay(RATE * 2, 0.9)
    )


def _footsteps(rng: np.random.Generator, count: int) -> Samples:
    total = np.zeros(count, dtype=np.float32)
    gap = int(RATE * rng.uniform(0.42, 0.62))
    for start in range(int(gap * rng.random()), count, gap):
        step = _band(rng, RATE // 5, 100, float(rng.uniform(900, 2500))) * _decay(RATE // 5, 0.045)
        part = step[: count - start]
        total[start : start + part.size] += part * np.float32(rng.uniform(0.6, 1))
    return total


def _birds(rng: np.random.Generator, count: int) -> Samples:
    def chirp() -> Samples:
        size = int(RATE * rng.uniform(0.08, 0.3))
        base, bend = rng.uniform(1800, 4200), rng.uniform(-1200, 1800)
        time = _time(size)
        sweep = 2 * np.pi * (base * time + bend * time**2 + rng.uniform(4, 14) * np.sin(time * rng.uniform(80, 200)))
        return np.asarray(np.sin(sweep) * np.hanning(size), dtype=np.float32)

    return _scatter(rng, count, 2.2, chirp)


def _bell(rng: np.random.Generator, count: int) -> Samples:
    def toll() -> Samples:
        size, base = RATE * 2, rng.uniform(280, 720)
        time = _time(size)
        tone = sum(
            np.sin(2 * np.pi * base * ratio * time) * np.exp(-time * (1.2 + ratio))
            for ratio in (0.5, 1, 1.19, 1.5, 2.0, 2.7)
        )
        return np.asarray(tone, dtype=np.float32)

    return _scatter(rng, count, 0.5, toll)


def _fire(rng: np.random.Generator, count: int) -> Samples:
    crackle = _scatter(
        rng, count, 16, lambda: _click(rng, float(rng.uniform(800, 6000)), 0.012) * np.float32(rng.uniform(0.2, 1))
    )
    fire: Samples = _band(rng, count, 60, 500) * np.float32(0.35) + crackle
    return fire


def _machine(rng: np.random.Generator, count: int) -> Samples:
    base = float(rng.uniform(48, 110))
    time = _time(count)
    hum = sum(np.sin(2 * np.pi * base * number * time) / number for number in range(1, 9))
    beat = 0.6 + 0.4 * np.sign(np.sin(2 * np.pi * float(rng.uniform(1.5, 4)) * time))
    return np.asarray(np.asarray(hum) * beat * 0.4 + _band(rng, count, 600, 4000) * beat * 0.4, dtype=np.float32)


def _knock(rng: np.random.Generator, count: int) -> Samples:
    return _scatter(rng, count, 1.2, lambda: _thump(rng, float(rng.uniform(90, 220)), 0.3))


def _creak(rng: np.random.Generator, count: int) -> Samples:
    def once() -> Samples:
        size = int(RATE * rng.uniform(0.5, 1.1))
        time = _time(size)
        pulses = (
            np.sin(2 * np.pi * np.cumsum(np.linspace(rng.uniform(40, 70), rng.uniform(70, 120), size)) / RATE) > 0.85
        )
        return np.asarray(
            pulses * _band(rng, size, 400, 2500) * np.hanning(size) * (1 + np.sin(time * 9)), dtype=np.float32
        )

    return _scatter(rng, count, 0.5, once)


def _crowd(rng: np.random.Generator, count: int) -> Samples:
    total = np.zeros(count, dtype=np.float32)
    for _ in range(6):
        total += (
            _band(rng, count, float(rng.uniform(150, 400)), float(rng.uniform(700, 2200))) * _swell(rng, count, 6) ** 2
        )
    return total


def _page(rng: np.random.Generator, count: int) -> Samples:
    return _scatter(
        rng, count, 0.9, lambda: _band(rng, RATE // 2, 1500, 9000) * np.hanning(RATE // 2).astype(np.float32) ** 2
    )


def _chime(rng: np.random.Generator, count: int) -> Samples:
    return _scatter(rng, count, 2.5, lambda: _click(rng, float(rng.choice([1047, 1319, 1568, 2093, 2637])), 0.35))


def _click(rng: np.random.Generator, hertz: float, seconds: float) -> Samples:
    size = max(64, int(RATE * seconds * 4))
    tone = np.sin(2 * np.pi * hertz * _time(size) + float(rng.uniform(0, 6)))
    return np.asarray(tone * np.exp(-_time(size) / seconds), dtype=np.float32)


def _thump(rng: np.random.Generator, hertz: float, seconds: float) -> Samples:
    size = int(RATE * seconds)
    body = np.sin(2 * np.pi * hertz * _time(size)) * _decay(size, seconds / 5)
    return np.asarray(body + _band(rng, size, 200, 3000) * _decay(size, 0.02) * 0.5, dtype=np.float32)


def _decay(count: int, seconds: float) -> Samples:
    return np.asarray(np.exp(-_time(count) / np.float32(seconds)), dtype=np.float32)


_SOUNDS: tuple[tuple[tuple[str, ...], Callable[[np.random.Generator, int], Samples]], ...] = (
    (("wind", "breeze", "gust", "storm", "air"), _wind),
    (("wave", "sea", "ocean", "surf", "water", "river", "tide", "harbour", "boat"), _waves),
    (("rain", "drip", "drizzle"), _rain),
    (("thunder", "explosion", "rumble", "boom"), _thunder),
    (("footstep", "walk", "steps", "running", "march"), _footsteps),
    (("bird", "gull", "chirp", "owl", "forest", "dawn"), _birds),
    (("bell", "gong", "toll"), _bell),
    (("fire", "crackl", "hearth", "candle", "flame"), _fire),
    (("machine", "engine", "hum", "gear", "motor", "robot", "clock", "tick"), _machine),
    (("knock", "thud", "thump", "drum", "heartbeat", "door"), _knock),
    (("creak", "wood", "floorboard", "hinge", "rope"), _creak),
    (("crowd", "murmur", "market", "town", "voices", "street"), _crowd),
    (("page", "paper", "rustle", "cloth", "leaves", "brush"), _page),
    (("chime", "magic", "sparkle", "star", "glow", "music"), _chime),
)
