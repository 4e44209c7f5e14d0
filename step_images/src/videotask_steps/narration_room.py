"""Whether every narration fits its clip; asked before anything is paid and again of the decoded speech."""

from __future__ import annotations

from collections.abc import Mapping

from videotask_contract.errors import BadInputError
from videotask_contract.storyboard import Storyboard
from videotask_contract.task_file import TaskFile
from videotask_contract.timing import check_narration_fits, estimated_narration_seconds
from videotask_steps.scenes import numbered_scenes, scene_label


def check_estimates(task: TaskFile, storyboard: Storyboard) -> None:
    """Raise BAD_INPUT naming every scene whose narration a calm voice cannot speak within its clip."""
    speed = 1.0 if task.voice is None else task.voice.speed_percent / 100
    check_seconds(
        task,
        storyboard,
        {
            number: estimated_narration_seconds(scene.narration, speed=speed)
            for number, scene in numbered_scenes(storyboard)
        },
    )


def check_seconds(task: TaskFile, storyboard: Storyboard, seconds_by_scene: Mapping[str, float]) -> None:
    """Raise BAD_INPUT naming every scene whose narration, of so many seconds, is longer than its clip can be held."""
    problems: dict[str, str] = {}
    for number, scene in numbered_scenes(storyboard):
        try:
            check_narration_fits(
                scene=scene_label(number, scene).removeprefix("scene "),
                text=scene.narration,
                narration_seconds=seconds_by_scene[number],
                clip_seconds=task.quality.clip_seconds,
            )
        except BadInputError as error:
            problems[number] = error.message
    if problems:
        raise BadInputError("; ".join(problems.values()), item=next(iter(problems)))
