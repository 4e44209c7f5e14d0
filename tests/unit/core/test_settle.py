from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.builders import NOON, RULES, a_failed_report, a_record, a_report, a_run

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Certainty, Failure, Film, Spend
from videotask_contract.steps import STEPS, Gate, Step
from videotask_operator.core.draft import Draft
from videotask_operator.core.model import DeleteRun, RunOutcome
from videotask_operator.core.settle import lose_run, settle_report, wait_for_retry


def settle(run, report, *, record=None, others=()):
    record = record or a_record(phase=_working(run.step), step=run.step, last_run_number=run.number)
    draft = Draft(record=record, runs={each.run_id: each for each in (*others, run)}, now=NOON)
    settle_report(draft, run, report, rules=RULES.retry)
    return draft


def _working(step):
    return next(traits.working for traits in STEPS if traits.step is step)


@pytest.mark.parametrize("traits", STEPS, ids=lambda traits: traits.step.value)
def test_a_done_report_makes_the_step_ready_and_names_the_next(traits):
    draft = settle(a_run(step=traits.step), a_report(a_run(step=traits.step)))
    assert draft.record.phase is traits.ready
    assert draft.runs["run1"].outcome is RunOutcome.DONE
    order = [each.step for each in STEPS]
    following = order[order.index(traits.step) + 1 :]
    assert draft.record.step == (following[0] if following else None)


def test_done_is_believed_only_for_all_items():
    draft = settle(a_run(), a_report(a_run(), done=1))
    assert draft.record.phase is Phase.GENERATING_ASSETS
    assert draft.record.step_attempt == 2
    assert "only 1 of 2" in draft.record.message


def test_a_closed_run_stays_as_it_was():
    run = a_run(closed_at=NOON, outcome=RunOutcome.LOST)
    draft = settle(run, a_report(run))
    assert not draft.transitions
    assert not draft.changed_runs


def test_the_counts_stand_in_the_metadata():
    draft = settle(a_run(), a_report(a_run()))
    assert draft.record.step_completion_metadata == {"assets_generated": 2, "total_assets": 2}


def test_counts_of_a_failed_run_stand_there_too():
    failure = Failure(failure_class=FailureClass.TRANSIENT, message="Gemini 503")
    draft = settle(a_run(), a_failed_report(a_run(), failure))
    assert draft.record.step_completion_metadata == {"assets_generated": 1, "total_assets": 2}
    assert "attempt 2 of 5" in draft.record.message
    assert "Gemini 503" in draft.record.message


def test_kept_items_are_told_with_their_dollars_in_the_event_and_the_message():
    report = a_report(a_run(), kept=2, kept_usd=Decimal("0.0672"))
    draft = settle(a_run(), report)
    words = "2 images kept, 0.07 dollars not paid again"
    assert [(event.type, event.reason, event.message) for event in draft.events] == [("Normal", "ItemsKept", words)]
    assert draft.record.message == "2 images done; 2 images kept, 0.07 dollars not paid again"


def test_the_next_attempt_is_told_with_its_number_its_time_and_the_providers_words():
    failure = Failure(failure_class=FailureClass.TRANSIENT, message="Kling 503: busy", retry_after_seconds=840)
    run = a_run(step=Step.VIDEO_GENERATION)
    record = a_record(phase=Phase.GENERATING_VIDEO, step=Step.VIDEO_GENERATION, step_attempt=2)
    draft = settle(run, a_failed_report(run, failure), record=record)
    assert draft.record.message == "attempt 3 of 5 at 12:14 UTC: Kling 503: busy"
    assert draft.record.waiting_reason == "RetryLater"


def test_done_without_a_single_item_is_not_done():
    draft = settle(a_run(), a_report(a_run(), done=0, total=0))
    assert draft.record.phase is Phase.GENERATING_ASSETS
    assert draft.runs["run1"].outcome is RunOutcome.FAILED


def test_a_written_storyboard_is_put_on_show_before_the_first_image():
    run = a_run(storyboard_only=True, total=0)
    draft = settle(run, a_report(run, done=0, total=0, storyboard_sha256="ab" * 32))
    assert draft.record.phase is Phase.GENERATING_ASSETS
    assert (draft.record.step, draft.record.storyboard_sha256) == (Step.ASSET_GENERATION, "ab" * 32)
    assert (draft.record.review_gate, draft.record.review_round) == (Gate.STORYBOARD, 1)
    assert draft.runs["run1"].outcome is RunOutcome.DONE


def test_a_storyboard_run_that_wrote_none_is_not_put_on_show():
    run = a_run(storyboard_only=True, total=0)
    draft = settle(run, a_report(run, done=0, total=0))
    assert draft.record.review_gate is None
    assert draft.record.waiting_reason == "RetryScheduled"


def test_the_assembly_puts_the_film_on_show_in_a_new_round():
    run = a_run(step=Step.VIDEO_ASSEMBLY)
    film = Film(path="film.mp4", duration_seconds=90.5, size_bytes=10, sha256="ab", loudness_lufs=-14)
    record = a_record(phase=Phase.ASSEMBLING, step=Step.VIDEO_ASSEMBLY, review_round=2)
    draft = settle(run, a_report(run, film=film), record=record)
    assert draft.record.phase is Phase.FINAL_REVIEW
    assert (draft.record.review_gate, draft.record.review_round) == (Gate.FINAL, 3)
    assert draft.record.film.path == "projects/film-11111111/film.mp4"
    assert draft.record.waiting_reason == "AwaitingApproval"


@pytest.mark.parametrize(
    ("failure_class", "phase"),
    [
        (FailureClass.REFUSED, Phase.ASSET_ERROR),
        (FailureClass.ACCOUNT, Phase.ASSET_ERROR),
        (FailureClass.OVER_BUDGET, Phase.BUDGET_EXCEEDED),
        (FailureClass.TRANSIENT, Phase.GENERATING_ASSETS),
        (FailureClass.INTERRUPTED, Phase.GENERATING_ASSETS),
    ],
)
def test_the_failure_class_decides_the_phase(failure_class, phase):
    failure = Failure(failure_class=failure_class, message="why")
    assert settle(a_run(), a_failed_report(a_run(), failure)).record.phase is phase


def test_an_interruption_a_person_asked_for_is_no_failure():
    run = a_run(stop_requested_at=NOON)
    failure = Failure(failure_class=FailureClass.INTERRUPTED, message="stopped")
    draft = settle(run, a_failed_report(run, failure))
    assert draft.runs["run1"].outcome is RunOutcome.STOPPED
    assert (draft.record.lost_runs, draft.record.step_attempt) == (0, 1)


def test_a_report_speaks_for_the_killed_runs_before_it():
    killed = a_run(number=1, closed_at=NOON, outcome=RunOutcome.LOST)
    run = a_run(number=2)
    line = Spend(
        call_id="c1", run_id="run1", item="harbour", model="m", amount_usd=Decimal("0.03"),
        certainty=Certainty.SETTLED, at=NOON,
    )  # fmt: skip
    draft = settle(run, a_report(run, spend=(line,)), others=[killed])
    assert draft.runs["run1"].ledger_read
    assert draft.runs["run1"].spent_usd == Decimal("0.03")


def test_a_report_cut_to_fit_a_termination_message_gives_the_sum_in_place_of_the_reservation():
    permitted = a_run(number=2, permitted_at=NOON, permitted_pod_uid="pod")
    killed = a_run(number=1, closed_at=NOON, outcome=RunOutcome.LOST)
    draft = settle(permitted, a_report(permitted, cut=True, spent_usd=Decimal("0.05")), others=[killed])
    assert draft.runs["run2"].ledger_read
    assert draft.runs["run2"].spent_usd == Decimal("0.05")
    assert not draft.runs["run1"].ledger_read


def test_a_report_speaks_for_the_runs_of_its_own_step_alone():
    other = a_run(number=1, step=Step.VIDEO_GENERATION, closed_at=NOON, spent_usd=Decimal("0.42"))
    read = a_run(number=2, closed_at=NOON, spent_usd=Decimal("0.02"), ledger_read=True)
    draft = settle(a_run(number=3), a_report(a_run(number=3)), others=[other, read])
    assert (draft.runs["run1"], draft.runs["run2"]) == (other, read)


def test_a_report_that_says_done_and_names_a_failure_is_not_done():
    failure = Failure(failure_class=FailureClass.REFUSED, message="SAFETY", item="hero-1")
    draft = settle(a_run(), a_report(a_run(), failure=failure))
    closed = draft.runs["run1"]
    assert (draft.record.phase, closed.outcome, closed.failure_item) == (Phase.ASSET_ERROR, RunOutcome.FAILED, "hero-1")
    assert (draft.record.error, draft.record.message) == ("asset_generation: SAFETY", "asset_generation: SAFETY")


def test_what_earlier_steps_and_assemblies_made_stays_in_the_record():
    film = Film(path="film.mp4", duration_seconds=90.5, size_bytes=10, sha256="ab", loudness_lufs=-14)
    run = a_run(step=Step.VIDEO_ASSEMBLY)
    record = a_record(phase=Phase.ASSEMBLING, step=Step.VIDEO_ASSEMBLY, storyboard_sha256="cd")
    shown = settle(run, a_report(run, film=film), record=record).record
    assert shown.storyboard_sha256 == "cd"
    again = a_run(step=Step.SFX_GENERATION)
    redone = replace(shown, phase=Phase.GENERATING_SFX, step=Step.SFX_GENERATION, review_gate=None)
    assert settle(again, a_report(again), record=redone).record.film == shown.film


def test_the_words_of_a_wait_are_those_of_the_latest_failure_of_its_step():
    said = {"closed_at": NOON, "outcome": RunOutcome.FAILED}
    first = a_run(number=1, failure_message="Gemini 500", **said)
    other = a_run(number=2, step=Step.VIDEO_GENERATION, failure_message="Kling 503", **said)
    failure = Failure(failure_class=FailureClass.TRANSIENT, message="Gemini 503")
    run = a_run(number=3)
    draft = settle(run, a_failed_report(run, failure), others=[first, other])
    assert draft.record.message.endswith(": Gemini 503")
    later = replace(draft.record, step=Step.VIDEO_GENERATION)
    waiting = Draft(record=later, runs=draft.runs, now=NOON)
    wait_for_retry(waiting, max_attempts=5)
    assert waiting.record.message.endswith(": Kling 503")


def test_a_run_that_was_lost_leaves_no_job_and_is_forgotten_once_an_attempt_is_counted():
    run = a_run()
    record = a_record(phase=Phase.GENERATING_ASSETS, step=Step.ASSET_GENERATION, lost_runs=2)
    draft = Draft(record=record, runs={run.run_id: run}, now=NOON)
    lose_run(draft, run, message="its Job is gone", rules=RULES.retry)
    assert (draft.actions, draft.record.lost_runs, draft.again) == ([DeleteRun(job_name=run.job_name)], 3, True)
    failure = Failure(failure_class=FailureClass.TRANSIENT, message="Gemini 503")
    counted = settle(a_run(number=2), a_failed_report(a_run(number=2), failure), record=draft.record)
    assert (counted.record.lost_runs, counted.record.step_attempt) == (0, 2)


def an_early_report(run):
    failure = Failure(failure_class=FailureClass.NETWORK, message="no start permit")
    return a_report(run, outcome="failed", done=0, total=0, cut=True, failure=failure)


def test_a_run_that_never_opened_its_ledger_speaks_for_no_killed_run_before_it():
    killed = a_run(number=1, closed_at=NOON, outcome=RunOutcome.LOST)
    draft = settle(a_run(number=2), an_early_report(a_run(number=2)), others=[killed])
    assert not draft.runs["run1"].ledger_read


def test_only_a_run_that_got_no_permit_is_sure_to_have_paid_nothing():
    draft = settle(a_run(), an_early_report(a_run()))
    assert draft.runs["run1"].ledger_read
    permitted = a_run(permitted_at=NOON, permitted_pod_uid="another pod")
    assert not settle(permitted, an_early_report(permitted)).runs["run1"].ledger_read


def test_a_report_from_before_the_ledger_was_open_forgets_no_money_that_was_told_before():
    run = a_run(permitted_at=NOON, permitted_pod_uid="pod", spent_usd=Decimal("0.05"))
    closed = settle(run, an_early_report(run)).runs["run1"]
    assert (closed.spent_usd, closed.ledger_read) == (Decimal("0.05"), False)


def test_a_storyboard_of_a_run_that_failed_is_not_put_on_show():
    run = a_run(storyboard_only=True, total=0)
    failure = Failure(failure_class=FailureClass.TRANSIENT, message="Gemini 503")
    report = a_report(run, outcome="failed", done=0, total=0, storyboard_sha256="ab" * 32, failure=failure)
    draft = settle(run, report)
    assert (draft.record.review_gate, draft.record.storyboard_sha256) == (None, None)
    assert draft.runs["run1"].outcome is RunOutcome.FAILED


def test_a_run_that_never_began_to_count_leaves_the_counts_as_they_were():
    run = a_run(done=1, total=2)
    record = a_record(phase=Phase.GENERATING_ASSETS, step_completion_metadata={"assets_generated": 1})
    draft = settle(run, an_early_report(run), record=record)
    assert (draft.runs["run1"].done, draft.runs["run1"].total) == (1, 2)
    assert draft.record.step_completion_metadata == {"assets_generated": 1}


def runs_into_limits(done_of_runs, *, total, failure_class=FailureClass.RATE_LIMITED, record=None):
    """Settle one run after another, each stopped by a limit with so many items done; return the last draft."""
    record = record or a_record(phase=Phase.GENERATING_ASSETS, step=Step.ASSET_GENERATION)
    runs, draft = [], None
    for number, done in enumerate(done_of_runs, start=1):
        run = a_run(number=number, total=total)
        failure = Failure(failure_class=failure_class, message="429 slow down", retry_after_seconds=50)
        report = a_report(run) if done == total else a_failed_report(run, failure, done=done)
        draft = settle(run, report, record=record, others=runs)
        runs, record = list(draft.runs.values()), draft.record
    return draft


@pytest.mark.parametrize("failure_class", [FailureClass.RATE_LIMITED, FailureClass.DAILY_QUOTA])
def test_a_limit_after_every_third_image_ends_with_all_of_them(failure_class):
    draft = runs_into_limits([*range(3, 22, 3), 22], total=22, failure_class=failure_class)
    assert draft.record.phase is Phase.ASSETS_READY
    waits = runs_into_limits(range(3, 22, 3), total=22, failure_class=failure_class)
    assert waits.record.next_attempt_at == NOON + timedelta(seconds=50), "a run that got on waits as it was told"


def test_a_limit_that_lets_nothing_more_through_ends_at_the_fifth_attempt_whatever_was_lost_and_made_again():
    assert runs_into_limits([3, 3, 3, 3], total=22).record.phase is Phase.GENERATING_ASSETS
    assert runs_into_limits([3, 3, 3, 3, 3], total=22).record.phase is Phase.ASSET_ERROR
    assert runs_into_limits([3, 1, 3, 1, 3], total=22).record.phase is Phase.ASSET_ERROR
    assert runs_into_limits([3, 3, 3, 4, 4, 4, 4], total=22).record.phase is Phase.GENERATING_ASSETS


def test_other_failures_use_up_attempts_though_items_are_made():
    draft = runs_into_limits([3, 6, 9, 12, 15], total=22, failure_class=FailureClass.TRANSIENT)
    assert draft.record.phase is Phase.ASSET_ERROR
