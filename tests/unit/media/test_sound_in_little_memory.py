"""A long film's sound must be mixed in what its container has: memory grows slowly with the film."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from tests.support.tell import Tell

from videotask_steps.media.audio_probe import Sound
from videotask_steps.media.loudness import CEILING_DBTP, RATE_HZ, TARGET_LUFS, limiter_gain, measure_lufs, true_peaks
from videotask_steps.media.soundtrack import SceneSound, make_soundtrack

FPS = 30
SCENE_SECONDS = 10
SCENES = 4
MOST_MIB_A_MINUTE = 100


def a_scene(seed: int) -> SceneSound:
    """A voice with peaks that the limiter must hold, over a steady effect."""
    rng = np.random.default_rng(seed)
    count = (SCENE_SECONDS - 1) * RATE_HZ
    narration = rng.standard_normal(count, dtype=np.float32) * np.float32(0.05)
    narration[:: 2 * RATE_HZ] = 0.85
    effect = rng.standard_normal(SCENE_SECONDS * RATE_HZ, dtype=np.float32) * np.float32(0.2)
    return SceneSound(
        narration=Sound(samples=narration[:, None], sample_rate_hz=RATE_HZ),
        effect=Sound(samples=effect[:, None], sample_rate_hz=RATE_HZ),
        frames=SCENE_SECONDS * FPS,
    )


def test_a_minute_of_sound_needs_little_memory_however_long_the_film(tell: Tell) -> None:
    scenes = [a_scene(number) for number in range(SCENES)]
    tracemalloc.start()
    try:
        track = make_soundtrack(scenes, frames_per_second=FPS)
        peak_mib = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    a_minute = peak_mib / (SCENES * SCENE_SECONDS / 60)
    tell("memory of the soundtrack", f"{a_minute:.0f} MiB for a minute of film at most, beside its scenes")
    assert a_minute < MOST_MIB_A_MINUTE
    assert measure_lufs(track) == pytest.approx(TARGET_LUFS, abs=0.1)
    assert float(true_peaks(track).max()) <= 10 ** (CEILING_DBTP / 20) * 1.001


def test_the_limiter_works_the_same_in_pieces_as_at_once() -> None:
    rng = np.random.default_rng(7)
    whole = np.abs(rng.standard_normal(200_000)).astype(np.float32) * np.float32(0.1)
    whole[[5, 65_530, 65_536, 66_000, 131_071, 131_072, 199_999]] = 1.5
    at_once = limiter_gain(whole[:65_000], ceiling=0.8)
    in_pieces = limiter_gain(whole, ceiling=0.8)
    assert in_pieces[:64_000] == pytest.approx(at_once[:64_000], abs=1e-6)
    assert float((whole * in_pieces).max()) <= 0.8 * (1 + 1e-5)
    around = in_pieces[65_536 - 400 : 65_536 + 400]
    assert float(np.abs(np.diff(around)).max()) < 0.01, "no jump where two pieces meet"


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.25, 0.4, 0.45, 2.0])
def test_short_sound_has_its_loudness_too(seconds: float) -> None:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sine = (10 ** (-23 / 20) * np.sin(2 * np.pi * 997.0 * time)).astype(np.float32)
    fullness = min(1.0, seconds / 0.4)
    assert measure_lufs(np.stack([sine, sine], axis=1)) == pytest.approx(-23 + 10 * np.log10(fullness), abs=0.4)
