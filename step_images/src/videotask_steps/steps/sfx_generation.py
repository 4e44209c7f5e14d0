"""Step 5: each scene's sound effect, as long as the scene; pays ElevenLabs and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from videotask_contract import layout
from videotask_contract.errors import PermanentError
from videotask_contract.ledger_record import RecordKind
from videotask_contract.steps import Provider, Step
from videotask_contract.storyboard import Scene
from videotask_contract.task_file import TaskFile
from videotask_contract.timing import scene_frames
from videotask_steps.clients.elevenlabs import (
    EFFECT_MODEL,
    MAX_EFFECT_SECONDS,
    MIN_EFFECT_SECONDS,
    ElevenLabsClient,
)
from videotask_steps.context import StepContext
from videotask_steps.credentials import provider_key, provider_settings
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.ledger import LedgerView, read_ledger
from videotask_steps.runner import main
from videotask_steps.scenes import numbered_scenes, scene_label
from videotask_steps.takes import asked_key, wanted_take

SHORTFALL_SECONDS: Final = 0.25
"""How much shorter than asked an effect may be; the assembly fades the rest."""


async def work(context: StepContext) -> None:
    """Make every effect that is missing."""
    task = context.task
    scenes = list(numbered_scenes(context.storyboard))
    context.progress.start(len(scenes), "making sound effects")
    narrations = read_ledger(context.volume, Step.NARRATION_GENERATION)
    wanted = [(number, scene, serving_seconds(context, narrations, number, scene)) for number, scene in scenes]
    settings, key = provider_settings(task, Provider.ELEVENLABS), provider_key(Provider.ELEVENLABS)
    async with ElevenLabsClient(settings, key) as client:
        await make_items(
            context, [_wanted(context, client, number, scene, seconds) for number, scene, seconds in wanted]
        )


def effect_seconds(task: TaskFile, narrations: LedgerView, number: str) -> float:
    """Return how long a scene's effect must be: its frames by the decoded narration, within what the provider makes."""
    record = narrations.current(number)
    if record is None or record.duration_seconds is None:
        raise PermanentError(
            f"scene {number}: its narration is not in the ledger; narration_generation must be run again",
            item=number,
        )
    return _fitting(task, record.duration_seconds)


def _fitting(task: TaskFile, narration_seconds: float) -> float:
    rate = task.quality.frame.frames_per_second
    frames = scene_frames(narration_seconds=narration_seconds, frames_per_second=rate)
    return min(MAX_EFFECT_SECONDS, max(MIN_EFFECT_SECONDS, round(frames / rate, 2)))


def serving_seconds(context: StepContext, narrations: LedgerView, number: str, scene: Scene) -> float:
    """Return the length of the effect that serves the scene: the one that fits, or the one that is there already.

    Another take of the narration is a little longer or shorter. The effect made for an earlier one is not paid again
    for that: the assembly cuts it, or runs it into its own beginning, to the length of the scene.
    """
    fitting = effect_seconds(context.task, narrations, number)
    if context.ledger.calls_for(number, _key(context, number, scene, fitting)):
        return fitting
    lengths = [fitting, *(_fitting(context.task, seconds) for seconds in _earlier_narrations(narrations, number))]
    return next((one for one in lengths if _is_there(context, number, scene, one)), fitting)


def _is_there(context: StepContext, number: str, scene: Scene, seconds: float) -> bool:
    """Tell whether there is an effect of this length for the scene, here or under a number that it had before."""
    key = _key(context, number, scene, seconds)
    if context.ledger.kept(number, key) is not None:
        return True
    same = {other for other, one in numbered_scenes(context.storyboard) if one.sound_effect == scene.sound_effect}
    return context.ledger.kept_elsewhere(key, owners=same, probe=None) is not None


def _earlier_narrations(narrations: LedgerView, number: str) -> list[float]:
    """Return the seconds of every take of a scene's narration, the latest first; of a moved one those before it too."""
    now = narrations.current(number)
    made = [record for record in narrations.records if record.kind is RecordKind.DONE]
    before = {one.item for one in made if now is not None and (one.key == now.key or one.sha256 == now.sha256)}
    takes = [one for one in made if one.item in before - {number}] + [one for one in made if one.item == number]
    return [one.duration_seconds for one in takes if one.duration_seconds is not None][::-1]


def _key(context: StepContext, number: str, scene: Scene, seconds: float) -> str:
    return asked_key(context, number, text=scene.sound_effect, seconds=f"{seconds:.2f}", model=EFFECT_MODEL)


def _wanted(context: StepContext, client: ElevenLabsClient, number: str, scene: Scene, seconds: float) -> Wanted:
    task = context.task

    async def make(call: Call) -> str:
        sound = await client.make_effect(text=scene.sound_effect, seconds=seconds)
        if sound.credits is not None:
            call.charged(sound.credits * task.prices.elevenlabs_usd_per_credit)
        return call.keep(sound.content, ".mp3")

    def probe(path: Path) -> float:
        from videotask_steps.media.audio_probe import check_audio  # noqa: PLC0415  slow: the calls go first

        least_seconds = max(MIN_EFFECT_SECONDS, seconds) - SHORTFALL_SECONDS
        return check_audio(path, item=number, min_seconds=least_seconds).duration_seconds

    return Wanted(
        item=number,
        label=scene_label(number, scene),
        key=_key(context, number, scene, seconds),
        model=EFFECT_MODEL,
        price_usd=task.prices.elevenlabs_effect_usd,
        path=lambda take, _suffix: layout.effect(number, take=take),
        suffixes=(".mp3",),
        make=make,
        probe=probe,
        chosen_take=wanted_take(context, number),
    )


if __name__ == "__main__":
    main(Step.SFX_GENERATION, work)
