"""Step 4: each scene's narration, spoken; pays ElevenLabs and nobody else."""

from __future__ import annotations

from pathlib import Path

from videotask_contract import layout
from videotask_contract.errors import BadInputError
from videotask_contract.prices import narration_usd
from videotask_contract.resources import Voice
from videotask_contract.steps import Provider, Step
from videotask_contract.storyboard import Scene
from videotask_contract.task_file import TaskFile
from videotask_steps.clients.elevenlabs import ElevenLabsClient
from videotask_steps.context import StepContext
from videotask_steps.credentials import provider_key, provider_settings
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.narration_room import check_estimates, check_seconds
from videotask_steps.runner import main
from videotask_steps.scenes import numbered_scenes, scene_label
from videotask_steps.takes import asked_key, wanted_take

LONGEST_SECONDS = 60.0
"""No narration of 300 characters lasts as long; a longer file is not what was asked for."""
LEAST_SECONDS = 0.2
FASTEST_LETTERS_PER_SECOND = 40.0
"""Letters and digits at the voice's own pace. Nobody speaks half as fast: a shorter file was cut off."""


async def work(context: StepContext) -> None:
    """Speak every narration that is missing, then see that each fits its clip."""
    task, storyboard = context.task, context.storyboard
    scenes = list(numbered_scenes(storyboard))
    context.progress.start(len(scenes), "speaking narrations")
    check_estimates(task, storyboard)
    voice = _voice(task)
    settings, key = provider_settings(task, Provider.ELEVENLABS), provider_key(Provider.ELEVENLABS)
    async with ElevenLabsClient(settings, key) as client:
        await make_items(context, [_wanted(context, client, voice, number, scene) for number, scene in scenes])
    made = context.ledger.current_items()
    check_seconds(task, storyboard, {number: made[number].duration_seconds or 0.0 for number, _ in scenes})


def least_seconds(text: str, voice: Voice) -> float:
    """Return the seconds that this voice needs for the text at the very least."""
    letters = sum(character.isalnum() for character in text)
    return max(LEAST_SECONDS, letters / (FASTEST_LETTERS_PER_SECOND * voice.speed_percent / 100))


def _voice(task: TaskFile) -> Voice:
    if task.voice is None:
        raise BadInputError("voice: the task names no voice; give the channel a spec.voice")
    if task.voice.model not in task.prices.elevenlabs_usd_per_thousand_characters:
        raise BadInputError(f"voice.model: the price table knows no {task.voice.model}")
    return task.voice


def _wanted(context: StepContext, client: ElevenLabsClient, voice: Voice, number: str, scene: Scene) -> Wanted:
    task = context.task

    async def make(call: Call) -> str:
        sound = await client.speak(text=scene.narration, voice=voice)
        if sound.credits is not None:
            call.charged(sound.credits * task.prices.elevenlabs_usd_per_credit)
        return call.keep(sound.content, ".mp3")

    def probe(path: Path) -> float:
        from videotask_steps.media.audio_probe import check_audio  # noqa: PLC0415  slow: the calls go first

        return check_audio(path, item=number, max_seconds=LONGEST_SECONDS).duration_seconds

    def check_new(path: Path) -> None:
        from videotask_steps.media.audio_probe import check_audio  # noqa: PLC0415  as above

        check_audio(path, item=number, min_seconds=least_seconds(scene.narration, voice))

    return Wanted(
        item=number,
        label=scene_label(number, scene),
        key=asked_key(context, number, text=scene.narration, voice=voice.model_dump(mode="json")),
        model=voice.model,
        price_usd=narration_usd(task.prices, model=voice.model, characters=len(scene.narration)),
        path=lambda take, _suffix: layout.narration(number, take=take),
        suffixes=(".mp3",),
        make=make,
        probe=probe,
        check_new=check_new,
        chosen_take=wanted_take(context, number),
    )


if __name__ == "__main__":
    main(Step.NARRATION_GENERATION, work)
