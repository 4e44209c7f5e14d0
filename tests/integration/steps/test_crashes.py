"""A step killed with SIGKILL before any of its lasting acts, then run again: the work is done and paid once."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from tests.integration.steps.conftest import Film

from videotask_contract.exits import ExitCode
from videotask_contract.ledger_record import RecordKind
from videotask_contract.steps import Step

MOST_ACTS = 60


async def crash_and_go_on(film: Film, step: Step, number: int) -> bool:
    """Crash before the Nth act and run again; False when the first run came to its end."""
    if not await film.run_until_crash(step, number, run_id="run-1"):
        return False
    if number > 1 and not film.ledger(step).calls():
        return True  # nothing was begun: the next run is a first run, as after act 1
    again = await film.run(step, run_id="run-2")
    assert again.code == ExitCode.DONE, f"act {number}: {again.stderr[-2000:]}"
    assert (again.report.done, again.report.total) == (1, 1)
    return True


def fresh(film: Film, number: int) -> Film:
    film.control.reset()
    return Film(film.folder / f"act-{number}", film.server, film.control).with_scenes(1)


async def test_a_clip_is_paid_once_wherever_the_step_is_killed(film: Film) -> None:
    """Kling can be asked what became of a job, so that no point at all pays twice."""
    for number in itertools.count(1):
        assert number < MOST_ACTS
        one = fresh(film, number).ready_for(Step.VIDEO_GENERATION)
        one.folder.mkdir(exist_ok=True)
        if not await crash_and_go_on(one, Step.VIDEO_GENERATION, number):
            break
        if not one.ledger(Step.VIDEO_GENERATION).calls():
            assert one.control.calls() == []
            continue
        bill = one.control.bill()["entries"]
        assert len(bill) == 1, f"act {number}: paid {len(bill)} times"
        assert one.ledger_usd(Step.VIDEO_GENERATION) == one.control.total_usd(), f"act {number}"
        assert one.possibly(Step.VIDEO_GENERATION) == 0, f"act {number}"
    assert number > 10


async def test_a_narration_is_paid_twice_only_where_its_answer_died_with_the_step(film: Film) -> None:
    """ElevenLabs has no look-up: from the intent until the answer is on the disk, and there alone, doubt is possible.

    In doubt the ledger counts the first call at its upper bound, so that no money is ever uncounted.
    """
    doubtful = []
    for number in itertools.count(1):
        assert number < MOST_ACTS
        one = fresh(film, number).ready_for(Step.NARRATION_GENERATION)
        one.folder.mkdir(exist_ok=True)
        if not await crash_and_go_on(one, Step.NARRATION_GENERATION, number):
            break
        if not one.ledger(Step.NARRATION_GENERATION).calls():
            assert one.control.calls() == []
            continue
        bill = one.control.bill()["entries"]
        assert one.ledger_usd(Step.NARRATION_GENERATION) >= one.control.total_usd(), f"act {number}"
        if one.possibly(Step.NARRATION_GENERATION):
            doubtful.append(number)
        else:
            assert len(bill) == 1, f"act {number}: paid {len(bill)} times and sure of it"
            assert one.ledger_usd(Step.NARRATION_GENERATION) == one.control.total_usd()
    assert number > 10
    # One stretch: the sync of the intent, the three acts that bring the answer to the disk.
    assert doubtful == list(range(doubtful[0], doubtful[0] + len(doubtful)))
    assert len(doubtful) <= 5, doubtful


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
