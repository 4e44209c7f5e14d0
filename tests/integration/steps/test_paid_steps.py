"""The four paid steps against the emulators: everything made, paid at the provider's own figure, and paid once."""

from __future__ import annotations

import hashlib
from collections import Counter
from decimal import Decimal

import pytest
from tests.integration.steps.conftest import PAID_STEPS, Film
from tests.support.builders import a_storyboard

from videotask_contract.errors import FailureClass
from videotask_contract.exits import ExitCode
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard


async def ready(film: Film, step: Step) -> Film:
    return await film.ready_for_effects() if step is Step.SFX_GENERATION else film.ready_for(step)


@pytest.mark.parametrize("step", PAID_STEPS)
async def test_a_step_makes_every_item_and_the_next_run_keeps_them_and_pays_nothing(film: Film, step: Step) -> None:
    await ready(film, step)
    first = await film.run(step, run_id="run-1")
    assert first.code == ExitCode.DONE
    assert (first.report.outcome, first.report.done, first.report.total, first.report.kept) == ("done", 2, 2, 0)
    for item in first.report.items:
        file = film.volume / item.path
        assert file.stat().st_size == item.size_bytes
        assert hashlib.sha256(file.read_bytes()).hexdigest() == item.sha256
    billed_usd = film.control.total_usd()
    assert billed_usd > 0

    second = await film.run(step, run_id="run-2")
    assert second.code == ExitCode.DONE
    assert (second.report.done, second.report.kept, second.report.spent_usd) == (2, 2, 0)
    assert second.report.kept_usd == billed_usd
    assert film.control.total_usd() == billed_usd


@pytest.mark.parametrize("step", PAID_STEPS)
@pytest.mark.parametrize("factor", ["1", "1.2", "0.8"])
async def test_the_ledger_holds_what_the_provider_billed_also_when_that_is_not_our_table(
    film: Film, step: Step, factor: str
) -> None:
    await ready(film, step)
    film.control.set_price_factor(factor)
    ended = await film.run(step)
    assert ended.code == ExitCode.DONE
    assert abs(film.ledger_usd(step) - film.control.total_usd()) < Decimal("0.0001")
    assert ended.report.spent_usd == film.ledger_usd(step)
    assert sum((spend.amount_usd for spend in film.server.finals[-1].spend), Decimal(0)) == ended.report.spent_usd


async def test_the_final_report_over_http_holds_every_item_and_call(film: Film) -> None:
    film.ready_for(Step.NARRATION_GENERATION)
    await film.run(Step.NARRATION_GENERATION)
    [final] = film.server.finals
    assert sorted(item.item for item in final.items) == ["01", "02"]
    assert sorted(spend.item for spend in final.spend) == ["01", "02"]
    assert all(item.duration_seconds and item.duration_seconds > 1 for item in final.items)
    assert final.storyboard_sha256 == hashlib.sha256((film.volume / "storyboard.json").read_bytes()).hexdigest()


async def test_a_missing_storyboard_is_written_checked_and_paid_once(film: Film) -> None:
    wish = {"storyboard": None, "topic": "A heron who learns to wait", "scene_count": 3, "asset_count": 4}
    first = await film.run(Step.ASSET_GENERATION, run_id="run-1", **wish)
    assert first.code == ExitCode.DONE, first.stderr
    storyboard = Storyboard.model_validate_json((film.volume / "storyboard.json").read_bytes())
    assert (len(storyboard.scenes), len(storyboard.assets)) == (3, 4)
    assert (first.report.done, first.report.total) == (4, 4)
    assert Counter(entry["kind"] for entry in film.control.bill()["entries"]) == {"text": 1, "image": 4}
    assert first.report.spent_usd == film.control.total_usd()

    second = await film.run(Step.ASSET_GENERATION, run_id="run-2", **wish)
    assert (second.code, second.report.kept, second.report.spent_usd) == (ExitCode.DONE, 4, 0)
    assert second.report.storyboard_sha256 == first.report.storyboard_sha256
    assert len(film.control.bill()["entries"]) == 5


async def test_a_storyboard_that_was_cut_off_is_asked_for_again_with_its_fault(film: Film) -> None:
    film.control.add_fault("truncated_json", match={"operation": "text"})
    ended = await film.run(
        Step.ASSET_GENERATION, storyboard=None, topic="A heron who learns to wait", scene_count=2, asset_count=3
    )
    assert ended.code == ExitCode.DONE, ended.stderr
    assert len(film.operations("text")) == 2
    assert ended.report.spent_usd == film.control.total_usd()


async def test_an_edited_prompt_remakes_that_image_alone_and_overwrites_nothing(film: Film) -> None:
    await film.run(Step.ASSET_GENERATION, run_id="run-1")
    old = film.ledger(Step.ASSET_GENERATION).current_items()
    board = a_storyboard(scenes=2)
    board["assets"][0]["prompt"] = "a harbour at noon, gulls"
    edited = await film.run(Step.ASSET_GENERATION, run_id="run-2", storyboard=Storyboard.model_validate(board))
    assert (edited.code, edited.report.done, edited.report.kept) == (ExitCode.DONE, 2, 1)
    new = film.ledger(Step.ASSET_GENERATION).current_items()
    assert new["harbour"].take == 2
    assert new["harbour"].path != old["harbour"].path
    assert (film.volume / (old["harbour"].path or "")).exists()

    # Taken back: the first image counts again, and nobody is paid.
    billed_usd = film.control.total_usd()
    back = await film.run(Step.ASSET_GENERATION, run_id="run-3")
    assert (back.code, back.report.kept) == (ExitCode.DONE, 2)
    assert film.ledger(Step.ASSET_GENERATION).current_items()["harbour"].path == old["harbour"].path
    assert film.control.total_usd() == billed_usd


@pytest.mark.parametrize("step", [Step.ASSET_GENERATION, Step.NARRATION_GENERATION])
async def test_a_narration_too_long_for_its_clip_is_refused_before_anything_is_paid(film: Film, step: Step) -> None:
    board = a_storyboard(scenes=2)
    board["scenes"][1]["narration"] = "far too many words for a clip of five seconds " * 5
    film.storyboard = Storyboard.model_validate(board)
    ended = await film.ready_for(step).run(step)
    assert ended.code == ExitCode.BAD_INPUT
    assert ended.report.failure is not None
    assert "scene 02 (scene-2)" in ended.report.failure.message
    assert film.control.calls() == []


@pytest.mark.parametrize("step", PAID_STEPS)
async def test_without_a_key_nothing_is_called_and_the_secret_is_named(film: Film, step: Step) -> None:
    await ready(film, step)
    ended = await film.run(
        step, run_id="keyless", env={"GEMINI_API_KEY": "", "KLING_API_KEY": " ", "ELEVENLABS_API_KEY": ""}
    )
    assert ended.code == ExitCode.ACCOUNT
    assert ended.report.failure is not None
    assert ended.report.failure.failure_class is FailureClass.ACCOUNT
    assert "spec.credentials." in ended.report.failure.message
    assert film.control.calls() == []


async def test_no_key_and_no_address_of_a_clip_is_ever_logged(film: Film) -> None:
    film.ready_for(Step.VIDEO_GENERATION)
    film.control.add_fault("http_5xx", match={"operation": "download"})
    ended = await film.run(Step.VIDEO_GENERATION)
    assert ended.code == ExitCode.DONE, ended.stderr
    assert "kling-demo-key" not in ended.stderr
    assert "kling-media" not in ended.stderr
    assert {"correlation_id", "task", "step", "attempt"} <= set(ended.log[-1])


async def test_clips_are_always_single_shots_begun_by_the_composite(film: Film) -> None:
    film.ready_for(Step.VIDEO_GENERATION)
    await film.run(Step.VIDEO_GENERATION)
    jobs = film.control.jobs()[-2:]
    assert [job["multi_shot"] for job in jobs] == [False, False]
    assert len({job["external_task_id"] for job in jobs}) == 2
    assert all(len(job["external_task_id"]) <= 64 for job in jobs)
