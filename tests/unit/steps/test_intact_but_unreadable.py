"""Media that is there and cannot be read just now is not media that is missing: nothing is paid for it again."""

from __future__ import annotations

import errno
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.step_program import a_task_file

from videotask_contract.errors import TransientError
from videotask_contract.steps import Step
from videotask_steps import durable
from videotask_steps.context import Limits, StepContext
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.ledger import Ledger
from videotask_steps.progress import ProgressTracker
from videotask_steps.stop_sign import StopSign

PATH = "narration/narration_01.mp3"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE], ids=["denied", "broken", "stale"])
async def test_a_volume_that_fails_ends_the_run_before_anything_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    context = StepContext(
        task=a_task_file(Step.NARRATION_GENERATION),
        volume=tmp_path,
        ledger=await Ledger.open(tmp_path, Step.NARRATION_GENERATION, run_id="run-1"),
        limits=Limits(concurrency=1, reservation_usd=Decimal(10)),
        progress=ProgressTracker(),
        stopping=StopSign(),
    )
    durable.save(tmp_path / PATH, b"sound")
    context.ledger.record_done("01", "key-01", path=PATH)

    def fail(_path: Path) -> str:
        raise OSError(number, "it failed")

    async def make(_call: Call) -> str:
        raise AssertionError("no call may be made")

    wanted = Wanted(
        item="01",
        label="scene 01",
        key="key-01",
        model="voice",
        price_usd=Decimal("0.01"),
        path=lambda take, suffix: f"narration/{take}{suffix}",
        suffixes=(".mp3",),
        make=make,
        probe=lambda _path: 1.0,
    )
    with monkeypatch.context() as failing:
        failing.setattr(durable, "sha256_of", fail)
        with pytest.raises(TransientError, match=rf"scene 01: the volume failed: {PATH} cannot be read .it failed"):
            await make_items(context, [wanted])
    assert context.ledger.calls() == []
    await make_items(context, [wanted])
    assert context.progress.kept == 1


@pytest.mark.parametrize("change", ["removed", "folder removed", "a file in the folder's place"])
async def test_what_is_gone_is_still_not_kept(tmp_path: Path, change: str) -> None:
    ledger = await Ledger.open(tmp_path, Step.NARRATION_GENERATION, run_id="run-1")
    durable.save(tmp_path / PATH, b"sound")
    ledger.record_done("01", "key-01", path=PATH)
    (tmp_path / PATH).unlink()
    if change != "removed":
        (tmp_path / PATH).parent.rmdir()
    if change == "a file in the folder's place":
        (tmp_path / PATH).parent.write_bytes(b"")
    assert ledger.kept("01", "key-01") is None
