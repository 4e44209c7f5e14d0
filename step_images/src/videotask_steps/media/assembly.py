"""Cuts, joins and checks the film with FFmpeg; a film that was not wholly decoded must never be called finished."""

from __future__ import annotations

import re
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np

from videotask_contract.errors import PermanentError
from videotask_contract.resources import FrameSize
from videotask_steps.media.ffmpeg import run_ffmpeg
from videotask_steps.media.loudness import RATE_HZ, TARGET_LUFS, Samples
from videotask_steps.stop_sign import StopSign

ASSEMBLY_VERSION: Final = 1
"""Part of every segment's and the film's key: raise it when the same inputs give another film."""
PRESET: Final = "superfast"
X264_PARAMETERS: Final = "mbtree=1:rc-lookahead=10"
"""With macroblock trees x264's "superfast" makes files as small and as like as "veryfast" (SSIM 0.9928 against 0.9934)
in three fifths of its time; alone it makes them twice as large."""
CONSTANT_RATE_FACTOR: Final = 19
MAX_RATE_AT_1080P: Final = 12_000_000
"""Bits a second; YouTube's own advice is 8 Mb/s for 1080p at 30 frames a second."""
AUDIO_BITS_PER_SECOND: Final = 384_000
LOUDNESS_TOLERANCE_LU: Final = 1.0
AAC_FRAME: Final = 1024
"""Samples; AAC-LC puts one frame of its own before the first sample it was given."""
_TIMESCALES: Final = ("-video_track_timescale", "90000", "-movie_timescale", "90000")
"""Whole frames at every usual rate; the default of 1,000 ticks lets segments drift by a third of a millisecond."""
_FULL_HD: Final = 1920 * 1080
_UNSPECIFIED: Final = 2
_LOUDNESS_LINE: Final = re.compile(r"\bI:\s+(-?[0-9.]+|-inf) LUFS")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmFacts:
    """What a decoded film turned out to be."""

    duration_seconds: float
    loudness_lufs: float


async def encode_segment(
    clip: Path,
    target: Path,
    *,
    frames: int,
    hold_seconds: float,
    frame: FrameSize,
    timeout_seconds: float,
    stopping: StopSign,
    item: str,
) -> None:
    """Encode the first `frames` frames of a scene's picture so that segments join by copying.

    The clip is scaled to cover the frame; its last picture is held `hold_seconds` when it is too short. All segments
    share one encoding: closed groups of half a second, two B-frames, BT.709.
    """
    rate = frame.frames_per_second
    group = max(1, rate // 2)
    max_rate = max(1_000_000, round(MAX_RATE_AT_1080P * frame.width * frame.height / _FULL_HD))
    filters = (
        f"setpts=PTS-STARTPTS,fps={rate}:start_time=0,"
        f"scale={frame.width}:{frame.height}:force_original_aspect_ratio=increase:flags=lanczos"
        f"{_input_matrix(clip)}:out_color_matrix=bt709:out_range=tv,crop={frame.width}:{frame.height},"
        f"tpad=stop_mode=clone:stop_duration={max(0.0, hold_seconds):.3f},setsar=1,format=yuv420p"
    )
    await run_ffmpeg(
        [
            *("-v", "error", "-i", str(clip), "-map", "0:v:0", "-an", "-sn", "-dn", "-map_metadata", "-1"),
            *("-vf", filters, "-frames:v", str(frames), "-fps_mode", "passthrough"),
            *("-c:v", "libx264", "-preset", PRESET, "-x264-params", X264_PARAMETERS),
            *("-profile:v", "high", "-crf", str(CONSTANT_RATE_FACTOR)),
            *("-maxrate", str(max_rate), "-bufsize", str(2 * max_rate), "-bf", "2", "-flags", "+cgop"),
            *("-g", str(group), "-keyint_min", str(group), "-sc_threshold", "0"),
            *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
            *_TIMESCALES,
            *("-f", "mp4", str(target)),
        ],
        what=f"encoding {clip.name}",
        timeout_seconds=timeout_seconds,
        stopping=stopping,
        item=item,
    )
    made = count_frames(target)
    if made != frames:
        raise PermanentError(f"encoding {clip.name} gave {made} frames and {frames} were asked for", item=item)


async def join_film(
    segments: Sequence[tuple[Path, int]],
    sound: Samples,
    target: Path,
    *,
    frames_per_second: int,
    timeout_seconds: float,
    stopping: StopSign,
) -> None:
    """Join the segments, each with its frames, by copying, encode the sound once, and write an MP4 for streaming.

    Its index comes first and it has no edit list. Without one nothing tells a player to drop the AAC encoder's first
    frame; so the sound is begun that much later in the track and sits where it belongs when all samples are played.
    """
    listing, wave_file, aac = (target.with_name(f"{target.name}.{suffix}") for suffix in ("txt", "wav", "aac"))
    try:
        lines = [f"file '{_quoted(path)}'\nduration {frames / frames_per_second:.6f}\n" for path, frames in segments]
        listing.write_text("".join(lines), encoding="utf-8")
        _write_wave(wave_file, _without_priming(sound))
        await run_ffmpeg(
            [
                *("-v", "error", "-i", str(wave_file), "-c:a", "aac", "-b:a", str(AUDIO_BITS_PER_SECOND)),
                *("-ar", str(RATE_HZ), "-ac", "2", "-f", "adts", str(aac)),
            ],
            what="encoding the sound",
            timeout_seconds=timeout_seconds,
            stopping=stopping,
        )
        await run_ffmpeg(
            [
                *("-v", "error", "-f", "concat", "-safe", "0", "-i", str(listing), "-i", str(aac)),
                *("-map", "0:v:0", "-map", "1:a:0", "-c", "copy", "-map_metadata", "-1"),
                *("-movflags", "+faststart+negative_cts_offsets", "-use_editlist", "0"),
                *_TIMESCALES,
                *("-f", "mp4", str(target)),
            ],
            what="joining the segments",
            timeout_seconds=timeout_seconds,
            stopping=stopping,
        )
    finally:
        for leftover in (listing, wave_file, aac):
            leftover.unlink(missing_ok=True)


async def check_film(
    film: Path, *, frames: int, frame: FrameSize, timeout_seconds: float, stopping: StopSign
) -> FilmFacts:
    """Decode the whole film and return its facts; PermanentError says what is not as planned."""
    duration_seconds = _check_streams(film, frames=frames, frame=frame)
    words = await run_ffmpeg(
        [
            *("-v", "info", "-nostats", "-xerror", "-err_detect", "explode", "-i", str(film)),
            *("-map", "0:v:0", "-map", "0:a:0", "-af", "ebur128=framelog=quiet", "-f", "null", "-"),
        ],
        what="decoding the finished film",
        timeout_seconds=timeout_seconds,
        stopping=stopping,
    )
    heard = _LOUDNESS_LINE.findall(words)
    loudness_lufs = float(heard[-1]) if heard else float("-inf")
    if abs(loudness_lufs - TARGET_LUFS) > LOUDNESS_TOLERANCE_LU:
        raise PermanentError(f"the film's loudness is {loudness_lufs:.1f} LUFS; {TARGET_LUFS:.0f} was aimed at")
    return FilmFacts(duration_seconds=duration_seconds, loudness_lufs=loudness_lufs)


def count_frames(path: Path) -> int:
    """Return how many coded pictures a file holds, without decoding them."""
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size > 0)


def _check_streams(film: Path, *, frames: int, frame: FrameSize) -> float:
    with av.open(str(film)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        duration_seconds = float(container.duration or 0) / av.time_base
        seen = (
            f"{video.codec_context.name} {video.codec_context.width}x{video.codec_context.height}, "
            f"{audio.codec_context.name} {audio.codec_context.sample_rate} Hz {audio.codec_context.channels} channels"
        )
    meant = f"h264 {frame.width}x{frame.height}, aac {RATE_HZ} Hz 2 channels"
    if seen != meant:
        raise PermanentError(f"the film holds {seen}; {meant} was planned")
    made = count_frames(film)
    if made != frames:
        raise PermanentError(f"the film has {made} frames; {frames} were planned")
    if abs(duration_seconds - frames / frame.frames_per_second) > 1 / frame.frames_per_second:
        raise PermanentError(
            f"the film lasts {duration_seconds:.3f} s; {frames / frame.frames_per_second:.3f} s were planned"
        )
    return duration_seconds


def _without_priming(sound: Samples) -> Samples:
    """Return the sound less the frame that the encoder adds, in whole frames, so that it never outlasts the picture."""
    whole = max(1, (len(sound) - AAC_FRAME) // AAC_FRAME)
    return sound[AAC_FRAME : AAC_FRAME * (1 + whole)]


def _write_wave(path: Path, sound: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(sound.shape[1])
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        for start in range(0, len(sound), RATE_HZ):  # a whole film at once would fill memory three times over
            second = sound[start : start + RATE_HZ]
            file.writeframesraw(np.rint(np.clip(second, -1, 1) * 32767).astype("<i2").tobytes())


def _input_matrix(clip: Path) -> str:
    """Return the scaler's option for a clip that does not name its colours: HD video means BT.709, not its default."""
    with av.open(str(clip)) as container:
        colorspace = int(container.streams.video[0].codec_context.colorspace)
    return ":in_color_matrix=bt709" if colorspace == _UNSPECIFIED else ""


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("'", "'\\''")
