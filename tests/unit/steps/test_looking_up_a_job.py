from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from PIL import Image
from tests.support.step_program import a_task_file

from videotask_contract.errors import OutcomeUnknownError
from videotask_contract.steps import Provider, Step
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.kling import ClipRequest, Job, JobState
from videotask_steps.items import Call
from videotask_steps.ledger import Ledger
from videotask_steps.steps.video_generation import LOOK_UPS, _ClipMaker
from videotask_steps.stop_sign import StopSign


class SlowKling:
    """Took the job, did not say so in time, and lists it only at the last look."""

    def __init__(self) -> None:
        self.posted = 0
        self.looks = 0

    async def create(self, _request: ClipRequest) -> Job:
        self.posted += 1
        raise OutcomeUnknownError("kling was asked and no whole answer came back (ReadTimeout)")

    async def find(self, _external_id: str) -> Job | None:
        self.looks += 1
        return Job(job_id="job-1", state=JobState.SUBMITTED) if self.looks == LOOK_UPS else None


async def test_doubt_is_looked_into_from_when_it_arose_however_long_the_request_took(tmp_path: Path) -> None:
    settings = ProviderSettings(provider=Provider.KLING, base_url="http://127.0.0.1:1", poll_interval_seconds=0.001)
    task = a_task_file(Step.VIDEO_GENERATION, provider=settings, item_timeout_seconds=600)
    ledger = await Ledger.open(tmp_path, Step.VIDEO_GENERATION, run_id="run-1")
    paid = ledger.record_intent(
        item="01", key="key", take=1, model="m", upper_bound_usd=Decimal("0.42"), external_id="our-id"
    )
    a_minute_ago = datetime.now(UTC) - timedelta(seconds=settings.request_timeout_seconds)
    paid = dataclasses.replace(paid, intent=paid.intent.model_copy(update={"at": a_minute_ago}))
    composite = tmp_path / "composite.png"
    Image.new("RGB", (64, 36)).save(composite)
    kling: Any = SlowKling()
    maker = _ClipMaker(task, kling, composite=composite, motion="pan", probe=lambda _path: None)
    job = await maker._create(Call(ledger, paid, part=tmp_path / "part", stopping=StopSign()))
    assert (job.job_id, kling.posted, kling.looks) == ("job-1", 1, LOOK_UPS)
