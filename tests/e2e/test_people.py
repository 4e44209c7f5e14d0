"""Two people approve two films by the line the status prints; nobody else can, at no other time, in no other way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from tests.e2e.house_film import APPROVER
from tests.e2e.studio import Film, Studio

from videotask_contract.phases import Phase

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

APPROVED = {"spec": {"approvals": {"final": {"decision": "Approved"}}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A film under way, and what it said to those who came while nothing was on show."""

    film: Film
    too_early: dict[str, str]
    """Refusals before anything was on show, by user."""


def patch(film: Film, change: dict[str, Any], *flags: str) -> list[str]:
    return ["patch", "videotask", film.name, "--type=merge", "-p", json.dumps(change), *flags]


def refusal(film: Film, change: dict[str, Any], *flags: str, user: str | None) -> str:
    return film.studio.cluster.refusal(*patch(film, change, *flags), namespace=film.namespace, user=user)


@pytest.fixture(scope="module")
def door(studio: Studio) -> Door:
    """A film that is on show; alice and bob tried the door before."""
    film = studio.start(studio.film("door"))
    film.wait_phase(Phase.GENERATING_ASSETS)
    too_early = {user: refusal(film, APPROVED, user=user) for user in ("alice", "carol")}
    film.wait_phase(Phase.FINAL_REVIEW)
    return Door(film=film, too_early=too_early)


@pytest.fixture(scope="module")
def shown(door) -> Film:
    return door.film


def assert_untouched(film: Film) -> None:
    """Nothing is approved, also after the operator has looked at the film anew."""
    assert film.resource["spec"].get("approvals", {}) == {}
    priority = "high" if film.resource["spec"].get("priority") != "high" else "normal"
    film.patch({"priority": priority})
    generation = film.resource["metadata"]["generation"]
    film.wait("the operator has looked again", lambda status: status.get("observedGeneration", 0) >= generation)
    assert film.phase is Phase.FINAL_REVIEW
    assert "approvedBy" not in film.status
    [row] = film.studio.sql("SELECT status, approved_by FROM tasks WHERE id = %s", film.uid)
    assert row == {"status": "final_review", "approved_by": None}


def test_before_anything_is_on_show_an_approver_is_told_so(door):
    assert "nothing is on show" in door.too_early["alice"]
    assert "carol may not change approvals" in door.too_early["carol"]


def test_who_lacks_the_verb_is_refused_at_the_review_too(shown):
    complaint = refusal(shown, APPROVED, user="carol")
    assert "carol may not change approvals" in complaint
    assert_untouched(shown)


@pytest.mark.parametrize("user", ["carol", None])
def test_an_approval_cannot_come_with_a_new_film(studio, user):
    given = {"final": {"decision": "Approved", "by": user or "kubernetes-admin", "round": 1}}
    manifest = studio.film("born-approved", approvals=given)
    words = ["create", "-f", "-"]
    complaint = studio.cluster.refusal(*words, stdin=yaml.safe_dump(manifest), namespace=studio.a, user=user)
    assert "spec.approvals" in complaint


def test_a_patch_of_the_status_approves_nothing(shown):
    """Not even the administrator's: the status is the operator's, which puts it right."""
    for user in ("alice", "carol"):
        complaint = refusal(shown, {"status": {"phase": "Approved"}}, "--subresource=status", user=user)
        assert "Forbidden" in complaint
    forged = {"phase": "Completed", "approvedBy": "nobody", "message": "the film is done"}
    shown.studio.cluster.kubectl(
        *patch(shown, {"status": forged, **APPROVED}, "--subresource=status"), namespace=shown.namespace
    )
    shown.wait(
        "the status is put right",
        lambda status: status["phase"] == Phase.FINAL_REVIEW.resource and "approvedBy" not in status,
        timeout_seconds=90,
    )
    assert_untouched(shown)


def test_an_approval_for_another_round_or_gate_is_refused(shown):
    final = {"decision": "Approved", "by": "alice"}
    assert "on show is round 1" in refusal(
        shown, {"spec": {"approvals": {"final": {**final, "round": 2}}}}, user="alice"
    )
    assert "on show is final" in refusal(shown, {"spec": {"approvals": {"video": {**final, "round": 1}}}}, user="alice")
    assert_untouched(shown)


def test_two_people_approve_two_films_and_both_names_stand_in_status_and_record(studio, house_film, shown):
    """The last one here: bob signs as alice, and it is bob's name that counts."""
    if not any(version.endswith("/MutatingAdmissionPolicy") for version in studio.cluster.api_versions()):
        pytest.skip("this cluster serves no MutatingAdmissionPolicy to stamp names")
    forged = {"spec": {"approvals": {"final": {"decision": "Approved", "by": "alice"}}}}
    studio.cluster.kubectl(*patch(shown, forged), namespace=shown.namespace, user="bob")
    approved = {"bob": shown.wait_phase(Phase.COMPLETED), APPROVER: house_film.status}
    rows = studio.sql("SELECT approved_by FROM tasks WHERE id IN (%s, %s)", shown.uid, house_film.film.uid)
    assert {name: status["approvedBy"] for name, status in approved.items()} == {"bob": "bob", "alice": "alice"}
    assert sorted(row["approved_by"] for row in rows) == ["alice", "bob"]
    assert all(f"approved by {name}" in status["message"] for name, status in approved.items())


def test_the_printed_command_is_one_line_that_a_person_can_paste(house_film):
    command = house_film.at_review["review"]["command"]
    film = house_film.film
    assert "\n" not in command
    assert command.startswith(f"kubectl patch videotask {film.name} -n {film.namespace} --type=merge -p '")
    change = json.loads(command.partition("-p '")[2].removesuffix("'"))
    assert change == {"spec": {"approvals": {"final": {"decision": "Approved", "round": 1}}}}
    assert film.resource["spec"]["approvals"]["final"] == {"decision": "Approved", "round": 1, "by": APPROVER}
