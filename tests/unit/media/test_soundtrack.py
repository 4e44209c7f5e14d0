"""Where sounds lie on the film's timeline and how loud they are."""

from __future__ import annotations

import numpy as np
import pytest

from videotask_contract.timing import LEAD_SECONDS
from videotask_steps.media.audio_probe import Sound
from videotask_steps.media.loudness import (
    CEILING_DBTP,
    RATE_HZ,
    TARGET_LUFS,
    limiter_gain,
    make_loud,
    measure_lufs,
    true_peaks,
)
from videotask_steps.media.soundtrack import SceneSound, make_soundtrack, mix_soundtrack, rms

FPS = 30


def a_sine(seconds: float, *, hertz: float = 997.0, level_db: float = -23.0, rate_hz: int = RATE_HZ) -> np.ndarray:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def a_voice(seconds: float, *, seed: int, rate_hz: int = 44_100) -> Sound:
    """Noise in syllables: as peaky as speech."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate_hz)
    swell = np.abs(np.sin(np.arange(count) / rate_hz * 2 * np.pi * 2.2)) ** 2
    samples = np.clip(rng.standard_normal(count) * swell * 0.12, -0.9, 0.9)
    samples[:: rate_hz // 7] = 0.85
    return Sound(samples=samples.astype(np.float32)[:, None], sample_rate_hz=rate_hz)


def a_noise(seconds: float, *, seed: int, level: float = 0.2, rate_hz: int = 44_100) -> Sound:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * rate_hz)) * level
    return Sound(samples=samples.astype(np.float32)[:, None], sample_rate_hz=rate_hz)


def test_a_calibrated_sine_has_the_loudness_the_standard_says() -> None:
    # EBU Tech 3341, case 1: a 1 kHz stereo sine at -23 dBFS is -23 LUFS.
    sine = a_sine(20, hertz=1000.0)
    assert measure_lufs(np.stack([sine, sine], axis=1)) == pytest.approx(-23, abs=0.1)


def test_pauses_do_not_lower_the_loudness() -> None:
    # EBU Tech 3341, case 3: what lies far below the rest is gated.
    quiet, loud = a_sine(10, hertz=1000, level_db=-36), a_sine(60, hertz=1000, level_db=-23)
    whole = np.concatenate([quiet, loud, quiet])
    assert measure_lufs(np.stack([whole, whole], axis=1)) == pytest.approx(-23, abs=0.1)


def test_silence_has_the_loudness_of_the_gate() -> None:
    assert measure_lufs(np.zeros((RATE_HZ, 2), dtype=np.float32)) == -70


def test_peaks_between_samples_are_seen() -> None:
    # A quarter of the rate, sampled 45 degrees off its crests: the samples reach 0.707 of the true peak.
    time = np.arange(RATE_HZ // 10)
    wave = np.sin(np.pi / 2 * time + np.pi / 4).astype(np.float32)[:, None]
    assert float(np.abs(wave).max()) == pytest.approx(0.707, abs=0.01)
    assert float(true_peaks(wave)[100:-100].max()) == pytest.approx(1.0, abs=0.02)


def test_the_limiter_holds_every_peak_and_leaves_the_rest_alone() -> None:
    rng = np.random.default_rng(2)
    samples = (rng.standard_normal((RATE_HZ, 2)) * 0.05).astype(np.float32)
    samples[20_000] = 1.4
    gain = limiter_gain(true_peaks(samples), ceiling=0.8)
    assert float(np.abs(samples * gain[:, None]).max()) <= 0.8 + 1e-6
    assert (gain[:18_000] == 1).all()
    assert (gain[22_000:] == 1).all()


def test_a_peaky_track_reaches_its_loudness_under_the_ceiling() -> None:
    scenes = [SceneSound(narration=a_voice(3.0, seed=i), effect=a_noise(5, seed=9 + i), frames=105) for i in range(3)]
    mixed = mix_soundtrack(scenes, frames_per_second=FPS)
    loud = make_loud(mixed)
    assert measure_lufs(loud.samples) == pytest.approx(TARGET_LUFS, abs=0.1)
    assert 20 * np.log10(float(true_peaks(loud.samples).max())) <= CEILING_DBTP + 0.05
    assert np.allclose(loud.samples, mixed * loud.gain[:, None], atol=1e-6)


def test_each_narration_starts_one_lead_after_its_scene_and_is_never_cut() -> None:
    voices = [a_voice(2.0, seed=1, rate_hz=RATE_HZ), a_voice(3.0, seed=2, rate_hz=RATE_HZ)]
    silence = Sound(samples=np.zeros((RATE_HZ, 1), dtype=np.float32), sample_rate_hz=RATE_HZ)
    scenes = [
        SceneSound(narration=voices[0], effect=silence, frames=75),
        SceneSound(narration=voices[1], effect=silence, frames=105),
    ]
    track = mix_soundtrack(scenes, frames_per_second=FPS)
    assert len(track) == 180 * RATE_HZ // FPS
    lead = round(LEAD_SECONDS * RATE_HZ)
    for begin, voice in ((0, voices[0]), (75 * RATE_HZ // FPS, voices[1])):
        heard = track[begin + lead : begin + lead + len(voice.samples)]
        assert np.allclose(heard[:, 0], voice.samples[:, 0], atol=1e-6)
        assert np.allclose(heard[:, 1], voice.samples[:, 0], atol=1e-6)
        assert not track[begin : begin + lead].any()


@pytest.mark.parametrize("level", [0.001, 0.02, 0.5])
def test_an_effect_lies_twenty_decibels_under_its_narration_however_loud_it_came(level: float) -> None:
    voice, noise = a_voice(3.0, seed=1), a_noise(6, seed=2, level=level)
    scene = SceneSound(narration=voice, effect=noise, frames=105)
    mute = Sound(samples=np.zeros_like(noise.samples), sample_rate_hz=noise.sample_rate_hz)
    both = mix_soundtrack([scene], frames_per_second=FPS)
    spoken = mix_soundtrack([SceneSound(narration=voice, effect=mute, frames=105)], frames_per_second=FPS)
    lead, count = round(LEAD_SECONDS * RATE_HZ), 3 * RATE_HZ
    under = (both - spoken)[lead : lead + count]
    assert 20 * np.log10(rms(under) / rms(spoken[lead : lead + count])) == pytest.approx(-20, abs=0.1)


def test_the_balance_holds_behind_the_limiter() -> None:
    voices, noises = [a_voice(3.0, seed=i) for i in (1, 2)], [a_noise(6, seed=i) for i in (3, 4)]
    scenes = [SceneSound(narration=v, effect=n, frames=105) for v, n in zip(voices, noises, strict=True)]
    track = make_soundtrack(scenes, frames_per_second=FPS)
    assert measure_lufs(track) == pytest.approx(TARGET_LUFS, abs=0.1)
    lead = round(LEAD_SECONDS * RATE_HZ)
    # In the pauses of the voice only the effect sounds, there the limiter is at rest.
    before = rms(track[round(0.02 * RATE_HZ) : lead - round(0.02 * RATE_HZ)])
    spoken = rms(track[lead : lead + 3 * RATE_HZ])
    assert 20 * np.log10(before / spoken) == pytest.approx(-20, abs=1.5)


def test_a_slam_in_the_pause_does_not_drown_the_voice() -> None:
    voice, quiet = a_voice(3.0, seed=1), a_noise(6, seed=2, level=0.0005)
    quiet.samples[1000:1400] = 0.9
    track = mix_soundtrack([SceneSound(narration=voice, effect=quiet, frames=105)], frames_per_second=FPS)
    slam = float(np.abs(track[: round(0.1 * RATE_HZ)]).max())
    assert slam < float(np.abs(voice.samples).max())


def test_a_short_effect_fills_its_scene_and_none_sounds_beyond_it() -> None:
    voice = Sound(samples=np.full((round(3.0 * RATE_HZ), 1), 1e-4, dtype=np.float32), sample_rate_hz=RATE_HZ)
    short = a_noise(1.0, seed=2, rate_hz=RATE_HZ)
    mute = Sound(samples=np.zeros((RATE_HZ, 1), dtype=np.float32), sample_rate_hz=RATE_HZ)
    scenes = [
        SceneSound(narration=voice, effect=short, frames=105),
        SceneSound(narration=voice, effect=mute, frames=105),
    ]
    track = mix_soundtrack(scenes, frames_per_second=FPS)
    first = track[: 105 * RATE_HZ // FPS]
    tenths = first[: len(first) // 4800 * 4800].reshape(-1, 4800, 2)
    levels = np.sqrt(np.square(tenths - tenths.mean(axis=1, keepdims=True)).mean(axis=(1, 2)))
    between = np.sort(levels)[:-2]  # the two tenths in which the voice's own level steps up and down
    assert between.min() > 0.8 * between.max()
    second = track[105 * RATE_HZ // FPS :]
    assert float(np.ptp(second[round(0.2 * RATE_HZ) : round(3.0 * RATE_HZ)])) < 1e-6
