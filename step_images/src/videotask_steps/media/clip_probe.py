"""What a video file really holds, found by decoding every frame; it must never count a black or frozen clip as good."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from videotask_steps.media.bad_media import BadMediaError, check_file, undecodable

BLACK_LEVEL: Final = 24.0
"""Luma (of 255) below which a picture is black; video black is 16."""
FROZEN_LEVELS: Final = 0.35
"""Mean change of luma (of 255) below which two frames are the same picture, coding noise allowed for."""
ASPECT_TOLERANCE: Final = 0.03
_SAMPLE_WIDTH: Final = 128
_SAMPLE_HEIGHT: Final = 72
_SAMPLES_PER_SECOND: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipProbe:
    """What was seen in a clip."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    frames_per_second: float
    duration_seconds: float
    """Decoded frames divided by the frame rate."""
    frames: int
    """Frames that were decoded."""
    is_black: bool
    """True when no frame shows anything."""
    is_frozen: bool
    """True when all frames show the same picture."""
    codec: str
    """FFmpeg's name of the codec: h264."""


def probe_clip(path: Path, *, item: str | None = None) -> ClipProbe:
    """Decode the clip wholly and return what it holds; BadMediaError when it is empty, cut off, damaged or no video."""
    check_file(path, item=item)
    try:
        return _decode(path, item=item)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise undecodable(path, error, kind="video", item=item) from error


def check_clip(
    path: Path,
    *,
    item: str | None = None,
    min_seconds: float = 0.0,
    aspect_ratio: float | None = None,
    min_height: int = 0,
) -> ClipProbe:
    """Return the probe of a usable clip; BadMediaError names what was seen and asked.

    `min_seconds` is what was paid for; a shortfall of up to 5 % is accepted (a "10 s" clip may have 9.7 s).
    `aspect_ratio` is width divided by height, None when any will do; `min_height` is in pixels.
    """
    probe = probe_clip(path, item=item)
    seen = (
        f"{path.name} is {probe.width}x{probe.height} {probe.codec} of {probe.duration_seconds:.2f} s "
        f"({probe.frames} frames)"
    )
    if probe.duration_seconds < min_seconds * 0.95:
        raise BadMediaError(f"{seen}; {min_seconds:g} s were asked for", item=item)
    if aspect_ratio is not None and abs(probe.width / probe.height / aspect_ratio - 1) > ASPECT_TOLERANCE:
        raise BadMediaError(f"{seen}; width to height of {aspect_ratio:.3f} was asked for", item=item)
    if probe.height < min_height:
        raise BadMediaError(f"{seen}; at least {min_height} lines were asked for", item=item)
    if probe.is_black:
        raise BadMediaError(f"{seen} and is black throughout; a picture was asked for", item=item)
    if probe.is_frozen:
        raise BadMediaError(f"{seen} and never moves; motion was asked for", item=item)
    return probe


def clip_seconds(path: Path, *, item: str | None = None) -> float:
    """Return the length of a clip's picture in seconds by its coded frames, none decoded; for clips probed before."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or stream.guessed_rate or 0)
            return sum(1 for packet in container.demux(stream) if packet.size > 0) / rate
    except (av.FFmpegError, OSError, ValueError, IndexError, ZeroDivisionError) as error:
        raise BadMediaError(f"{path.name} cannot be read as video: {error}"[:500], item=item) from error


def _decode(path: Path, *, item: str | None) -> ClipProbe:
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise BadMediaError(f"{path.name} holds no video stream", item=item)
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        if rate <= 0:
            raise BadMediaError(f"{path.name} gives no frame rate", item=item)
        declared = stream.frames
        every = max(1, round(rate / _SAMPLES_PER_SECOND))
        samples: list[NDArray[np.float32]] = []
        frames = 0
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise BadMediaError(f"{path.name}: frame {frames} is damaged", item=item)
            if frames % every == 0:
                small = frame.reformat(width=_SAMPLE_WIDTH, height=_SAMPLE_HEIGHT, format="gray")
                samples.append(small.to_ndarray().astype(np.float32))
            frames += 1
        codec, width, height = stream.codec_context.name, stream.codec_context.width, stream.codec_context.height
    if frames == 0:
        raise BadMediaError(f"{path.name} holds no frame", item=item)
    if frames < declared:
        raise BadMediaError(f"{path.name} is cut off: {frames} of {declared} frames can be decoded", item=item)
    return ClipProbe(
        width=width,
        height=height,
        frames_per_second=rate,
        duration_seconds=frames / rate,
        frames=frames,
        is_black=_is_black(samples),
        is_frozen=_is_frozen(samples),
        codec=codec,
    )


def _is_black(samples: list[NDArray[np.float32]]) -> bool:
    # The 99th percentile keeps a night scene with stars and a moon from being called black.
    return all(float(np.percentile(sample, 99)) < BLACK_LEVEL for sample in samples)


def _is_frozen(samples: list[NDArray[np.float32]]) -> bool:
    if len(samples) <= 1:
        return True
    return all(float(np.abs(sample - samples[0]).mean()) < FROZEN_LEVELS for sample in samples[1:])
