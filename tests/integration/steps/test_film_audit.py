"""The assembled film passes an audit that shares no code with the assembly; a film with anything wrong fails it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from tests.support.film_audit import Audit, audit_film
from tests.support.film_project import FilmProject, a_project, a_storyboard, add_clips_and_sound

from videotask_contract import layout
from videotask_contract.resources import FrameSize
from videotask_contract.steps import Step
from videotask_steps.composites import create_composites
from videotask_steps.film import assemble_film
from videotask_steps.media.assembly import count_frames, join_film
from videotask_steps.media.audio_probe import Sound, decode_sound
from videotask_steps.media.loudness import Samples
from videotask_steps.media.soundtrack import SceneSound, make_soundtrack
from videotask_steps.stop_sign import StopSign

FRAME = FrameSize(width=640, height=360)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A finished project and the parts from which another, wrong film can be joined in a moment."""

    project: FilmProject
    scenes: list[SceneSound]
    segments: list[tuple[Path, int]]

    def join(
        self, target: Path, *, sound: Samples | None = None, segments: list[tuple[Path, int]] | None = None
    ) -> Path:
        asyncio.run(
            join_film(
                segments or self.segments,
                make_soundtrack(self.scenes, frames_per_second=30) if sound is None else sound,
                target,
                frames_per_second=30,
                timeout_seconds=120,
                stopping=StopSign(),
            ),
        )
        return target

    def audit(self, film: Path | None = None) -> Audit:
        return audit_film(self.project.volume, film, frame=FRAME)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    volume = tmp_path_factory.mktemp("film")
    project = asyncio.run(_make(volume))
    scenes, segments = [], []
    for number in ("01", "02", "03", "04"):
        path = volume / layout.segment(number)
        frames = count_frames(path)
        segments.append((path, frames))
        scenes.append(
            SceneSound(
                narration=decode_sound(volume / layout.narration(number)),
                effect=decode_sound(volume / layout.effect(number)),
                frames=frames,
            ),
        )
    return Made(project=project, scenes=scenes, segments=segments)


async def _make(volume: Path) -> FilmProject:
    project = await a_project(volume, storyboard=a_storyboard(scenes=4, figures=3, props=1, places=4), frame=FRAME)
    await project.run(Step.COMPOSITE_CREATION, create_composites)
    await add_clips_and_sound(project, short_side=360)
    await project.run(Step.VIDEO_ASSEMBLY, assemble_film)
    return project


def test_a_well_made_film_passes(made: Made) -> None:
    audit = made.audit()
    print(audit.table())
    assert audit.findings == []
    assert audit.facts["loudness_lufs"] == pytest.approx(-14, abs=0.3)
    assert max(abs(row.narration_offset_seconds) for row in audit.rows) < 0.002
    assert all(row.effect_db == pytest.approx(-20, abs=0.5) for row in audit.rows)
    assert all(row.effect > 5 * row.next_effect for row in audit.rows)


def _mute_effects(scenes: list[SceneSound]) -> list[SceneSound]:
    return [replace(scene, effect=_scaled(scene.effect, 0.0)) for scene in scenes]


def _mute_one_effect(scenes: list[SceneSound]) -> list[SceneSound]:
    return [*scenes[:2], replace(scenes[2], effect=_scaled(scenes[2].effect, 0.0)), scenes[3]]


def _mute_one_narration(scenes: list[SceneSound]) -> list[SceneSound]:
    return [replace(scenes[0], narration=_scaled(scenes[0].narration, 1e-3)), *scenes[1:]]


def _swap_narrations(scenes: list[SceneSound]) -> list[SceneSound]:
    first, second = scenes[:2]
    return [replace(first, narration=second.narration), replace(second, narration=first.narration), *scenes[2:]]


def _swap_effects(scenes: list[SceneSound]) -> list[SceneSound]:
    first, second = scenes[:2]
    return [replace(first, effect=second.effect), replace(second, effect=first.effect), *scenes[2:]]


def _delay_one_narration(scenes: list[SceneSound]) -> list[SceneSound]:
    late = np.concatenate([np.zeros((4410, 1), dtype=np.float32), scenes[1].narration.samples])
    return [scenes[0], replace(scenes[1], narration=replace(scenes[1].narration, samples=late)), *scenes[2:]]


def _scaled(sound: Sound, level: float) -> Sound:
    return replace(sound, samples=sound.samples * np.float32(level))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_mute_effects, "scene 04: its own effect is not found"),
        (_mute_one_effect, "scene 03: its own effect is not found"),
        (_mute_one_narration, "scene 01: "),
        (_swap_narrations, "scene 02: another narration fits better"),
        (_swap_effects, "scene 01: another effect fits better"),
        (_delay_one_narration, "scene 02: its narration is +100 ms off its place"),
    ],
)
def test_wrong_sound_is_found(
    made: Made, tmp_path: Path, spoil: Callable[[list[SceneSound]], list[SceneSound]], said: str
) -> None:
    sound = make_soundtrack(spoil(made.scenes), frames_per_second=30)
    audit = made.audit(made.join(tmp_path / "film.mp4", sound=sound))
    assert any(finding.startswith(said) for finding in audit.findings), audit.findings
    is_of = said[:8]
    if spoil in {_mute_one_effect, _delay_one_narration}:
        assert all(finding.startswith(is_of) for finding in audit.findings), audit.findings


@pytest.mark.parametrize("decibels", [-14.0, -26.0])
def test_an_effect_at_the_wrong_level_is_found(made: Made, tmp_path: Path, decibels: float) -> None:
    balanced = make_soundtrack(made.scenes, frames_per_second=30)
    dry = make_soundtrack(_mute_effects(made.scenes), frames_per_second=30)
    level = 10 ** ((decibels + 20) / 20)
    audit = made.audit(made.join(tmp_path / "film.mp4", sound=(dry + (balanced - dry) * np.float32(level))))
    assert any("dB under the narration" in finding for finding in audit.findings), audit.findings


def test_a_film_too_quiet_is_found(made: Made, tmp_path: Path) -> None:
    sound = make_soundtrack(made.scenes, frames_per_second=30) * np.float32(0.5)
    audit = made.audit(made.join(tmp_path / "film.mp4", sound=sound))
    assert any("loudness" in finding for finding in audit.findings), audit.findings
    assert not [finding for finding in audit.findings if finding.startswith("scene")]


def test_swapped_clips_are_found(made: Made, tmp_path: Path) -> None:
    swapped = [made.segments[1], made.segments[0], *made.segments[2:]]
    audit = made.audit(made.join(tmp_path / "film.mp4", segments=swapped))
    assert any(finding.startswith("scene 01: its first frame is liker to another") for finding in audit.findings)


def test_a_missing_scene_is_found(made: Made, tmp_path: Path) -> None:
    audit = made.audit(made.join(tmp_path / "film.mp4", segments=made.segments[:3]))
    assert any("its first frame is like its composite" in finding for finding in audit.findings), audit.findings


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-c", "copy"], "its index (moov) does not come before its media"),
        (["-c:v", "copy", "-ac", "1"], "the sound is aac LC 48000 Hz 1 channels"),
        (["-c:a", "copy", "-vf", "scale=320:180", "-c:v", "libx264", "-preset", "ultrafast"], "320x180"),
        (["-c", "copy", "-t", "5"], "it lasts 5."),
    ],
)
def test_a_wrong_container_is_found(made: Made, tmp_path: Path, arguments: list[str], said: str) -> None:
    film, source = tmp_path / "film.mp4", made.project.volume / layout.FILM
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(source), *arguments, str(film)]
    subprocess.run(command, check=True, timeout=120)
    assert any(said in finding for finding in made.audit(film).findings)


def test_a_damaged_film_is_found(made: Made, tmp_path: Path) -> None:
    content = bytearray((made.project.volume / layout.FILM).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    film = tmp_path / "film.mp4"
    film.write_bytes(content)
    assert any("does not decode cleanly" in finding for finding in made.audit(film).findings)
