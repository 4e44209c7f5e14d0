from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.builders import (
    NOON,
    RULES,
    UID,
    a_channel,
    a_job,
    a_pod,
    a_record,
    a_report,
    a_resource,
    a_run,
    a_situation,
    a_storyboard,
)

from videotask_contract.errors import FailureClass
from videotask_contract.phases import ERRORS, TERMINAL, Phase
from videotask_contract.report import Failure, FinalReport
from videotask_contract.steps import Gate, Step
from videotask_operator.core.admission import holds_place
from videotask_operator.core.decide import decide, warn_of_long_film
from videotask_operator.core.model import Claim, CreateRun, DeleteRun, EarlierFilms, Money, Plan, RunOutcome


def plan_of(situation: a_situation) -> Plan:
    plan = decide(situation.build())
    assert plan is not None
    return plan


class TestBeginning:
    def test_a_new_resource_is_queued(self):
        plan = plan_of(a_situation())
        assert plan.record.phase is Phase.QUEUED
        assert [line.after for line in plan.transitions] == [Phase.QUEUED]
        assert not plan.actions

    def test_nothing_is_recorded_of_a_resource_that_is_absent_or_being_deleted(self):
        assert decide(a_situation().with_resource(None).build()) is None
        assert decide(a_situation().with_resource(replace(a_resource(), deleting=True)).build()) is None

    @pytest.mark.parametrize("phase", [Phase.COMPLETED, Phase.CANCELLED, Phase.FAILED])
    def test_a_terminal_status_without_a_record_stays_terminal(self, phase):
        plan = plan_of(a_situation().with_resource(a_resource(status={"phase": phase.resource})))
        assert plan.record.phase is phase

    def test_a_lost_record_never_starts_paid_work_by_itself(self):
        lost = a_situation().with_resource(a_resource(status={"phase": "GeneratingVideo"}))
        record = plan_of(lost).record
        assert record.phase is Phase.SUSPENDED
        again = plan_of(a_situation().with_record(**_fields(record)).but(admitted=True))
        assert again.record.phase is Phase.SUSPENDED
        assert not again.actions

    @pytest.mark.parametrize("attempt", [1, 2, 7])
    def test_a_word_that_was_given_before_its_record_was_lost_starts_nothing_either(self, attempt):
        resource = a_resource(attempt=attempt, status={"phase": "GeneratingVideo"})
        record = plan_of(a_situation().with_resource(resource)).record
        again = plan_of(a_situation(attempt=attempt).with_record(**_fields(record)).but(admitted=True))
        assert (again.record.phase, again.record.attempt, again.actions) == (Phase.SUSPENDED, attempt, ())
        word = plan_of(a_situation(attempt=attempt + 1).with_record(**_fields(record)).but(admitted=True))
        assert word.record.phase is Phase.QUEUED

    def test_a_lost_record_starts_nothing_because_its_spec_was_mended(self):
        resource = a_resource(status={"phase": "GeneratingVideo"})
        lost = plan_of(a_situation().with_resource(resource)).record
        broken = replace(resource, spec=None, spec_error="title: x")
        held = plan_of(a_situation().with_resource(broken).with_record(**_fields(lost))).record
        mended = plan_of(a_situation().with_record(**_fields(held)))
        assert mended.record.phase is Phase.SUSPENDED

    def test_a_mended_spec_is_no_longer_called_broken(self):
        record = {"phase": Phase.VIDEO_ERROR, "step": Step.VIDEO_GENERATION, "error": "scene 2: SAFETY"}
        broken = replace(a_resource(), spec=None, spec_error="title: x")
        held = plan_of(a_situation().with_resource(broken).with_record(**record)).record
        assert held.waiting_reason == "InvalidSpec"
        mended = plan_of(a_situation().with_record(**_fields(held))).record
        assert (mended.waiting_reason, mended.message) == (None, "scene 2: SAFETY")

    def test_a_lost_record_goes_on_at_a_persons_word(self):
        lost = plan_of(a_situation().with_resource(a_resource(status={"phase": "GeneratingVideo"}))).record
        plan = plan_of(a_situation(attempt=2).with_record(**_fields(lost)))
        assert plan.record.phase is Phase.QUEUED


class TestALostRecord:
    """The database was lost while Jobs of the film went on."""

    LEFT = a_run(number=7, step=Step.NARRATION_GENERATION)

    def test_the_numbers_of_runs_go_on_after_those_of_its_jobs(self):
        resource = a_resource(status={"phase": "GeneratingAudio"})
        plan = plan_of(a_situation().with_resource(resource).seeing(a_job(self.LEFT)))
        assert (plan.record.phase, plan.record.last_run_number) == (Phase.SUSPENDED, 7)

    def test_its_jobs_are_ended(self):
        situation = a_situation().with_record(phase=Phase.SUSPENDED).seeing(a_job(self.LEFT), a_pod(self.LEFT))
        assert plan_of(situation).actions == (DeleteRun(job_name=self.LEFT.job_name),)
        again = a_situation().with_record(phase=Phase.SUSPENDED).seeing(a_job(self.LEFT, deleting=True))
        assert not plan_of(again).actions

    def test_nothing_begins_while_one_of_its_pods_is_at_work(self):
        situation = a_situation().with_record(phase=Phase.CLAIMED).seeing(a_pod(self.LEFT))
        plan = plan_of(situation)
        assert not plan.runs
        assert plan.look_again_at is not None
        ended = a_situation().with_record(phase=Phase.CLAIMED).seeing(a_pod(self.LEFT, running=False, finished=True))
        assert plan_of(ended).runs

    def test_a_job_of_another_resource_of_this_name_is_let_be(self):
        other = replace(self.LEFT, job_name="film-narration-generation-7-99999999")
        situation = a_situation().with_record(phase=Phase.SUSPENDED).seeing(a_job(other), a_pod(other))
        assert not plan_of(situation).actions


class TestTheQueue:
    def test_a_task_waits_until_it_is_admitted(self):
        plan = plan_of(a_situation().with_record())
        assert plan.record.phase is Phase.QUEUED
        assert plan.record.waiting_reason == "WaitingForTurn"

    def test_an_admitted_task_is_claimed_and_its_clock_starts(self):
        plan = plan_of(a_situation().with_record().but(admitted=True))
        assert plan.record.phase is Phase.CLAIMED
        assert plan.record.claimed_at == plan.record.pipeline_start_time == NOON
        assert plan.again

    @pytest.mark.parametrize(
        ("situation", "reason", "words"),
        [
            (a_situation().with_channel(None), "ChannelNotFound", "spec.channelRef.name"),
            (
                a_situation().with_channel(replace(a_channel(), spec=None, spec_error="voice: missing")),
                "ChannelInvalid",
                "voice: missing",
            ),
            (a_situation(quality={"imageModel": "no-such-model"}), "NoPrice", "no-such-model"),
            (
                a_situation().but(earlier=EarlierFilms(cost_usd=Decimal("4.20"), attempt=1)),
                "EarlierFilm",
                "4.20 dollars",
            ),
            (a_situation().with_resource(replace(a_resource(), spec=None, spec_error="title: x")), "InvalidSpec", "x"),
        ],
    )
    def test_what_a_person_must_mend_is_said_and_nothing_starts(self, situation, reason, words):
        plan = plan_of(situation.with_record().but(admitted=True))
        assert plan.record.phase is Phase.QUEUED
        assert plan.record.waiting_reason == reason
        assert words in plan.record.message
        assert plan.record.last_run_number == 0
        assert [event.reason for event in plan.events] == [reason]
        assert not plan_of(situation.with_record()).wants_turn

    def test_what_holds_a_task_up_is_an_event_once(self):
        plan = plan_of(a_situation().with_channel(None).with_record(waiting_reason="ChannelNotFound"))
        assert not plan.events

    def test_speech_too_long_for_its_clip_is_refused_before_anything_is_paid(self):
        board = a_storyboard()
        board["scenes"][1]["narration"] = "word " * 59
        plan = plan_of(a_situation(storyboard=board).with_record().but(admitted=True))
        assert plan.record.waiting_reason == "NarrationTooLong"
        assert "scene-2" in plan.record.message

    def test_a_recreated_resource_goes_on_with_a_persons_word(self):
        plan = plan_of(
            a_situation(attempt=2)
            .with_record()
            .but(admitted=True, earlier=EarlierFilms(cost_usd=Decimal(4), attempt=1))
        )
        assert plan.record.phase is Phase.CLAIMED

    def test_the_estimate_stands_before_the_first_call(self):
        plan = plan_of(a_situation().with_record())
        # 2 images, 2 clips of 10 s, 2 narrations of 49 characters, 2 effects
        expected = 2 * Decimal("0.0336") + 2 * Decimal("0.42") + 2 * 48 * Decimal("0.0001") + 2 * Decimal("0.12")
        assert plan.record.estimated_cost_usd == pytest.approx(expected, abs=Decimal("0.001"))


class TestOpeningRuns:
    def test_a_claimed_task_opens_its_first_run(self):
        plan = plan_of(a_situation().with_record(phase=Phase.CLAIMED))
        (run,) = plan.runs
        assert (run.number, run.step, run.is_open) == (1, Step.ASSET_GENERATION, True)
        assert plan.record.phase is Phase.GENERATING_ASSETS
        (action,) = plan.actions
        assert isinstance(action, CreateRun)
        assert action.order.task_file.run_id == run.run_id == "fresh"
        assert action.order.task_file.storyboard is not None
        assert action.order.secret_name == "gemini-key"

    def test_later_steps_read_the_storyboard_from_the_volume(self):
        record = {"phase": Phase.COMPOSITES_READY, "step": Step.VIDEO_GENERATION, "storyboard_sha256": "abc"}
        (action,) = plan_of(a_situation().with_record(**record)).actions
        assert action.order.task_file.storyboard is None
        assert action.order.task_file.storyboard_sha256 == "abc"

    def test_run_numbers_are_never_reused(self):
        old = a_run(number=3, closed_at=NOON, outcome=RunOutcome.LOST)
        record = {"phase": Phase.GENERATING_ASSETS, "last_run_number": 3}
        (run,) = plan_of(a_situation().with_record(**record).with_runs(old)).runs
        assert run.number == 4

    def test_job_names_fit_63_characters(self):
        long = "a-very-long-name-" * 10
        task = a_resource(name=long[:200].rstrip("-"))
        record = replace(a_record(phase=Phase.VIDEO_READY, step=Step.NARRATION_GENERATION), name=task.key.name)
        situation = replace(a_situation().with_resource(task).build(), record=record)
        plan = decide(situation)
        assert plan is not None
        (run,) = plan.runs
        assert len(run.job_name) <= 63
        assert run.job_name.endswith("-narration-generation-1-11111111")

    def test_a_scheduled_retry_waits_for_its_time(self):
        at = NOON + timedelta(minutes=5)
        record = {"phase": Phase.GENERATING_ASSETS, "next_attempt_at": at, "waiting_reason": "RetryScheduled"}
        plan = plan_of(a_situation().with_record(**record))
        assert not plan.actions
        assert plan.look_again_at == at
        assert plan.record.waiting_reason == "RetryScheduled"
        plan = plan_of(a_situation().with_record(**record).after(301))
        assert len(plan.actions) == 1
        assert plan.record.next_attempt_at is None

    def test_a_model_without_a_price_in_mid_film_is_said_and_waits(self):
        situation = a_situation(quality={"imageModel": "no-such-model"}).with_record(phase=Phase.ASSETS_READY)
        plan = plan_of(situation)
        assert plan.record.waiting_reason == "NoPrice"
        assert "no-such-model" in plan.record.message
        assert plan.look_again_at is not None
        assert not plan.actions

    def test_concurrency_is_what_the_account_has_left(self):
        channel = a_channel(
            credentials={
                name: {"secretRef": {"name": name}, "concurrency": 5} for name in ("gemini", "kling", "elevenlabs")
            },
        )
        situation = a_situation().with_channel(channel).with_record(phase=Phase.CLAIMED)
        other = Claim(claimant="other", since=NOON, wanted=9, held=4)
        assert plan_of(situation.but(slot_claims=(other,))).runs[0].concurrency == 1
        full = plan_of(situation.but(slot_claims=(replace(other, held=5),)))
        assert not full.runs
        assert full.slot_claim == Claim(claimant=UID, since=NOON, wanted=2)
        assert full.record.waiting_reason == "WaitingForSlot"
        assert full.record.step_attempt == 1


class TestMoney:
    def test_a_run_reserves_its_upper_bound(self):
        (run,) = plan_of(a_situation().with_record(phase=Phase.CLAIMED)).runs
        assert run.reserved_usd == 2 * Decimal("0.0336") * Decimal("1.25")

    def test_a_run_never_reserves_more_than_the_cap_leaves(self):
        situation = a_situation(budgetUSD="1.00").with_record(phase=Phase.CLAIMED)
        (run,) = plan_of(situation.but(money=Money(task_spent_usd=Decimal("0.95")))).runs
        assert run.reserved_usd == Decimal("0.05")

    def test_a_call_that_could_pass_the_tasks_cap_is_not_begun(self):
        situation = a_situation(budgetUSD="1.00").with_record(phase=Phase.CLAIMED)
        plan = plan_of(situation.but(money=Money(task_spent_usd=Decimal("0.97"))))
        assert plan.record.phase is Phase.BUDGET_EXCEEDED
        assert "spec.budgetUSD" in plan.record.message
        assert not plan.runs

    def test_the_channels_day_is_a_cap_too(self):
        money = Money(channel_day_spent_usd=Decimal(60), channel_day_reserved_usd=Decimal("39.99"))
        plan = plan_of(a_situation().with_record(phase=Phase.CLAIMED).but(money=money))
        assert plan.record.phase is Phase.BUDGET_EXCEEDED
        assert "perDayUSD" in plan.record.message

    def test_a_raised_budget_goes_on(self):
        record = {"phase": Phase.BUDGET_EXCEEDED}
        richer = a_situation(budgetUSD="2.00").with_record(**record).but(money=Money(task_spent_usd=Decimal(1)))
        waits = plan_of(richer)
        assert (waits.record.phase, waits.wants_turn, waits.runs) == (Phase.BUDGET_EXCEEDED, True, ())
        plan = plan_of(richer.but(admitted=True))
        assert plan.record.phase is Phase.GENERATING_ASSETS

    def test_a_step_that_gave_up_for_want_of_money_is_not_run_again_for_the_same_money(self):
        broke = a_run(
            closed_at=NOON,
            outcome=RunOutcome.FAILED,
            failure_class=FailureClass.OVER_BUDGET,
            failure_message="too dear",
            reserved_usd=Decimal("0.20"),
            spent_usd=Decimal("0.10"),
            ledger_read=True,
        )
        situation = a_situation(budgetUSD="1.00").with_record(phase=Phase.BUDGET_EXCEEDED).with_runs(broke)
        money = Money(task_spent_usd=Decimal("0.90"))
        assert plan_of(situation.but(money=money)).record.phase is Phase.BUDGET_EXCEEDED

    def test_a_step_that_must_make_again_what_was_done_before_gets_money_for_it(self):
        done = a_run(closed_at=NOON, outcome=RunOutcome.LOST, done=2, ledger_read=True)
        over = {"outcome": RunOutcome.FAILED, "failure_class": FailureClass.OVER_BUDGET, "ledger_read": True}
        broke = a_run(number=2, closed_at=NOON, done=1, reserved_usd=Decimal(0), **over)
        situation = a_situation().with_record(phase=Phase.BUDGET_EXCEEDED, last_run_number=2).with_runs(done, broke)
        (run,) = plan_of(situation.but(admitted=True)).runs
        assert run.reserved_usd == Decimal("0.0336") * Decimal("1.25")

    def test_reservations_of_killed_runs_that_fill_the_cap_are_looked_into_once(self):
        killed = a_run(closed_at=NOON, outcome=RunOutcome.FAILED, exit_code=137)
        record = {"phase": Phase.GENERATING_ASSETS, "last_run_number": 1}
        money = Money(task_reserved_usd=Decimal(20))
        plan = plan_of(a_situation().with_record(**record).with_runs(killed).but(money=money))
        (run,) = plan.runs
        assert (run.reserved_usd, plan.record.phase) == (Decimal(0), Phase.GENERATING_ASSETS)
        in_vain = replace(run, closed_at=NOON, outcome=RunOutcome.FAILED, failure_class=FailureClass.OVER_BUDGET)
        record["last_run_number"] = 2
        again = plan_of(a_situation().with_record(**record).with_runs(killed, in_vain).but(money=money))
        assert again.record.phase is Phase.BUDGET_EXCEEDED
        assert not again.runs


class TestAnOpenRun:
    def test_a_job_that_was_never_made_is_made_under_the_same_run(self):
        run = a_run()
        plan = plan_of(a_situation().with_record(phase=Phase.GENERATING_ASSETS, last_run_number=1).with_runs(run))
        (action,) = plan.actions
        assert isinstance(action, CreateRun)
        assert action.order.run_id == run.run_id
        assert action.order.job_name == run.job_name

    def test_a_working_pod_is_left_alone(self):
        run = a_run(job_created_at=NOON)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        plan = plan_of(situation.seeing(a_job(run), a_pod(run)))
        assert not plan.actions
        assert not plan.runs

    def test_a_termination_message_is_believed_when_no_report_came(self):
        run = a_run(job_created_at=NOON)
        message = a_report(run).model_dump_json(by_alias=True)
        pod = a_pod(run, running=False, finished=True, exit_code=0, termination_message=message)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        plan = plan_of(situation.seeing(a_job(run, active=False), pod))
        assert plan.record.phase is Phase.ASSETS_READY
        assert plan.runs[0].outcome is RunOutcome.DONE

    @pytest.mark.parametrize("message", [None, "", "{", '{"runId":"other"}'])
    def test_exit_0_without_a_report_of_this_run_is_no_proof(self, message):
        run = a_run(job_created_at=NOON)
        pod = a_pod(run, running=False, finished=True, exit_code=0, termination_message=message)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        plan = plan_of(situation.seeing(a_job(run, active=False), pod))
        assert plan.record.phase is Phase.GENERATING_ASSETS
        assert plan.runs[0].outcome is RunOutcome.LOST
        assert plan.record.step_attempt == 1
        assert plan.again

    def test_a_report_of_another_run_is_not_believed(self):
        run = a_run(job_created_at=NOON)
        foreign = FinalReport(run_id="other", step=run.step.value, outcome="done", done=2, total=2)
        pod = a_pod(run, running=False, finished=True, exit_code=0, termination_message=foreign.model_dump_json())
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        assert plan_of(situation.seeing(a_job(run, active=False), pod)).record.phase is Phase.GENERATING_ASSETS

    def test_a_job_deleted_by_hand_is_lost_and_runs_again_without_an_attempt(self):
        run = a_run(job_created_at=NOON)
        plan = plan_of(a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run))
        assert plan.runs[0].outcome is RunOutcome.LOST
        assert (plan.record.step_attempt, plan.record.lost_runs) == (1, 1)

    def test_a_run_is_not_lost_while_a_pod_of_it_lives(self):
        run = a_run(job_created_at=NOON)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        assert not plan_of(situation.seeing(a_pod(run, deleting=True))).runs

    def test_losing_a_run_six_times_consumes_an_attempt(self):
        run = a_run(job_created_at=NOON)
        plan = plan_of(a_situation().with_record(phase=Phase.GENERATING_ASSETS, lost_runs=5).with_runs(run))
        assert plan.record.step_attempt == 2
        assert plan.record.waiting_reason == "RetryScheduled"

    def test_an_evicted_pod_waits_for_its_jobs_next_one(self):
        run = a_run(job_created_at=NOON)
        gone = a_pod(run, running=False, finished=True, disrupted=True, exit_code=137)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        assert not plan_of(situation.seeing(a_job(run), gone)).runs

    def test_the_word_of_an_evicted_pod_counts_once_its_job_makes_no_other(self):
        run = a_run(job_created_at=NOON)
        ended = {"running": False, "finished": True, "disrupted": True}
        pod = a_pod(run, **ended, exit_code=0, termination_message=a_report(run).model_dump_json(by_alias=True))
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        assert plan_of(situation.seeing(a_job(run, active=False), pod)).record.phase is Phase.ASSETS_READY

    @pytest.mark.parametrize("exit_code", [1, 137])
    def test_a_crash_ends_no_run_while_another_pod_of_it_lives(self, exit_code):
        run = a_run(job_created_at=NOON)
        crashed = a_pod(run, uid="first", running=False, finished=True, exit_code=exit_code)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        plan = plan_of(situation.seeing(a_job(run), crashed, a_pod(run, uid="second", created_at=NOON)))
        assert (plan.runs, plan.actions, plan.record.step_attempt) == ((), (), 1)

    def test_a_pod_that_was_stopped_at_its_deadline_consumes_an_attempt(self):
        run = a_run(job_created_at=NOON, permitted_at=NOON, permitted_pod_uid="pod-of-run1")
        code = FailureClass.INTERRUPTED.exit_code
        pod = a_pod(run, running=False, finished=True, exit_code=code)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        plan = plan_of(situation.seeing(a_job(run, active=False, failed_reason="DeadlineExceeded"), pod))
        assert (plan.runs[0].failure_class, plan.record.step_attempt) == (FailureClass.TRANSIENT, 2)

    def test_a_crash_is_a_transient_failure(self):
        run = a_run(job_created_at=NOON)
        pod = a_pod(run, running=False, finished=True, exit_code=137)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        plan = plan_of(situation.seeing(a_job(run, active=False, failed_reason="BackoffLimitExceeded"), pod))
        assert plan.record.waiting_reason == "RetryScheduled"
        assert plan.record.next_attempt_at == NOON + timedelta(minutes=1)
        assert "137" in plan.record.message

    def test_a_run_that_never_began_consumes_nothing_at_its_deadline(self):
        run = a_run(job_created_at=NOON)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        plan = plan_of(situation.seeing(a_job(run, active=False, failed_reason="DeadlineExceeded")))
        assert (plan.record.step_attempt, plan.record.lost_runs) == (1, 0)
        assert (plan.runs[0].outcome, plan.runs[0].ledger_read) == (RunOutcome.LOST, True)
        assert plan.again

    def test_a_pod_without_the_permit_does_not_end_the_run_of_the_one_that_has_it(self):
        run = a_run(job_created_at=NOON, permitted_pod_uid="holder", permitted_at=NOON)
        failure = Failure(failure_class=FailureClass.NOT_PERMITTED, message="another pod holds the start permit")
        word = a_report(run, outcome="failed", done=0, total=0, cut=True, failure=failure)
        loser = a_pod(
            run, uid="loser", running=False, finished=True, exit_code=16, termination_message=word.model_dump_json()
        )
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        job = a_job(run, active=False, failed_reason="BackoffLimitExceeded")
        assert not plan_of(situation.seeing(job, loser, a_pod(run, uid="holder", deleting=True))).runs

    def test_the_word_of_the_pod_that_had_the_permit_comes_before_a_later_ones(self):
        run = a_run(job_created_at=NOON, permitted_pod_uid="holder", permitted_at=NOON)
        failure = Failure(failure_class=FailureClass.NOT_PERMITTED, message="another pod holds the start permit")
        word = a_report(run, outcome="failed", done=0, total=0, cut=True, failure=failure)
        ended = {"running": False, "finished": True}
        holder = a_pod(run, uid="holder", termination_message=a_report(run).model_dump_json(), exit_code=0, **ended)
        loser = a_pod(
            run,
            uid="loser",
            created_at=NOON + timedelta(seconds=9),
            termination_message=word.model_dump_json(),
            exit_code=16,
            **ended,
        )
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        plan = plan_of(situation.seeing(a_job(run, active=False), holder, loser))
        assert plan.record.phase is Phase.ASSETS_READY

    def test_a_deadline_is_a_transient_failure(self):
        run = a_run(job_created_at=NOON, permitted_at=NOON, permitted_pod_uid="pod")
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        plan = plan_of(situation.seeing(a_job(run, active=False, failed_reason="DeadlineExceeded")))
        assert plan.record.step_attempt == 2
        assert "deadline" in plan.record.message

    def test_a_pod_that_cannot_start_is_told_within_a_minute_and_consumes_nothing(self):
        run = a_run(job_created_at=NOON)
        stuck = a_pod(
            run,
            running=False,
            waiting_reason="CreateContainerConfigError",
            waiting_message='secret "gemini-key" not found',
        )
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run).seeing(a_job(run), stuck)
        early = plan_of(situation.after(5))
        assert early.record.waiting_reason is None
        assert early.look_again_at == NOON + timedelta(seconds=RULES.never_starting_seconds)
        late = plan_of(situation.after(RULES.never_starting_seconds))
        assert late.record.waiting_reason == "PodCannotStart"
        assert "gemini-key" in late.record.message
        assert "create the Secret key" in late.record.message
        assert late.record.step_attempt == 1
        assert not late.runs

    @pytest.mark.parametrize("foreign", [{"run_id": "other"}, {"step": "sfx_generation"}])
    def test_a_word_that_is_not_of_this_run_and_this_step_is_none(self, foreign):
        run = a_run(job_created_at=NOON)
        word = a_report(run, **foreign).model_dump_json(by_alias=True)
        pod = a_pod(run, running=False, finished=True, exit_code=0, termination_message=word)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run)
        plan = plan_of(situation.seeing(a_job(run, active=False), pod))
        assert (plan.record.phase, plan.reports) == (Phase.GENERATING_ASSETS, ())

    def test_a_pod_that_answers_again_is_told(self):
        run = a_run(job_created_at=NOON, permitted_at=NOON, permitted_pod_uid="pod-of-run1")
        record = {"phase": Phase.GENERATING_ASSETS, "waiting_reason": "PodUnreachable"}
        plan = plan_of(a_situation().with_record(**record).with_runs(run).seeing(a_job(run), a_pod(run)))
        assert plan.record.waiting_reason is None
        assert plan.record.message == "the pod that did not answer is gone, or answers again"

    def test_that_a_pod_cannot_start_is_no_second_event_when_its_run_is_closed(self):
        run = a_run(job_created_at=NOON)
        record = {"phase": Phase.GENERATING_ASSETS, "waiting_reason": "PodCannotStart"}
        situation = a_situation().with_record(**record).with_runs(run).seeing(a_job(run), a_pod(run, running=False))
        plan = plan_of(situation.after(301))
        assert (plan.record.waiting_reason, plan.events) == ("PodNeverStarted", ())

    def test_an_evicted_pod_is_not_called_one_that_was_never_made(self):
        run = a_run(job_created_at=NOON)
        gone = a_pod(run, running=False, finished=True, disrupted=True, exit_code=137)
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run).seeing(a_job(run), gone)
        assert plan_of(situation.after(3600)).record.waiting_reason is None

    def test_of_a_pod_that_is_held_up_by_something_new_its_own_words_are_told_with_where_to_look(self):
        run = a_run(job_created_at=NOON)
        stuck = a_pod(run, running=False, waiting_reason="ImageSignatureWrong", waiting_message="not signed")
        situation = a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run).seeing(a_job(run), stuck)
        plan = plan_of(situation.after(RULES.never_starting_seconds))
        words = "ImageSignatureWrong: not signed; kubectl describe pod tells more. No attempt is consumed."
        assert plan.record.message == words
        assert plan.look_again_at == NOON + timedelta(seconds=RULES.never_starting_seconds + 60)

    @pytest.mark.parametrize("state", ["Running", "Suspended"])
    def test_a_pod_on_a_node_that_does_not_answer_is_told_with_what_to_do_and_nothing_begins_beside_it(self, state):
        stop = NOON if state == "Suspended" else None
        run = a_run(job_created_at=NOON, permitted_at=NOON, permitted_pod_uid="p", stop_requested_at=stop)
        stuck = a_pod(run, name="film-1-abcde", deleting=True, deletion_at=NOON, node="node-7")
        base = a_situation(state=state).with_record(phase=Phase.GENERATING_ASSETS).with_runs(run).seeing(stuck)
        early = plan_of(base.after(299))
        assert early.record.waiting_reason is None
        assert early.look_again_at == NOON + timedelta(seconds=300)
        late = plan_of(base.after(300))
        assert late.look_again_at == NOON + timedelta(seconds=360)
        assert late.record.waiting_reason == "PodUnreachable"
        assert "node-7" in late.record.message
        assert "kubectl delete pod film-1-abcde -n studio --force" in late.record.message
        assert not late.runs
        assert [event.reason for event in late.events] == ["PodUnreachable"]
        gone = a_situation(state=state).with_record(**_fields(late.record)).with_runs(run).after(301)
        assert plan_of(gone).runs[0].closed_at is not None

    def test_the_condition_goes_when_the_pod_starts(self):
        run = a_run(job_created_at=NOON)
        record = {"phase": Phase.GENERATING_ASSETS, "waiting_reason": "PodCannotStart"}
        plan = plan_of(a_situation().with_record(**record).with_runs(run).seeing(a_job(run), a_pod(run)))
        assert plan.record.waiting_reason is None


class TestStopping:
    @pytest.mark.parametrize(("state", "phase"), [("Suspended", Phase.SUSPENDED), ("Cancelled", Phase.CANCELLED)])
    def test_it_is_done_only_when_the_pod_is_gone(self, state, phase):
        run = a_run(job_created_at=NOON)
        base = {"phase": Phase.GENERATING_ASSETS}
        first = plan_of(a_situation(state=state).with_record(**base).with_runs(run).seeing(a_job(run), a_pod(run)))
        assert isinstance(first.actions[0], DeleteRun)
        assert first.record.phase is Phase.GENERATING_ASSETS
        asked = first.runs[0]
        dying = a_situation(state=state).with_record(**base).with_runs(asked).seeing(a_pod(run, deleting=True))
        assert plan_of(dying).record.phase is Phase.GENERATING_ASSETS
        gone = plan_of(a_situation(state=state).with_record(**base).with_runs(asked))
        assert gone.record.phase is phase
        assert gone.runs[0].outcome is RunOutcome.STOPPED

    def test_a_suspended_task_goes_back_to_where_it_stood(self):
        record = {"phase": Phase.SUSPENDED, "resume_phase": Phase.GENERATING_VIDEO, "step": Step.VIDEO_GENERATION}
        waits = plan_of(a_situation().with_record(**record))
        assert (waits.record.phase, waits.record.waiting_reason) == (Phase.SUSPENDED, "WaitingForTurn")
        assert waits.wants_turn
        plan = plan_of(a_situation().with_record(**_fields(waits.record)).but(admitted=True))
        assert plan.record.phase is Phase.GENERATING_VIDEO
        assert plan.again

    def test_the_time_of_the_next_attempt_outlives_a_suspension(self):
        at = NOON + timedelta(hours=9)
        quota = a_run(
            step=Step.VIDEO_GENERATION, closed_at=NOON, outcome=RunOutcome.FAILED, failure_message="Kling 429"
        )
        record = {
            "phase": Phase.GENERATING_VIDEO,
            "step": Step.VIDEO_GENERATION,
            "step_attempt": 2,
            "next_attempt_at": at,
            "last_run_number": 1,
        }
        away = plan_of(a_situation(state="Suspended").with_record(**record).with_runs(quota)).record
        assert (away.phase, away.next_attempt_at) == (Phase.SUSPENDED, at)
        back = plan_of(a_situation().with_record(**_fields(away)).with_runs(quota).but(admitted=True)).record
        waits = plan_of(a_situation().with_record(**_fields(back)).with_runs(quota).but(admitted=True))
        assert (waits.record.phase, waits.runs, waits.look_again_at) == (Phase.GENERATING_VIDEO, (), at)
        assert waits.record.waiting_reason == "RetryLater"
        assert waits.record.message == "attempt 2 of 5 at 21:00 UTC: Kling 429"

    def test_a_raised_attempt_does_not_wait_for_the_next_ones_time(self):
        record = {"phase": Phase.GENERATING_ASSETS, "step_attempt": 4, "next_attempt_at": NOON + timedelta(hours=1)}
        plan = plan_of(a_situation(attempt=2).with_record(**record))
        assert (plan.record.attempt, plan.record.step_attempt, plan.record.next_attempt_at) == (2, 1, None)
        assert plan.runs[0].is_open

    def test_an_attempt_raised_before_an_error_does_not_skip_it(self):
        run = a_run(job_created_at=NOON)
        record = {"phase": Phase.GENERATING_ASSETS, "step": Step.ASSET_GENERATION}
        under_way = plan_of(a_situation(attempt=2).with_record(**record).with_runs(run).seeing(a_job(run), a_pod(run)))
        assert under_way.record.attempt == 2
        failed = {**_fields(under_way.record), "phase": Phase.ASSET_ERROR}
        situation = a_situation(attempt=2).with_record(**failed).with_runs(replace(run, closed_at=NOON))
        assert plan_of(situation.but(admitted=True)).record.phase is Phase.ASSET_ERROR

    def test_a_task_suspended_again_before_it_had_a_place_says_so(self):
        record = {"phase": Phase.SUSPENDED, "resume_phase": Phase.GENERATING_VIDEO, "step": Step.VIDEO_GENERATION}
        waits = plan_of(a_situation().with_record(**record))
        again = plan_of(a_situation(state="Suspended").with_record(**_fields(waits.record)))
        assert (again.record.phase, again.record.waiting_reason, again.wants_turn) == (Phase.SUSPENDED, None, False)
        assert "spec.state" in again.record.message

    def test_a_task_resumed_in_an_error_or_a_review_says_again_what_it_waits_for(self):
        words = "video_generation: scene 01: SAFETY"
        error = {"phase": Phase.SUSPENDED, "resume_phase": Phase.VIDEO_ERROR, "error": words}
        back = plan_of(a_situation().with_record(**error))
        assert back.record.phase is Phase.VIDEO_ERROR
        assert back.record.message.startswith(words)
        assert "raise spec.attempt" in back.record.message
        review = {"phase": Phase.SUSPENDED, "resume_phase": Phase.FINAL_REVIEW, "review_gate": Gate.FINAL}
        back = plan_of(a_situation().with_record(**review, review_round=2))
        assert back.record.phase is Phase.FINAL_REVIEW
        assert back.record.message == "a person decides: final (round 2)"

    def test_an_attempt_raised_while_suspended_in_an_error_is_still_honoured(self):
        record = {"phase": Phase.SUSPENDED, "resume_phase": Phase.VIDEO_ERROR, "step": Step.VIDEO_GENERATION}
        back = plan_of(a_situation(attempt=2).with_record(**record))
        assert back.record.phase is Phase.VIDEO_ERROR
        on = plan_of(a_situation(attempt=2).with_record(**_fields(back.record)).but(admitted=True))
        assert on.record.phase is Phase.GENERATING_VIDEO

    @pytest.mark.parametrize("state", ["Suspended", "Cancelled"])
    def test_an_approved_film_is_completed_whatever_is_wanted_since(self, state):
        plan = plan_of(a_situation(state=state).with_record(phase=Phase.APPROVED, step=None))
        assert plan.record.phase is Phase.COMPLETED

    def test_a_deleted_resource_ends_its_run_first(self):
        run = a_run(job_created_at=NOON)
        base = a_situation().with_resource(None).with_record(phase=Phase.GENERATING_ASSETS)
        first = plan_of(base.with_runs(run).seeing(a_job(run)))
        assert isinstance(first.actions[0], DeleteRun)
        assert not first.record.resource_gone
        last = plan_of(
            a_situation().with_resource(None).with_record(phase=Phase.GENERATING_ASSETS).with_runs(first.runs[0])
        )
        assert last.record.resource_gone
        assert last.record.phase is Phase.CANCELLED

    def test_a_film_that_was_approved_is_done_though_its_resource_is_deleted(self):
        film = a_situation().with_resource(None).with_record(phase=Phase.APPROVED, step=None, pipeline_start_time=NOON)
        record = plan_of(film.after(9)).record
        assert (record.phase, record.resource_gone) == (Phase.COMPLETED, True)
        assert record.pipeline_end_time == NOON + timedelta(seconds=9)
        assert record.message == "the resource was deleted after its approval"

    @pytest.mark.parametrize("phase", [Phase.CANCELLED, Phase.COMPLETED, Phase.FAILED])
    def test_a_run_that_is_open_in_a_film_that_is_over_is_ended(self, phase):
        """As an older copy of the record may have it."""
        run = a_run(job_created_at=NOON)
        film = a_situation().with_record(phase=phase, step=None).with_runs(run).seeing(a_job(run), a_pod(run))
        plan = plan_of(film)
        assert plan.actions == (DeleteRun(job_name=run.job_name),)
        asked = plan.runs[0]
        closed = plan_of(a_situation().with_record(phase=phase, step=None).with_runs(asked)).runs[0]
        assert (asked.stop_requested_at, closed.outcome) == (NOON, RunOutcome.STOPPED)


class TestErrorsWaitForAPerson:
    def test_nothing_happens_until_the_attempt_is_raised(self):
        record = {"phase": Phase.VIDEO_ERROR, "step": Step.VIDEO_GENERATION, "attempt": 1}
        assert not plan_of(a_situation().with_record(**record)).actions
        waits = plan_of(a_situation(attempt=2).with_record(**record))
        assert (waits.record.phase, waits.wants_turn) == (Phase.VIDEO_ERROR, True)
        plan = plan_of(a_situation(attempt=2).with_record(**_fields(waits.record)).but(admitted=True))
        assert plan.record.phase is Phase.GENERATING_VIDEO
        assert (plan.record.attempt, plan.record.step_attempt) == (2, 1)


class TestApproval:
    SHOWN = {  # noqa: RUF012
        "phase": Phase.FINAL_REVIEW,
        "step": None,
        "review_gate": Gate.FINAL,
        "review_round": 3,
        "review_required_at": NOON,
        "waiting_since": NOON,
        "pipeline_start_time": NOON,
    }

    def approved(self, **approval):
        spec = {"approvals": {"final": {"decision": "Approved", **approval}}}
        return plan_of(a_situation(**spec).with_record(**self.SHOWN).after(60))

    def test_the_round_on_show_counts(self):
        plan = self.approved(by="alice", round=3)
        assert plan.record.phase is Phase.APPROVED
        assert plan.record.approved_by == "alice"
        assert plan.record.waited_seconds == 60

    @pytest.mark.parametrize(
        "approval",
        [{"by": "alice", "round": 2}, {"by": "alice", "round": 4}, {"round": 3}, {"by": "alice"}, {}],
    )
    def test_another_round_or_an_unstamped_word_does_not(self, approval):
        record = self.approved(**approval).record
        assert (record.phase, record.review_round, record.approved_by) == (Phase.FINAL_REVIEW, 3, None)

    def test_an_approval_before_the_review_does_not_count(self):
        spec = {"approvals": {"final": {"decision": "Approved", "by": "alice", "round": 1}}}
        plan = plan_of(a_situation(**spec).with_record(phase=Phase.CLAIMED))
        assert plan.record.phase is Phase.GENERATING_ASSETS
        assert plan.record.approved_by is None

    def test_a_rejection_keeps_it_on_show_and_says_who_and_why(self):
        spec = {"approvals": {"final": {"decision": "Rejected", "by": "bob", "round": 3, "reason": "too dark"}}}
        plan = plan_of(a_situation(**spec).with_record(**self.SHOWN))
        assert plan.record.phase is Phase.FINAL_REVIEW
        assert "bob rejected final, round 3: too dark; redo or edit what displeases" in plan.record.message

    def test_an_approved_film_is_completed(self):
        plan = plan_of(a_situation().with_record(phase=Phase.APPROVED, step=None, pipeline_start_time=NOON).after(9))
        assert plan.record.phase is Phase.COMPLETED
        assert plan.record.pipeline_end_time == NOON + timedelta(seconds=9)

    def test_a_gate_stops_the_work_until_someone_says_yes(self):
        record = {"phase": Phase.ASSETS_READY, "step": Step.COMPOSITE_CREATION}
        shown = plan_of(a_situation(gates=["assets"]).with_record(**record))
        assert (shown.record.review_gate, shown.record.review_round) == (Gate.ASSETS, 1)
        assert not shown.actions
        spec = {"gates": ["assets"], "approvals": {"assets": {"decision": "Approved", "by": "alice", "round": 1}}}
        yes = plan_of(a_situation(**spec).with_record(**_fields(shown.record)).but(admitted=True))
        assert yes.record.approved_gates == {Gate.ASSETS}
        on = plan_of(a_situation(**spec).with_record(**_fields(yes.record)))
        assert on.record.phase is Phase.GENERATING_COMPOSITES

    def test_a_film_at_a_gate_gives_its_place_back_and_takes_one_when_it_is_approved(self):
        spec = {"gates": ["assets"], "approvals": {"assets": {"decision": "Approved", "by": "alice", "round": 1}}}
        record = {"phase": Phase.ASSETS_READY, "step": Step.COMPOSITE_CREATION}
        shown = plan_of(a_situation(gates=["assets"]).with_record(**record)).record
        assert not holds_place(shown.phase, shown.waiting_reason)
        waits = plan_of(a_situation(**spec).with_record(**_fields(shown)))
        assert (waits.wants_turn, waits.record.approved_gates, waits.record.review_gate) == (True, set(), Gate.ASSETS)

    def test_a_gate_nobody_asked_for_does_not_stop(self):
        record = {"phase": Phase.ASSETS_READY, "step": Step.COMPOSITE_CREATION}
        assert plan_of(a_situation().with_record(**record)).record.phase is Phase.GENERATING_COMPOSITES


def test_a_long_film_warns_once():
    record = a_record(phase=Phase.GENERATING_VIDEO, pipeline_start_time=NOON)
    late = NOON + timedelta(minutes=121)
    warned = warn_of_long_film(record, now=late, long_film_minutes=120)
    assert warned is not None
    assert warn_of_long_film(warned, now=late, long_film_minutes=120) is None


@pytest.mark.parametrize("phase", sorted({*ERRORS, *TERMINAL, Phase.SUSPENDED, Phase.BUDGET_EXCEEDED}))
def test_a_film_that_stands_still_or_is_over_is_not_called_long(phase):
    record = a_record(phase=phase, pipeline_start_time=NOON)
    assert warn_of_long_film(record, now=NOON + timedelta(days=9), long_film_minutes=120) is None


def test_time_in_an_error_over_budget_or_suspended_is_no_part_of_a_films_duration():
    base = {"step": Step.VIDEO_GENERATION, "pipeline_start_time": NOON, "waiting_since": NOON}
    for phase in (Phase.VIDEO_ERROR, Phase.SUSPENDED):
        record = a_record(phase=phase, resume_phase=Phase.GENERATING_VIDEO, **base)
        situation = a_situation(attempt=2).with_record(**_fields(record)).but(admitted=True).after(7200)
        back = plan_of(situation).record
        assert back.phase is Phase.GENERATING_VIDEO
        assert (back.waiting_since, back.waited_seconds) == (None, 7200)
        late = NOON + timedelta(minutes=121)
        assert warn_of_long_film(back, now=late, long_film_minutes=120) is None
    over = a_record(phase=Phase.BUDGET_EXCEEDED, **base)
    back = plan_of(a_situation().with_record(**_fields(over)).but(admitted=True).after(60)).record
    assert (back.phase, back.waiting_since, back.waited_seconds) == (Phase.GENERATING_VIDEO, None, 60)


def test_a_wait_that_begins_is_timed_from_its_beginning():
    plan = plan_of(a_situation(state="Suspended").with_record(phase=Phase.COMPOSITES_READY).after(9))
    assert (plan.record.phase, plan.record.waiting_since) == (Phase.SUSPENDED, NOON + timedelta(seconds=9))
    later = plan_of(a_situation(state="Suspended").with_record(**_fields(plan.record)).after(99))
    assert later.record.waiting_since == NOON + timedelta(seconds=9)


def test_a_film_on_show_is_not_long_by_the_time_people_take():
    shown = a_record(phase=Phase.ASSETS_READY, pipeline_start_time=NOON, waiting_since=NOON + timedelta(minutes=5))
    assert warn_of_long_film(shown, now=NOON + timedelta(minutes=500), long_film_minutes=120) is None


def test_waiting_for_people_does_not_make_a_film_long():
    record = a_record(phase=Phase.GENERATING_VIDEO, pipeline_start_time=NOON, waited_seconds=3600)
    assert warn_of_long_film(record, now=NOON + timedelta(minutes=121), long_film_minutes=120) is None


def _fields(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
