"""A mistyped or outdated reference of a redo is named to a person once, and ends no film for good."""

from __future__ import annotations

import pytest
from tests.support.builders import NOON, a_run, a_situation, a_storyboard

from videotask_contract.changes import check_redo, redo_number
from videotask_contract.errors import BadInputError
from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_contract.task_file import TaskFile
from videotask_operator.core.decide import decide
from videotask_operator.core.model import CreateRun, RunOutcome, TaskRecord

CLIPS = Step.VIDEO_GENERATION
BOARD = Storyboard.model_validate(a_storyboard(scenes=18))


def _redo(request: str, *items: str) -> dict[str, object]:
    return {"request": request, "steps": [{"step": CLIPS.value, "items": list(items)}]}


def _fields(record: TaskRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _ordered(record: dict[str, object], **spec: object) -> tuple[TaskRecord, TaskFile]:
    """Decide as the loop does until a run of the clips is ordered."""
    images = a_run(number=1, closed_at=NOON, outcome=RunOutcome.DONE, done=22, total=22, ledger_read=True)
    for _ in range(6):
        situation = a_situation(storyboard=None, topic="tides", **spec).with_record(**record).with_runs(images)
        plan = decide(situation.but(admitted=True).build())
        assert plan is not None
        if plan.actions:
            (action,) = plan.actions
            assert isinstance(action, CreateRun)
            return plan.record, action.order.task_file
        record = _fields(plan.record)
    raise AssertionError(record["message"])


def _failed(record: TaskRecord) -> dict[str, object]:
    return _fields(record) | {"phase": Phase.VIDEO_ERROR, "error": "no scene '19'", "waiting_since": NOON}


def test_a_film_with_a_generated_storyboard_goes_on_once_a_mistyped_redo_is_asked_for_anew():
    ready = {"phase": Phase.COMPOSITES_READY, "step": CLIPS, "last_run_number": 2}
    wrong, first = _ordered(ready, redo=_redo("typo", "19"))
    with pytest.raises(BadInputError, match=r"spec\.redo: the storyboard has no scene '19'.*another request id"):
        check_redo(BOARD, CLIPS, first.redo_asked)
    _, second = _ordered(_failed(wrong), redo=_redo("mended", "18"))
    check_redo(BOARD, CLIPS, second.redo_asked)
    numbers = {f"{scene:02}": redo_number(BOARD, CLIPS, f"{scene:02}", second.redo) for scene in range(1, 19)}
    assert {item: number for item, number in numbers.items() if number} == {"18": 1}


def test_a_mistyped_redo_that_is_removed_is_forgotten():
    ready = {"phase": Phase.COMPOSITES_READY, "step": CLIPS, "last_run_number": 2}
    wrong, _ = _ordered(ready, redo=_redo("typo", "19"))
    _, task = _ordered(_failed(wrong), attempt=2)
    assert task.redo_asked == ()
    assert redo_number(BOARD, CLIPS, "01", task.redo) == 0


def test_a_redo_of_an_item_that_was_renamed_since_counts_for_none_of_the_others():
    counts = {"scene-12": 1, "lost-scene": 2, "7": 1, "*": 1}
    assert [redo_number(BOARD, CLIPS, item, counts) for item in ("12", "07", "01")] == [2, 2, 1]


def test_a_steps_run_is_told_of_the_items_asked_of_it_alone():
    redo = _redo("two", "3")
    redo["steps"] = [*redo["steps"], {"step": "sfx_generation", "items": ["4"]}]  # type: ignore[misc]
    _, task = _ordered({"phase": Phase.COMPOSITES_READY, "step": CLIPS, "last_run_number": 2}, redo=redo)
    assert task.redo_asked == ("3",)


def test_a_task_file_of_a_release_that_did_not_say_what_was_asked_last_is_read():
    _, task = _ordered({"phase": Phase.COMPOSITES_READY, "step": CLIPS, "last_run_number": 2}, redo=_redo("a", "3"))
    old = task.model_dump(mode="json", by_alias=True, exclude={"redo_asked"})
    assert TaskFile.model_validate(old).redo_asked == ()
