"""A decision counts for the round it names and for no later one, also when the record of that round was lost."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from tests.support.builders import a_record, a_resource, a_run, a_situation

from videotask_contract.phases import Phase
from videotask_contract.steps import Gate, Step
from videotask_operator.core.decide import decide
from videotask_operator.core.model import RunOutcome, TaskRecord

ALICES = {"decision": "Approved", "by": "alice", "round": 3}
SPEC = {"gates": ["assets"], "approvals": {"assets": ALICES}}
MADE = {"phase": Phase.ASSETS_READY, "step": Step.COMPOSITE_CREATION}


def of(record: TaskRecord) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def imported(status: dict[str, Any]) -> TaskRecord:
    plan = decide(a_situation().with_resource(a_resource(status=status, **SPEC)).build())
    assert plan is not None
    return plan.record


def looked_at(record: TaskRecord, *, times: int = 4) -> TaskRecord:
    for _ in range(times):
        made = a_run(outcome=RunOutcome.DONE, closed_at=record.queued_at, ledger_read=True)
        plan = decide(a_situation(**SPEC).with_record(**of(record)).with_runs(made).but(admitted=True).build())
        record = plan.record if plan else record
    return record


@pytest.mark.parametrize("lost", ["GeneratingAssets", "FinalReview"])
def test_a_word_from_before_the_record_was_lost_approves_nothing_that_is_shown_after_it(lost):
    found = imported({"phase": lost})
    assert found.review_round == 3
    # A person raised the attempt, and step 1 found its images: they are shown once more.
    shown = looked_at(replace(found, message="", resume_phase=None, **MADE))
    assert (shown.review_gate, shown.review_round) == (Gate.ASSETS, 4)
    assert shown.approved_gates == frozenset()


def test_the_round_that_a_lost_record_had_on_show_is_not_shown_again():
    assert imported({"phase": "FinalReview", "review": {"gate": "final", "round": 5}}).review_round == 5
    assert imported({"phase": "FinalReview", "review": {"round": "five"}}).review_round == 3
    assert imported({"phase": "FinalReview", "review": []}).review_round == 3


def test_a_record_from_an_old_backup_shows_no_round_that_people_decided_on_since():
    shown = looked_at(a_record(review_round=2, **MADE))
    assert (shown.review_gate, shown.review_round) == (Gate.ASSETS, 4)
