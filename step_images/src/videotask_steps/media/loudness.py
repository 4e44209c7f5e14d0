"""Loudness as broadcasters measure it, and the one gain that brings a film to it; it must never pump or clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
_STRETCH: Final = 2048
"""Samples that are oversampled together, or not at all."""
_HEADROOM_DB: Final = 9.0
"""How far under the ceiling samples may lie and still hide a peak between them, with room for a larger gain."""

# BS.1770-4, tables 1 and 2: the two stages of the K weighting at 48 kHz.
_SHELF: Final = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
_HIGH_PASS: Final = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))


def measure_lufs(samples: Samples) -> float:
    """Return the integrated loudness by ITU-R BS.1770-4, gated, in LUFS; -70 for silence."""
    distinct = _distinct(samples)
    power = sum((_block_powers(channel) for channel in distinct.T), start=np.zeros(1))
    power = power * samples.shape[1] / distinct.shape[1]
    loud = power[_lufs(power) > SILENCE_LUFS]
    if len(loud) == 0:
        return SILENCE_LUFS
    relative_gate = float(_lufs(loud.mean(keepdims=True))[0]) - 10
    return float(_lufs(loud[_lufs(loud) > relative_gate].mean(keepdims=True))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class LoudSound:
    """Sound brought to its loudness."""

    samples: Samples
    gain: NDArray[np.float32]
    """What each sample was multiplied by, limiter included; shape (frames,)."""


def make_loud(samples: Samples, *, target_lufs: float = TARGET_LUFS, ceiling_dbtp: float = CEILING_DBTP) -> LoudSound:
    """Return the samples at the target loudness with no true peak above the ceiling.

    A plain gain, as a linear loudness pass applies; where peaks would pass the ceiling a limiter bends them down and
    the gain is found again. FFmpeg's loudnorm would fall back to its dynamic mode here, unasked, and lift the effects
    in every pause; this never does.
    """
    gain_db = target_lufs - measure_lufs(samples)
    ceiling = 10 ** (ceiling_dbtp / 20)
    peaks = true_peaks(samples, floor=ceiling * 10 ** (-(gain_db + _HEADROOM_DB) / 20))
    made = np.empty_like(samples)  # one for all rounds: a long film fills hundreds of megabytes
    gain = np.ones(len(samples), dtype=np.float32)
    for _ in range(_ROUNDS):
        level = np.float32(10 ** (gain_db / 20))
        gain = limiter_gain(peaks, ceiling=ceiling / float(level))
        gain *= level
        np.multiply(samples, gain[:, None], out=made)
        miss = target_lufs - measure_lufs(made)
        if abs(miss) < _CLOSE_ENOUGH_LU:
            break
        gain_db += miss
    return LoudSound(samples=made, gain=gain)


def limiter_gain(peaks: NDArray[np.float32], *, ceiling: float) -> NDArray[np.float32]:
    """Return the gain of each sample that keeps every peak (amplitudes) at or under the ceiling.

    It is 1 wherever no peak is near, and moves over 20 ms.
    """
    gain = np.ones(len(peaks), dtype=np.float32)
    reach = 2 * _WINDOW  # more than a peak's gain reaches
    for start in range(0, len(peaks), _PIECE):
        begin, end = max(0, start - reach), min(start + _PIECE, len(peaks))
        stretch = peaks[begin : end + reach]
        if float(stretch.max()) > ceiling:
            gain[start:end] = _limited(stretch, ceiling)[start - begin : end - begin]
    return gain


def _limited(peaks: NDArray[np.float32], ceiling: float) -> NDArray[np.float32]:
    wanted = np.minimum(np.float32(1), np.float32(ceiling) / np.maximum(peaks, np.float32(1e-9)))
    # The least gain of the window, then its mean over the same window: never above what any peak in it needs.
    return _mean_around(_least_around(wanted, _WINDOW), _WINDOW)


def true_peaks(samples: Samples, *, floor: float = 0.0) -> NDArray[np.float32]:
    """Return the largest magnitude at and around each sample over all channels, 4 times oversampled.

    Stretches whose samples all stay below `floor` are not oversampled: no peak between them matters there.
    """
    distinct = _distinct(samples)
    peaks: NDArray[np.float32] = np.maximum(distinct.max(axis=1), -distinct.min(axis=1))
    for start in range(0, len(peaks), _STRETCH):
        end = min(start + _STRETCH, len(peaks))
        if float(peaks[start:end].max()) >= floor:
            peaks[start:end] = _oversampled_peaks(distinct, start, end)
    return peaks


def _oversampled_peaks(distinct: Samples, start: int, end: int) -> NDArray[np.float32]:
    reach = 2 * _TAPS
    stretch = distinct[max(0, start - reach) : end + reach]
    inner = slice(start - max(0, start - reach), start - max(0, start - reach) + end - start)
    peaks: NDArray[np.float32] = np.abs(stretch).max(axis=1)
    for channel in stretch.T:
        for taps in _FRACTIONS:
            between = np.abs(np.convolve(channel, taps, mode="same")[: len(channel)]).astype(np.float32)
            np.maximum(peaks, between, out=peaks)
            np.maximum(peaks[1:], between[:-1], out=peaks[1:])
            np.maximum(peaks[:-1], between[1:], out=peaks[:-1])
    return peaks[inner]


def _distinct(samples: Samples) -> Samples:
    """Return the channels that differ: dual mono, as speech makes it, is worked out once."""
    is_dual = samples.shape[1] > 1 and bool((samples == samples[:, :1]).all())
    return samples[:, :1] if is_dual else samples


def _fraction(phase: float) -> NDArray[np.float32]:
    """Return a windowed sinc that reads a signal `phase` of a sample later."""
    position = np.arange(-_TAPS, _TAPS + 1) + phase
    window = 0.5 + 0.5 * np.cos(np.pi * position / (_TAPS + 1))
    taps: NDArray[np.float32] = (np.sinc(position) * window).astype(np.float32)
    return taps


_FRACTIONS: Final = tuple(_fraction(phase) for phase in (0.25, 0.5, 0.75))


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
    """Return the mean of the `window` values around each one, mirrored to `_least_around` where the window is even."""
    padded = np.pad(values.astype(np.float64), (window - window // 2 - 1, window // 2), mode="edge")
    total = np.concatenate(([0.0], np.cumsum(padded)))
    means: NDArray[np.float32] = ((total[window:] - total[:-window]) / window).astype(np.float32)
    return means


def _weighted(channel: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """Yield the K-weighted channel in pieces of whole hops, the last one excepted.

    Each is filtered in the spectrum and led in by half a second.
    """
    piece = (_PIECE - _LEAD_IN) // _HOP * _HOP
    for start in range(0, len(channel), piece):
        begin = max(0, start - _LEAD_IN)
        spectrum = np.fft.rfft(channel[begin : start + piece], 2 * _PIECE)
        end = min(start + piece, len(channel))
        yield np.fft.irfft(spectrum * _K_RESPONSE, 2 * _PIECE)[start - begin : end - begin]


def _k_response(size: int) -> NDArray[np.complex128]:
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(size // 2 + 1, dtype=np.complex128)
    for top, bottom in (_SHELF, _HIGH_PASS):
        response *= np.polyval(top[::-1], turn) / np.polyval(bottom[::-1], turn)
    return response


_PIECE: Final = 1 << 16
_LEAD_IN: Final = RATE_HZ // 2
_HOP: Final = RATE_HZ // 10
_HOPS_A_BLOCK: Final = 4
_K_RESPONSE: Final = _k_response(2 * _PIECE)


def _block_powers(channel: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean power of all whole blocks of 400 ms, one every 100 ms; of all there is when it is shorter."""
    energies = [np.add.reduceat(np.square(one), np.arange(0, len(one), _HOP)) for one in _weighted(channel)]
    by_hop = np.concatenate(energies) if energies else np.zeros(1)
    whole = by_hop[: len(channel) // _HOP]
    if len(whole) < _HOPS_A_BLOCK:
        whole = by_hop.sum(keepdims=True)
    blocks = np.lib.stride_tricks.sliding_window_view(whole, min(_HOPS_A_BLOCK, len(whole)))
    powers: NDArray[np.float64] = blocks.sum(axis=1) / (_HOP * _HOPS_A_BLOCK)
    return powers


def _lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-12))
