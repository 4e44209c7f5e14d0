"""Builds a film folder with the emulators' media and true ledgers, so that the steps that compute can run alone."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from videotask_contract import layout
from videotask_contract.resources import FrameSize, Quality
from videotask_contract.steps import TRAITS, Step
from videotask_contract.storyboard import Asset, AssetKind, Scene, Storyboard
from videotask_contract.task_file import TaskFile, TaskIdentity
from videotask_emulators.media.clip import ClipOrder, render_clip
from videotask_emulators.media.effect import EffectOrder, make_effect
from videotask_emulators.media.picture import PictureOrder, make_picture
from videotask_emulators.media.speech import SpeechOrder, VoiceSound, speak
from videotask_steps import durable
from videotask_steps.context import Limits, StepContext, encode_storyboard
from videotask_steps.ledger import Ledger
from videotask_steps.progress import ProgressTracker
from videotask_steps.stop_sign import StopSign

_FIGURES = (
    "an old lighthouse keeper with a long beard",
    "a girl with long hair and a red coat",
    "a fox in a green jacket",
    "a robot gardener",
    "a wizard with a hat",
    "a captain with a moustache",
    "a cat in a blue dress",
    "a young painter with curly hair",
)
_PROPS = ("an old lantern", "a wooden boat", "a brass telescope", "a small radio")
_PLACES = (
    "a harbour at dawn with a lighthouse",
    "a forest clearing at night",
    "a kitchen interior, warm light",
    "a desert at noon",
    "a city street in the rain",
    "a green meadow with hills",
    "a snowy mountain at dusk",
    "a library interior with tall windows",
)
_LINES = (
    "The old harbour wakes before the sun, and every rope creaks.",
    "At night the forest counts its own footsteps twice.",
    "Nobody in the kitchen speaks while the bread is rising.",
    "Beneath a white sky the desert keeps a single secret.",
    "Rain writes the same long letter on every window.",
    "Green hills roll toward a village that forgot its name.",
    "Snow makes the mountain quiet enough to hear a watch.",
    "Each book remembers the hand that opened it last.",
    "A lantern swings, and shadows learn to dance again.",
)
_SOUNDS = ("waves and gulls", "birds and wind", "fire crackling", "wind over sand", "rain and thunder", "church bell")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmProject:
    """A task's own folder on a volume, and what the film in it is made from."""

    volume: Path
    storyboard: Storyboard
    quality: Quality
    mattes: dict[str, Path] = field(default_factory=dict)
    """The emulator's true mattes, PNG, by asset name."""

    def task(self, step: Step, *, run: int = 1) -> TaskFile:
        """Return the run's task.json."""
        return TaskFile(
            step=step,
            run_id=f"run-{step.value}-{run}",
            run_number=run,
            attempt=1,
            correlation_id="test",
            task=TaskIdentity(uid="u" * 36, namespace="default", name="film", channel="channel", title="A film"),
            report_url="http://127.0.0.1:9",
            concurrency=TRAITS[step].default_concurrency,
            item_timeout_seconds=TRAITS[step].item_timeout_seconds,
            quality=self.quality,
        )

    @contextlib.asynccontextmanager
    async def context(self, step: Step, *, run: int = 1) -> AsyncIterator[StepContext]:
        """Give a context as the runner makes one."""
        ledger = await Ledger.open(self.volume, step, run_id=f"run-{step.value}-{run}")
        try:
            yield StepContext(
                task=self.task(step, run=run),
                volume=self.volume,
                ledger=ledger,
                limits=Limits(concurrency=TRAITS[step].default_concurrency, reservation_usd=Decimal(0)),
                progress=ProgressTracker(),
                stopping=StopSign(),
            )
        finally:
            ledger.close()

    async def run(self, step: Step, work: Callable[[StepContext], Awaitable[None]], *, run: int = 1) -> StepContext:
        """Run the work of a step to its end and return its context."""
        async with self.context(step, run=run) as context:
            await work(context)
        return context

    async def put(self, step: Step, item: str, path: str, content: bytes | None = None, **facts: object) -> None:
        """Put a file in its place and into the step's ledger, as a paid step would have."""
        if content is not None:
            durable.save(self.volume / path, content)
        ledger = await Ledger.open(self.volume, step, run_id="made-before")
        try:
            ledger.record_done(item, f"key-of-{path}", path=path, **facts)  # type: ignore[arg-type]
        finally:
            ledger.close()


def a_storyboard(*, scenes: int, figures: int = 8, props: int = 4, places: int = 8) -> Storyboard:
    """Return a storyboard of so many scenes; figures, props and places take turns."""
    assets = [
        *(_asset(f"figure-{i}", AssetKind.CHARACTER, _FIGURES[i]) for i in range(figures)),
        *(_asset(f"prop-{i}", AssetKind.PROP, _PROPS[i]) for i in range(props)),
        *(_asset(f"place-{i}", AssetKind.ENVIRONMENT, _PLACES[i]) for i in range(places)),
    ]
    made = []
    for i in range(scenes):
        cast = [f"figure-{i % figures}"] if figures else []
        cast += [f"figure-{(i + 3) % figures}"] if figures > 1 and i % 3 == 1 else []
        cast += [f"prop-{i % props}"] if props and i % 2 == 1 else []
        made.append(
            Scene(
                name=f"scene-{i + 1}",
                environment=f"place-{i % places}",
                characters=tuple(cast),
                motion="slow push in",
                narration=f"{_LINES[i % len(_LINES)]}" + (" Once more." * (i // len(_LINES))),
                sound_effect=_SOUNDS[i % len(_SOUNDS)],
            ),
        )
    return Storyboard(assets=tuple(assets), scenes=tuple(made))


async def a_project(
    volume: Path,
    *,
    storyboard: Storyboard | None = None,
    frame: FrameSize | None = None,
    spoil: dict[str, str] | None = None,
) -> FilmProject:
    """Return a project whose images are made and in the ledger; `spoil` names images to make badly and how."""
    storyboard = storyboard or a_storyboard(scenes=3, figures=2, props=1, places=3)
    project = FilmProject(
        volume=volume, storyboard=storyboard, quality=Quality(clip_seconds=5, frame=frame or FrameSize())
    )
    durable.save(volume / layout.STORYBOARD, encode_storyboard(storyboard))
    for number, asset in enumerate(storyboard.assets):
        is_place = asset.kind is AssetKind.ENVIRONMENT
        picture = make_picture(
            PictureOrder(
                prompt=asset.prompt,
                width=1376 if is_place else 1024,
                height=768 if is_place else 1024,
                look_seed=number * 17 + 3,
                take_seed=number * 11 + 1,
                spoil=(spoil or {}).get(asset.name, ""),  # type: ignore[arg-type]
            ),
        )
        suffix = "png" if picture.mime_type == "image/png" else "jpg"
        path = f"{layout.asset_stem(asset)}.{suffix}"
        await project.put(Step.ASSET_GENERATION, asset.name, path, picture.content)
        if picture.matte_png is not None:
            project.mattes[asset.name] = volume / f"{asset.name}.matte.png"
            project.mattes[asset.name].write_bytes(picture.matte_png)
    return project


async def add_clips_and_sound(project: FilmProject, *, clip_seconds: int = 5, short_side: int = 720) -> None:
    """Make every scene's clip (from its composite), narration and effect as the paid steps would have."""
    for position, scene in enumerate(project.storyboard.scenes, start=1):
        number = layout.scene_number(position)
        clip = project.volume / layout.clip(number)
        durable.make_folder(clip.parent)
        render_clip(
            ClipOrder(
                first_frame=project.volume / layout.composite(number),
                path=clip,
                seconds=clip_seconds,
                short_side=short_side,
                frames_per_second=24,
                seed=position,
                multi_shot=False,
            ),
        )
        await project.put(Step.VIDEO_GENERATION, number, layout.clip(number))
        spoken = speech(scene.narration)
        await project.put(Step.NARRATION_GENERATION, number, layout.narration(number), spoken)
        heard = make_effect(
            EffectOrder(
                text=scene.sound_effect,
                duration_seconds=float(clip_seconds),
                loop=False,
                seed=position,
                output_format="mp3_44100_128",
            ),
        )
        await project.put(Step.SFX_GENERATION, number, layout.effect(number), heard)


def speech(text: str, *, speed: float = 1.0) -> bytes:
    """Return the text spoken, as MP3; in a process of its own, since the engine's state is global."""
    order = SpeechOrder(
        text=text,
        sound=VoiceSound(espeak_name="en-gb", pitch=50, pitch_range=50),
        speed=speed,
        output_format="mp3_44100_128",
    )
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(speak, order).result(timeout=60).content


def _asset(name: str, kind: AssetKind, what: str) -> Asset:
    if kind is AssetKind.ENVIRONMENT:
        return Asset(name=name, kind=kind, prompt=f"{what}, wide shot, no people")
    subject = "prop, an object" if kind is AssetKind.PROP else "character, full figure"
    return Asset(name=name, kind=kind, prompt=f"{subject}: {what}, on a plain, even, single-colour background")
