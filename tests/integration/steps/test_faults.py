"""What providers do to a step, and what it makes of it: its exit code, its ledger, and the bill."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from tests.integration.steps.film import Film
from tests.support.builders import a_storyboard

from videotask_contract import layout
from videotask_contract.errors import FailureClass
from videotask_contract.exits import ExitCode
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_steps.ledger import Ledger
from videotask_steps.steps.video_generation import DOWNLOADS

IMAGES, CLIPS, VOICES, EFFECTS = (
    Step.ASSET_GENERATION,
    Step.VIDEO_GENERATION,
    Step.NARRATION_GENERATION,
    Step.SFX_GENERATION,
)


OPERATIONS = {IMAGES: "image", CLIPS: "create", VOICES: "speech", EFFECTS: "sfx"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault that is always there, and the run's end it must lead to."""

    step: Step
    kind: str
    failure: FailureClass
    code: ExitCode
    params: dict[str, Any] = field(default_factory=dict)
    words: str = ""
    """Must stand in the message."""

    def __str__(self) -> str:
        return f"{self.step.value}-{self.kind}-{'-'.join(map(str, self.params.values()))}"


LASTING = [
    Fault(
        step=IMAGES, kind="auth_revoked", failure=FailureClass.ACCOUNT, code=ExitCode.ACCOUNT, words="API_KEY_INVALID"
    ),
    Fault(step=CLIPS, kind="auth_revoked", failure=FailureClass.ACCOUNT, code=ExitCode.ACCOUNT, words="1002"),
    Fault(
        step=VOICES, kind="auth_revoked", failure=FailureClass.ACCOUNT, code=ExitCode.ACCOUNT, words="invalid_api_key"
    ),
    Fault(step=CLIPS, kind="arrears", failure=FailureClass.ACCOUNT, code=ExitCode.ACCOUNT, words="1101"),
    Fault(step=CLIPS, kind="pack_exhausted", failure=FailureClass.ACCOUNT, code=ExitCode.ACCOUNT, words="1102"),
    Fault(
        step=VOICES,
        kind="quota_exceeded",
        failure=FailureClass.ACCOUNT,
        code=ExitCode.ACCOUNT,
        words="quota_exceeded",
    ),
    Fault(
        step=VOICES, kind="voice_not_found", failure=FailureClass.PERMANENT, code=ExitCode.PERMANENT, words="voiceID"
    ),
    Fault(
        step=IMAGES,
        kind="http_429_retry_info",
        params={"retry_delay_seconds": 50},
        failure=FailureClass.RATE_LIMITED,
        code=ExitCode.RATE_LIMITED,
    ),
    Fault(step=IMAGES, kind="http_429_per_day", failure=FailureClass.DAILY_QUOTA, code=ExitCode.RATE_LIMITED),
    Fault(
        step=VOICES,
        kind="http_429_retry_after",
        params={"retry_after_seconds": 45},
        failure=FailureClass.RATE_LIMITED,
        code=ExitCode.RATE_LIMITED,
    ),
    Fault(
        step=CLIPS,
        kind="http_429_retry_after",
        params={"retry_after_seconds": 45, "code": 1303},
        failure=FailureClass.RATE_LIMITED,
        code=ExitCode.RATE_LIMITED,
    ),
]


@pytest.mark.parametrize("fault", LASTING, ids=str)
async def test_a_lasting_refusal_ends_the_run_at_once_and_costs_nothing(film: Film, fault: Fault) -> None:
    film.with_scenes(3).ready_for(fault.step)
    film.control.add_fault(fault.kind, times=-1, **fault.params)
    ended = await film.run(fault.step, concurrency=1)
    failure = ended.report.failure
    assert failure is not None
    assert (failure.failure_class, ended.code) == (fault.failure, fault.code)
    assert fault.words in failure.message
    assert film.ledger_usd(fault.step) == film.control.total_usd() == 0
    assert len(film.control.calls()) == 1, "nothing new may be begun after it"
    if "retry_delay_seconds" in fault.params or "retry_after_seconds" in fault.params:
        assert failure.retry_after_seconds in {45.0, 50.0}
    if fault.failure is FailureClass.DAILY_QUOTA:
        assert failure.retry_after_seconds is not None
        assert 0 < failure.retry_after_seconds <= 25 * 3600


@pytest.mark.parametrize(
    ("step", "kind", "params"),
    [
        (IMAGES, "http_5xx", {"code": 503}),
        (IMAGES, "http_429_retry_info", {"retry_delay_seconds": 1}),
        (CLIPS, "http_5xx", {"code": 500}),
        (VOICES, "http_5xx", {"code": 500}),
        (VOICES, "http_429_retry_after", {"retry_after_seconds": 1}),
    ],
)
async def test_a_passing_trouble_is_overcome_within_the_run(
    film: Film, step: Step, kind: str, params: dict[str, Any]
) -> None:
    film.with_scenes(1, characters=0).ready_for(step)
    film.control.add_fault(kind, **params)
    ended = await film.run(step)
    assert ended.code == ExitCode.DONE, ended.stderr
    assert "call_retried" in ended.events()
    assert film.ledger_usd(step) == film.control.total_usd()
    assert film.possibly(step) == 0


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (IMAGES, "block_prompt"),
        (IMAGES, "block_finish_reason"),
        (CLIPS, "safety"),
    ],
)
async def test_a_refused_item_lets_the_others_be_made_and_is_named(film: Film, step: Step, kind: str) -> None:
    film.with_scenes(3).ready_for(step)
    refused = "a harbour at dusk" if step is IMAGES else "part 2"
    film.control.add_fault(kind, match={"prompt_contains": refused}, times=-1)
    ended = await film.run(step, concurrency=1)
    failure = ended.report.failure
    assert failure is not None
    assert (failure.failure_class, ended.code) == (FailureClass.REFUSED, ExitCode.PERMANENT)
    assert ("environment harbour" if step is IMAGES else "scene 02 (scene-2)") in failure.message
    assert ended.report.done == ended.report.total - 1
    assert film.ledger_usd(step) == film.control.total_usd()


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (IMAGES, "empty_media"),
        (IMAGES, "truncated_media"),
        (IMAGES, "one_colour_image"),
        (IMAGES, "tiny_image"),
        (IMAGES, "wrong_aspect"),
        (IMAGES, "text_no_image"),
        (CLIPS, "black_clip"),
        (CLIPS, "frozen_clip"),
        (CLIPS, "short_clip"),
        (CLIPS, "wrong_aspect"),
        (VOICES, "empty_media"),
        (VOICES, "truncated_media"),
        (VOICES, "silent_audio"),
        (VOICES, "html_at_200"),
        (IMAGES, "html_at_200"),
        (EFFECTS, "silent_audio"),
        (EFFECTS, "truncated_media"),
        (EFFECTS, "empty_media"),
        (EFFECTS, "html_at_200"),
    ],
)
async def test_media_that_cannot_be_used_is_never_done_and_is_asked_for_again_by_the_next_run(
    film: Film, step: Step, kind: str
) -> None:
    film.with_scenes(1, characters=0)
    if step is EFFECTS:
        await film.ready_for_effects()
    film.ready_for(step).control.add_fault(kind, match={"operation": OPERATIONS[step]})
    first = await film.run(step, run_id="run-1", concurrency=1)
    failure = first.report.failure
    assert failure is not None
    # Gemini tells what it charged within the answer: where that cannot be read, nobody knows.
    is_unknown = (step, kind) == (IMAGES, "html_at_200")
    expected = FailureClass.OUTCOME_UNKNOWN if is_unknown else FailureClass.BAD_MEDIA
    assert (failure.failure_class, first.code) == (expected, expected.exit_code)
    assert first.report.done == first.report.total - 1
    second = await film.run(step, run_id="run-2")
    assert second.code == ExitCode.DONE, second.stderr
    # Every dollar of the useless answer stands in the ledger too, at its bound where no sum was told.
    assert film.ledger_usd(step) >= film.control.total_usd()
    if film.possibly(step) == 0:
        assert film.ledger_usd(step) == film.control.total_usd()


@pytest.mark.parametrize("kind", ["truncated_media", "empty_media", "html_at_200", "http_5xx"])
async def test_a_clip_damaged_on_its_way_is_fetched_again_for_nothing(film: Film, kind: str) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    film.control.add_fault(kind, match={"operation": "download"})
    ended = await film.run(CLIPS)
    assert ended.code == ExitCode.DONE, ended.stderr
    assert len(film.control.bill()["entries"]) == 1
    assert len(film.operations("download")) == 2


@pytest.mark.parametrize("kind", ["empty_media", "html_at_200", "http_5xx"])
async def test_a_clip_whose_host_sends_none_for_a_while_is_fetched_by_the_next_run_for_nothing(
    film: Film, kind: str
) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    film.control.add_fault(kind, match={"operation": "download"}, times=DOWNLOADS)
    first = await film.run(CLIPS, run_id="run-1")
    failure = first.report.failure
    assert failure is not None
    assert (failure.failure_class, first.code) == (FailureClass.NETWORK, ExitCode.TRANSIENT)
    second = await film.run(CLIPS, run_id="run-2")
    assert second.code == ExitCode.DONE, second.stderr
    assert len(film.control.bill()["entries"]) == 1
    assert film.ledger_usd(CLIPS) == film.control.total_usd()


@pytest.mark.parametrize("kind", ["http_5xx", "html_at_200", "truncated_json", "http_429_retry_after"])
async def test_a_poll_that_fails_costs_nothing_but_patience(film: Film, kind: str) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    film.control.add_fault(kind, match={"operation": "poll"}, times=2)
    ended = await film.run(CLIPS)
    assert ended.code == ExitCode.DONE, ended.stderr
    assert len(film.control.bill()["entries"]) == 1


@pytest.mark.parametrize("kind", ["html_at_200", "truncated_json"])
async def test_a_job_whose_acceptance_cannot_be_read_is_looked_up_not_posted_again(film: Film, kind: str) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    film.control.add_fault(kind, match={"operation": "create"})
    ended = await film.run(CLIPS)
    assert ended.code == ExitCode.DONE, ended.stderr
    assert len(film.control.bill()["entries"]) == 1
    assert film.ledger_usd(CLIPS) == film.control.total_usd()


async def test_a_job_that_is_still_under_way_at_the_limit_is_asked_for_by_the_next_run(film: Film) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    film.control.add_fault("slow_job", match={"operation": "create"}, seconds=6, clip_seconds=6, extra_seconds=6)
    first = await film.run(CLIPS, run_id="run-1", item_timeout_seconds=2)
    assert first.code == ExitCode.TRANSIENT, first.stderr
    assert film.possibly(CLIPS) == 1
    second = await film.run(CLIPS, run_id="run-2", item_timeout_seconds=60)
    assert second.code == ExitCode.DONE, second.stderr
    assert "call_adopted" in second.events()
    assert len(film.control.bill()["entries"]) == 1
    assert film.ledger_usd(CLIPS) == film.control.total_usd()
    # The money belongs to the run that asked for it.
    assert second.report.spent_usd == 0


async def test_a_dead_provider_is_a_network_failure_that_costs_nothing(film: Film) -> None:
    film.with_scenes(1).ready_for(VOICES)
    nowhere = film.provider(VOICES, base_url="http://127.0.0.1:1")
    ended = await film.run(VOICES, provider=nowhere, item_timeout_seconds=2)
    failure = ended.report.failure
    assert failure is not None
    assert (failure.failure_class, ended.code) == (FailureClass.NETWORK, ExitCode.TRANSIENT)
    assert film.ledger_usd(VOICES) == 0


async def test_a_job_that_never_ends_is_given_up_after_hours_and_still_counts_as_paid(film: Film) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    film.control.add_fault("stuck_job", match={"operation": "create"})
    first = await film.run(CLIPS, run_id="run-1", item_timeout_seconds=1)
    assert first.code == ExitCode.TRANSIENT
    again = await film.run(CLIPS, run_id="run-2", item_timeout_seconds=1)
    assert again.code == ExitCode.TRANSIENT
    assert len(film.control.jobs()) - film.jobs_before == 1, "a job that may yet end is not posted twice"

    film.age_ledger(CLIPS, hours=7)
    third = await film.run(CLIPS, run_id="run-3")
    assert third.code == ExitCode.DONE, third.stderr
    assert "job_abandoned" in third.events()
    assert film.possibly(CLIPS) == 1
    assert film.ledger_usd(CLIPS) >= film.control.total_usd()


async def test_a_composite_that_was_damaged_since_is_named_before_a_clip_of_it_is_paid_for(film: Film) -> None:
    film.with_scenes(2).ready_for(CLIPS)
    ledger = await Ledger.open(film.volume, Step.COMPOSITE_CREATION, run_id="composites")
    for number in ("01", "02"):
        ledger.record_done(number, "key", path=layout.composite(number))
    ledger.close()
    damaged = film.volume / layout.composite("02")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    ended = await film.run(CLIPS)
    failure = ended.report.failure
    assert failure is not None
    assert (failure.failure_class, failure.item) == (FailureClass.PERMANENT, "02")
    assert "composites/" in failure.message
    assert "composite_creation" in failure.message
    assert film.control.calls() == []


@pytest.mark.parametrize("step", [IMAGES, VOICES])
async def test_a_file_damaged_between_runs_is_made_again_as_a_new_take_and_said(film: Film, step: Step) -> None:
    film.with_scenes(2).ready_for(step)
    assert (await film.run(step, run_id="run-1")).code == ExitCode.DONE
    first = next(iter(film.ledger(step).current_items().values()))
    file = film.volume / (first.path or "")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    again = await film.run(step, run_id="run-2")
    assert (again.code, again.report.kept) == (ExitCode.DONE, again.report.total - 1)
    [said] = [line for line in again.log if line["event"] == "item_paid_again"]
    assert said["item"] == first.item
    made = film.ledger(step).current(first.item)
    assert made is not None
    assert (made.take, made.path != first.path) == (2, True)
    assert file.read_bytes() == bytes(content), "not even a damaged file is overwritten"
    assert film.ledger_usd(step) == film.control.total_usd()


@pytest.mark.parametrize("step", [IMAGES, CLIPS])
async def test_of_several_at_once_the_refused_alone_are_left_and_all_of_them_named(film: Film, step: Step) -> None:
    film.storyboard = Storyboard.model_validate(a_storyboard(scenes=5, characters=4))
    film.ready_for(step)
    kind, refused = {
        IMAGES: ("block_prompt", ("hero-1, a sailor", "hero-3, a sailor")),
        CLIPS: ("safety", ("part 1", "part 4")),
    }[step]
    for words in refused:
        film.control.add_fault(kind, match={"prompt_contains": words}, times=-1)
    ended = await film.run(step, concurrency=3)
    failure = ended.report.failure
    assert failure is not None
    assert (failure.failure_class, ended.code) == (FailureClass.REFUSED, ExitCode.PERMANENT)
    named = {IMAGES: ("character hero-1", "character hero-3"), CLIPS: ("scene 01", "scene 04")}[step]
    assert all(name in failure.message for name in named)
    assert "not begun" not in failure.message
    assert (ended.report.done, ended.report.total) == (3, 5)
    assert len([entry for entry in film.control.bill()["entries"] if Decimal(entry["amount_usd"]) > 0]) >= 3
    assert film.ledger_usd(step) == film.control.total_usd()
