"""Lays narrations and effects along the film's timeline; speech is never cut and nothing sounds beyond its scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from videotask_contract.timing import LEAD_SECONDS
from videotask_steps.media.audio_probe import Sound
from videotask_steps.media.loudness import RATE_HZ, Samples, make_loud

EFFECT_DB: Final = -20.0
"""RMS of the effect over the narration's own time, against the RMS of the narration itself over the same time."""
MAX_EFFECT_PEAK_DB: Final = -3.0
"""The loudest moment of an effect against the narration's: a lone slam is not blown up to drown the speech."""
_FADE_SECONDS: Final = 0.005
"""At both ends of a scene; a hard cut to the ear, without a click."""
_SEAM_SECONDS: Final = 0.04
"""Over which an effect that is shorter than its scene runs into its own beginning."""
_STEADY: Final = 1e-4
_QUIETEST: Final = 1e-6
"""RMS below which there is nothing to scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSound:
    """What is heard in one scene."""

    narration: Sound
    effect: Sound
    frames: int
    """Picture frames the scene lasts."""


def make_soundtrack(scenes: Sequence[SceneSound], *, frames_per_second: int) -> Samples:
    """Return the whole film's sound at 48 kHz, stereo, at its loudness, every effect EFFECT_DB under its narration.

    Mixed twice: where the limiter had to hold narrations down, the effects under them follow.
    """
    loud = make_loud(mix_soundtrack(scenes, frames_per_second=frames_per_second))
    if float(np.ptp(loud.gain)) < _STEADY:
        return loud.samples
    gain = loud.gain
    del loud  # a long film's sound fills hundreds of megabytes: never two of them
    mixed = mix_soundtrack(scenes, frames_per_second=frames_per_second, gain=gain)
    del gain
    return make_loud(mixed).samples


def mix_soundtrack(
    scenes: Sequence[SceneSound], *, frames_per_second: int, gain: NDArray[np.float32] | None = None
) -> Samples:
    """Return the film's sound before any gain: each narration at its own level, LEAD_SECONDS after its scene begins.

    `gain` is what each sample will be multiplied by later, where that is known; the balance is struck behind it.
    """
    bounds = [0]
    for scene in scenes:
        bounds.append(bounds[-1] + scene.frames)
    samples = [round(bound * RATE_HZ / frames_per_second) for bound in bounds]
    gain = np.ones(samples[-1], dtype=np.float32) if gain is None else gain
    track = np.zeros((samples[-1], 2), dtype=np.float32)
    for scene, start, end in zip(scenes, samples[:-1], samples[1:], strict=True):
        track[start:end] = _mix_scene(scene, gain[start:end, None])
    return track


def effect_gain(narration: Samples, effect: Samples, *, lead: int) -> float:
    """Return the factor that puts the effect under the narration; `effect` begins `lead` samples before it.

    Its RMS over exactly the narration's time comes to EFFECT_DB below the narration's RMS; both are taken over all
    samples and channels, unweighted. Its loudest peak in the scene stays MAX_EFFECT_PEAK_DB below the narration's.
    """
    under = rms(effect[lead : lead + len(narration)])
    if under < _QUIETEST:
        under = max(rms(effect), _QUIETEST)
    gain = rms(narration) / under * 10 ** (EFFECT_DB / 20)
    peak = max(float(np.abs(effect).max(initial=0.0)), _QUIETEST)
    return min(gain, float(np.abs(narration).max(initial=0.0)) / peak * 10 ** (MAX_EFFECT_PEAK_DB / 20))


def _mix_scene(scene: SceneSound, gain: NDArray[np.float32]) -> Samples:
    length, lead = len(gain), round(LEAD_SECONDS * RATE_HZ)
    narration = at_film_rate(scene.narration)[: length - lead]
    effect = _fitted(at_film_rate(scene.effect), length)
    over = slice(lead, lead + len(narration))
    made = _faded(effect * np.float32(effect_gain(narration * gain[over], effect * gain, lead=lead)))
    made[over] += narration
    return made


def rms(samples: Samples) -> float:
    """Return the root mean square over all samples and channels; 0 when there are none."""
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if samples.size else 0.0


def at_film_rate(sound: Sound) -> Samples:
    """Return the sound as stereo at 48 kHz; mono becomes equal channels at the same level."""
    channels = sound.samples if sound.samples.shape[1] == 2 else sound.samples.mean(axis=1, keepdims=True)  # noqa: PLR2004  stereo
    layout = "stereo" if channels.shape[1] == 2 else "mono"  # noqa: PLR2004
    resampled = _resampled(np.ascontiguousarray(channels.T), sound.sample_rate_hz, layout)
    return np.repeat(resampled, 2, axis=1) if resampled.shape[1] == 1 else resampled


def _resampled(planes: NDArray[np.float32], rate_hz: int, layout: str) -> Samples:
    if rate_hz == RATE_HZ:
        return np.ascontiguousarray(planes.T)
    frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
    frame.sample_rate = rate_hz
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=RATE_HZ)
    blocks = [block.to_ndarray() for block in (*resampler.resample(frame), *resampler.resample(None))]
    return np.ascontiguousarray(np.concatenate(blocks, axis=1).T, dtype=np.float32)


def _fitted(effect: Samples, length: int) -> Samples:
    """Return the effect cut to the scene, or run into its own beginning until it fills it."""
    seam = min(round(_SEAM_SECONDS * RATE_HZ), len(effect) // 2)
    rise = np.sin(np.linspace(0, np.pi / 2, seam, dtype=np.float32))[:, None]
    made = effect
    while 0 < len(made) < length:
        head = effect[:seam] * rise
        tail = made[len(made) - seam :] * rise[::-1]
        made = np.concatenate([made[: len(made) - seam], tail + head, effect[seam:]])
    return made[:length]


def _faded(effect: Samples) -> Samples:
    fade = round(_FADE_SECONDS * RATE_HZ)
    made = effect.copy()
    ramp = np.linspace(0, 1, fade, dtype=np.float32)[:, None]
    made[:fade] *= ramp[: len(made)]
    made[len(made) - fade :] *= ramp[::-1][: len(made)]
    return made
