"""An effect is not paid again because another take of its narration is a little longer or shorter."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.builders import a_storyboard
from tests.support.step_context import context_of
from tests.support.step_program import a_task_file, save_storyboard

from videotask_contract import layout
from videotask_contract.ledger_record import item_key
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_steps.clients.elevenlabs import EFFECT_MODEL
from videotask_steps.ledger import Ledger, read_ledger
from videotask_steps.steps.sfx_generation import effect_seconds, serving_seconds

SCENE = Storyboard.model_validate(a_storyboard(scenes=1)).scenes[0]


class Sound:
    """One scene's narrations and effects, without anybody called."""

    def __init__(self, volume: Path, effects: Ledger) -> None:
        self.volume, self.effects = volume, effects

    async def narrate(self, seconds: float, *, take: int, number: str = "01", words: int | None = None) -> float:
        """Make a take of the narration and return what the effect's length would be by it."""
        path = layout.narration(number, take=take)
        (self.volume / "narration").mkdir(exist_ok=True)
        (self.volume / path).write_bytes(f"speech {words or take}".encode())
        # The other step's ledger is written as that step would, while this one's lock is in nobody's way here.
        ledger = Ledger(self.volume, Step.NARRATION_GENERATION, run_id="n", lock=os.open(self.volume, os.O_RDONLY))
        key = f"narration-{words or take}"
        ledger.record_done(number, key, path=path, take=take, duration_seconds=seconds)
        ledger.close()
        return effect_seconds(self.task, self.narrations, number)

    def make_effect(self, seconds: float, *, redo: int = 0) -> None:
        path = layout.effect("01")
        (self.volume / "sfx").mkdir(exist_ok=True)
        (self.volume / path).write_bytes(b"waves")
        self.effects.record_done("01", _key(seconds, redo=redo), path=path, duration_seconds=seconds)

    def serving(self, *, redo: dict[str, int] | None = None, number: str = "01") -> float:
        context = context_of(
            self.volume, self.task.model_copy(update={"redo": redo or {}}), self.effects, reservation_usd=Decimal(1)
        )
        return serving_seconds(context, self.narrations, number, SCENE)

    @property
    def narrations(self):
        return read_ledger(self.volume, Step.NARRATION_GENERATION)

    task = a_task_file(Step.SFX_GENERATION)


def _key(seconds: float, *, redo: int) -> str:
    asked = {"redo": redo} if redo else {}
    return item_key(text=SCENE.sound_effect, seconds=f"{seconds:.2f}", model=EFFECT_MODEL, **asked)


@pytest.fixture
async def sound(tmp_path: Path) -> AsyncIterator[Sound]:
    save_storyboard(tmp_path, Storyboard.model_validate(a_storyboard(scenes=1)))
    effects = await Ledger.open(tmp_path, Step.SFX_GENERATION, run_id="run-1")
    yield Sound(tmp_path, effects)
    effects.close()


async def test_the_first_effect_is_as_long_as_its_scene(sound: Sound) -> None:
    fitting = await sound.narrate(3.0, take=1)
    assert sound.serving() == fitting


@pytest.mark.parametrize("later_seconds", [2.0, 4.4])
async def test_the_effect_that_is_there_serves_a_longer_and_a_shorter_take(sound: Sound, later_seconds: float) -> None:
    first = await sound.narrate(3.0, take=1)
    sound.make_effect(first)
    other = await sound.narrate(later_seconds, take=2)
    assert other != first
    assert sound.serving() == first


async def test_one_that_was_made_for_this_very_length_comes_before_it(sound: Sound) -> None:
    first = await sound.narrate(3.0, take=1)
    sound.make_effect(first)
    other = await sound.narrate(4.4, take=2)
    sound.effects.record_intent(
        item="01", key=_key(other, redo=0), take=2, model=EFFECT_MODEL, upper_bound_usd=Decimal(1)
    )
    assert sound.serving() == other, "a call for it may be paid for: it is taken up"


async def test_one_that_is_damaged_does_not_serve_and_neither_does_one_for_another_redo(sound: Sound) -> None:
    first = await sound.narrate(3.0, take=1)
    sound.make_effect(first)
    other = await sound.narrate(4.4, take=2)
    assert sound.serving(redo={"1": 1}) == other
    (sound.volume / layout.effect("01")).write_bytes(b"WAVES")
    assert sound.serving() == other


async def test_one_that_serves_a_later_take_goes_with_its_scene_to_another_number(sound: Sound) -> None:
    first = await sound.narrate(3.0, take=1)
    sound.make_effect(first)
    await sound.narrate(4.4, take=2)
    dawn = a_storyboard(scenes=1)["scenes"][0] | {"name": "dawn", "soundEffect": "birds"}
    board = a_storyboard(scenes=1)
    save_storyboard(sound.volume, Storyboard.model_validate(board | {"scenes": [dawn, *board["scenes"]]}))
    fitting = await sound.narrate(4.4, take=1, number="02", words=2)  # the copy that the step made of it
    await sound.narrate(2.0, take=3)  # of the scene that was put first
    assert fitting != first
    assert sound.serving(number="02") == first


async def test_another_scenes_effect_does_not_serve_one_with_the_same_sound(sound: Sound) -> None:
    first = await sound.narrate(3.0, take=1)
    sound.make_effect(first)
    await sound.narrate(4.4, take=2)
    board = a_storyboard(scenes=1)
    twin = board["scenes"][0] | {"name": "twin"}
    save_storyboard(sound.volume, Storyboard.model_validate(board | {"scenes": [*board["scenes"], twin]}))
    fitting = await sound.narrate(4.4, take=1, number="02", words=2)
    assert sound.serving(number="02") == fitting
