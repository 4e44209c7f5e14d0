"""Two references to one item never let the order of a list decide: they are refused, with what to do."""

from __future__ import annotations

import pytest
from tests.support.builders import a_storyboard

from videotask_contract.changes import Edits, apply_edits, chosen_take
from videotask_contract.errors import BadInputError
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard

BOARD = Storyboard.model_validate(a_storyboard(scenes=12))
SAME_SCENE = [("7", "07"), ("scene-7", "7"), ("07", "scene-7"), ("007", "7")]


def edits_of(*scenes: str) -> Edits:
    return Edits.model_validate({"scenes": [{"scene": scene, "motion": f"by {scene}"} for scene in scenes]})


@pytest.mark.parametrize(("one", "other"), SAME_SCENE)
def test_two_edits_of_one_scene_are_refused(one: str, other: str) -> None:
    with pytest.raises(BadInputError, match=rf"spec.edits: \[{other}\] and \[{one}\] are the same one.*one entry"):
        apply_edits(BOARD, edits_of(one, other))
    assert apply_edits(BOARD, edits_of(one)).scenes[6].motion == f"by {one}"


def test_edits_of_different_scenes_are_laid_over_each() -> None:
    changed = apply_edits(BOARD, edits_of("7", "scene-8", "09"))
    assert [scene.motion for scene in changed.scenes[6:9]] == ["by 7", "by scene-8", "by 09"]


@pytest.mark.parametrize(("one", "other"), SAME_SCENE)
def test_two_takes_of_one_item_are_refused_and_one_counts(one: str, other: str) -> None:
    with pytest.raises(BadInputError, match=r"video_generation/.*are the same item.*keep one of them"):
        chosen_take(BOARD, Step.VIDEO_GENERATION, "07", {one: 1, other: 2})
    assert chosen_take(BOARD, Step.VIDEO_GENERATION, "07", {one: 2, "8": 1}) == 2
    assert chosen_take(BOARD, Step.VIDEO_GENERATION, "09", {one: 2, "8": 1}) is None
