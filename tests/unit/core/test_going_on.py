from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import NOON, a_job, a_resource, a_run, a_situation

from videotask_contract.phases import Phase
from videotask_contract.steps import Gate, Step
from videotask_operator.core.admission import holds_place
from videotask_operator.core.decide import decide
from videotask_operator.core.model import RunOutcome


@pytest.mark.parametrize(
    ("phase", "attempt"), [(Phase.SUSPENDED, 1), (Phase.VIDEO_ERROR, 2)], ids=["resumed", "tried again"]
)
def test_a_film_that_is_to_go_on_names_the_channel_that_is_missing(phase, attempt):
    stopped = a_situation(attempt=attempt).with_record(
        phase=phase, step=Step.VIDEO_GENERATION, resume_phase=Phase.GENERATING_VIDEO
    )
    plan = decide(stopped.with_channel(None).build())
    assert plan.record.waiting_reason == "ChannelNotFound"
    assert "create it" in plan.record.message
    assert [event.reason for event in plan.events] == ["ChannelNotFound"]


def test_the_missing_channel_is_told_once():
    stopped = a_situation().with_record(
        phase=Phase.SUSPENDED, resume_phase=Phase.GENERATING_VIDEO, waiting_reason="ChannelNotFound"
    )
    assert decide(stopped.with_channel(None).build()).events == ()


def test_a_suspended_film_whose_record_was_lost_asks_for_both_words_one_after_the_other():
    lost = "its record was lost; raise spec.attempt to go on"
    film = a_situation(state="Suspended", attempt=2).with_record(phase=Phase.SUSPENDED, message=lost)
    record = decide(film.build()).record
    assert (record.attempt, record.phase) == (2, Phase.SUSPENDED)
    assert "set spec.state to Running" in record.message


def test_a_run_whose_job_cannot_be_made_names_the_channel_that_is_missing():
    earlier = a_run(outcome=RunOutcome.LOST, closed_at=NOON)
    run = a_run(number=2)
    film = a_situation().with_record(phase=Phase.GENERATING_ASSETS, last_run_number=2).with_runs(earlier, run)
    film.seeing(a_job(earlier))  # Jobs stay as long as their film
    plan = decide(film.with_channel(None).build())
    assert (plan.record.waiting_reason, plan.actions) == ("PodCannotStart", ())
    assert "create it" in plan.record.message


def test_a_film_whose_change_waits_for_a_turn_names_the_channel_that_is_missing():
    redo = {"request": "again", "steps": [{"step": "video_generation"}]}
    shown = a_situation(redo=redo).with_record(
        phase=Phase.FINAL_REVIEW, step=None, review_gate=Gate.FINAL, review_round=1, waiting_reason="AwaitingApproval"
    )
    assert decide(shown.with_channel(None).build()).record.waiting_reason == "ChannelNotFound"


def test_a_spec_that_breaks_at_a_gate_takes_no_place_of_the_fleet():
    shown = a_situation().with_record(
        phase=Phase.ASSETS_READY,
        step=Step.COMPOSITE_CREATION,
        review_gate=Gate.ASSETS,
        review_round=1,
        waiting_reason="AwaitingApproval",
    )
    broken = replace(a_resource(), spec=None, spec_error="title: must not be blank")
    record = decide(shown.with_resource(broken).build()).record
    assert not holds_place(record.phase, record.waiting_reason)
    mended = a_situation().with_record(**{name: getattr(record, name) for name in type(record).__slots__})
    assert decide(mended.build()).record.waiting_reason == "AwaitingApproval"


def test_a_film_whose_spec_is_mended_asks_for_a_turn_before_it_goes_on():
    film = a_situation().with_record(
        phase=Phase.ASSETS_READY, step=Step.COMPOSITE_CREATION, waiting_reason="InvalidSpec"
    )
    plan = decide(film.build())
    assert (plan.record.waiting_reason, plan.wants_turn, plan.actions) == ("WaitingForTurn", True, ())


def test_an_approval_that_is_taken_back_while_the_film_waits_for_a_turn_is_asked_for_again():
    at_gate = {
        "phase": Phase.AUDIO_READY,
        "step": Step.SFX_GENERATION,
        "review_gate": Gate.NARRATION,
        "review_round": 2,
        "waiting_reason": "WaitingForTurn",
    }
    approval = {"decision": "Approved", "by": "alice", "round": 1}
    film = a_situation(approvals={"narration": approval}, gates=["narration"]).with_record(**at_gate)
    plan = decide(film.build())
    assert (plan.record.waiting_reason, plan.wants_turn) == ("AwaitingApproval", False)
    assert "narration (round 2)" in plan.record.message


def test_a_film_that_names_its_missing_channel_takes_no_place_of_the_fleet():
    film = a_situation().with_record(
        phase=Phase.ASSETS_READY, step=Step.COMPOSITE_CREATION, waiting_reason="WaitingForTurn"
    )
    record = decide(film.with_channel(None).build()).record
    assert record.waiting_reason == "ChannelNotFound"
    assert not holds_place(record.phase, record.waiting_reason)
