"""A narration that was cut off in the middle must not pass for one: nobody speaks so fast."""

from __future__ import annotations

import math
import struct
import wave
from pathlib import Path
from typing import Any

import pytest
from tests.support.builders import a_storyboard
from tests.support.step_program import VOICE, a_task_file

from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_steps.items import Wanted, _look_at_new
from videotask_steps.ledger import LedgerView
from videotask_steps.media.bad_media import BadMediaError
from videotask_steps.steps.narration_generation import _wanted, least_seconds

SIXTY = "The tide goes out, and the whole harbour holds its slow air."
RATE_HZ = 16_000


def a_tone(path: Path, *, seconds: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        count = round(seconds * RATE_HZ)
        file.writeframes(b"".join(struct.pack("<h", round(9000 * math.sin(place * 0.2))) for place in range(count)))
    return path


def a_wanted(narration: str, *, speed_percent: int = 100) -> Wanted:
    storyboard = Storyboard.model_validate(a_storyboard(scenes=1))
    scene = storyboard.scenes[0].model_copy(update={"narration": narration})
    voice = VOICE.model_copy(update={"speed_percent": speed_percent})
    context: Any = type("Context", (), {})()
    context.task = a_task_file(Step.NARRATION_GENERATION, voice=voice)
    context.storyboard = storyboard
    context.ledger = LedgerView(Path("/nowhere"), Step.NARRATION_GENERATION, ())
    client: Any = None
    return _wanted(context, client, voice, "01", scene)


def test_half_a_second_of_sound_is_no_narration_of_sixty_characters(tmp_path: Path) -> None:
    with pytest.raises(BadMediaError, match=r"holds 0\.50 s of sound .* at least 1\.\d+ s were asked for"):
        _look_at_new(a_wanted(SIXTY), a_tone(tmp_path / "a.wav", seconds=0.5))
    assert _look_at_new(a_wanted(SIXTY), a_tone(tmp_path / "b.wav", seconds=2)) == 2.0


def test_a_kept_narration_is_not_measured_against_it(tmp_path: Path) -> None:
    assert a_wanted(SIXTY).probe(a_tone(tmp_path / "a.wav", seconds=0.5)) == 0.5


@pytest.mark.parametrize(
    ("text", "speed_percent", "seconds"),
    [("Go!", 100, 0.2), ("a" * 60, 100, 1.5), ("a" * 60, 120, 1.25), ("... --- ... ?!" * 9, 100, 0.2)],
)
def test_what_is_spoken_counts_at_the_voices_own_pace(text: str, speed_percent: int, seconds: float) -> None:
    assert least_seconds(text, VOICE.model_copy(update={"speed_percent": speed_percent})) == seconds
