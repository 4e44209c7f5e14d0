"""Redo, edits and chosen takes: found, refused or honoured once, and the work sent back no further than it must."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.builders import (
    NOON,
    a_job,
    a_pod,
    a_record,
    a_resource,
    a_run,
    a_situation,
    a_storyboard,
)

from videotask_contract.errors import FailureClass
from videotask_contract.phases import ERRORS, HAPPY_PATH, Phase, is_legal
from videotask_contract.steps import STEPS, Gate, Step
from videotask_operator.core.admission import holds_place
from videotask_operator.core.changes import Change, content_digest, finished_items, touched_items
from videotask_operator.core.decide import decide
from videotask_operator.core.model import CreateRun, Money, Plan, RunOutcome, TaskRecord

REDO_CLIPS = {"request": "clip-7-again", "steps": [{"step": "video_generation", "items": ["7", "scene-12"]}]}
BOARD = a_storyboard(scenes=18)
EDIT_NARRATION = {"scenes": [{"scene": "7", "narration": "The tide turns."}]}
EDIT_ASSET = {"assets": [{"name": "harbour", "prompt": "a harbour in snow"}]}


def plan_of(situation: a_situation) -> Plan:
    plan = decide(situation.build())
    assert plan is not None
    return plan


def digest_of(**spec) -> str:
    return content_digest(a_resource(**{"storyboard": BOARD, **spec}).spec)


def a_film(*, at: Phase, step: Step | None, **changes) -> dict:
    waits = at in {*ERRORS, Phase.FINAL_REVIEW}
    values = {
        "content_digest": digest_of(),
        "last_run_number": 6,
        "pipeline_start_time": NOON,
        "waiting_since": NOON if waits else None,
    }
    return fields_of(a_record(phase=at, step=step, **{**values, **changes}))


def fields_of(record: TaskRecord) -> dict:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def on_show(**changes) -> dict:
    shown = {"review_gate": Gate.FINAL, "review_round": 3, "review_required_at": NOON}
    return a_film(at=Phase.FINAL_REVIEW, step=None, **{**shown, **changes})


def done(step: Step, *, number: int, items: int = 18, **changes):
    values = {"closed_at": NOON, "outcome": RunOutcome.DONE, "done": items, "total": items, "ledger_read": True}
    return a_run(step=step, number=number, **{**values, **changes})


def all_done() -> list:
    return [done(traits.step, number=number) for number, traits in enumerate(STEPS, start=1)]


def order_of(plan: Plan):
    (action,) = plan.actions
    assert isinstance(action, CreateRun)
    return action.order


def until_order(situation_of, record: dict, *runs, limit: int = 6):
    """Decide again and again, as the loop does, until a run is ordered; return the plan that did."""
    for _ in range(limit):
        plan = plan_of(situation_of().with_record(**record).with_runs(*runs).but(admitted=True))
        if plan.actions:
            return plan
        record = fields_of(plan.record)
    raise AssertionError(f"no run was ordered: {plan.record.message}")


def film_of(**spec):
    return lambda: a_situation(**{"storyboard": BOARD, **spec})


class TestRedo:
    def test_it_sends_the_work_back_to_its_step_and_says_what_it_does(self):
        plan = plan_of(film_of(redo=REDO_CLIPS)().with_record(**on_show()).but(admitted=True).after(60))
        record = plan.record
        assert (record.phase, record.step, record.review_gate) == (Phase.GENERATING_VIDEO, Step.VIDEO_GENERATION, None)
        words = "redo clip-7-again: video_generation 07, 12; 16 clips kept"
        assert record.message == words
        assert [(event.reason, event.message) for event in plan.events] == [("ChangeTakenUp", words)]
        assert record.redo_request == "clip-7-again"
        assert record.redo_counts == {"video_generation": {"scene-7": 1, "scene-12": 1}}
        assert (record.waiting_since, record.waited_seconds) == (None, 60)
        assert plan.again

    def test_it_is_honoured_once(self):
        first = plan_of(film_of(redo=REDO_CLIPS)().with_record(**on_show()).but(admitted=True)).record
        again = plan_of(film_of(redo=REDO_CLIPS)().with_record(**fields_of(first)).with_runs(*all_done()))
        assert again.record.redo_counts == first.redo_counts
        assert again.record.phase is Phase.GENERATING_VIDEO

    def test_an_older_request_that_comes_back_asks_for_nothing(self):
        """A manifest of long ago is applied again, after others asked by the command line."""
        first = plan_of(film_of(redo=REDO_CLIPS)().with_record(**on_show()).but(admitted=True)).record
        others = {"request": "by-hand", "steps": [{"step": "video_generation", "items": ["7"]}]}
        shown = on_show(
            redo_request=first.redo_request, redo_requests=first.redo_requests, redo_counts=first.redo_counts
        )
        second = plan_of(film_of(redo=others)().with_record(**shown).but(admitted=True)).record
        assert (second.redo_request, second.redo_counts["video_generation"]["scene-7"]) == ("by-hand", 2)
        shown = on_show(
            redo_request=second.redo_request, redo_requests=second.redo_requests, redo_counts=second.redo_counts
        )
        back = plan_of(film_of(redo=REDO_CLIPS)().with_record(**shown).but(admitted=True)).record
        assert (back.phase, back.redo_counts) == (Phase.FINAL_REVIEW, second.redo_counts)

    def test_another_request_asks_for_one_more_take(self):
        record = on_show(redo_request="clip-7-again", redo_counts={"video_generation": {"7": 1}})
        once_more = {"request": "third", "steps": [{"step": "video_generation", "items": ["7"]}]}
        plan = plan_of(film_of(redo=once_more)().with_record(**record).but(admitted=True))
        assert plan.record.redo_counts == {"video_generation": {"scene-7": 2}}

    def test_numbers_of_earlier_requests_are_told_by_name_as_long_as_their_storyboard_is_given(self):
        before = {"video_generation": {"7": 1, "07": 1, "*": 1, "99": 1}, "asset_generation": {"hero-1": 1}}
        once_more = {"request": "third", "steps": [{"step": "video_generation", "items": ["scene-7"]}]}
        plan = plan_of(film_of(redo=once_more)().with_record(**on_show(redo_counts=before)).but(admitted=True))
        named = {"scene-7": 3, "*": 1, "99": 1}
        assert plan.record.redo_counts == {"video_generation": named, "asset_generation": {"hero-1": 1}}

    def test_an_image_whose_name_is_a_number_is_no_scene(self):
        board = {**BOARD, "assets": [*BOARD["assets"], {"name": "7", "kind": "character", "prompt": "a boat"}]}
        once_more = {"request": "third", "steps": [{"step": "asset_generation", "items": ["7"]}]}
        record = on_show(redo_counts={"asset_generation": {"7": 1}}, content_digest=digest_of(storyboard=board))
        plan = plan_of(film_of(storyboard=board, redo=once_more)().with_record(**record).but(admitted=True))
        assert plan.record.redo_counts == {"asset_generation": {"7": 2}}

    def test_with_another_storyboard_a_number_means_the_new_one_in_the_request_and_stays_in_earlier_ones(self):
        other = {"storyboard": {**BOARD, "scenes": BOARD["scenes"][::-1]}, "redo": REDO_CLIPS}
        record = on_show(redo_counts={"video_generation": {"7": 1}})
        plan = plan_of(film_of(**other)().with_record(**record).but(admitted=True))
        assert plan.record.redo_counts == {"video_generation": {"7": 1, "scene-12": 2}}

    def test_of_a_storyboard_that_is_generated_scenes_are_counted_as_they_were_named(self):
        spec = {"storyboard": None, "topic": "tides", "redo": REDO_CLIPS}
        record = on_show(content_digest=digest_of(storyboard=None, topic="tides"))
        plan = plan_of(a_situation(**spec).with_record(**record).but(admitted=True))
        assert plan.record.redo_counts == {"video_generation": {"7": 1, "scene-12": 1}}

    def test_a_redo_of_a_whole_step_counts_for_all_its_items(self):
        whole = {"request": "all", "steps": [{"step": "sfx_generation"}]}
        plan = plan_of(film_of(redo=whole)().with_record(**on_show()).but(admitted=True))
        assert plan.record.redo_counts == {"sfx_generation": {"*": 1}}
        assert plan.record.message == "redo all: sfx_generation all"

    def test_the_earliest_step_concerned_is_where_it_goes_back_to(self):
        two = {
            "request": "two",
            "steps": [{"step": "sfx_generation"}, {"step": "narration_generation", "items": ["1"]}],
        }
        plan = plan_of(film_of(redo=two)().with_record(**on_show()).but(admitted=True))
        assert plan.record.step is Step.NARRATION_GENERATION
        assert plan.record.phase is Phase.GENERATING_AUDIO

    def test_its_run_is_told_the_counts_and_has_money_for_what_was_asked_for_alone(self):
        film = film_of(redo=REDO_CLIPS)
        order = order_of(until_order(film, on_show(), *all_done()))
        assert order.step is Step.VIDEO_GENERATION
        assert order.task_file.redo == {"scene-7": 1, "scene-12": 1}
        assert order.task_file.reservation_usd == 2 * Decimal("0.42") * Decimal("1.25")

    def test_steps_that_only_follow_are_not_told_of_it(self):
        record = a_film(
            at=Phase.VIDEO_READY,
            step=Step.NARRATION_GENERATION,
            redo_request="clip-7-again",
            redo_counts={"video_generation": {"7": 1}},
        )
        order = order_of(plan_of(film_of(redo=REDO_CLIPS)().with_record(**record).with_runs(*all_done())))
        assert (order.task_file.redo, order.task_file.reservation_usd) == ({}, 0)

    def test_from_the_final_review_it_waits_for_a_place_of_the_fleet(self):
        waits = plan_of(film_of(redo=REDO_CLIPS)().with_record(**on_show()))
        assert (waits.wants_turn, waits.record.phase) == (True, Phase.FINAL_REVIEW)
        assert waits.record.redo_request is None

    def test_it_is_a_persons_word_where_less_was_found_than_they_were_told(self):
        """Its report was lost, so that what it told last of its count is all that is known."""
        broke = done(
            Step.VIDEO_GENERATION,
            number=7,
            items=0,
            outcome=RunOutcome.FAILED,
            failure_class=FailureClass.OVER_BUDGET,
            reserved_usd=Decimal("0.525"),
            ledger_read=False,
        )
        marks = {"video_generation": {"run": 6, "left": 17, "edited": 0}}
        over = a_film(at=Phase.BUDGET_EXCEEDED, step=Step.VIDEO_GENERATION, last_run_number=7, change_marks=marks)
        asked = until_order(film_of(redo=REDO_CLIPS), over, *all_done(), broke)
        assert order_of(asked).task_file.reservation_usd == 3 * Decimal("0.525")

    @pytest.mark.parametrize("traits", STEPS, ids=lambda traits: traits.step.value)
    def test_in_an_error_phase_it_is_a_persons_word_without_a_raised_attempt(self, traits):
        redo = {"request": "r", "steps": [{"step": "asset_generation", "items": ["harbour"]}]}
        record = a_film(at=traits.failed, step=traits.step, error="SAFETY", step_attempt=3)
        waits = plan_of(film_of(redo=redo)().with_record(**record))
        assert (waits.wants_turn, waits.record.phase) == (True, traits.failed)
        plan = plan_of(film_of(redo=redo)().with_record(**fields_of(waits.record)).but(admitted=True))
        assert (plan.record.phase, plan.record.step) == (Phase.GENERATING_ASSETS, Step.ASSET_GENERATION)
        assert (plan.record.step_attempt, plan.record.error, plan.record.attempt) == (1, None, 1)

    def test_what_lies_ahead_is_counted_and_found_when_its_turn_comes(self):
        record = a_film(at=Phase.ASSETS_READY, step=Step.COMPOSITE_CREATION)
        plan = plan_of(film_of(redo=REDO_CLIPS)().with_record(**record))
        assert (plan.record.phase, plan.record.step) == (Phase.ASSETS_READY, Step.COMPOSITE_CREATION)
        assert plan.record.redo_counts == {"video_generation": {"scene-7": 1, "scene-12": 1}}

    def test_while_a_run_is_open_it_waits_for_its_end_and_says_so(self):
        run = a_run(step=Step.SFX_GENERATION, number=6, job_created_at=NOON)
        record = a_film(at=Phase.GENERATING_SFX, step=Step.SFX_GENERATION)
        busy = film_of(redo=REDO_CLIPS)().with_record(**record).with_runs(run).seeing(a_job(run), a_pod(run))
        plan = plan_of(busy)
        assert (plan.record.waiting_reason, plan.record.redo_request, plan.actions) == ("ChangePending", None, ())
        assert plan.record.message.endswith("taken up when run 6 has ended")
        taken_back = film_of()().with_record(**fields_of(plan.record)).with_runs(run).seeing(a_job(run), a_pod(run))
        assert plan_of(taken_back).record.waiting_reason is None
        ended = done(Step.SFX_GENERATION, number=6)
        after = {**fields_of(plan.record), "phase": Phase.SFX_READY, "step": Step.VIDEO_ASSEMBLY}
        assert plan_of(film_of(redo=REDO_CLIPS)().with_record(**after).with_runs(ended)).record.phase is (
            Phase.GENERATING_VIDEO
        )

    def test_over_its_budget_it_stays_there_until_there_is_room_for_the_step_it_goes_back_to(self):
        record = a_film(at=Phase.BUDGET_EXCEEDED, step=Step.SFX_GENERATION, waiting_since=NOON)
        broke = Money(task_spent_usd=Decimal("19.99"))
        plan = plan_of(film_of(redo=REDO_CLIPS)().with_record(**record).but(money=broke))
        assert (plan.record.phase, plan.record.step) == (Phase.BUDGET_EXCEEDED, Step.VIDEO_GENERATION)
        failed = [*all_done()[:2], done(Step.VIDEO_GENERATION, number=3, outcome=RunOutcome.FAILED)]
        stays = plan_of(
            film_of(redo=REDO_CLIPS)().with_record(**fields_of(plan.record)).with_runs(*failed).but(money=broke)
        )
        assert (stays.record.phase, stays.runs) == (Phase.BUDGET_EXCEEDED, ())
        assert plan_of(film_of(redo=REDO_CLIPS)().with_record(**fields_of(plan.record))).wants_turn

    def test_of_an_item_held_to_a_take_nothing_is_paid_and_the_entry_is_named(self):
        takes = [{"step": "video_generation", "item": "scene-7", "take": 1}]
        record = on_show(honoured_takes={"video_generation": {"scene-7": 1}})
        plan = plan_of(film_of(redo=REDO_CLIPS, takes=takes)().with_record(**record).but(admitted=True))
        assert (plan.record.waiting_reason, plan.record.phase) == ("RedoRefused", Phase.FINAL_REVIEW)
        assert "video_generation/scene-7 from spec.takes" in plan.record.message
        assert plan.record.redo_counts == {}
        mended = plan_of(film_of(redo=REDO_CLIPS)().with_record(**fields_of(plan.record)).but(admitted=True))
        assert mended.record.phase is Phase.GENERATING_VIDEO

    def test_of_a_storyboard_that_is_generated_references_are_told_apart_by_number_alone(self):
        takes = [{"step": "video_generation", "item": "07", "take": 1}]
        spec = {"storyboard": None, "topic": "tides", "takes": takes, "redo": REDO_CLIPS}
        record = on_show(content_digest=digest_of(storyboard=None, topic="tides"))
        plan = plan_of(a_situation(**spec).with_record(**record).but(admitted=True))
        assert plan.record.waiting_reason == "RedoRefused"

    def test_an_unknown_item_is_named_before_anything_is_paid(self):
        redo = {"request": "r", "steps": [{"step": "video_generation", "items": ["99"]}]}
        plan = plan_of(film_of(redo=redo)().with_record(**on_show()).but(admitted=True))
        assert plan.record.waiting_reason == "InvalidChange"
        assert "spec.redo.steps[video_generation].items: the storyboard has no scene '99'" in plan.record.message
        assert [event.reason for event in plan.events] == ["InvalidChange"]
        assert plan.record.redo_request is None

    def test_taking_a_refused_request_back_puts_the_review_on_show_again(self):
        redo = {"request": "r", "steps": [{"step": "video_generation", "items": ["99"]}]}
        refused = plan_of(film_of(redo=redo)().with_record(**on_show())).record
        back = plan_of(film_of()().with_record(**fields_of(refused))).record
        assert (back.phase, back.waiting_reason, back.review_round) == (Phase.FINAL_REVIEW, "AwaitingApproval", 3)
        assert back.message == "a person decides: final (round 3)"

    def test_taking_a_request_back_that_waits_for_a_place_shows_again_what_a_person_decides(self):
        waits = plan_of(film_of(redo=REDO_CLIPS)().with_record(**on_show())).record
        back = plan_of(film_of()().with_record(**fields_of(waits)))
        assert (back.record.waiting_reason, back.wants_turn) == ("AwaitingApproval", False)
        failed = a_film(at=Phase.VIDEO_ERROR, step=Step.VIDEO_GENERATION, error="scene 7: SAFETY")
        waits = plan_of(film_of(redo=REDO_CLIPS)().with_record(**failed)).record
        back = plan_of(film_of()().with_record(**fields_of(waits))).record
        assert (back.phase, back.waiting_reason, back.message) == (Phase.VIDEO_ERROR, None, "scene 7: SAFETY")

    def test_a_film_that_missed_its_channel_shows_again_what_a_person_decides(self):
        missed = {**on_show(), "waiting_reason": "ChannelNotFound", "message": "there is no Channel 'tides'"}
        back = plan_of(film_of()().with_record(**missed)).record
        assert (back.waiting_reason, back.message) == ("AwaitingApproval", "a person decides: final (round 3)")

    def test_a_raised_attempt_that_waits_for_a_place_goes_on_waiting(self):
        failed = a_film(at=Phase.VIDEO_ERROR, step=Step.VIDEO_GENERATION, waiting_reason="WaitingForTurn")
        plan = plan_of(film_of(attempt=2)().with_record(**failed))
        assert (plan.wants_turn, plan.record.waiting_reason) == (True, "WaitingForTurn")

    @pytest.mark.parametrize("phase", [Phase.COMPLETED, Phase.CANCELLED])
    def test_of_a_film_that_is_over_with_it_is_refused_once(self, phase):
        record = {**on_show(), "phase": phase, "review_gate": None, "waiting_since": None}
        plan = plan_of(film_of(redo=REDO_CLIPS)().with_record(**record))
        assert (plan.record.phase, plan.record.waiting_reason) == (phase, "FilmIsFinal")
        assert [event.reason for event in plan.events] == ["FilmIsFinal"]
        assert not plan_of(film_of(redo=REDO_CLIPS)().with_record(**fields_of(plan.record))).events
        assert plan_of(film_of()().with_record(**fields_of(plan.record))).record.waiting_reason is None

    def test_an_approved_film_is_final(self):
        record = {**on_show(), "phase": Phase.APPROVED, "review_gate": None, "waiting_since": None}
        done_with = plan_of(film_of(redo=REDO_CLIPS)().with_record(**record)).record
        assert done_with.phase is Phase.COMPLETED
        refused = plan_of(film_of(redo=REDO_CLIPS)().with_record(**fields_of(done_with)))
        assert "an approved film is final" in refused.record.message

    def test_what_was_honoured_before_the_record_was_lost_is_not_asked_for_again(self):
        status = {"phase": "FinalReview", "redoRequest": "clip-7-again"}
        takes = [{"step": "video_generation", "item": "7", "take": 1}]
        resource = a_resource(storyboard=BOARD, redo=REDO_CLIPS, takes=takes, status=status)
        record = plan_of(a_situation().with_resource(resource)).record
        assert record.redo_request == "clip-7-again"
        assert record.honoured_takes == {"video_generation": {"7": 1}}

    def test_an_approval_of_an_earlier_round_does_nothing_to_the_new_one(self):
        approvals = {"final": {"decision": "Approved", "by": "alice", "round": 3}}
        spec = {"redo": REDO_CLIPS, "approvals": approvals}
        back = plan_of(film_of(**spec)().with_record(**on_show()).but(admitted=True)).record
        assert back.phase is Phase.GENERATING_VIDEO
        shown = {**fields_of(back), "phase": Phase.FINAL_REVIEW, "step": None, "review_gate": Gate.FINAL}
        shown |= {"review_round": 4, "review_required_at": NOON}
        assert plan_of(film_of(**spec)().with_record(**shown)).record.phase is Phase.FINAL_REVIEW


class TestEdits:
    def test_they_write_the_storyboard_anew_and_all_steps_run_again(self):
        film = film_of(edits=EDIT_NARRATION)
        plan = plan_of(film().with_record(**on_show()).but(admitted=True))
        assert (plan.record.phase, plan.record.step) == (Phase.GENERATING_ASSETS, Step.ASSET_GENERATION)
        assert plan.record.message == "edits: scene 07; what it does not concern is kept"
        order = order_of(plan_of(film().with_record(**fields_of(plan.record)).with_runs(*all_done())))
        assert order.task_file.edits.scenes[0].narration == "The tide turns."
        assert order.task_file.storyboard.scenes[6].narration != "The tide turns."

    def test_they_are_honoured_once_and_taking_them_back_is_an_edit_too(self):
        first = plan_of(film_of(edits=EDIT_NARRATION)().with_record(**on_show()).but(admitted=True)).record
        shown = {**on_show(), "content_digest": first.content_digest, "change_marks": first.change_marks}
        assert plan_of(film_of(edits=EDIT_NARRATION)().with_record(**shown)).record.phase is Phase.FINAL_REVIEW
        back = plan_of(film_of()().with_record(**shown).but(admitted=True)).record
        assert back.phase is Phase.GENERATING_ASSETS
        assert back.message == "edits taken back; what it does not concern is kept"

    def test_only_what_they_name_may_cost_again(self):
        film = film_of(edits=EDIT_NARRATION)
        record = plan_of(film().with_record(**on_show()).with_runs(*all_done()).but(admitted=True)).record
        assert touched(edits=EDIT_NARRATION) == {"narration_generation": 1}
        assert finished_items(record, all_done(), Step.NARRATION_GENERATION) == 17
        assert finished_items(record, all_done(), Step.VIDEO_GENERATION) == 18
        later = [*all_done(), done(Step.NARRATION_GENERATION, number=7)]
        assert finished_items(record, later, Step.NARRATION_GENERATION) == 18

    def test_an_edit_that_is_taken_back_may_bring_up_words_that_were_never_made(self):
        film = film_of(edits=EDIT_NARRATION)
        record = plan_of(film().with_record(**on_show()).with_runs(*all_done()).but(admitted=True)).record
        later = [*all_done(), done(Step.NARRATION_GENERATION, number=7)]
        shown = {**fields_of(record), "phase": Phase.FINAL_REVIEW, "step": None, "last_run_number": 7}
        back = plan_of(film_of()().with_record(**shown).with_runs(*later).but(admitted=True)).record
        assert finished_items(back, later, Step.NARRATION_GENERATION) == 17

    def test_an_edited_image_may_change_every_clip(self):
        assert touched(edits=EDIT_ASSET) == {"asset_generation": 1, "video_generation": 18}

    def test_a_step_that_was_done_runs_again_though_the_budget_has_no_room(self):
        record = a_film(
            at=Phase.COMPOSITES_READY,
            step=Step.VIDEO_GENERATION,
            change_marks={"video_generation": {"run": 6, "left": 0, "edited": 18}},
            content_digest=digest_of(edits=EDIT_ASSET),
        )
        film = film_of(edits=EDIT_ASSET, budgetUSD="5.00")
        spent = Money(task_spent_usd=Decimal("4.99"))
        plan = plan_of(film().with_record(**record).with_runs(*all_done()).but(money=spent))
        assert order_of(plan).task_file.reservation_usd == 0
        broke = done(
            Step.VIDEO_GENERATION,
            number=7,
            items=3,
            outcome=RunOutcome.FAILED,
            failure_class=FailureClass.OVER_BUDGET,
            reserved_usd=Decimal(0),
        )
        over = {**fields_of(plan.record), "phase": Phase.BUDGET_EXCEEDED, "last_run_number": 7, "waiting_since": NOON}
        stays = plan_of(film().with_record(**over).with_runs(*all_done(), broke).but(money=spent, admitted=True))
        assert (stays.record.phase, stays.runs) == (Phase.BUDGET_EXCEEDED, ())

    def test_in_an_error_phase_they_go_on_without_a_raised_attempt(self):
        record = a_film(at=Phase.VIDEO_ERROR, step=Step.VIDEO_GENERATION, error="scene 7: SAFETY")
        plan = plan_of(film_of(edits=EDIT_NARRATION)().with_record(**record).but(admitted=True))
        assert (plan.record.phase, plan.record.error) == (Phase.GENERATING_ASSETS, None)

    @pytest.mark.parametrize(
        ("edits", "reason", "words"),
        [
            ({"assets": [{"name": "moon", "prompt": "x"}]}, "InvalidChange", "spec.edits.assets[moon]"),
            ({"scenes": [{"scene": "77", "motion": "x"}]}, "InvalidChange", "spec.edits.scenes[77]"),
            ({"scenes": [{"scene": "7", "environment": "moon"}]}, "InvalidChange", "'moon' is no environment"),
            (
                {"scenes": [{"scene": "7", "narration": "word " * 59}]},
                "NarrationTooLong",
                "spec.edits.scenes[7].narration: scene 7",
            ),
        ],
    )
    @pytest.mark.parametrize("where", ["queued", "on show"])
    def test_what_cannot_be_is_named_with_its_field_and_nothing_is_paid(self, edits, reason, words, where):
        record = on_show() if where == "on show" else {"phase": Phase.QUEUED}
        plan = plan_of(film_of(edits=edits)().with_record(**record).but(admitted=True))
        assert plan.record.waiting_reason == reason
        assert words in plan.record.message
        assert plan.record.phase is record["phase"]

    def test_an_edit_that_shortens_a_narration_mends_a_storyboard_that_said_too_much(self):
        board = a_storyboard(scenes=18)
        board["scenes"][6]["narration"] = "word " * 59
        situation = a_situation(storyboard=board, edits=EDIT_NARRATION).with_record().but(admitted=True)
        assert plan_of(situation).record.phase is Phase.CLAIMED

    def test_a_long_narration_in_an_edit_of_a_generated_storyboard_is_refused_too(self):
        edits = {"scenes": [{"scene": "dawn", "narration": "word " * 59}]}
        situation = a_situation(storyboard=None, topic="tides", edits=edits).with_record().but(admitted=True)
        assert plan_of(situation).record.waiting_reason == "NarrationTooLong"

    def test_a_film_held_by_a_broken_edit_has_given_its_place_back_and_asks_for_one_when_it_is_mended(self):
        edits = {"scenes": [{"scene": "77", "motion": "x"}]}
        record = a_film(at=Phase.VIDEO_READY, step=Step.NARRATION_GENERATION)
        held = plan_of(film_of(edits=edits)().with_record(**record)).record
        assert not holds_place(held.phase, held.waiting_reason)
        mended = plan_of(film_of()().with_record(**fields_of(held)).with_runs(*all_done()))
        assert (mended.wants_turn, mended.runs) == (True, ())

    def test_the_estimate_counts_the_edited_words(self):
        long = {"scenes": [{"scene": "7", "narration": "a" * 140}]}
        plain = plan_of(film_of()().with_record()).record.estimated_cost_usd
        assert plan_of(film_of(edits=long)().with_record()).record.estimated_cost_usd > plain

    def test_a_run_of_a_release_that_knew_no_edits_is_compared_with_its_storyboard(self):
        old = on_show(content_digest=None)
        assert plan_of(film_of()().with_record(**old)).record.phase is Phase.FINAL_REVIEW
        plan = plan_of(film_of(edits=EDIT_NARRATION)().with_record(**old).but(admitted=True))
        assert plan.record.phase is Phase.GENERATING_ASSETS

    def test_the_first_run_takes_the_content_as_it_is(self):
        plan = plan_of(film_of(edits=EDIT_NARRATION)().with_record(phase=Phase.CLAIMED))
        assert plan.record.content_digest == digest_of(edits=EDIT_NARRATION)
        assert order_of(plan).task_file.edits is not None


class TestTakes:
    TAKE_1 = [{"step": "video_generation", "item": "7", "take": 1}]  # noqa: RUF012

    def test_choosing_one_costs_nothing_and_the_steps_after_it_run_again(self):
        film = film_of(takes=self.TAKE_1)
        plan = plan_of(film().with_record(**on_show()).with_runs(*all_done()).but(admitted=True))
        assert (plan.record.phase, plan.record.step) == (Phase.GENERATING_VIDEO, Step.VIDEO_GENERATION)
        assert plan.record.message == "video_generation: 07 take 1; what it does not concern is kept"
        order = order_of(plan_of(film().with_record(**fields_of(plan.record)).with_runs(*all_done())))
        assert order.task_file.takes == {"7": 1}

    def test_it_is_honoured_once_and_taking_it_back_lets_the_latest_count(self):
        record = on_show(honoured_takes={"video_generation": {"7": 1}})
        assert plan_of(film_of(takes=self.TAKE_1)().with_record(**record)).record.phase is Phase.FINAL_REVIEW
        back = plan_of(film_of()().with_record(**record).but(admitted=True)).record
        assert (back.phase, back.honoured_takes) == (Phase.GENERATING_VIDEO, {})
        assert back.message.startswith("video_generation: the latest takes count again")

    def test_an_image_of_another_take_may_change_every_clip(self):
        takes = [{"step": "asset_generation", "item": "harbour", "take": 1}]
        film = film_of(takes=takes)
        record = plan_of(film().with_record(**on_show()).with_runs(*all_done()).but(admitted=True)).record
        assert record.step is Step.ASSET_GENERATION
        assert finished_items(record, all_done(), Step.VIDEO_GENERATION) == 0

    def test_a_take_of_an_unknown_scene_is_named(self):
        takes = [{"step": "video_generation", "item": "99", "take": 1}]
        plan = plan_of(film_of(takes=takes)().with_record().but(admitted=True))
        assert plan.record.waiting_reason == "InvalidChange"
        assert "spec.takes[video_generation/99]" in plan.record.message


class TestGates:
    GATED = {"gates": ["storyboard", "assets"]}  # noqa: RUF012

    def test_the_storyboard_is_shown_before_the_first_image_is_paid(self):
        spec = {"storyboard": None, "topic": "tides", **self.GATED}
        plan = plan_of(a_situation(**spec).with_record(phase=Phase.CLAIMED))
        (run,) = plan.runs
        order = order_of(plan)
        assert (run.storyboard_only, run.total, order.task_file.storyboard_only) == (True, 0, True)
        assert plan.record.message == "run 1: the storyboard"
        whole = plan_of(a_situation(storyboard=None, topic="tides").with_record(phase=Phase.CLAIMED))
        assert 0 < run.reserved_usd < whole.runs[0].reserved_usd
        assert not whole.runs[0].storyboard_only

    def test_a_given_storyboard_costs_nothing_to_show(self):
        (run,) = plan_of(film_of(**self.GATED)().with_record(phase=Phase.CLAIMED)).runs
        assert (run.storyboard_only, run.reserved_usd) == (True, 0)

    def test_once_it_is_approved_the_step_runs_whole(self):
        approvals = {"storyboard": {"decision": "Approved", "by": "alice", "round": 1}}
        film = film_of(**self.GATED, approvals=approvals)
        shown = a_film(
            at=Phase.GENERATING_ASSETS,
            step=Step.ASSET_GENERATION,
            review_gate=Gate.STORYBOARD,
            review_round=1,
            review_required_at=NOON,
            storyboard_sha256="ab",
        )
        written = done(Step.ASSET_GENERATION, number=1, items=0, storyboard_only=True)
        order = order_of(until_order(film, shown, written))
        assert not order.task_file.storyboard_only
        assert order.task_file.reservation_usd > 0

    def test_an_edit_while_it_is_on_show_writes_it_anew_for_nothing_and_shows_a_new_round(self):
        spec = {"storyboard": None, "topic": "tides", **self.GATED}
        shown = a_film(
            at=Phase.GENERATING_ASSETS,
            step=Step.ASSET_GENERATION,
            review_gate=Gate.STORYBOARD,
            review_round=1,
            review_required_at=NOON,
            storyboard_sha256="ab",
            content_digest=digest_of(storyboard=None, topic="tides"),
            waiting_since=NOON,
        )
        written = done(Step.ASSET_GENERATION, number=1, items=0, storyboard_only=True)
        edits = {"scenes": [{"scene": "7", "narration": "The tide turns."}]}
        order = order_of(until_order(lambda: a_situation(**spec, edits=edits), shown, written))
        assert order.task_file.storyboard_only
        assert order.task_file.reservation_usd == 0
        assert order.task_file.edits is not None

    def test_an_edit_asks_again_for_every_gate_it_concerns(self):
        record = on_show(approved_gates=frozenset({Gate.STORYBOARD, Gate.ASSETS, Gate.VIDEO}))
        plan = plan_of(film_of(edits=EDIT_NARRATION)().with_record(**record).but(admitted=True))
        assert plan.record.approved_gates == set()

    def test_a_redo_asks_again_for_the_gates_after_its_step_alone(self):
        record = on_show(approved_gates=frozenset({Gate.STORYBOARD, Gate.ASSETS, Gate.VIDEO, Gate.NARRATION}))
        plan = plan_of(film_of(redo=REDO_CLIPS)().with_record(**record).but(admitted=True))
        assert plan.record.approved_gates == {Gate.STORYBOARD, Gate.ASSETS}

    def test_a_rejected_gate_stays_until_it_is_approved_or_redone_in_a_new_round(self):
        rejected = {"video": {"decision": "Rejected", "by": "bob", "round": 1, "reason": "clip 7 shakes"}}
        spec = {"gates": ["video"], "approvals": rejected}
        shown = a_film(
            at=Phase.VIDEO_READY,
            step=Step.NARRATION_GENERATION,
            review_gate=Gate.VIDEO,
            review_round=1,
            review_required_at=NOON,
            waiting_since=NOON,
        )
        told = plan_of(film_of(**spec)().with_record(**shown)).record
        assert (told.phase, told.waiting_reason) == (Phase.VIDEO_READY, "Rejected")
        assert "bob rejected video, round 1: clip 7 shakes; redo or edit" in told.message
        redone = plan_of(film_of(**spec, redo=REDO_CLIPS)().with_record(**fields_of(told)).but(admitted=True)).record
        assert (redone.phase, redone.review_gate) == (Phase.GENERATING_VIDEO, None)
        ready = {**fields_of(redone), "phase": Phase.VIDEO_READY, "step": Step.NARRATION_GENERATION}
        again = plan_of(film_of(**spec, redo=REDO_CLIPS)().with_record(**ready)).record
        assert (again.review_gate, again.review_round, again.waiting_reason) == (Gate.VIDEO, 2, "AwaitingApproval")


class TestTimeouts:
    def test_the_tasks_own_limit_reaches_the_step_and_its_deadline(self):
        plain = order_of(plan_of(film_of()().with_record(phase=Phase.CLAIMED)))
        patient = order_of(
            plan_of(film_of(timeouts={"asset_generation": 600})().with_record(phase=Phase.CLAIMED)),
        )
        assert (plain.task_file.item_timeout_seconds, patient.task_file.item_timeout_seconds) == (60, 600)
        assert patient.deadline_seconds - plain.deadline_seconds == 540 * 2

    def test_the_limit_of_an_atomic_step_is_for_all_of_it(self):
        record = a_film(at=Phase.SFX_READY, step=Step.VIDEO_ASSEMBLY)
        patient = order_of(plan_of(film_of(timeouts={"video_assembly": 400})().with_record(**record)))
        assert patient.task_file.item_timeout_seconds == 400
        assert patient.deadline_seconds == 180 + 400 * 2


def test_the_way_back_is_legal_from_everywhere_to_every_step_that_has_had_its_turn():
    working = [traits.working for traits in STEPS]
    for position, traits in enumerate(STEPS):
        for earlier in working[: position + 1]:
            for phase in {traits.working, traits.ready, traits.failed}:
                assert is_legal(phase, earlier), (phase, earlier)
    assert not is_legal(Phase.APPROVED, Phase.GENERATING_VIDEO)
    assert not is_legal(Phase.ASSETS_READY, Phase.GENERATING_VIDEO)
    assert set(working) < set(HAPPY_PATH)


def touched(**spec) -> dict[str, int]:

    found = touched_items(a_resource(storyboard=BOARD, **spec).spec, Change(edits=True))
    return {step.value: number for step, number in found.items() if number}


def test_what_is_asked_for_anew_what_is_edited_and_what_is_chosen_is_touched_together():
    asked = {
        "redo": REDO_CLIPS,
        "edits": {"scenes": [{"scene": "3", "motion": "The boat turns."}]},
        "takes": [{"step": "video_generation", "item": "5", "take": 1}],
    }
    spec = a_resource(storyboard=BOARD, **asked).spec
    clips = Step.VIDEO_GENERATION
    assert touched_items(spec, Change(redo=spec.redo))[clips] == 2
    assert touched_items(spec, Change(redo=spec.redo, edits=True))[clips] == 3
    assert touched_items(spec, Change(redo=spec.redo, edits=True, takes=frozenset({clips})))[clips] == 4
