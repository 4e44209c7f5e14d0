"""The step that makes the film, on folders as the steps before leave them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from pathlib import Path

import av
import pytest
from tests.support.film_project import FilmProject, a_project, a_storyboard, add_clips_and_sound, speech
from tests.support.report_server import ReportServer
from tests.support.step_program import StepProgram, a_task_file

from videotask_contract import layout
from videotask_contract.errors import BadInputError, FailureClass, PermanentError, VideoTaskError
from videotask_contract.exits import ExitCode
from videotask_contract.resources import FrameSize
from videotask_contract.steps import Step
from videotask_contract.timing import scene_frames
from videotask_steps import durable
from videotask_steps.composites import create_composites
from videotask_steps.film import assemble_film
from videotask_steps.ledger import read_ledger
from videotask_steps.media.assembly import count_frames
from videotask_steps.media.audio_probe import decode_sound
from videotask_steps.media.bad_media import BadMediaError

FRAME = FrameSize(width=640, height=360)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> FilmProject:
    """A folder with all media, ready to be assembled; tests work on copies."""

    async def make() -> FilmProject:
        project = await a_project(tmp_path_factory.mktemp("template"), storyboard=a_storyboard(scenes=3), frame=FRAME)
        await project.run(Step.COMPOSITE_CREATION, create_composites)
        await add_clips_and_sound(project, short_side=360)
        return project

    return asyncio.run(make())


@pytest.fixture
def project(template: FilmProject, tmp_path: Path) -> FilmProject:
    volume = tmp_path / "volume"
    shutil.copytree(template.volume, volume)
    return FilmProject(volume=volume, storyboard=template.storyboard, quality=template.quality)


async def assemble(project: FilmProject, *, run: int = 1):
    return await project.run(Step.VIDEO_ASSEMBLY, assemble_film, run=run)


def leftovers(project: FilmProject) -> list[Path]:
    return [path for path in project.volume.rglob(".*") if path.is_file()]


async def test_the_film_lasts_as_long_as_its_narrations_plan(project: FilmProject) -> None:
    context = await assemble(project)
    planned = 0
    for number in ("01", "02", "03"):
        seconds = decode_sound(project.volume / layout.narration(number)).duration_seconds
        frames = scene_frames(narration_seconds=seconds, frames_per_second=30)
        assert count_frames(project.volume / layout.segment(number)) == frames
        planned += frames
    film = project.volume / layout.FILM
    assert context.film is not None
    assert context.film.path == "film.mp4"
    assert context.film.duration_seconds == pytest.approx(planned / 30, abs=1e-3)
    assert context.film.sha256 == durable.sha256_of(film)
    assert context.film.loudness_lufs == pytest.approx(-14, abs=0.5)
    assert (context.progress.done, context.progress.total) == (4, 4)
    with av.open(str(film)) as container:
        times = [frame.pts for frame in container.decode(container.streams.video[0])]
    assert times == [3000 * index for index in range(planned)]
    assert leftovers(project) == []


async def test_a_second_run_keeps_everything(project: FilmProject) -> None:
    first = await assemble(project)
    again = await assemble(project, run=2)
    assert (again.progress.done, again.progress.kept) == (4, 4)
    assert again.film == first.film


async def test_another_take_of_one_clip_encodes_that_scene_alone(project: FilmProject) -> None:
    await assemble(project)
    other = (project.volume / layout.clip("01")).read_bytes()
    await project.put(Step.VIDEO_GENERATION, "02", layout.clip("02", take=2), other, take=2)
    again = await assemble(project, run=2)
    assert again.progress.kept == 2
    assert read_ledger(project.volume, Step.VIDEO_ASSEMBLY).current("film").run_id == "run-video_assembly-2"


async def test_another_effect_mixes_anew_and_encodes_nothing(project: FilmProject) -> None:
    first = await assemble(project)
    other = (project.volume / layout.effect("01")).read_bytes()
    await project.put(Step.SFX_GENERATION, "02", layout.effect("02", take=2), other, take=2)
    again = await assemble(project, run=2)
    assert again.progress.kept == 3
    assert again.film.sha256 != first.film.sha256


async def test_a_lost_film_is_joined_again_from_its_segments(project: FilmProject) -> None:
    await assemble(project)
    (project.volume / layout.FILM).unlink()
    again = await assemble(project, run=2)
    assert (again.progress.done, again.progress.kept) == (4, 3)
    assert (project.volume / layout.FILM).exists()


async def test_speech_a_little_longer_than_its_clip_is_heard_to_the_end_over_a_held_picture(
    project: FilmProject,
) -> None:
    text = "This narration is spoken for longer than its clip lasts, so the last picture is held for a moment."
    spoken, speed = b"", 1.0
    while not 4.7 < (seconds := _seconds_of(project, spoken, "probe.mp3")) < 5.4:
        speed = min(1.2, max(0.7, speed * (seconds / 5.0 if spoken else 1.0)))
        spoken = await asyncio.to_thread(speech, text, speed=speed)
    await project.put(Step.NARRATION_GENERATION, "02", layout.narration("02", take=2), spoken, take=2)
    await assemble(project)
    frames = count_frames(project.volume / layout.segment("02"))
    assert frames == scene_frames(narration_seconds=seconds, frames_per_second=30)
    assert frames / 30 > 5.05


def _seconds_of(project: FilmProject, spoken: bytes, name: str) -> float:
    if not spoken:
        return 0.0
    path = project.volume / name
    path.write_bytes(spoken)
    return decode_sound(path).duration_seconds


async def test_speech_too_long_for_its_clip_names_the_scene_and_the_words_to_lose(project: FilmProject) -> None:
    spoken = await asyncio.to_thread(speech, project.storyboard.scenes[1].narration * 4)
    await project.put(Step.NARRATION_GENERATION, "02", layout.narration("02", take=2), spoken, take=2)
    with pytest.raises(
        BadInputError, match=r"scene 02 \(scene-2\): its narration lasts .* shorten it by about \d+ words"
    ):
        await assemble(project)
    assert not (project.volume / layout.FILM).exists()


@pytest.mark.parametrize("path", [layout.clip("02"), layout.narration("01"), layout.effect("03")])
async def test_a_missing_or_emptied_input_is_named(project: FilmProject, path: str) -> None:
    (project.volume / path).write_bytes(b"")
    with pytest.raises(PermanentError, match=f"{path} holds 0 bytes"):
        await assemble(project)
    (project.volume / path).unlink()
    with pytest.raises(PermanentError, match=f"{path} is missing: run"):
        await assemble(project, run=2)


async def test_a_changed_input_is_named(project: FilmProject) -> None:
    path = project.volume / layout.clip("01")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(PermanentError, match=r"clips/clip_01\.mp4 has another content than its ledger says"):
        await assemble(project)


async def test_a_clip_that_cannot_be_decoded_leaves_no_film(project: FilmProject) -> None:
    await project.put(Step.VIDEO_GENERATION, "03", layout.clip("03", take=2), b"no video" * 900, take=2)
    with pytest.raises(BadMediaError, match=r"clip_03\.take2\.mp4"):
        await assemble(project)
    assert not (project.volume / layout.FILM).exists()
    assert leftovers(project) == []


async def test_a_wish_to_stop_kills_ffmpeg_and_the_next_run_goes_on(project: FilmProject) -> None:
    async with project.context(Step.VIDEO_ASSEMBLY) as context:
        work = asyncio.create_task(assemble_film(context))
        async with asyncio.timeout(120):
            while context.progress.done < 1:
                await context.progress.changed.wait()
                context.progress.changed.clear()
        context.stopping.ask("the pod is being deleted")
        with pytest.raises(VideoTaskError) as caught:
            await work
    assert caught.value.failure_class is FailureClass.INTERRUPTED
    assert leftovers(project) == []
    again = await assemble(project, run=2)
    assert again.progress.done == 4
    assert again.progress.kept >= 1


async def test_sigterm_ends_the_program_as_interrupted_with_no_ffmpeg_left(project: FilmProject) -> None:
    async with ReportServer() as server:
        program = StepProgram(project.volume.parent, a_task_file(Step.VIDEO_ASSEMBLY, report_url=server.url))
        await program.start()
        async with asyncio.timeout(120):
            while not ffmpegs_at_work_in(project.volume):
                await asyncio.sleep(0.02)
        program.signal(signal.SIGTERM)
        ended = await program.end(seconds=60)
    assert ended.code == ExitCode.INTERRUPTED
    assert ended.report.failure is not None
    assert ended.report.failure.failure_class is FailureClass.INTERRUPTED
    assert ffmpegs_at_work_in(project.volume) == []
    assert not film_exists(project)


def film_exists(project: FilmProject) -> bool:
    return (project.volume / layout.FILM).exists()


def ffmpegs_at_work_in(folder: Path) -> list[str]:
    """Return the command lines of all FFmpegs of this machine that read or write below the folder."""
    commands = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            commands.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [command for command in commands if "ffmpeg" in command.split(" ")[0] and str(folder) in command]
