"""Loudness as broadcasters measure it, and the one gain that brings a film to it; it must never pump or clip."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

TARGET_LUFS: Final = -14.0
"""Where video platforms play back unchanged."""
CEILING_DBTP: Final = -1.5
"""True peak before AAC; the codec may add about half a decibel."""
RATE_HZ: Final = 48_000
SILENCE_LUFS: Final = -70.0
"""The absolute gate of BS.1770-4: nothing below it counts."""

Samples = NDArray[np.float32]
"""Shape (frames, channels), full scale 1.0, at 48 kHz."""

_ROUNDS: Final = 6
_CLOSE_ENOUGH_LU: Final = 0.05
_WINDOW: Final = 960
"""Samples (20 ms) over which the limiter's gain falls and rises."""
_TAPS: Final = 24

# BS.1770-4, tables 1 and 2: the two stages of the K weighting at 48 kHz.
_SHELF: Final = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
_HIGH_PASS: Final = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))


def measure_lufs(samples: Samples) -> float:
    """Return the integrated loudness by ITU-R BS.1770-4, gated, in LUFS; -70 for silence."""
    power = np.zeros(max(1, math.ceil((len(samples) - 0.4 * RATE_HZ) / (0.1 * RATE_HZ)) + 1))
    for channel in samples.T:
        power += _block_powers(_weighted(channel), blocks=len(power))
    loud = power[_lufs(power) > SILENCE_LUFS]
    if len(loud) == 0:
        return SILENCE_LUFS
    relative_gate = float(_lufs(np.array([loud.mean()]))[0]) - 10
    return float(_lufs(np.array([loud[_lufs(loud) > relative_gate].mean()]))[0])


def make_loud(samples: Samples, *, target_lufs: float = TARGET_LUFS, ceiling_dbtp: float = CEILING_DBTP) -> Samples:
    """Return the samples at the target loudness with no true peak above the ceiling.

    A plain gain, as a linear loudness pass applies; where peaks would pass the ceiling they are bent down by a limiter
    and the gain is found again. Speech and the effect under it are always scaled together, so their balance stays.
    """
    gain_db = target_lufs - measure_lufs(samples)
    made = samples
    for _ in range(_ROUNDS):
        made = limit_peaks(samples * np.float32(10 ** (gain_db / 20)), ceiling_dbtp=ceiling_dbtp)
        miss = target_lufs - measure_lufs(made)
        if abs(miss) < _CLOSE_ENOUGH_LU:
            break
        gain_db += miss
    return made


def limit_peaks(samples: Samples, *, ceiling_dbtp: float) -> Samples:
    """Return the samples with every true peak (4 times oversampled) at or under the ceiling; quiet parts unchanged."""
    ceiling = np.float32(10 ** (ceiling_dbtp / 20))
    peaks = true_peaks(samples)
    if float(peaks.max(initial=0.0)) <= ceiling:
        return samples
    wanted = np.minimum(np.float32(1), ceiling / np.maximum(peaks, np.float32(1e-9)))
    # The least gain of the window, then its mean over the same window: never above what any peak in it needs.
    gain = _mean_around(_least_around(wanted, _WINDOW), _WINDOW)
    limited: Samples = (samples * gain[:, None]).astype(np.float32)
    return limited


def true_peaks(samples: Samples) -> NDArray[np.float32]:
    """Return the largest magnitude near each sample over all channels, three points between samples included."""
    # Dual mono, as speech makes it, is worked out once.
    distinct = samples[:, :1] if samples.shape[1] > 1 and np.array_equal(samples[:, 0], samples[:, 1]) else samples
    peaks: NDArray[np.float32] = np.abs(distinct).max(axis=1)
    for channel in distinct.T:
        for phase in (0.25, 0.5, 0.75):
            between = np.abs(np.convolve(channel, _fraction(phase), mode="same")).astype(np.float32)
            np.maximum(peaks, between, out=peaks)
            np.maximum(peaks[1:], between[:-1], out=peaks[1:])
    return peaks


def _fraction(phase: float) -> NDArray[np.float32]:
    """Return a windowed sinc that reads a signal `phase` of a sample later."""
    position = np.arange(-_TAPS, _TAPS + 1) + phase
    window = 0.5 + 0.5 * np.cos(np.pi * position / (_TAPS + 1))
    taps: NDArray[np.float32] = (np.sinc(position) * window).astype(np.float32)
    return taps


def _least_around(values: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    """Return the least of the `window` values centred on each one, by doubling."""
    padded = np.pad(values, (window // 2, window - window // 2 - 1), mode="edge")
    least, span = padded, 1
    while span * 2 <= window:
        least, span = np.minimum(least[:-span], least[span:]), span * 2
    rest = window - span
    found: NDArray[np.float32] = np.minimum(least[: len(least) - rest], least[rest:]) if rest else least
    return found


def _mean_around(values: NDArray[np.float32], window: int) -> NDArray[np.float32]:
    padded = np.pad(values.astype(np.float64), (window // 2, window - window // 2 - 1), mode="edge")
    total = np.concatenate(([0.0], np.cumsum(padded)))
    means: NDArray[np.float32] = ((total[window:] - total[:-window]) / window).astype(np.float32)
    return means


def _weighted(channel: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the K-weighted channel; filtered in the spectrum, which equals the recursion after its start."""
    size = 1 << (len(channel) + RATE_HZ - 1).bit_length()
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(size // 2 + 1, dtype=np.complex128)
    for top, bottom in (_SHELF, _HIGH_PASS):
        response *= np.polyval(top[::-1], turn) / np.polyval(bottom[::-1], turn)
    filtered: NDArray[np.float64] = np.fft.irfft(np.fft.rfft(channel, size) * response, size)[: len(channel)]
    return filtered


def _block_powers(weighted: NDArray[np.float64], *, blocks: int) -> NDArray[np.float64]:
    """Return the mean power of blocks of 400 ms, one every 100 ms."""
    hop, length = RATE_HZ // 10, RATE_HZ * 4 // 10
    total = np.concatenate(([0.0], np.cumsum(np.square(weighted))))
    starts = np.minimum(np.arange(blocks) * hop, max(0, len(weighted) - length))
    ends = np.minimum(starts + length, len(weighted))
    powers: NDArray[np.float64] = (total[ends] - total[starts]) / length
    return powers


def _lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-12))
