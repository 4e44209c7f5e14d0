"""A film whose next attempt is far, or that has no price, starves no other of a place of the fleet."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.builders import NOON, RULES, a_failed_report, a_record, a_run, a_situation

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Failure
from videotask_contract.steps import Step
from videotask_operator.core.admission import holds_place
from videotask_operator.core.decide import decide
from videotask_operator.core.draft import Draft
from videotask_operator.core.settle import settle_report

HOUR = 3600
AT_WORK = {"phase": Phase.GENERATING_ASSETS, "step": Step.ASSET_GENERATION}
FAR = {**AT_WORK, "waiting_reason": "RetryLater", "next_attempt_at": NOON + timedelta(hours=1)}


def failed(failure_class: FailureClass, *, retry_after_seconds: float | None = None):
    run = a_run()
    draft = Draft(record=a_record(**AT_WORK, last_run_number=1), runs={run.run_id: run}, now=NOON)
    words = Failure(failure_class=failure_class, message="no more today", retry_after_seconds=retry_after_seconds)
    settle_report(draft, run, a_failed_report(run, words), rules=RULES.retry)
    return draft.record


def looked_at(*, after: float, admitted: bool = False, attempt: int = 1, **record):
    situation = a_situation(attempt=attempt).with_record(**FAR | record).after(after).but(admitted=admitted)
    plan = decide(situation.build())
    assert plan is not None
    return plan


@pytest.mark.parametrize(("seconds", "holds"), [(8 * HOUR, False), (300, True)])
def test_a_film_gives_its_place_back_when_its_next_attempt_is_far(seconds, holds):
    record = failed(FailureClass.DAILY_QUOTA, retry_after_seconds=seconds)
    assert record.next_attempt_at == NOON + timedelta(seconds=seconds)
    assert holds_place(record.phase, record.waiting_reason) is holds


def test_it_takes_no_place_by_itself_when_its_time_is_near():
    record = looked_at(after=HOUR - 60).record
    assert not holds_place(record.phase, record.waiting_reason)


@pytest.mark.parametrize("admitted", [False, True])
@pytest.mark.parametrize("reason", ["RetryScheduled", "RetryLater", "PodNeverStarted"])
def test_nothing_begins_before_its_time_whatever_place_it_has(reason, admitted):
    plan = looked_at(after=60, admitted=admitted, waiting_reason=reason, message="what it lacks")
    assert (plan.runs, plan.actions, plan.wants_turn) == ((), (), False)
    assert plan.look_again_at == NOON + timedelta(hours=1)
    if reason == "PodNeverStarted":
        assert (plan.record.waiting_reason, plan.record.message) == (reason, "what it lacks")


def test_it_asks_for_a_place_when_its_time_has_come_and_goes_on_once_it_has_one():
    plan = looked_at(after=HOUR)
    assert (plan.wants_turn, plan.runs) == (True, ())
    assert looked_at(after=HOUR, admitted=True).runs


def test_a_persons_word_takes_no_place_that_is_anothers():
    plan = looked_at(after=60, attempt=2)
    assert (plan.wants_turn, plan.record.next_attempt_at, plan.runs) == (True, None, ())
    assert looked_at(after=60, attempt=2, admitted=True).runs


def test_a_film_without_a_price_holds_no_place():
    assert not holds_place(Phase.GENERATING_ASSETS, "NoPrice")
