"""What a sound file really holds, found by decoding it wholly; durations here and in the film are counted alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from videotask_steps.media.bad_media import BadMediaError, check_file, undecodable

SILENT_DBFS: Final = -55.0
"""A file whose loudest 0.1 s is below this RMS is silent; speech and effects lie between -35 and -10."""
CUT_OFF_SECONDS: Final = 0.2
"""How much less than its own header says an MP3 may hold."""
_WINDOW_SECONDS: Final = 0.1
_FLOOR_DBFS: Final = -120.0
_HEADER_BYTES: Final = 4096
_SAMPLES_PER_FRAME: Final = 1152
"""Of one MP3 frame at 32 kHz and above; half of it below (ISO 11172-3, ISO 13818-3)."""
_MPEG1_LOWEST_HZ: Final = 32_000
_PADDING_FRAMES: Final = 3
"""The declared frames that encoder delay and padding may take up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Decoded sound; `samples` has the shape (frames, channels), float32, full scale is 1.0."""

    samples: NDArray[np.float32]
    sample_rate_hz: int

    @property
    def duration_seconds(self) -> float:
        """Decoded samples divided by the rate."""
        return len(self.samples) / self.sample_rate_hz


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioProbe:
    """What was seen in a sound file."""

    duration_seconds: float
    """Decoded samples divided by the rate: encoder delay and padding that the file declares are not counted."""
    sample_rate_hz: int
    channels: int
    peak_dbfs: float
    is_silent: bool


def decode_sound(path: Path, *, item: str | None = None) -> Sound:
    """Return the file's sound at its own rate; BadMediaError when it is empty, cut off, damaged or no audio.

    FFmpeg's MP3 reader drops encoder delay and padding where a LAME header declares them; every duration of a
    narration, in the plan and in the film, comes from this one decoder.
    """
    check_file(path, item=item)
    try:
        sound = _decode(path, item=item)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise undecodable(path, error, kind="audio", item=item) from error
    declared_seconds = _declared_seconds(path)
    if sound.duration_seconds < declared_seconds - CUT_OFF_SECONDS:
        raise BadMediaError(
            f"{path.name} is cut off: {sound.duration_seconds:.2f} s of {declared_seconds:.2f} s can be decoded",
            item=item,
        )
    return sound


def probe_audio(path: Path, *, item: str | None = None) -> AudioProbe:
    """Decode the sound wholly and return what it holds; raises as `decode_sound` does."""
    sound = decode_sound(path, item=item)
    return AudioProbe(
        duration_seconds=sound.duration_seconds,
        sample_rate_hz=sound.sample_rate_hz,
        channels=sound.samples.shape[1],
        peak_dbfs=decibels(float(np.abs(sound.samples).max())),
        is_silent=_loudest_window_dbfs(sound) < SILENT_DBFS,
    )


def check_audio(
    path: Path,
    *,
    item: str | None = None,
    min_seconds: float = 0.2,
    max_seconds: float | None = None,
) -> AudioProbe:
    """Return the probe of usable sound; BadMediaError names what was seen and asked."""
    probe = probe_audio(path, item=item)
    seen = f"{path.name} holds {probe.duration_seconds:.2f} s of sound (peak {probe.peak_dbfs:.1f} dBFS)"
    if probe.duration_seconds < min_seconds:
        raise BadMediaError(f"{seen}; at least {min_seconds:g} s were asked for", item=item)
    if max_seconds is not None and probe.duration_seconds > max_seconds:
        raise BadMediaError(f"{seen}; at most {max_seconds:g} s were asked for", item=item)
    if probe.is_silent:
        raise BadMediaError(f"{seen} and is silent", item=item)
    return probe


def decibels(amplitude: float) -> float:
    """Return 20 log10 of an amplitude (full scale 1.0), never below -120 dB."""
    return max(_FLOOR_DBFS, 20 * math.log10(amplitude)) if amplitude > 0 else _FLOOR_DBFS


def _decode(path: Path, *, item: str | None) -> Sound:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            raise BadMediaError(f"{path.name} holds no audio stream", item=item)
        stream = container.streams.audio[0]
        channels, rate = stream.codec_context.channels, stream.codec_context.sample_rate
        # Planar float at the file's own rate: nothing is mixed or resampled here.
        resampler = av.AudioResampler(format="fltp", layout=stream.codec_context.layout, rate=rate)
        blocks = [block.to_ndarray() for frame in container.decode(stream) for block in resampler.resample(frame)]
        blocks += [block.to_ndarray() for block in resampler.resample(None)]
    if not blocks or sum(block.shape[1] for block in blocks) == 0:
        raise BadMediaError(f"{path.name} holds no sound", item=item)
    samples = np.concatenate(blocks, axis=1).T.astype(np.float32, copy=False)
    return Sound(samples=np.ascontiguousarray(samples.reshape(-1, channels)), sample_rate_hz=rate)


def _declared_seconds(path: Path) -> float:
    """Return the length by an MP3's Xing or Info header, 0 when it has none (its frame count is optional)."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    position = max(head.find(b"Xing"), head.find(b"Info"))
    if not head.startswith((b"ID3", b"\xff")) or position < 0 or len(head) < position + 12:
        return 0.0
    flags, frames = head[position + 7], int.from_bytes(head[position + 8 : position + 12], "big")
    if not flags & 1:
        return 0.0
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].codec_context.sample_rate
    per_frame = _SAMPLES_PER_FRAME if rate >= _MPEG1_LOWEST_HZ else _SAMPLES_PER_FRAME // 2
    return max(0.0, (frames - _PADDING_FRAMES) * per_frame / rate)


def _loudest_window_dbfs(sound: Sound) -> float:
    power = np.square(sound.samples, dtype=np.float64).mean(axis=1)
    window = min(len(power), max(1, int(_WINDOW_SECONDS * sound.sample_rate_hz)))
    total = np.concatenate(([0.0], np.cumsum(power)))
    return decibels(math.sqrt(max(0.0, float((total[window:] - total[:-window]).max()) / window)))
