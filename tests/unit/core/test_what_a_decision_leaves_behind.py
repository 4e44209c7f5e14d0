"""What a decision leaves in the record for people and for the next look: moments, counts, words and events."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.builders import NOON, UID, a_channel, a_job, a_pod, a_resource, a_run, a_situation, a_storyboard

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.steps import Gate, Step
from videotask_operator.core.changes import content_digest
from videotask_operator.core.decide import decide
from videotask_operator.core.model import Claim, DeleteRun, EarlierFilms, Money, RunOutcome

HALF_A_MINUTE = timedelta(seconds=30)


def reasons_of(plan):
    return [event.reason for event in plan.events]


def test_people_are_waited_for_from_the_first_look_where_the_record_was_lost_and_nowhere_else():
    lost = decide(a_situation().with_resource(a_resource(status={"phase": "GeneratingVideo"})).build()).record
    assert lost.waiting_since == NOON
    assert decide(a_situation().build()).record.waiting_since is None


def test_what_is_imported_says_so_and_what_is_not_waits_for_its_turn():
    def message_of(phase):
        return decide(
            a_situation().with_resource(a_resource(status={"phase": phase} if phase else {})).build()
        ).record.message

    assert message_of("Completed") == "imported from the resource's status; the record was lost"
    assert message_of("Queued") == message_of("NoSuchPhase") == message_of(None) == "waits for its turn"


def test_a_resumed_film_is_an_event_and_shows_its_gate_again():
    film = a_situation().with_record(phase=Phase.SUSPENDED, resume_phase=Phase.GENERATING_VIDEO)
    assert reasons_of(decide(film.but(admitted=True).build())) == ["Resumed"]
    shown = {"resume_phase": Phase.FINAL_REVIEW, "review_gate": Gate.FINAL, "review_round": 1}
    at_gate = decide(a_situation().with_record(phase=Phase.SUSPENDED, **shown).build()).record
    assert (at_gate.phase, at_gate.waiting_reason) == (Phase.FINAL_REVIEW, "AwaitingApproval")


def test_a_film_that_is_tried_again_after_its_error_is_an_event_and_goes_on_at_once():
    film = a_situation(attempt=2).with_record(phase=Phase.VIDEO_ERROR, step=Step.VIDEO_GENERATION)
    plan = decide(film.but(admitted=True).build())
    assert (reasons_of(plan), plan.again) == (["Retried"], True)


@pytest.mark.parametrize(
    ("film", "reason"),
    [
        (a_situation().with_channel(None), "ChannelNotFound"),
        (a_situation().with_channel(replace(a_channel(), spec=None, spec_error="voice: missing")), "ChannelInvalid"),
        (a_situation(quality={"imageModel": "no-such-model"}), "NoPrice"),
        (a_situation(edits={"scenes": [{"scene": "99", "motion": "Pan."}]}), "InvalidChange"),
        (a_situation().but(earlier=EarlierFilms(cost_usd=Decimal(4), attempt=1, at_work=True)), "EarlierFilm"),
    ],
)
def test_a_queued_film_that_a_person_must_help_looks_again_in_half_a_minute(film, reason):
    """Since nothing tells it of an earlier film's end, or of a price that was added."""
    plan = decide(film.with_record().build())
    assert (plan.record.waiting_reason, plan.look_again_at) == (reason, NOON + HALF_A_MINUTE)


@pytest.mark.parametrize("phase", [Phase.COMPOSITES_READY, Phase.BUDGET_EXCEEDED])
def test_a_film_over_its_budget_looks_again_in_half_a_minute(phase):
    """Since nothing tells it of the channel's next day, nor of money that another film gives back."""
    film = a_situation(budgetUSD="1.00").with_record(phase=phase, step=Step.VIDEO_GENERATION)
    plan = decide(film.but(money=Money(task_spent_usd=Decimal("0.97"))).build())
    assert (plan.record.phase, plan.look_again_at) == (Phase.BUDGET_EXCEEDED, NOON + HALF_A_MINUTE)


@pytest.mark.parametrize(
    ("phase", "step", "items", "words"),
    [
        (Phase.CLAIMED, Step.ASSET_GENERATION, 2, "run 1: 2 images"),
        (Phase.ASSETS_READY, Step.COMPOSITE_CREATION, 3, "run 1: 3 composites"),
        (Phase.COMPOSITES_READY, Step.VIDEO_GENERATION, 3, "run 1: 3 clips"),
        (Phase.VIDEO_READY, Step.NARRATION_GENERATION, 3, "run 1: 3 narrations"),
        (Phase.AUDIO_READY, Step.SFX_GENERATION, 3, "run 1: 3 effects"),
        (Phase.SFX_READY, Step.VIDEO_ASSEMBLY, 1, "run 1: the film"),
    ],
)
def test_a_run_that_begins_says_how_much_it_is_to_make(phase, step, items, words):
    film = a_situation(storyboard=a_storyboard(scenes=3)).with_record(phase=phase, step=step)
    plan = decide(film.build())
    (run,) = plan.runs
    assert (run.done, run.total, plan.record.message) == (0, items, words)
    assert run.ledger_read is (run.reserved_usd == 0), "what has no money has no ledger that must be read"
    assert plan.transitions[-1].message == words


def test_a_run_that_only_writes_the_storyboard_says_so():
    plan = decide(a_situation(gates=["storyboard"]).with_record(phase=Phase.CLAIMED).build())
    assert plan.record.message == "run 1: the storyboard"


def test_a_film_under_way_whose_channel_is_gone_says_so_once_and_looks_again():
    film = a_situation().with_record(phase=Phase.GENERATING_VIDEO, step=Step.VIDEO_GENERATION).with_channel(None)
    plan = decide(film.build())
    assert (plan.record.waiting_reason, reasons_of(plan)) == ("ChannelNotFound", ["ChannelNotFound"])
    assert "there is no Channel" in plan.record.message
    assert plan.look_again_at == NOON + HALF_A_MINUTE


def test_a_film_without_a_slot_looks_again_in_half_a_minute():
    accounts = {
        name: {"secretRef": {"name": f"{name}-key"}, "concurrency": 1} for name in ("gemini", "kling", "elevenlabs")
    }
    taken = Claim(claimant="other", since=NOON, held=1, wanted=1)
    film = a_situation().with_channel(a_channel(credentials=accounts)).with_record(phase=Phase.CLAIMED)
    plan = decide(film.but(slot_claims=(taken,)).build())
    assert (plan.record.waiting_reason, plan.look_again_at) == ("WaitingForSlot", NOON + HALF_A_MINUTE)


@pytest.mark.parametrize("reason", ["WaitingForTurn", "NoPrice"])
def test_a_film_that_is_over_its_budget_still_waits_for_nothing_else(reason):
    film = a_situation(budgetUSD="1.00").with_record(phase=Phase.BUDGET_EXCEEDED, waiting_reason=reason)
    record = decide(film.but(money=Money(task_spent_usd=Decimal("0.97"))).build()).record
    assert (record.phase, record.waiting_reason) == (Phase.BUDGET_EXCEEDED, None)
    assert "spec.budgetUSD" in record.message


def test_a_film_that_is_tried_again_after_its_error_leaves_nothing_of_it():
    left = {"lost_runs": 4, "step_attempt": 5, "error": "scene 2: SAFETY", "next_attempt_at": NOON + timedelta(hours=1)}
    film = a_situation(attempt=2).with_record(phase=Phase.VIDEO_ERROR, step=Step.VIDEO_GENERATION, **left)
    record = decide(film.but(admitted=True).build()).record
    assert (record.lost_runs, record.step_attempt, record.error, record.next_attempt_at) == (0, 1, None, None)


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.CLAIMED, Phase.SUSPENDED])
@pytest.mark.parametrize(("before", "given", "after"), [(3, 2, 3), (3, 3, 3), (3, 4, 4)])
def test_a_word_is_taken_up_with_what_it_begins_and_never_forgotten(phase, before, given, after):
    film = a_situation(attempt=given).with_record(phase=phase, attempt=before, resume_phase=Phase.GENERATING_ASSETS)
    assert decide(film.but(admitted=True).build()).record.attempt == after


def test_a_film_that_is_to_go_on_while_its_run_ends_goes_on_as_soon_as_it_has_ended():
    run = a_run(job_created_at=NOON, stop_requested_at=NOON)
    plan = decide(a_situation().with_record(phase=Phase.GENERATING_ASSETS).with_runs(run).build())
    assert ([run.outcome for run in plan.runs], plan.again) == ([RunOutcome.STOPPED], True)


def test_a_film_keeps_its_place_among_those_that_wait_for_a_slot():
    accounts = {
        name: {"secretRef": {"name": f"{name}-key"}, "concurrency": 1} for name in ("gemini", "kling", "elevenlabs")
    }
    taken = Claim(claimant="other", since=NOON, held=1, wanted=1)
    mine = Claim(claimant=UID, since=NOON - timedelta(hours=1), wanted=2)
    film = a_situation().with_channel(a_channel(credentials=accounts)).with_record(phase=Phase.CLAIMED)
    assert decide(film.but(slot_claims=(taken, mine)).build()).slot_claim == mine


@pytest.mark.parametrize(
    ("earlier", "words"),
    [
        ({"cost_usd": Decimal("4.20")}, "of this name paid 4.20 dollars; nothing"),
        ({"cost_usd": Decimal("4.20"), "unread_usd": Decimal("0.42")}, "4.20 dollars, and perhaps up to 0.42 more;"),
        ({"unread_usd": Decimal("0.01")}, "paid 0.00 dollars, and perhaps up to 0.01 more;"),
        (
            {"cost_usd": Decimal("4.20"), "unread_usd": Decimal("0.42"), "at_work": True},
            "is still at work and paid 4.20 dollars so far;",
        ),
    ],
)
def test_a_film_made_anew_is_told_what_those_of_its_name_paid_or_may_have(earlier, words):
    film = a_situation(attempt=2).with_record().but(admitted=True, earlier=EarlierFilms(attempt=2, **earlier))
    record = decide(film.build()).record
    assert (record.phase, record.waiting_reason) == (Phase.QUEUED, "EarlierFilm")
    assert words in record.message
    assert "set spec.attempt to 3 to make it anew" in record.message


def test_a_run_that_only_writes_the_storyboard_counts_nothing_that_was_written_before():
    film = a_situation(gates=["storyboard"]).with_record(
        phase=Phase.CLAIMED, step=Step.ASSET_GENERATION, storyboard_sha256="ab"
    )
    (run,) = decide(film.build()).runs
    assert run.storyboard_only
    assert (run.done, run.total) == (0, 0)


def test_a_raised_attempt_ends_the_wait_and_counts_lost_runs_anew():
    film = a_situation(attempt=2).with_record(
        phase=Phase.GENERATING_ASSETS,
        step_attempt=3,
        lost_runs=4,
        next_attempt_at=NOON + timedelta(hours=1),
        waiting_reason="RetryScheduled",
    )
    plan = decide(film.build())
    assert (plan.record.lost_runs, plan.record.step_attempt, plan.record.next_attempt_at) == (0, 1, None)
    assert plan.record.phase is Phase.GENERATING_ASSETS
    assert [run.attempt for run in plan.runs] == [1]


def test_a_resume_keeps_the_time_of_the_next_attempt():
    due = NOON + timedelta(hours=1)
    film = a_situation().with_record(
        phase=Phase.SUSPENDED, resume_phase=Phase.GENERATING_ASSETS, step_attempt=2, next_attempt_at=due
    )
    back = decide(film.but(admitted=True).build()).record
    assert (back.phase, back.next_attempt_at) == (Phase.GENERATING_ASSETS, due)
    fields = {name: getattr(back, name) for name in back.__dataclass_fields__}
    again = decide(a_situation().with_record(**fields).build())
    assert (again.record.waiting_reason, again.runs) == ("RetryLater", ())


def test_a_step_that_gave_up_for_want_of_money_is_quoted():
    broke = a_run(
        closed_at=NOON,
        outcome=RunOutcome.FAILED,
        failure_class=FailureClass.OVER_BUDGET,
        failure_message="hero-1 costs up to 0.0420",
        reserved_usd=Decimal("0.20"),
        spent_usd=Decimal("0.10"),
        ledger_read=True,
    )
    film = a_situation(budgetUSD="1.00").with_record(phase=Phase.GENERATING_ASSETS).with_runs(broke)
    plan = decide(film.but(money=Money(task_spent_usd=Decimal("0.90"))).build())
    assert plan.record.phase is Phase.BUDGET_EXCEEDED
    assert "hero-1 costs up to 0.0420; " in plan.record.message


def test_what_a_lost_record_left_at_work_is_named():
    left = replace(a_run(number=7), task_uid=UID)
    plan = decide(a_situation().with_record(phase=Phase.CLAIMED).seeing(a_pod(left)).build())
    assert plan.record.message == "waits until the last pod from before its record was lost is gone"


def test_a_film_whose_resource_is_gone_is_not_over_while_a_pod_of_its_lost_record_works():
    left = a_pod(replace(a_run(number=7), task_uid=UID))

    def seeing(pod):
        return decide(a_situation().with_resource(None).with_record(phase=Phase.SUSPENDED).seeing(pod).build())

    plan = seeing(left)
    assert (plan.record.phase, plan.record.resource_gone) == (Phase.SUSPENDED, False)
    assert plan.look_again_at == NOON + timedelta(seconds=2)
    ended = seeing(replace(left, running=False, finished=True))
    assert (ended.record.phase, ended.record.resource_gone) == (Phase.CANCELLED, True)


ANOTHER_PROMPT = {"edits": {"assets": [{"name": "hero-1", "prompt": "another hero"}]}}


def an_opened_run(**run):
    """Return a film whose first run was opened for what its spec said before its hero was edited."""
    record = {"phase": Phase.GENERATING_ASSETS, "step": Step.ASSET_GENERATION, "last_run_number": 1}
    before = content_digest(a_resource().spec)
    film = a_situation(**ANOTHER_PROMPT).with_record(**record, content_digest=before)
    return film.with_runs(a_run(**{"job_created_at": None, **run}))


def test_a_job_is_never_made_of_more_than_its_run_was_opened_for():
    plan = decide(an_opened_run().build())
    assert [type(action) for action in plan.actions] == [DeleteRun], "a Job that nobody saw may be on its way"
    [run] = plan.runs
    assert run.is_open
    film = an_opened_run(stop_requested_at=NOON)
    [stopped] = decide(film.build()).runs
    assert (stopped.outcome, stopped.ledger_read, stopped.spent_usd) == (RunOutcome.STOPPED, True, 0)
    anew = decide(film.with_runs(stopped).build())
    assert anew.record.content_digest == content_digest(a_resource(**ANOTHER_PROMPT).spec)


def test_a_run_whose_job_was_made_goes_on_when_its_film_is_changed():
    run = a_run(job_created_at=NOON)
    plan = decide(an_opened_run(job_created_at=NOON).seeing(a_job(run), a_pod(run)).build())
    assert plan.actions == ()
    assert "taken up when run 1 has ended" in plan.record.message


def test_a_film_is_not_cancelled_while_a_pod_of_its_lost_record_works():
    left = replace(a_run(number=7), task_uid=UID)
    lost = {"phase": Phase.SUSPENDED, "message": "its record was lost; raise spec.attempt to go on"}
    plan = decide(a_situation(state="Cancelled").with_record(**lost).seeing(a_pod(left)).build())
    assert plan.record.phase is Phase.SUSPENDED
    assert plan.look_again_at is not None
    assert decide(a_situation(state="Cancelled").with_record(**lost).build()).record.phase is Phase.CANCELLED
