"""A job that Kling took is never paid for again because a look-up does not list it, or lists another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr
from tests.support.step_context import context_of
from tests.support.step_program import a_task_file

from videotask_contract import layout
from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.ledger_record import RecordKind, encode_record
from videotask_contract.steps import Provider, Step
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.kling import ClipRequest, Job, JobState, KlingClient, ResultNotThereError
from videotask_steps.context import StepContext
from videotask_steps.items import Wanted, make_items
from videotask_steps.ledger import Ledger, LedgerView, read_ledger
from videotask_steps.steps.video_generation import (
    ABANDONED_AFTER_SECONDS,
    DOWNLOADS,
    GONE_AFTER_SECONDS,
    LOOK_UPS,
    _ClipMaker,
)

STEP = Step.VIDEO_GENERATION
PRICE_USD = Decimal("0.42")


class KilledError(BaseException):
    """Stands for the end of the process."""


class Kling(KlingClient):
    """Takes every job, and lists and keeps them as the test says."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.kills = False
        self.unseen = 0
        """So many look-ups find nothing."""
        self.state = JobState.SUCCEEDED
        self.first_state: JobState | None = JobState.SUCCEEDED
        """Of the first job while others are there; None where it is not listed."""
        self.message = ""
        self.url: str | None = "http://clips.invalid/1"
        self.unnamed = 0
        """So many look-ups tell of success and no address."""
        self.billed_usd: Decimal | None = PRICE_USD
        self.asked = 0
        self.downloads = 0
        self.host_answers: list[bool] = []
        """Whether the clip is missing at each download."""
        self.urls: list[str] = []

    async def create(self, request: ClipRequest) -> Job:
        self.posted.append(request.external_task_id)
        return Job(job_id=f"job-{len(self.posted)}", state=JobState.SUBMITTED)

    async def fetch(self, job_id: str) -> Job | None:
        if self.kills:
            raise KilledError
        return self._look(job_id)

    async def find(self, external_task_id: str) -> Job | None:
        known = external_task_id in self.posted
        return self._look(f"job-{self.posted.index(external_task_id) + 1}") if known else self._look("")

    async def download(self, url: str, path: Path) -> None:
        self.downloads += 1
        self.urls.append(url)
        if self.host_answers.pop(0) if self.host_answers else False:
            raise ResultNotThereError("kling's clip is not there: its host answered 403")
        await asyncio.to_thread(path.write_bytes, f"clip {self.downloads} of {url}".encode())

    def failure_of_job(self, job: Job) -> VideoTaskError:
        return VideoTaskError(job.message, failure_class=FailureClass.REFUSED)

    def _look(self, job_id: str) -> Job | None:
        self.asked += 1
        if self.unseen > 0 or not job_id:
            self.unseen -= 1
            return None
        state = self.first_state if job_id == "job-1" and self.first_state is not JobState.SUCCEEDED else self.state
        if state is None:
            return None
        self.unnamed -= 1
        url = self.url and f"{self.url}?signed={self.asked}" if self.unnamed < 0 else None
        return Job(job_id=job_id, state=state, url=url, billed_usd=self.billed_usd, message=self.message)


@dataclass(kw_only=True)
class Clip:
    """Scene 01's clip, made run by run."""

    volume: Path
    kling: Any = field(default_factory=Kling)
    runs: int = 0

    async def run(self, key: str = "key") -> None:
        self.runs += 1
        settings = ProviderSettings(provider=Provider.KLING, base_url="http://127.0.0.1:1", poll_interval_seconds=0.001)
        task = a_task_file(STEP, run_id=f"run-{self.runs}", provider=settings)
        ledger = await Ledger.open(self.volume, STEP, run_id=task.run_id)
        context = context_of(self.volume, task, ledger)
        try:
            await make_items(context, [self._wanted(context, key)])
        finally:
            ledger.close()

    async def killed(self, key: str = "key") -> None:
        """Run until kling has taken the job."""
        self.kling.kills = True
        with pytest.raises(KilledError):
            await self.run(key)
        self.kling.kills = False

    def age(self, seconds: float) -> None:
        """Write the ledger anew as if all had happened so much earlier."""
        lines = [
            encode_record(record.model_copy(update={"at": record.at - timedelta(seconds=seconds)}))
            for record in self.ledger.records
        ]
        (self.volume / layout.ledger(STEP)).write_text("".join(lines))

    @property
    def ledger(self) -> LedgerView:
        return read_ledger(self.volume, STEP)

    @property
    def told(self) -> list[tuple[str, Decimal]]:
        """Return each call's state and amount."""
        return [("open" if call.is_open else "closed", call.amount_usd) for call in self.ledger.calls()]

    def _wanted(self, context: StepContext, key: str) -> Wanted:
        composite = self.volume / "composite.png"
        Image.new("RGB", (64, 36)).save(composite)
        maker = _ClipMaker(context.task, self.kling, composite=composite, motion="pan", probe=lambda _path: None)
        return Wanted(
            item="01",
            label="scene 01",
            key=key,
            model="kling-2.5-turbo",
            price_usd=PRICE_USD,
            path=lambda take, _suffix: f"clips/clip_01.take{take}.mp4",
            suffixes=(".mp4",),
            make=maker.make,
            resume=maker.resume,
            collect=maker.collect,
            external_id=lambda take, tries: f"ours-{key}-{take}-{tries}",
            probe=lambda _path: 5.0,
        )


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return Clip(volume=tmp_path)


@pytest.mark.parametrize("unseen", [1, 2 * LOOK_UPS - 1])
async def test_a_job_that_was_taken_and_is_not_listed_at_once_is_not_posted_again(clip: Clip, unseen: int) -> None:
    await clip.killed()
    clip.kling.unseen = unseen
    await clip.run()
    assert (len(clip.kling.posted), clip.told) == (1, [("closed", PRICE_USD)])


async def test_a_job_that_was_taken_and_is_never_listed_is_waited_for_until_it_can_be_under_way_no_more(
    clip: Clip,
) -> None:
    await clip.killed()
    clip.kling.unseen = 1000
    with pytest.raises(TransientError, match="kling took job job-1 and does not list it now; the next run asks"):
        await clip.run()
    assert (len(clip.kling.posted), [state for state, _ in clip.told]) == (1, ["open"])
    clip.age(ABANDONED_AFTER_SECONDS + 1)
    clip.kling.unseen = 2
    await clip.run()
    assert len(clip.kling.posted) == 2
    assert [record.kind for record in clip.ledger.records].count(RecordKind.RELEASED) == 0
    assert [state for state, _ in clip.told] == ["open", "closed"]


async def test_the_open_call_of_an_edited_prompt_is_closed_at_its_bill_and_its_clip_waits_for_the_edits_end(
    clip: Clip,
) -> None:
    await clip.killed("first")
    clip.kling.billed_usd = Decimal("0.40")
    await clip.run("second")
    assert (len(clip.kling.posted), clip.told) == (2, [("closed", Decimal("0.40"))] * 2)
    await clip.run("first")
    assert len(clip.kling.posted) == 2, "it was paid for before the edit"
    made = clip.ledger.current("01")
    assert made is not None
    assert (made.key, (clip.volume / (made.path or "")).read_bytes()[:6]) == ("first", b"clip 1")


async def test_the_open_call_of_an_edited_prompt_that_kling_never_had_is_released(clip: Clip) -> None:
    await clip.killed("first")
    lines = [record for record in clip.ledger.records if record.kind is RecordKind.INTENT]
    (clip.volume / layout.ledger(STEP)).write_text("".join(map(encode_record, lines)))
    clip.kling.posted[0] = "nobody's"
    await clip.run("second")
    assert clip.told == [("closed", Decimal(0)), ("closed", PRICE_USD)]


@pytest.mark.parametrize("state", [JobState.PROCESSING, None], ids=["under-way", "not-listed"])
async def test_the_open_call_of_an_edited_prompt_stays_open_while_its_job_may_be_under_way(
    clip: Clip, state: JobState | None
) -> None:
    await clip.killed("first")
    clip.kling.first_state = state
    await clip.run("second")
    assert [told for told, _ in clip.told] == ["open", "closed"]
    assert len(clip.kling.posted) == 2
    clip.kling.first_state = JobState.SUCCEEDED
    await clip.run("second")
    assert clip.told == [("closed", PRICE_USD)] * 2


async def test_a_job_that_was_refused_while_nobody_looked_is_not_posted_again_as_it_is(clip: Clip) -> None:
    await clip.killed()
    clip.kling.state, clip.kling.message, clip.kling.billed_usd = JobState.FAILED, "against the policy", Decimal(0)
    with pytest.raises(VideoTaskError, match="against the policy") as caught:
        await clip.run()
    assert caught.value.failure_class is FailureClass.REFUSED
    assert (len(clip.kling.posted), clip.told) == (1, [("closed", Decimal(0))])


@pytest.mark.parametrize("billed_usd", [Decimal("0.40"), None], ids=["billed", "bill-unread"])
@pytest.mark.parametrize("how", ["host-has-none", "no-address"])
async def test_a_clip_that_is_gone_for_good_is_charged_and_the_next_step_is_named(
    clip: Clip, how: str, billed_usd: Decimal | None
) -> None:
    await clip.killed()
    upper_bound_usd = clip.told[0][1]
    clip.age(GONE_AFTER_SECONDS + 1)
    clip.kling.billed_usd = billed_usd
    clip.kling.host_answers = [True] * DOWNLOADS
    clip.kling.url = None if how == "no-address" else clip.kling.url
    with pytest.raises(VideoTaskError, match=r"job-1 was paid for and is no longer there.*spec\.redo") as caught:
        await clip.run()
    assert caught.value.failure_class is FailureClass.PERMANENT
    assert (len(clip.kling.posted), clip.told) == (1, [("closed", billed_usd or upper_bound_usd)])


async def test_a_clip_that_is_not_there_yet_is_asked_for_by_a_fresh_address_and_stays_paid_for(clip: Clip) -> None:
    await clip.killed()
    clip.kling.host_answers = [True] * DOWNLOADS
    with pytest.raises(TransientError) as caught:
        await clip.run()
    assert caught.value.failure_class is FailureClass.NETWORK
    assert len(set(clip.kling.urls)) == DOWNLOADS
    await clip.run()
    assert (len(clip.kling.posted), clip.told) == (1, [("closed", PRICE_USD)])


@pytest.mark.parametrize("unnamed", [1, DOWNLOADS, 2 * DOWNLOADS - 1])
async def test_a_clip_whose_address_is_not_told_with_its_success_is_asked_for_again_and_not_paid_for_again(
    clip: Clip, unnamed: int
) -> None:
    clip.kling.unnamed = unnamed
    if unnamed >= DOWNLOADS:
        with pytest.raises(TransientError, match="names no clip") as caught:
            await clip.run()
        assert caught.value.failure_class is FailureClass.NETWORK
    await clip.run()
    assert (len(clip.kling.posted), clip.told) == (1, [("closed", PRICE_USD)])


def a_list(*jobs: object) -> dict[str, object]:
    return {"code": 0, "data": list(jobs)}


def answering(body: object) -> KlingClient:
    settings = ProviderSettings(provider=Provider.KLING, base_url="http://provider.invalid")
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json=body))
    return KlingClient(settings, SecretStr("k3y"), transport=transport)


@pytest.mark.parametrize(
    "body",
    [{"code": 0}, {"code": 0, "data": None}, {"code": 0, "data": {"id": "7"}}, a_list("7"), a_list({"status": "x"})],
    ids=str,
)
async def test_a_list_of_jobs_that_cannot_be_read_is_no_word_that_there_is_none(body: object) -> None:
    async with answering(body) as client:
        for asked in (client.fetch("7"), client.find("ours"), client.find_all(["ours"])):
            with pytest.raises(TransientError, match="its list of jobs cannot be read") as caught:
                await asked
            assert caught.value.failure_class is FailureClass.NETWORK


async def test_a_job_of_another_id_is_not_the_one_that_was_asked_for() -> None:
    async with answering(a_list({"id": "8", "status": "succeeded", "external_id": "theirs"})) as client:
        assert (await client.fetch("7"), await client.find("ours")) == (None, None)
    both = a_list({"id": "8", "external_id": "theirs"}, {"id": "7", "external_id": "ours"})
    async with answering(both) as client:
        found = await client.fetch("7"), await client.find("ours")
    assert [job and job.job_id for job in found] == ["7", "7"]
