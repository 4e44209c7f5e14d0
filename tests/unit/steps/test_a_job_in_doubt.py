"""A job that Kling may have taken stays an open call until Kling itself was asked and knew nothing of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.support.step_context import a_context
from tests.support.step_program import a_task_file

from videotask_contract.errors import FailureClass, OutcomeUnknownError, TransientError, VideoTaskError
from videotask_contract.ledger_record import RecordKind
from videotask_contract.steps import Provider, Step
from videotask_contract.task_file import ProviderSettings
from videotask_steps import items
from videotask_steps.clients.kling import ClipRequest, Job
from videotask_steps.context import StepContext
from videotask_steps.items import Wanted, make_items
from videotask_steps.steps.video_generation import _ClipMaker

REVOKED = VideoTaskError("kling answered 401 1002: the key was revoked", failure_class=FailureClass.ACCOUNT)
GONE = VideoTaskError("kling answered 404", failure_class=FailureClass.PERMANENT)
TIMED_OUT = OutcomeUnknownError("kling was asked and no whole answer came back (ReadTimeout)")
SERVER_ERROR = TransientError("kling answered 500 5000: internal error")


class Kling:
    """Takes a job or not, does not say so, and answers look-ups by an error or by nothing."""

    def __init__(self, created: VideoTaskError, found: VideoTaskError | None) -> None:
        self._created, self._found = created, found
        self.posted = 0

    async def create(self, _request: ClipRequest) -> Job:
        self.posted += 1
        raise self._created

    async def find(self, _external_id: str) -> Job | None:
        if self._found is not None:
            raise self._found
        return None


async def a_run(volume: Path, kling: Kling, *, run_id: str = "run-1") -> StepContext:
    client: Any = kling
    settings = ProviderSettings(provider=Provider.KLING, base_url="http://127.0.0.1:1", poll_interval_seconds=0.001)
    task = a_task_file(Step.VIDEO_GENERATION, run_id=run_id, provider=settings)
    context = await a_context(volume, task)
    composite = volume / "composite.png"
    Image.new("RGB", (64, 36)).save(composite)
    maker = _ClipMaker(task, client, composite=composite, motion="pan", probe=lambda _path: None)
    wanted = Wanted(
        item="01",
        label="scene 01",
        key="key-01",
        model="kling-2.5-turbo",
        price_usd=Decimal("0.42"),
        path=lambda take, _suffix: f"clips/clip_01.take{take}.mp4",
        suffixes=(".mp4",),
        make=maker.make,
        resume=maker.resume,
        external_id=lambda take, tries: f"ours-{take}-{tries}",
        probe=lambda _path: 5.0,
    )
    with pytest.raises(VideoTaskError):
        await make_items(context, [wanted])
    return context


@pytest.mark.parametrize("created", [TIMED_OUT, SERVER_ERROR], ids=["timed-out", "server-error"])
@pytest.mark.parametrize("found", [REVOKED, GONE], ids=["revoked", "gone"])
async def test_a_look_up_that_is_refused_proves_nothing_about_the_money(
    tmp_path: Path, created: VideoTaskError, found: VideoTaskError
) -> None:
    kling = Kling(created, found)
    first = await a_run(tmp_path, kling)
    assert first.ledger.possibly_usd("run-1") > 0
    assert [record.kind for record in first.ledger.records if record.kind is RecordKind.RELEASED] == []
    first.ledger.close()
    await a_run(tmp_path, kling, run_id="run-2")
    assert kling.posted == 1, "posted again while the first may be under way"


async def test_a_look_up_that_finds_nothing_frees_the_money(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "_FIRST_RETRY_SECONDS", 0.001)
    context = await a_run(tmp_path, Kling(TIMED_OUT, None))
    assert context.ledger.spent_usd("run-1") == 0
