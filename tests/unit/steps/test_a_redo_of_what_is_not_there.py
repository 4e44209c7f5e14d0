"""A step names a redo of what its storyboard lacks before it pays, and stumbles over none of an earlier request."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.builders import a_storyboard
from tests.support.step_context import a_context, context_of
from tests.support.step_program import a_task_file

from videotask_contract.errors import BadInputError
from videotask_contract.ledger_record import item_key
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_steps.context import StepContext
from videotask_steps.ledger import Ledger
from videotask_steps.takes import asked_key, redo_parts


async def _clips(volume: Path, **told: object) -> StepContext:
    context = await a_context(volume, a_task_file(Step.VIDEO_GENERATION, **told))
    context.save_storyboard(Storyboard.model_validate(a_storyboard(scenes=2)))
    return context


async def test_what_the_request_of_now_names_and_the_storyboard_lacks_is_bad_input(tmp_path: Path) -> None:
    context = await _clips(tmp_path, redo={"1": 1, "19": 1}, redo_asked=("1", "19"))
    with pytest.raises(BadInputError, match=r"spec\.redo: the storyboard has no scene '19'.*another request id"):
        redo_parts(context, "01")


async def test_what_an_earlier_request_named_is_passed_over(tmp_path: Path) -> None:
    context = await _clips(tmp_path, redo={"1": 1, "19": 1})
    assert [redo_parts(context, item) for item in ("01", "02")] == [{"redo": 1}, {}]


async def test_an_asset_that_was_renamed_after_a_redo_wants_the_take_that_was_made_for_it(tmp_path: Path) -> None:
    context = await _clips(tmp_path)
    ledger = Ledger(tmp_path, Step.ASSET_GENERATION, run_id="run-1", lock=os.open(tmp_path, os.O_RDONLY))
    images = context_of(tmp_path, a_task_file(Step.ASSET_GENERATION, redo={"old-hero": 2}), ledger)
    (tmp_path / "hero.png").write_bytes(b"a hero")
    for redo in ({}, {"redo": 1}, {"redo": 2}):
        images.ledger.record_done("old-hero", item_key(prompt="a hero", **redo), path="hero.png")
    assert asked_key(images, "hero-1", prompt="a hero") == item_key(prompt="a hero", redo=2)
    assert asked_key(images, "hero-1", prompt="another") == item_key(prompt="another")
    images.ledger.close()
    context.ledger.close()
