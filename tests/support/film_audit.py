"""Holds a finished film against the files it was made from; knows the plan's rules and nothing of how it was assembled.

Run by hand: python tests/support/film_audit.py FOLDER [FILM]
"""

from __future__ import annotations

import argparse
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from videotask_contract import layout
from videotask_contract.ledger_record import LedgerRecord, RecordKind, decode_record
from videotask_contract.resources import FrameSize
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_contract.timing import LEAD_SECONDS, scene_frames

RATE_HZ = 48_000
COARSE_HZ = 16_000
TARGET_LUFS, LUFS_TOLERANCE = -14.0, 1.0
EFFECT_DB, EFFECT_TOLERANCE_DB = -20.0, 2.0
MAX_OFFSET_SECONDS = 0.05
LEAST_LIKENESS = 0.9
"""Correlation of a scene's first frame with its own composite, both shrunk."""
LEAST_EFFECT = 0.2
"""Correlation of what is left under a narration with the scene's effect."""
THUMBNAIL = (96, 54)
BLOCK = 960
"""Samples (20 ms) in which a narration's level counts as steady."""

REACH = round(MAX_OFFSET_SECONDS * RATE_HZ)

Mono = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneRow:
    """What was found in one scene; levels in dB, correlations from -1 to 1."""

    number: str
    start_seconds: float
    frames: int
    likeness: float
    next_likeness: float
    narration_offset_seconds: float
    narration: float
    next_narration: float
    effect_db: float
    effect: float
    next_effect: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """All that was seen, and a sentence for everything that is not as it should be."""

    facts: dict[str, object]
    rows: tuple[SceneRow, ...]
    findings: list[str] = field(default_factory=list)

    def table(self) -> str:
        """Return the rows for people."""
        lines = ["scene   start  frames  picture (next)   offset  narration (next)  effect dB  effect (next)"]
        for row in self.rows:
            place = f"{row.number:>5}  {row.start_seconds:6.2f}  {row.frames:6d}"
            picture = f"{row.likeness:6.3f} ({row.next_likeness:5.3f})"
            spoken = f"{row.narration_offset_seconds * 1000:+5.1f} ms  {row.narration:8.3f} ({row.next_narration:5.3f})"
            heard = f"{row.effect_db:9.2f}  {row.effect:6.3f} ({row.next_effect:5.3f})"
            lines.append(f"{place}  {picture}  {spoken}  {heard}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    number: str
    composite: Path
    narration: Path
    effect: Path
    start_frame: int
    frames: int


def audit_film(folder: Path, film: Path | None = None, *, frame: FrameSize | None = None) -> Audit:
    """Return the audit of a film made in this task folder; its findings are empty when all is well."""
    film, frame = film or folder / layout.FILM, frame or FrameSize()
    scenes = _scenes(folder, frame)
    planned_frames = sum(scene.frames for scene in scenes)
    facts, findings = _container(film, frame, planned_frames)
    try:
        first_frames = _first_frames(film, {scene.start_frame for scene in scenes})
        sound = _padded(_decode(film, RATE_HZ), round(planned_frames / frame.frames_per_second * RATE_HZ))
    except (av.FFmpegError, subprocess.CalledProcessError) as error:
        return Audit(facts=facts, rows=(), findings=[*findings, f"the film: it does not decode cleanly: {error}"])
    rows = _rows(scenes, first_frames, sound, frame)
    for row in rows:
        findings += _judge(row)
    return Audit(facts=facts, rows=tuple(rows), findings=findings)


def _scenes(folder: Path, frame: FrameSize) -> list[_Scene]:
    storyboard = Storyboard.model_validate_json((folder / layout.STORYBOARD).read_bytes())
    narrations = _current(folder, Step.NARRATION_GENERATION)
    effects = _current(folder, Step.SFX_GENERATION)
    composites = _current(folder, Step.COMPOSITE_CREATION)
    scenes: list[_Scene] = []
    start = 0
    for position in range(1, len(storyboard.scenes) + 1):
        number = layout.scene_number(position)
        narration = narrations[number]
        frames = scene_frames(narration_seconds=_seconds(narration), frames_per_second=frame.frames_per_second)
        scenes.append(
            _Scene(
                number=number,
                composite=composites[number],
                narration=narration,
                effect=effects[number],
                start_frame=start,
                frames=frames,
            ),
        )
        start += frames
    return scenes


def _current(folder: Path, step: Step) -> dict[str, Path]:
    lines = (folder / layout.ledger(step)).read_text().splitlines()
    records: list[LedgerRecord | None] = [decode_record(line) for line in lines]
    return {
        record.item: folder / (record.path or "")
        for record in records
        if record is not None and record.kind is RecordKind.DONE
    }


# -- container ------------------------------------------------------------------------------------------------------


def _container(film: Path, frame: FrameSize, planned_frames: int) -> tuple[dict[str, object], list[str]]:
    with av.open(str(film)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        facts: dict[str, object] = {
            "video": f"{video.codec_context.name} {video.profile} {video.codec_context.width}x"
            f"{video.codec_context.height} {video.pix_fmt}",
            "audio": f"{audio.codec_context.name} {audio.profile} {audio.codec_context.sample_rate} Hz "
            f"{audio.codec_context.channels} channels",
            "duration_seconds": float(container.duration or 0) / av.time_base,
            "frames_per_second": float(video.average_rate or 0),
        }
    boxes = _boxes(film)
    words = _ffmpeg(
        "-v", "info", "-nostats", "-i", str(film), "-vn", "-af", "ebur128=framelog=quiet", "-f", "null", "-"
    )
    loudness = re.findall(r"\bI:\s+(-?[0-9.]+|-inf) LUFS", words)
    facts["loudness_lufs"] = float(loudness[-1]) if loudness else float("-inf")
    errors = _ffmpeg("-v", "error", "-err_detect", "explode", "-i", str(film), "-map", "0", "-f", "null", "-").strip()
    planned_seconds = planned_frames / frame.frames_per_second
    checks = {
        f"the picture is {facts['video']}": facts["video"] == f"h264 High {frame.width}x{frame.height} yuv420p",
        f"the sound is {facts['audio']}": facts["audio"] == "aac LC 48000 Hz 2 channels",
        f"it lasts {facts['duration_seconds']:.3f} s and the narrations plan {planned_seconds:.3f} s": abs(
            float(str(facts["duration_seconds"])) - planned_seconds
        )
        <= 1 / frame.frames_per_second,
        f"its loudness is {facts['loudness_lufs']} LUFS": abs(float(str(facts["loudness_lufs"])) - TARGET_LUFS)
        <= LUFS_TOLERANCE,
        "its index (moov) does not come before its media": boxes.index(b"moov") < boxes.index(b"mdat"),
        "it holds an edit list": b"elst" not in boxes,
        f"it does not decode cleanly: {errors[:300]}": not errors,
    }
    return facts, [f"the film: {sentence}" for sentence, is_well in checks.items() if not is_well]


def _boxes(film: Path) -> list[bytes]:
    """Return the names of the MP4's boxes in file order, those inside moov and its tracks too."""
    names: list[bytes] = []
    content = film.read_bytes()

    def walk(start: int, end: int) -> None:
        while start + 8 <= end:
            size, name = struct.unpack(">I4s", content[start : start + 8])
            head = 8
            if size == 1:
                size, head = struct.unpack(">Q", content[start + 8 : start + 16])[0], 16
            size = size or end - start
            names.append(name)
            if name in {b"moov", b"trak", b"edts", b"mdia"}:
                walk(start + head, start + size)
            start += size

    walk(0, len(content))
    return names


# -- picture --------------------------------------------------------------------------------------------------------


def _first_frames(film: Path, wanted: set[int]) -> dict[int, NDArray[np.float64]]:
    found: dict[int, NDArray[np.float64]] = {}
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for index, picture in enumerate(container.decode(stream)):
            if index in wanted:
                found[index] = _shrunk(picture.to_image())
    return found


def _shrunk(picture: Image.Image) -> NDArray[np.float64]:
    small = np.asarray(picture.convert("RGB").resize(THUMBNAIL, Image.Resampling.BOX), dtype=np.float64)
    return (small - small.mean()).ravel()


def _likeness(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(one @ other) / max(1e-9, float(np.linalg.norm(one)) * float(np.linalg.norm(other)))


# -- sound ----------------------------------------------------------------------------------------------------------


def _rows(
    scenes: Sequence[_Scene], first_frames: dict[int, NDArray[np.float64]], sound: Mono, frame: FrameSize
) -> list[SceneRow]:
    composites = {scene.number: _shrunk(Image.open(scene.composite)) for scene in scenes}
    narrations = {scene.number: _decode(scene.narration, RATE_HZ) for scene in scenes}
    effects = {scene.number: _decode(scene.effect, RATE_HZ) for scene in scenes}
    coarse = {scene.number: _decode(scene.narration, COARSE_HZ) for scene in scenes}
    coarse_film = _coarse(sound)
    rows = []
    for scene in scenes:
        start_seconds = scene.start_frame / frame.frames_per_second
        end_seconds = start_seconds + scene.frames / frame.frames_per_second
        seen = first_frames.get(scene.start_frame, np.zeros(THUMBNAIL[0] * THUMBNAIL[1] * 3))
        likeness = {number: _likeness(seen, composite) for number, composite in composites.items()}
        window = coarse_film[max(0, round((start_seconds - 0.5) * COARSE_HZ)) : round((end_seconds + 0.5) * COARSE_HZ)]
        window_start = max(0, round((start_seconds - 0.5) * COARSE_HZ)) / COARSE_HZ
        heard = {number: _find(window, narration) for number, narration in coarse.items()}
        offset = _refined(sound, narrations[scene.number], window_start + heard[scene.number][0])
        spoken_at = start_seconds + LEAD_SECONDS
        # A narration that is not there takes nothing out; its effect is looked for where it should be.
        is_placed = abs(offset / RATE_HZ - spoken_at) <= MAX_OFFSET_SECONDS
        at = offset if is_placed else round(spoken_at * RATE_HZ)
        rest = _rest_under(sound, narrations[scene.number], at=at, begun=start_seconds)
        under = {number: _effect_in(rest, effect) for number, effect in effects.items()}
        rows.append(
            SceneRow(
                number=scene.number,
                start_seconds=start_seconds,
                frames=scene.frames,
                likeness=likeness[scene.number],
                next_likeness=_best_other(scene, likeness, {s.number: s.composite for s in scenes}),
                narration_offset_seconds=offset / RATE_HZ - spoken_at,
                narration=heard[scene.number][1],
                next_narration=_best_other(
                    scene, {n: score for n, (_, score) in heard.items()}, {s.number: s.narration for s in scenes}
                ),
                effect_db=under[scene.number][0],
                effect=under[scene.number][1],
                next_effect=_best_other(
                    scene, {n: score for n, (_, score) in under.items()}, {s.number: s.effect for s in scenes}
                ),
            ),
        )
    return rows


def _best_other(scene: _Scene, scores: dict[str, float], files: dict[str, Path]) -> float:
    """Return the best score of another scene's file; byte-equal files are no others."""
    own = files[scene.number].read_bytes()
    return max((score for number, score in scores.items() if files[number].read_bytes() != own), default=-1.0)


def _coarse(sound: Mono) -> Mono:
    """Return 48 kHz sound at 16 kHz, filtered in the spectrum."""
    spectrum = np.fft.rfft(sound)
    count = len(sound) // 3
    return np.fft.irfft(spectrum[: count // 2 + 1], count) * count / len(sound)


def _find(window: Mono, wanted: Mono) -> tuple[float, float]:
    """Return where (seconds from the window's start) `wanted` is heard best, and how much of the window it explains.

    The score is the correlation over the norms of the whole window and of all that is wanted: neither the beginning
    of a longer line nor a shorter line with the same beginning scores as much as the line that was spoken.
    """
    size = 1 << (len(window) + len(wanted) - 1).bit_length()
    spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(wanted, size))
    correlation = np.fft.irfft(spectrum, size)[: max(1, len(window) - len(wanted) // 2)]
    best = int(np.argmax(np.abs(correlation)))
    norm = float(np.linalg.norm(window)) * float(np.linalg.norm(wanted))
    return best / COARSE_HZ, float(abs(correlation[best])) / max(norm, 1e-9)


def _padded(sound: Mono, count: int) -> Mono:
    """Return the sound with silence after it up to `count` samples: a film that ends early is audited all the same."""
    return np.concatenate([sound, np.zeros(max(0, count - len(sound)))])


def _refined(sound: Mono, narration: Mono, near_seconds: float) -> int:
    """Return the sample of the film at which the narration begins, searched 2 ms around."""
    centre, reach = round(near_seconds * RATE_HZ), RATE_HZ // 500
    lags = range(max(0, centre - reach), centre + reach + 1)
    scores = [abs(float(sound[lag : lag + len(narration)] @ narration[: len(sound) - lag])) for lag in lags]
    return lags[int(np.argmax(scores))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """What is left of the film under one narration once the narration is taken out."""

    left: Mono
    spectrum: NDArray[np.complex128]
    size: int
    basis: NDArray[np.float64]
    begin: int
    """Samples from the scene's begin to the narration's."""
    spoken_rms: float
    """Of the narration as it sounds in the film."""


def _rest_under(sound: Mono, narration: Mono, *, at: int, begun: float) -> _Rest:
    """Project a narration, and its neighbours a sample away, out of the film in blocks of 20 ms.

    In blocks, so that a limiter's moving gain goes with it.
    """
    count = min(len(narration), len(sound) - at) // BLOCK * BLOCK
    film, spoken = sound[at : at + count], narration[:count]
    basis = _block_basis(narration, count)
    left = _without(film, basis)
    size = 1 << (count + 2 * REACH).bit_length()
    return _Rest(
        left=left,
        spectrum=np.conj(np.fft.rfft(left, size)),
        size=size,
        basis=basis,
        begin=at - round(begun * RATE_HZ),
        spoken_rms=max(0.0, float(film @ spoken / max(1e-12, spoken @ spoken))) * _rms(spoken),
    )


def _effect_in(rest: _Rest, effect: Mono) -> tuple[float, float]:
    """Return the level of an effect under the narration (dB of RMS over RMS, over the narration's time) and its score.

    What is left of the film is correlated with what is left of the effect when the narration is taken out of it too;
    it may lie up to 50 ms off its place.
    """
    count = len(rest.left)
    padded = np.concatenate([np.zeros(REACH), effect, np.zeros(REACH + count)])
    candidates = padded[rest.begin : rest.begin + count + 2 * REACH]
    # The lag first, by correlation with the effect as it is; then the exact comparison there.
    correlation = np.fft.irfft(np.fft.rfft(candidates, rest.size) * rest.spectrum, rest.size)[: 2 * REACH + 1]
    lag = int(np.argmax(np.abs(correlation)))
    moved = candidates[lag : lag + count]
    other = _without(moved, rest.basis)
    power = float(other @ other)
    if power < 1e-9 or rest.spoken_rms < 1e-6:
        return -120.0, 0.0
    gain = abs(float(rest.left @ other)) / power
    score = gain * np.sqrt(power) / max(1e-9, float(np.linalg.norm(rest.left)))
    return float(20 * np.log10(max(gain * _rms(moved) / rest.spoken_rms, 1e-6))), float(score)


def _block_basis(narration: Mono, count: int) -> NDArray[np.float64]:
    """Return orthonormal rows spanning the narration and its neighbours, shape (blocks, 3, BLOCK)."""
    padded = np.concatenate([[0.0], narration, [0.0]])
    rows = np.stack([padded[shift : shift + count].reshape(-1, BLOCK) for shift in (0, 1, 2)], axis=1)
    made, sizes, _ = np.linalg.svd(rows.transpose(0, 2, 1), full_matrices=False)
    return made.transpose(0, 2, 1) * (sizes > 1e-6)[..., None]


def _without(signal: Mono, basis: NDArray[np.float64]) -> Mono:
    blocks = signal.reshape(-1, BLOCK)
    shares = np.einsum("bkn,bn->bk", basis, blocks)
    return (blocks - np.einsum("bk,bkn->bn", shares, basis)).ravel()


def _rms(signal: Mono) -> float:
    return float(np.sqrt(np.square(signal).mean()))


# -- verdict --------------------------------------------------------------------------------------------------------


def _judge(row: SceneRow) -> list[str]:
    checks = {
        f"its first frame is like its composite by {row.likeness:.3f} only": row.likeness >= LEAST_LIKENESS,
        f"its first frame is liker to another composite ({row.next_likeness:.3f}, its own {row.likeness:.3f})": (
            row.likeness > row.next_likeness
        ),
        f"another narration fits better ({row.next_narration:.3f}) than its own ({row.narration:.3f})": (
            row.narration > row.next_narration
        ),
        f"its narration is {row.narration_offset_seconds * 1000:+.0f} ms off its place": (
            abs(row.narration_offset_seconds) <= MAX_OFFSET_SECONDS
        ),
        f"its own effect is not found under the narration ({row.effect:.3f})": row.effect >= LEAST_EFFECT,
        f"another effect fits better ({row.next_effect:.3f}) than its own ({row.effect:.3f})": (
            row.effect > row.next_effect
        ),
        f"its effect lies at {row.effect_db:.1f} dB under the narration": (
            abs(row.effect_db - EFFECT_DB) <= EFFECT_TOLERANCE_DB
        ),
    }
    return [f"scene {row.number}: {sentence}" for sentence, is_well in checks.items() if not is_well]


# -- decoding -------------------------------------------------------------------------------------------------------


def _seconds(path: Path) -> float:
    """Return the decoded length at the file's own rate."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].codec_context.sample_rate
        channels = container.streams.audio[0].codec_context.channels
    raw = _ffmpeg_bytes("-i", str(path), "-f", "s16le", "-acodec", "pcm_s16le", "-")
    return len(raw) / 2 / channels / rate


def _decode(path: Path, rate_hz: int) -> Mono:
    raw = _ffmpeg_bytes("-i", str(path), "-map", "0:a:0", "-f", "f32le", "-ac", "1", "-ar", str(rate_hz), "-")
    return np.frombuffer(raw, dtype="<f4").astype(np.float64)


def _ffmpeg_bytes(*arguments: str) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-v", "error", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=600).stdout


def _ffmpeg(*arguments: str) -> str:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", *arguments]
    return subprocess.run(command, check=False, capture_output=True, timeout=600).stderr.decode(errors="replace")


def main() -> int:
    """Audit a folder from the command line; 0 when nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("film", type=Path, nargs="?")
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--frames-per-second", type=int, default=30)
    given = parser.parse_args()
    frame = FrameSize(width=given.width, height=given.height, frames_per_second=given.frames_per_second)
    audit = audit_film(given.folder, given.film, frame=frame)
    print(*(f"{name}: {value}" for name, value in audit.facts.items()), sep="\n")
    print(audit.table())
    print(*(audit.findings or ["nothing to find fault with"]), sep="\n")
    return 1 if audit.findings else 0


if __name__ == "__main__":
    sys.exit(main())
