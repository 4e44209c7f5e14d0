"""What was paid for stays, though what judges new media has changed since: a voice's pace, a stricter look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.builders import a_storyboard
from tests.support.step_context import a_context
from tests.support.step_program import VOICE, a_task_file

from videotask_contract.errors import BadInputError, FailureClass, VideoTaskError
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_contract.task_file import TaskFile
from videotask_steps.storyboard_edits import edited_storyboard
from videotask_steps.storyboard_writer import write_storyboard

SPOKEN_AT_100 = "The tide goes out, and the whole harbour holds its slow breath."
"""63 characters: room enough in a clip of 5 s at the voice's own pace, none at three quarters of it."""


class Writer:
    """A text model that writes the same storyboard each time it is paid."""

    def __init__(self, storyboard: Storyboard) -> None:
        self._text = storyboard.model_dump_json(by_alias=True)
        self.writings = 0

    async def write_json(self, **_asked: Any) -> str:
        self.writings += 1
        return self._text


def a_film(*, speed_percent: int, run_id: str = "run-1") -> TaskFile:
    return a_task_file(
        Step.ASSET_GENERATION,
        topic="tides",
        scene_count=2,
        asset_count=len(a_storyboard()["assets"]),
        voice=VOICE.model_copy(update={"speed_percent": speed_percent}),
        run_id=run_id,
    )


def written(narration: str = SPOKEN_AT_100) -> Storyboard:
    storyboard = a_storyboard()
    for scene in storyboard["scenes"]:
        scene["narration"] = narration
    return Storyboard.model_validate(storyboard)


async def test_a_slower_voice_keeps_the_storyboard_that_was_paid_for_and_names_the_scenes(tmp_path: Path) -> None:
    writer: Any = Writer(written())
    first = await a_context(tmp_path, a_film(speed_percent=100))
    made = await write_storyboard(first, writer)
    first.ledger.close()
    slower = await a_context(tmp_path, a_film(speed_percent=75, run_id="run-2"))
    assert await write_storyboard(slower, writer) == made
    assert writer.writings == 1
    with pytest.raises(BadInputError, match=r"scene 01 .*fit a clip of 5 s"):
        edited_storyboard(slower.task, made)


async def test_a_new_storyboard_whose_speech_has_no_room_is_still_not_taken(tmp_path: Path) -> None:
    writer: Any = Writer(written(SPOKEN_AT_100 * 2))
    with pytest.raises(VideoTaskError) as caught:
        await write_storyboard(await a_context(tmp_path, a_film(speed_percent=100)), writer)
    assert (caught.value.failure_class, writer.writings) == (FailureClass.BAD_MEDIA, 3)
