"""Runs and answers lost in the middle: the next run pays for the rest alone."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.integration.steps.conftest import Film

from videotask_contract.exits import ExitCode
from videotask_contract.ledger_record import RecordKind
from videotask_contract.steps import Step


async def test_a_step_killed_in_the_middle_pays_for_the_rest_alone(film: Film) -> None:
    film.with_scenes(5).ready_for(Step.NARRATION_GENERATION)
    film.control.add_fault("hold_call", match={"prompt_contains": "Part 4"})
    program = await film.program(Step.NARRATION_GENERATION, run_id="run-1", concurrency=1).start()
    await film.server.until(lambda: any(progress.done == 3 for progress in film.server.progress))
    program.kill()
    await program.end()
    film.control.release()
    again = await film.run(Step.NARRATION_GENERATION, run_id="run-2")
    assert (again.code, again.report.done, again.report.kept) == (ExitCode.DONE, 5, 3)
    told = [entry["text"] for entry in film.control.bill()["entries"]]
    assert all(sum(f"Part {part}:" in text for text in told) == 1 for part in (1, 2, 3, 5))


@pytest.mark.parametrize("kind", ["timeout_after_charging", "disconnect_after_charging", "timeout_before_charging"])
async def test_a_job_whose_answer_was_lost_is_found_again_and_never_posted_twice(film: Film, kind: str) -> None:
    film.with_scenes(1).ready_for(Step.VIDEO_GENERATION)
    film.control.add_fault(kind, match={"operation": "create"})
    ended = await film.run(
        Step.VIDEO_GENERATION, provider=film.provider(Step.VIDEO_GENERATION, request_timeout_seconds=1)
    )
    assert ended.code == ExitCode.DONE, ended.stderr
    assert len(film.control.bill()["entries"]) == 1
    assert film.ledger_usd(Step.VIDEO_GENERATION) == film.control.total_usd()


@pytest.mark.parametrize("step", [Step.ASSET_GENERATION, Step.NARRATION_GENERATION])
async def test_a_lost_answer_counts_as_paid_and_the_next_run_asks_again(film: Film, step: Step) -> None:
    film.with_scenes(1).ready_for(step)
    film.control.add_fault("disconnect_after_charging")
    first = await film.run(step, run_id="run-1", concurrency=1)
    assert first.code == ExitCode.OUTCOME_UNKNOWN
    assert film.possibly(step) == 1
    assert film.ledger_usd(step) >= film.control.total_usd()
    assert [record.kind for record in film.ledger(step).records].count(RecordKind.RELEASED) == 0

    second = await film.run(step, run_id="run-2")
    assert second.code == ExitCode.DONE
    assert film.ledger_usd(step) >= film.control.total_usd()
    settled_usd = film.ledger_usd(step) - film.ledger(step).possibly_usd("run-1")
    assert settled_usd > Decimal(0)
