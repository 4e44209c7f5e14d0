"""A take that is chosen overrules no other words: the film is held until a person says which of them they want."""

from __future__ import annotations

import pytest
from tests.support.builders import NOON, a_record, a_resource, a_situation, a_storyboard

from videotask_contract.phases import Phase
from videotask_contract.steps import Gate
from videotask_operator.core.changes import content_digest
from videotask_operator.core.decide import decide
from videotask_operator.core.model import TaskRecord

BOARD = a_storyboard(scenes=18)
OTHER_BOARD = BOARD | {"scenes": [BOARD["scenes"][6], *BOARD["scenes"][:6], *BOARD["scenes"][7:]]}
NARRATION_7 = [{"step": "narration_generation", "item": "7", "take": 1}]
NEW_WORDS = {"scenes": [{"scene": "scene-7", "narration": "The tide turns."}]}


def _fields(record: TaskRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _shown(takes: list[dict[str, object]], **content: object) -> dict[str, object]:
    """Return a film on show whose takes were chosen before."""
    honoured: dict[str, dict[str, int]] = {}
    for take in takes:
        honoured.setdefault(str(take["step"]), {})[str(take["item"])] = int(str(take["take"]))
    record = a_record(
        phase=Phase.FINAL_REVIEW,
        step=None,
        review_gate=Gate.FINAL,
        review_round=3,
        review_required_at=NOON,
        waiting_since=NOON,
        last_run_number=6,
        content_digest=content_digest(a_resource(**({"storyboard": BOARD} | content)).spec),
        honoured_takes=honoured,
    )
    return _fields(record)


def _decided(record: dict[str, object], **spec: object) -> TaskRecord:
    plan = decide(a_situation(**({"storyboard": BOARD} | spec)).with_record(**record).but(admitted=True).build())
    return TaskRecord(**record) if plan is None else plan.record


def test_an_edit_of_what_is_held_to_an_earlier_take_is_refused_and_names_the_entry():
    held = _decided(_shown(NARRATION_7), takes=NARRATION_7, edits=NEW_WORDS)
    assert (held.waiting_reason, held.phase) == ("TakeHeld", Phase.FINAL_REVIEW)
    assert "narration 7 is held to take 1" in held.message
    assert "remove the entry narration_generation/7 from spec.takes" in held.message
    assert len(held.message) < 400


@pytest.mark.parametrize("mended", [{"edits": NEW_WORDS}, {"takes": NARRATION_7}])
def test_without_the_take_the_edit_is_taken_up_and_without_the_edit_the_film_is_on_show_again(mended):
    held = _decided(_shown(NARRATION_7), takes=NARRATION_7, edits=NEW_WORDS)
    after = _decided(_fields(held), **mended)
    if "edits" in mended:
        assert after.phase is Phase.GENERATING_ASSETS
    else:
        assert (after.phase, after.waiting_reason) == (Phase.FINAL_REVIEW, "AwaitingApproval")


def test_another_storyboard_is_refused_while_takes_of_the_one_before_are_chosen():
    held = _decided(_shown(NARRATION_7), takes=NARRATION_7, storyboard=OTHER_BOARD)
    assert (held.waiting_reason, held.phase) == ("TakeHeld", Phase.FINAL_REVIEW)
    assert "another storyboard is given, where it may belong to another scene" in held.message
    assert "narration_generation/7 from spec.takes" in held.message
    assert _decided(_fields(held), storyboard=OTHER_BOARD).phase is Phase.GENERATING_ASSETS


@pytest.mark.parametrize(
    ("step", "edits"),
    [
        ("video_generation", {"scenes": [{"scene": "7", "motion": "Pan."}]}),
        ("sfx_generation", {"scenes": [{"scene": "07", "soundEffect": "Rain."}]}),
    ],
)
def test_clips_and_effects_are_held_alike(step, edits):
    takes = [{"step": step, "item": "7", "take": 1}]
    assert _decided(_shown(takes), takes=takes, edits=edits).waiting_reason == "TakeHeld"


def test_an_image_is_held_by_its_name():
    takes = [{"step": "asset_generation", "item": "harbour", "take": 1}]
    edits = {"assets": [{"name": "harbour", "prompt": "a harbour in snow"}]}
    assert _decided(_shown(takes), takes=takes, edits=edits).waiting_reason == "TakeHeld"


@pytest.mark.parametrize(
    "edits",
    [
        {"scenes": [{"scene": "8", "narration": "The tide turns."}]},
        {"scenes": [{"scene": "7", "motion": "Pan."}]},
    ],
)
def test_an_edit_of_anything_else_is_taken_up(edits):
    assert _decided(_shown(NARRATION_7), takes=NARRATION_7, edits=edits).phase is Phase.GENERATING_ASSETS


def test_a_take_that_is_chosen_after_the_edit_was_taken_up_counts():
    record = _shown([], edits=NEW_WORDS)
    assert _decided(record, takes=NARRATION_7, edits=NEW_WORDS).phase is Phase.GENERATING_AUDIO


@pytest.mark.parametrize(
    ("scene", "reason"), [("7", "TakeHeld"), ("07", "TakeHeld"), ("lighthouse", "TakeHeld"), ("8", None)]
)
def test_of_a_generated_storyboard_a_name_may_be_the_scene_that_is_held(scene, reason):
    generated = {"storyboard": None, "topic": "tides"}
    edits = {"scenes": [{"scene": scene, "narration": "The tide turns."}]}
    assert (
        _decided(_shown(NARRATION_7, **generated), **generated, takes=NARRATION_7, edits=edits).waiting_reason == reason
    )
