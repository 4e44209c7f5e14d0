"""How a run begins, is told to stop, and ends: permits, signals, budgets, an operator that is away."""

from __future__ import annotations

import re
import signal
from decimal import Decimal

import pytest
from tests.integration.steps.conftest import Film

from videotask_contract.errors import FailureClass
from videotask_contract.exits import ExitCode
from videotask_contract.ledger_record import RecordKind
from videotask_contract.report import Answer, Directive
from videotask_contract.steps import Step

VOICES, CLIPS = Step.NARRATION_GENERATION, Step.VIDEO_GENERATION


async def test_of_two_copies_of_a_run_the_loser_exits_without_a_call_and_without_a_word(film: Film) -> None:
    film.with_scenes(2).ready_for(VOICES)
    film.control.add_fault("hold_call", times=-1, hold_seconds=300)  # released below, however slow the machine is
    winner = await film.program(VOICES, pod="pod-1").start()
    await film.server.until(lambda: "run-1" in film.server.holders)
    loser = await film.run(VOICES, pod="pod-2")
    assert loser.code == ExitCode.NOT_PERMITTED
    assert loser.report.failure is not None
    assert "another pod" in loser.report.failure.message
    assert film.server.finals == []
    film.control.clear_faults()
    film.control.release()
    assert (await winner.end()).code == ExitCode.DONE
    assert len(film.control.bill()["entries"]) == 2


@pytest.mark.parametrize("step", Step)
async def test_a_step_asks_for_its_permit_before_it_loads_its_media_libraries(film: Film, step: Step) -> None:
    film.server.holders["run-1"] = "another pod's token"
    ended = await film.program(step, run_id="run-1", env={"PYTHONPROFILEIMPORTTIME": "1"}).run()
    assert ended.code == ExitCode.NOT_PERMITTED
    loaded = set(re.findall(r"\| +([a-z]+)$", ended.stderr, re.MULTILINE))
    assert "httpx" in loaded
    assert not loaded & {"av", "imageio_ffmpeg", "numpy", "scipy"}


async def test_a_second_run_on_the_same_volume_waits_for_the_first_and_pays_for_nothing(film: Film) -> None:
    """The lock on the volume is the second guard, should the operator ever permit two runs."""
    film.with_scenes(1).ready_for(VOICES)
    film.control.add_fault("hold_call")
    first = await film.program(VOICES, run_id="run-1").start()
    await film.server.until(lambda: bool(film.server.progress))
    second = await film.program(VOICES, run_id="run-2").start()
    await film.server.until(lambda: "run-2" in film.server.holders)
    film.control.release()
    assert (await first.end()).code == ExitCode.DONE
    ended = await second.end()
    assert (ended.code, ended.report.kept) == (ExitCode.DONE, 1)
    assert len(film.control.bill()["entries"]) == 1


async def test_sigterm_lets_the_call_under_way_finish_and_begins_no_other(film: Film) -> None:
    film.with_scenes(4).ready_for(VOICES)
    film.control.add_fault("hold_call", match={"prompt_contains": "Part 2"})
    program = await film.program(VOICES, run_id="run-1", concurrency=1).start()
    await film.server.until(lambda: film.server.progress[-1:] != [] and film.server.progress[-1].done == 1)
    program.signal(signal.SIGTERM)
    film.control.release()
    ended = await program.end()
    assert ended.code == ExitCode.INTERRUPTED
    assert (ended.report.outcome, ended.report.done, ended.report.total) == ("failed", 2, 4)
    assert film.possibly(VOICES) == 0
    again = await film.run(VOICES, run_id="run-2")
    assert (again.code, again.report.kept) == (ExitCode.DONE, 2)
    assert len(film.control.bill()["entries"]) == 4


async def test_sigterm_stops_polling_at_once_and_the_next_run_asks_for_the_job(film: Film) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    film.control.add_fault("slow_job", seconds=8, clip_seconds=8, extra_seconds=8)
    program = await film.program(CLIPS, run_id="run-1").start()
    await film.server.until(lambda: bool(film.operations("poll")))
    program.signal(signal.SIGTERM)
    ended = await program.end(seconds=10)
    assert ended.code == ExitCode.INTERRUPTED
    assert [record.kind for record in film.ledger(CLIPS).records] == [RecordKind.INTENT, RecordKind.ACCEPTED]
    again = await film.run(CLIPS, run_id="run-2")
    assert again.code == ExitCode.DONE
    assert len(film.control.bill()["entries"]) == 1


@pytest.mark.parametrize("directive", [Directive.SUSPEND, Directive.STOP])
async def test_the_operators_word_stops_a_run_as_sigterm_does(film: Film, directive: Directive) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    film.control.add_fault("stuck_job")
    program = await film.program(CLIPS).start()
    await film.server.until(lambda: bool(film.server.progress))
    film.server.answer = Answer(directive=directive, reason="a person asked the task to stop")
    ended = await program.end(seconds=30)
    assert ended.code == ExitCode.INTERRUPTED
    assert ended.report.failure is not None
    assert "a person asked the task to stop" in ended.report.failure.message


async def test_a_run_that_is_closed_already_begins_nothing(film: Film) -> None:
    film.with_scenes(1).ready_for(VOICES)
    film.server.answer = Answer(directive=Directive.STOP, reason="the run is closed")
    ended = await film.run(VOICES)
    assert ended.code == ExitCode.NOT_PERMITTED
    assert film.control.calls() == []


async def test_the_budget_stops_before_the_call_that_could_pass_it_and_says_who_can_raise_it(film: Film) -> None:
    film.with_scenes(4).ready_for(CLIPS)
    one_clip_usd = Decimal("0.042") * 5
    ended = await film.run(CLIPS, run_id="run-1", concurrency=1, reservation_usd=one_clip_usd * Decimal("2.5"))
    failure = ended.report.failure
    assert failure is not None
    assert (failure.failure_class, ended.code) == (FailureClass.OVER_BUDGET, ExitCode.OVER_BUDGET)
    assert "0.2625" in failure.message
    assert "spec.budgetUSD" in failure.message
    # The first is settled at 0.21, so that a second fits beside it; a third could pass.
    assert film.control.total_usd() == one_clip_usd * 2
    assert ended.report.spent_usd == one_clip_usd * 2


async def test_money_reserved_for_calls_under_way_keeps_others_from_beginning(film: Film) -> None:
    film.with_scenes(4).ready_for(CLIPS)
    ended = await film.run(CLIPS, concurrency=4, reservation_usd=Decimal("0.53"))
    assert ended.code == ExitCode.OVER_BUDGET
    assert len(film.control.bill()["entries"]) == 2


async def test_a_raised_reservation_takes_effect_with_the_permit(film: Film) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    film.server.answer = Answer(concurrency=1, reservation_usd=Decimal(1))
    ended = await film.run(CLIPS, reservation_usd=Decimal(0))
    assert ended.code == ExitCode.DONE, ended.stderr


async def test_the_granted_concurrency_is_never_passed(film: Film) -> None:
    film.with_scenes(5).ready_for(VOICES)
    film.server.answer = Answer(concurrency=2)
    before = film.control.in_flight()["elevenlabs/elevenlabs-demo"]["high_water"]
    assert before == {}
    ended = await film.run(VOICES, concurrency=5)
    assert ended.code == ExitCode.DONE
    assert max(film.control.in_flight()["elevenlabs/elevenlabs-demo"]["high_water"].values()) <= 2


async def test_progress_goes_from_nothing_to_all_and_never_back(film: Film) -> None:
    film.with_scenes(4).ready_for(VOICES)
    for part in (2, 3):  # each held for longer than reports are apart
        film.control.add_fault("hold_call", match={"prompt_contains": f"Part {part}"})
    ended = await film.run(VOICES, concurrency=1)
    assert ended.code == ExitCode.DONE
    told = [progress.done for progress in film.server.progress]
    assert told == sorted(told)
    assert len(set(told)) >= 3
    assert {progress.total for progress in film.server.progress} == {4}
    spent = [progress.spent_usd for progress in film.server.progress]
    assert spent == sorted(spent)
    assert max(spent) > 0
    assert film.server.finals[-1].spent_usd >= max(spent)


async def test_the_price_that_is_shown_never_goes_back_while_calls_are_under_way(film: Film) -> None:
    film.with_scenes(3).ready_for(CLIPS)
    film.control.add_fault("slow_job", seconds=3)  # so that progress is told while two are settled and one is not
    ended = await film.run(CLIPS, concurrency=3)
    assert ended.code == ExitCode.DONE
    spent = [progress.spent_usd for progress in film.server.progress]
    assert spent == sorted(spent)
    assert max(spent) <= film.control.total_usd()


async def test_when_nobody_hears_the_last_word_it_stands_as_termination_message(film: Film) -> None:
    film.with_scenes(1).ready_for(VOICES)
    film.control.add_fault("hold_call")
    program = await film.program(VOICES).start()
    await film.server.until(lambda: bool(film.server.progress))
    film.server.is_away = True
    film.control.release()
    ended = await program.end(seconds=30)
    assert ended.code == ExitCode.DONE
    assert (ended.report.outcome, ended.report.done) == ("done", 1)
    assert len(ended.report.spend) == 1
    assert film.server.finals == []


async def test_a_permit_is_waited_for_while_the_operator_is_away(film: Film) -> None:
    film.with_scenes(1).ready_for(VOICES)
    film.server.is_away = True
    program = await film.program(VOICES).start()
    await film.server.until(lambda: film.server.requests >= 3)
    assert film.control.calls() == []
    film.server.is_away = False
    assert (await program.end()).code == ExitCode.DONE


async def test_sigterm_before_the_permit_ends_the_run_with_nothing_done(film: Film) -> None:
    film.with_scenes(1).ready_for(VOICES)
    film.server.is_away = True
    program = await film.program(VOICES).start()
    await film.server.until(lambda: film.server.requests >= 1)
    program.signal(signal.SIGTERM)
    assert (await program.end(seconds=20)).code == ExitCode.INTERRUPTED
    assert film.control.calls() == []


async def test_sigterm_in_the_first_moment_is_not_lost(film: Film) -> None:
    """As PID 1 a program without a handler would never hear it; here it must not die by it without a report."""
    film.with_scenes(1).ready_for(VOICES)
    program = await film.program(VOICES).start()
    await program.until_it_handles_sigterm()
    program.signal(signal.SIGTERM)
    ended = await program.end(seconds=30)
    assert ended.code == ExitCode.INTERRUPTED
    assert ended.report.failure is not None
    assert film.control.calls() == []


async def test_the_task_of_another_step_is_refused_by_both_names(film: Film) -> None:
    film.with_scenes(1).ready_for(VOICES)
    program = film.program(VOICES)
    await program.start(program_of=Step.SFX_GENERATION)
    ended = await program.end()
    assert ended.code == ExitCode.BAD_INPUT
    assert ended.report.failure is not None
    assert "sfx_generation" in ended.report.failure.message
    assert "narration_generation" in ended.report.failure.message
    assert film.control.calls() == []


async def test_a_storyboard_changed_behind_the_records_back_is_refused(film: Film) -> None:
    film.with_scenes(1).ready_for(VOICES)
    ended = await film.run(VOICES, storyboard_sha256="0" * 64)
    assert ended.code == ExitCode.BAD_INPUT
    assert film.control.calls() == []
