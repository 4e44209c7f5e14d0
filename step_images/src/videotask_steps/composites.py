"""Cuts each character out once and puts it into its scenes' environments; it must never spend anything."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from PIL import Image

from videotask_contract import layout
from videotask_contract.errors import VideoTaskError
from videotask_contract.ledger_record import item_key
from videotask_contract.steps import Step
from videotask_contract.storyboard import AssetKind, Scene
from videotask_steps import durable
from videotask_steps.context import StepContext
from videotask_steps.failures import combine_failures
from videotask_steps.media.bad_media import BadMediaError
from videotask_steps.media.composite import Figure, compose
from videotask_steps.media.cutout import CUTOUT_VERSION, Cutout, cut_out
from videotask_steps.media.inputs import Input, load_inputs

PNG_COMPRESS_LEVEL: Final = 1
"""Of 9: a composite is read once by the provider; level 6 takes four times as long for a tenth fewer bytes."""

_T = TypeVar("_T")
_log: Final = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    number: str
    scene: Scene
    key: str


async def create_composites(context: StepContext) -> None:
    """Make every scene's composite that is not there yet; raises naming all assets that cannot be cut out."""
    scenes = context.storyboard.scenes
    context.progress.start(len(scenes), "reading the images")
    inputs = await asyncio.to_thread(
        load_inputs, context.volume, Step.ASSET_GENERATION, sorted({name for scene in scenes for name in _names(scene)})
    )
    missing = await _keep(context, [_wanted(context, inputs, position) for position in range(1, len(scenes) + 1)])
    cutouts = await _cut_all(context, inputs, missing)

    async def make(wanted: _Wanted) -> None:
        await asyncio.to_thread(_make, context, inputs, cutouts, wanted)
        context.ledger.record_done(wanted.number, wanted.key, path=layout.composite(wanted.number))
        context.progress.item_done()

    context.progress.say("placing the characters")
    await _each(context, missing, make, label=lambda wanted: f"scene {wanted.number}")


def _names(scene: Scene) -> tuple[str, ...]:
    return (scene.environment, *scene.characters)


def _wanted(context: StepContext, inputs: dict[str, Input], position: int) -> _Wanted:
    scene, frame = context.storyboard.scenes[position - 1], context.task.quality.frame
    key = item_key(
        step=Step.COMPOSITE_CREATION.value,
        version=CUTOUT_VERSION,
        environment=inputs[scene.environment].sha256,
        characters=[[_is_prop(context, name), inputs[name].sha256] for name in scene.characters],
        frame=[frame.width, frame.height],
    )
    return _Wanted(number=layout.scene_number(position), scene=scene, key=key)


def _is_prop(context: StepContext, name: str) -> bool:
    return context.storyboard.asset(name).kind is AssetKind.PROP


async def _keep(context: StepContext, all_wanted: Iterable[_Wanted]) -> list[_Wanted]:
    """Count what an earlier run made from the same images and return the rest."""
    missing = []
    for wanted in all_wanted:
        record = await asyncio.to_thread(context.ledger.kept, wanted.number, wanted.key)
        if record is None:
            missing.append(wanted)
            continue
        context.ledger.record_again(record)
        context.progress.item_done(kept=True)
    return missing


async def _cut_all(context: StepContext, inputs: dict[str, Input], missing: Sequence[_Wanted]) -> dict[str, Cutout]:
    """Cut each asset that the missing scenes need once; they stay in memory, 5 MB each."""
    cutouts: dict[str, Cutout] = {}
    needed = sorted({name for wanted in missing for name in wanted.scene.characters})

    async def cut(name: str) -> None:
        context.progress.say(f"cutting out {name}")
        cutouts[name] = await asyncio.to_thread(_cut, inputs[name])

    await _each(context, needed, cut, label=lambda name: f"asset {name}")
    return cutouts


def _cut(made: Input) -> Cutout:
    return cut_out(_opened(made), asset=made.item)


def _opened(made: Input) -> Image.Image:
    try:
        with Image.open(made.path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadMediaError(f"{made.path.name} cannot be decoded as an image: {error}", item=made.item) from error


def _make(context: StepContext, inputs: dict[str, Input], cutouts: dict[str, Cutout], wanted: _Wanted) -> None:
    frame = context.task.quality.frame
    figures = [Figure(cutout=cutouts[name], is_prop=_is_prop(context, name)) for name in wanted.scene.characters]
    picture = compose(_opened(inputs[wanted.scene.environment]), figures, width=frame.width, height=frame.height)
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=PNG_COMPRESS_LEVEL)
    durable.save(context.volume / layout.composite(wanted.number), content.getvalue())
    _log.info("composite_made", item=wanted.number, path=layout.composite(wanted.number))


async def _each(
    context: StepContext, things: Sequence[_T], work: Callable[[_T], Awaitable[None]], *, label: Callable[[_T], str]
) -> None:
    """Work on several things at once, as many as granted; all are tried, then one error names those that failed."""
    free = asyncio.Semaphore(context.limits.concurrency)
    failures: list[tuple[str, VideoTaskError]] = []

    async def do(thing: _T) -> None:
        async with free:
            context.stopping.raise_if_set()
            try:
                await work(thing)
            except VideoTaskError as error:
                failures.append((label(thing), error))

    # All are waited for, also after a failure: no thread may still write when the ledger is closed.
    for outcome in await asyncio.gather(*(do(thing) for thing in things), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    if failures:
        raise failures[0][1] if len(failures) == 1 else combine_failures(failures)
