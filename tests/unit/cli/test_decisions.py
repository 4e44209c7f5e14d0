"""A decision is for what is on show, in its round, and leaves nothing of an earlier one standing beside it."""

from __future__ import annotations

import pytest

from videotask_contract.errors import BadInputError
from videotask_contract.steps import Gate
from videotask_operator.cli.change import merge
from videotask_operator.cli.decisions import decide_approval, decide_rejection
from videotask_operator.cli.exits import NotNowError


def test_an_approval_names_gate_round_and_person(on_show):
    change = decide_approval(on_show(), by="ada")
    approval = {"decision": "Approved", "round": 2, "by": "ada", "reason": None}
    assert change.patch == {"spec": {"approvals": {"final": approval}}}


def test_an_approval_after_a_rejection_takes_its_reason_and_name_away(on_show):
    rejected = {"final": {"decision": "Rejected", "round": 1, "by": "ada", "reason": "the heron blinks"}}
    film = on_show(approvals=rejected)
    after = merge(film.resource, decide_approval(film, by=None).patch)
    assert after["spec"]["approvals"] == {"final": {"decision": "Approved", "round": 2}}


@pytest.mark.parametrize("wrong", [{"gate": Gate.VIDEO}, {"review_round": 1}, {"review_round": 3}])
def test_what_is_not_on_show_is_not_decided(on_show, wrong):
    with pytest.raises(NotNowError, match="heron shows final, round 2"):
        decide_approval(on_show(), by="ada", **wrong)


def test_nothing_on_show_says_where_the_film_stands(task):
    film = task(status={"progress": "7/18", "step": "video_generation"})
    with pytest.raises(NotNowError, match=r"nothing to decide on: it is GeneratingVideo \(7/18 clips\).*get heron -w"):
        decide_approval(film, by="ada")


def test_a_film_that_is_over_is_not_decided(on_show):
    film = on_show()
    film.resource["status"]["phase"] = "Completed"
    with pytest.raises(NotNowError, match="Completed, and nothing changes that"):
        decide_approval(film, by="ada")


def test_the_same_decision_again_changes_nothing(on_show):
    film = on_show(approvals={"final": {"decision": "Approved", "round": 2, "by": "ada"}})
    change = decide_approval(film, by="bob")
    assert change.patch is None
    assert "ada has approved final, round 2 already" in change.words


def test_an_approval_that_nobody_is_named_for_does_not_count_as_given(on_show):
    assert decide_approval(on_show(approvals={"final": {"decision": "Approved", "round": 2}}), by="ada").patch


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_a_rejection_has_a_reason_of_decent_length(on_show, reason):
    with pytest.raises(BadInputError, match=r"spec\.approvals\.final\.reason"):
        decide_rejection(on_show(), by="ada", reason=reason)
