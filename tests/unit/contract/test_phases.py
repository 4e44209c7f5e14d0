from __future__ import annotations

import itertools

import pytest

from videotask_contract.phases import ERRORS, HAPPY_PATH, TABLE, TERMINAL, Phase, is_legal, phase_of_resource
from videotask_contract.steps import STEPS


def test_every_phase_stands_in_the_table_with_a_meaning():
    assert set(TABLE) == set(Phase)
    assert all(row.meaning for row in TABLE.values())


def test_the_three_spellings():
    assert Phase.FINAL_REVIEW.value == "final_review"
    assert Phase.FINAL_REVIEW.resource == "FinalReview"
    assert Phase.FINAL_REVIEW.label == "Final Review"


@pytest.mark.parametrize("phase", Phase)
def test_a_resource_spelling_leads_back_to_its_phase(phase):
    assert phase_of_resource(phase.resource) is phase


def test_an_unknown_spelling_is_named():
    with pytest.raises(ValueError, match="Publishing"):
        phase_of_resource("Publishing")


def test_the_happy_path_is_legal_and_nothing_is_skipped():
    for before, after in itertools.pairwise(HAPPY_PATH):
        assert is_legal(before, after)
    for before, after in itertools.combinations(HAPPY_PATH[:13], 2):
        if HAPPY_PATH.index(after) - HAPPY_PATH.index(before) > 1:
            assert not is_legal(before, after)


@pytest.mark.parametrize("phase", sorted(TERMINAL))
def test_nothing_leaves_a_terminal_phase(phase):
    assert not TABLE[phase].next_phases


@pytest.mark.parametrize("phase", sorted(ERRORS))
def test_every_error_has_a_way_back_to_its_work(phase):
    working = {traits.working for traits in STEPS if traits.failed is phase}
    assert working <= TABLE[phase].next_phases


def test_every_phase_but_the_first_can_be_reached():
    reached = set().union(*(row.next_phases for row in TABLE.values()))
    assert reached == set(Phase) - {Phase.QUEUED} | {Phase.QUEUED}


def test_steps_and_phases_agree():
    assert [traits.working for traits in STEPS] == [
        phase for phase in HAPPY_PATH if phase.value.startswith(("generating", "assembling"))
    ]
    for traits in STEPS:
        assert is_legal(traits.working, traits.ready)
        assert is_legal(traits.working, traits.failed)
