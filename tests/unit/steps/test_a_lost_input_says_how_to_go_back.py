"""A step that finds a file of an earlier one lost says what sends the film back there: to try it again alone does not.

`spec.attempt` tries the same step, which finds the same file lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.builders import NOON, a_record, a_resource, a_situation, a_storyboard

from videotask_contract import layout
from videotask_contract.errors import PermanentError
from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_operator.core.changes import content_digest
from videotask_operator.core.decide import decide
from videotask_steps import durable
from videotask_steps.ledger import Ledger
from videotask_steps.media.inputs import load_inputs
from videotask_steps.steps.video_generation import _composite_sha256

BOARD = a_storyboard(scenes=2)
IMAGE = BOARD["assets"][0]["name"]


def step_after(phase: Phase, step: Step, **spec: Any) -> Step | None:
    """Return the step that a film that failed at this one goes on with, once its spec says this."""
    record = a_record(phase=phase, content_digest=content_digest(a_resource(storyboard=BOARD).spec))
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__}
    shown = fields | {"step": step, "last_run_number": 6, "pipeline_start_time": NOON, "waiting_since": NOON}
    plan = decide(a_situation(storyboard=BOARD, **spec).with_record(**shown).but(admitted=True).build())
    assert plan is not None
    return plan.record.step


async def a_file(volume: Path, step: Step, path: str) -> None:
    """Make item 01 of this step, and lose it."""
    ledger = await Ledger.open(volume, step, run_id="run-1")
    durable.save(volume / path, b"made")
    ledger.record_done("01", "key", path=path)
    ledger.close()
    (volume / path).unlink()


async def test_a_lost_composite_is_made_again_where_an_image_is_chosen_as_it_is(tmp_path: Path) -> None:
    await a_file(tmp_path, Step.COMPOSITE_CREATION, layout.composite("01"))
    with pytest.raises(PermanentError, match=r"spec\.takes .* to make it anew") as caught:
        _composite_sha256(tmp_path, "01")
    assert "composites/composite_01.png is missing" in caught.value.message
    chosen = [{"step": Step.ASSET_GENERATION, "item": IMAGE, "take": 1}]
    assert step_after(Phase.VIDEO_ERROR, Step.VIDEO_GENERATION, takes=chosen) is Step.ASSET_GENERATION
    assert step_after(Phase.VIDEO_ERROR, Step.VIDEO_GENERATION, attempt=2) is Step.VIDEO_GENERATION


async def test_a_lost_clip_is_made_again_where_it_is_asked_for_anew(tmp_path: Path) -> None:
    await a_file(tmp_path, Step.VIDEO_GENERATION, layout.clip("01"))
    with pytest.raises(PermanentError, match=r"spec\.redo"):
        load_inputs(tmp_path, Step.VIDEO_GENERATION, ["01"])
    redo = {"request": "lost", "steps": [{"step": Step.VIDEO_GENERATION, "items": ["1"]}]}
    assert step_after(Phase.ASSEMBLY_ERROR, Step.VIDEO_ASSEMBLY, redo=redo) is Step.VIDEO_GENERATION
    assert step_after(Phase.ASSEMBLY_ERROR, Step.VIDEO_ASSEMBLY, attempt=2) is Step.VIDEO_ASSEMBLY
