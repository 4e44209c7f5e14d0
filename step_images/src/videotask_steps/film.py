"""Cuts the clips to their narrations, lays sound along them and joins the film; it must never cut speech."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from videotask_contract import layout
from videotask_contract.errors import VideoTaskError
from videotask_contract.ledger_record import item_key
from videotask_contract.report import Film
from videotask_contract.steps import Step
from videotask_contract.storyboard import Scene
from videotask_contract.timing import check_narration_fits, scene_frames
from videotask_steps import durable
from videotask_steps.context import StepContext
from videotask_steps.failures import combine_failures
from videotask_steps.media.assembly import ASSEMBLY_VERSION, FilmFacts, check_film, encode_segment, join_film
from videotask_steps.media.audio_probe import Sound, decode_sound
from videotask_steps.media.clip_probe import clip_seconds
from videotask_steps.media.inputs import Input, load_inputs
from videotask_steps.media.loudness import Samples
from videotask_steps.media.soundtrack import SceneSound, make_soundtrack

FILM_ITEM: Final = "film"
_SLOWEST_SECONDS_PER_FRAME: Final = 0.5
"""No machine that can run the step at all is slower than this at 1080p."""

_log: Final = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """One scene as it stands in the film."""

    number: str
    clip: Input
    narration: Input
    effect: Input
    spoken: Sound
    frames: int
    segment_key: str

    @property
    def segment(self) -> str:
        return layout.segment(self.number)


async def assemble_film(context: StepContext) -> None:
    """Make film.mp4 from every scene's clip, narration and effect; segments that did not change are kept."""
    scenes = context.storyboard.scenes
    context.progress.start(len(scenes) + 1, "listening to the narrations")
    cuts = await asyncio.to_thread(_plan, context, scenes)
    film_key = _film_key(cuts)
    for cut in cuts:
        await _make_segment(context, cut)
    kept = await asyncio.to_thread(context.ledger.kept, FILM_ITEM, film_key)
    if kept is not None:
        facts = await _checked(context, context.volume / layout.FILM, cuts)
        context.ledger.record_again(kept)
    else:
        facts = await _make_film(context, cuts)
        context.ledger.record_done(
            FILM_ITEM, film_key, path=layout.FILM, duration_seconds=round(facts.duration_seconds, 3)
        )
    context.set_film(await asyncio.to_thread(_film, context.volume / layout.FILM, facts))
    context.progress.item_done(kept=kept is not None)


def _plan(context: StepContext, scenes: Sequence[Scene]) -> list[_Cut]:
    """Return every scene's cut; raises one error that names all narrations that do not fit their clips."""
    numbers = [layout.scene_number(position) for position in range(1, len(scenes) + 1)]
    clips = load_inputs(context.volume, Step.VIDEO_GENERATION, numbers)
    narrations = load_inputs(context.volume, Step.NARRATION_GENERATION, numbers)
    effects = load_inputs(context.volume, Step.SFX_GENERATION, numbers)
    cuts: list[_Cut] = []
    failures: list[tuple[str, VideoTaskError]] = []
    for number, scene in zip(numbers, scenes, strict=True):
        context.stopping.raise_if_set()
        try:
            cuts.append(
                _cut(
                    context,
                    scene,
                    number=number,
                    clip=clips[number],
                    narration=narrations[number],
                    effect=effects[number],
                )
            )
        except VideoTaskError as error:
            failures.append((f"scene {number}", error))
    if failures:
        raise failures[0][1] if len(failures) == 1 else combine_failures(failures)
    return cuts


def _cut(context: StepContext, scene: Scene, *, number: str, clip: Input, narration: Input, effect: Input) -> _Cut:
    quality = context.task.quality
    spoken = decode_sound(narration.path, item=number)
    check_narration_fits(
        scene=f"{number} ({scene.name})",
        text=scene.narration,
        narration_seconds=spoken.duration_seconds,
        clip_seconds=quality.clip_seconds,
    )
    frames = scene_frames(narration_seconds=spoken.duration_seconds, frames_per_second=quality.frame.frames_per_second)
    key = item_key(
        step=Step.VIDEO_ASSEMBLY.value,
        version=ASSEMBLY_VERSION,
        clip=clip.sha256,
        frames=frames,
        frame=quality.frame.model_dump(),
    )
    return _Cut(
        number=number, clip=clip, narration=narration, effect=effect, spoken=spoken, frames=frames, segment_key=key
    )


def _film_key(cuts: Sequence[_Cut]) -> str:
    return item_key(
        step=Step.VIDEO_ASSEMBLY.value,
        version=ASSEMBLY_VERSION,
        scenes=[[cut.segment_key, cut.narration.sha256, cut.effect.sha256] for cut in cuts],
    )


async def _make_segment(context: StepContext, cut: _Cut) -> None:
    kept = await asyncio.to_thread(context.ledger.kept, cut.number, cut.segment_key)
    if kept is not None:
        context.ledger.record_again(kept)
        context.progress.item_done(kept=True)
        return
    context.progress.say(f"cutting scene {cut.number}")
    frame = context.task.quality.frame
    target = context.volume / cut.segment
    durable.make_folder(target.parent)
    part = target.with_name(f".{target.name}.part")
    try:
        await encode_segment(
            cut.clip.path,
            part,
            frames=cut.frames,
            hold_seconds=cut.frames / frame.frames_per_second
            - await asyncio.to_thread(clip_seconds, cut.clip.path, item=cut.number),
            frame=frame,
            timeout_seconds=_patience(context, cut.frames),
            stopping=context.stopping,
            item=cut.number,
        )
        await asyncio.to_thread(_settle, part, target)
    finally:
        part.unlink(missing_ok=True)
    context.ledger.record_done(cut.number, cut.segment_key, path=cut.segment)
    context.progress.item_done()
    _log.info("segment_made", item=cut.number, frames=cut.frames)


async def _make_film(context: StepContext, cuts: Sequence[_Cut]) -> FilmFacts:
    context.progress.say("mixing the sound")
    sound = await asyncio.to_thread(_sound, context, cuts)
    context.progress.say("joining the film")
    film = context.volume / layout.FILM
    part = film.with_name(f".{film.name}.part")
    try:
        await join_film(
            [(context.volume / cut.segment, cut.frames) for cut in cuts],
            sound,
            part,
            frames_per_second=context.task.quality.frame.frames_per_second,
            timeout_seconds=_patience(context, _total_frames(cuts)),
            stopping=context.stopping,
        )
        context.progress.say("watching the film once through")
        facts = await _checked(context, part, cuts)
        await asyncio.to_thread(_settle, part, film)
    finally:
        part.unlink(missing_ok=True)
    _log.info("film_made", duration_seconds=round(facts.duration_seconds, 2), loudness_lufs=facts.loudness_lufs)
    return facts


def _sound(context: StepContext, cuts: Sequence[_Cut]) -> Samples:
    scenes = [
        SceneSound(narration=cut.spoken, effect=decode_sound(cut.effect.path, item=cut.number), frames=cut.frames)
        for cut in cuts
    ]
    return make_soundtrack(scenes, frames_per_second=context.task.quality.frame.frames_per_second)


async def _checked(context: StepContext, film: Path, cuts: Sequence[_Cut]) -> FilmFacts:
    frames = _total_frames(cuts)
    return await check_film(
        film,
        frames=frames,
        frame=context.task.quality.frame,
        timeout_seconds=_patience(context, frames),
        stopping=context.stopping,
    )


def _film(path: Path, facts: FilmFacts) -> Film:
    return Film(
        path=layout.FILM,
        duration_seconds=round(facts.duration_seconds, 3),
        size_bytes=path.stat().st_size,
        sha256=durable.sha256_of(path),
        loudness_lufs=facts.loudness_lufs,
    )


def _settle(part: Path, target: Path) -> None:
    durable.sync_file(part)
    durable.rename(part, target)


def _total_frames(cuts: Sequence[_Cut]) -> int:
    return sum(cut.frames for cut in cuts)


def _patience(context: StepContext, frames: int) -> float:
    return max(float(context.task.item_timeout_seconds), frames * _SLOWEST_SECONDS_PER_FRAME)
