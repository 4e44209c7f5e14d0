"""Who may approve what, in whose name: the chart's admission policies on a real API server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.e2e

ROLES = {"alice": "videotask-approver", "bob": "videotask-approver", "carol": "videotask-edit"}
"""alice and bob may approve; carol may edit everything and approve nothing."""
AT = "2026-11-21T12:00:00Z"


def a_task(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "videotask.dev/v1alpha1",
        "kind": "VideoTask",
        "metadata": {"name": name},
        "spec": {"channelRef": {"name": "night-stories"}, "title": "A film", "topic": "A heron", **spec},
    }


def decided(gate: str = "final", decision: str = "Approved", **more: Any) -> dict[str, Any]:
    return {"spec": {"approvals": {gate: {"decision": decision, **more}}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A namespace in which the policies are in force, no operator works, and reviews are put on show by hand."""

    cluster: Any
    namespace: str

    def film(self, name: str, *, gate: str | None = "final", on_show: int = 1) -> str:
        self.cluster.apply(a_task(name), namespace=self.namespace)
        if gate:
            self.show(name, gate=gate, on_show=on_show)
        return name

    def show(self, name: str, *, gate: str = "final", on_show: int = 1) -> None:
        review = {"gate": gate, "round": on_show, "requestedAt": AT, "command": "kubectl patch"}
        self.cluster.patch(
            "videotask", name, {"status": {"review": review}}, "--subresource=status", namespace=self.namespace
        )

    def patch(self, name: str, change: Any, *flags: str, user: str | None) -> None:
        self.cluster.patch("videotask", name, change, *flags, namespace=self.namespace, user=user)

    def refusal(self, name: str, change: Any, *flags: str, user: str | None) -> str:
        how = [] if any(flag.startswith("--type") for flag in flags) else ["--type=merge"]
        words = ["patch", "videotask", name, *how, *flags, "-p", json.dumps(change)]
        return self.cluster.refusal(*words, namespace=self.namespace, user=user)

    def approvals(self, name: str) -> dict[str, Any]:
        return self.cluster.get("videotask", name, namespace=self.namespace)["spec"].get("approvals", {})


@contextlib.contextmanager
def staged(cluster, namespace: str, *flags: str) -> Iterator[Stage]:
    """Put the chart's policies and roles into force for one namespace, for as long as the context lasts."""
    roles = cluster.render(release="people", namespace=namespace, templates=("people-roles.yaml",))
    for role in roles:
        role["metadata"]["name"] += f".{namespace}"  # beside those of an installed chart
        role["metadata"].pop("labels")
    for user, role in ROLES.items():
        roles.append(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": user, "namespace": namespace},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": f"{role}.{namespace}",
                },
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
            }
        )
    reading = json.loads(json.dumps(roles[-1]))
    reading["metadata"]["name"], reading["roleRef"]["name"] = "carol-reads", f"videotask-view.{namespace}"
    policies = cluster.render(*flags, release="policies", namespace=namespace)
    policies = [document for document in policies if "AdmissionPolicy" in document["kind"]]
    objects = [*roles, reading, *policies]
    cluster.apply(*objects)
    try:
        yield Stage(cluster=cluster, namespace=namespace)
    finally:
        text = yaml.safe_dump_all(objects)
        cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=text)


@pytest.fixture(scope="module")
def stage(cluster, crds, make_module_namespace, eventual) -> Iterator[Stage]:
    """The policies as the chart installs them on this cluster, with the stamp."""
    if not any(version.endswith("/MutatingAdmissionPolicy") for version in cluster.api_versions()):
        pytest.skip("this cluster serves no MutatingAdmissionPolicy")
    with staged(cluster, make_module_namespace("stamped"), "--set=approvals.stamp=on") as stage:
        _await_policies(stage, eventual, stamped=True)
        yield stage


@pytest.fixture(scope="module")
def unstamped(cluster, crds, make_module_namespace, eventual) -> Iterator[Stage]:
    """The policies where people give name and round themselves."""
    with staged(cluster, make_module_namespace("unstamped"), "--set=approvals.stamp=off") as stage:
        _await_policies(stage, eventual, stamped=False)
        yield stage


def _await_policies(stage: Stage, eventual, *, stamped: bool) -> None:
    """New policies take some seconds to take effect: wait until a dry run shows both."""
    stage.film("probe")
    probe = ["patch", "videotask", "probe", "--type=merge", "--dry-run=server", "-o", "json"]

    def is_refused() -> bool:
        words = [*probe, "-p", json.dumps(decided(by="somebody", round=7))]
        return stage.cluster.kubectl(*words, namespace=stage.namespace, check=False).returncode != 0

    def is_stamped() -> bool:
        words = [*probe, "-p", json.dumps(decided())]
        return stage.cluster.kubectl(*words, namespace=stage.namespace, user="alice", check=False).returncode == 0

    eventual("a forged approval is refused", is_refused, timeout_seconds=60)
    if stamped:
        eventual("an approval is stamped", is_stamped, timeout_seconds=60)


def test_the_one_line_patch_approves_in_the_name_of_the_one_who_asks(stage):
    for user in ("alice", "bob"):
        film = stage.film(f"approved-by-{user}")
        stage.patch(film, decided(), user=user)
        assert stage.approvals(film) == {"final": {"decision": "Approved", "by": user, "round": 1}}


def test_the_printed_command_with_its_round_approves(stage):
    film = stage.film("printed", on_show=3)
    stage.patch(film, decided(round=3), user="bob")
    assert stage.approvals(film)["final"] == {"decision": "Approved", "by": "bob", "round": 3}


@pytest.mark.parametrize("gate", ["assets", "video", "narration", "final"])
def test_every_gate_is_stamped_while_it_is_on_show(stage, gate):
    film = stage.film(f"gate-{gate}", gate=gate, on_show=2)
    stage.patch(film, decided(gate), user="alice")
    assert stage.approvals(film) == {gate: {"decision": "Approved", "by": "alice", "round": 2}}


def test_a_rejection_is_stamped_too_and_keeps_its_reason(stage):
    film = stage.film("rejected")
    stage.patch(film, decided(decision="Rejected", reason='the "lamp" is blue'), user="bob")
    expected = {"decision": "Rejected", "reason": 'the "lamp" is blue', "by": "bob", "round": 1}
    assert stage.approvals(film)["final"] == expected


def test_a_forged_name_is_overwritten(stage):
    film = stage.film("forged")
    stage.patch(film, decided(by="alice"), user="bob")
    assert stage.approvals(film)["final"]["by"] == "bob"


def test_who_lacks_the_verb_is_refused_and_told_which(stage):
    film = stage.film("no-verb")
    complaint = stage.refusal(film, decided(), user="carol")
    assert "carol may not change approvals" in complaint
    assert "videotask-approver" in complaint
    assert stage.approvals(film) == {}


def test_who_lacks_the_verb_may_change_everything_else(stage):
    film = stage.film("edited")
    stage.patch(film, decided(), user="alice")
    stage.patch(film, {"spec": {"priority": "high", "budgetUSD": "13.00"}}, user="carol")
    assert stage.approvals(film) == {"final": {"decision": "Approved", "by": "alice", "round": 1}}


def test_the_verb_can_be_given_for_one_film_alone(stage):
    mine, other = stage.film("for-dave"), stage.film("not-for-dave")
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "dave"},
        "rules": [
            {"apiGroups": ["videotask.dev"], "resources": ["videotasks"], "verbs": ["get", "patch"]},
            {
                "apiGroups": ["videotask.dev"],
                "resources": ["videotasks"],
                "verbs": ["approve"],
                "resourceNames": [mine],
            },
        ],
    }
    stage.cluster.apply(role, namespace=stage.namespace)
    stage.cluster.kubectl("create", "rolebinding", "dave", "--role=dave", "--user=dave", namespace=stage.namespace)
    stage.patch(mine, decided(), user="dave")
    assert "dave may not change approvals" in stage.refusal(other, decided(), user="dave")


def test_an_approval_before_anything_is_on_show_is_refused(stage):
    film = stage.film("too-early", gate=None)
    assert "final cannot be decided now: nothing is on show" in stage.refusal(film, decided(), user="alice")
    assert "nothing is on show" in stage.refusal(film, decided(by="alice", round=1), user="alice")


def test_an_approval_for_another_gate_than_the_one_on_show_is_refused(stage):
    film = stage.film("other-gate", gate="video")
    assert "final cannot be decided now: on show is video" in stage.refusal(film, decided(), user="alice")


@pytest.mark.parametrize("stale", [1, 3])
def test_a_round_that_is_not_on_show_is_refused_and_not_mended(stage, stale):
    film = stage.film(f"round-{stale}", on_show=2)
    complaint = stage.refusal(film, decided(round=stale), user="alice")
    assert "on show is round 2" in complaint
    assert stage.approvals(film) == {}


def test_after_an_earlier_decision_the_round_must_be_named(stage):
    film = stage.film("second-look")
    stage.patch(film, decided(decision="Rejected", reason="too dark"), user="alice")
    stage.show(film, on_show=2)
    assert "on show is round 2" in stage.refusal(film, decided(), user="bob")
    stage.patch(film, decided(round=2, reason=None), user="bob")
    assert stage.approvals(film)["final"] == {"decision": "Approved", "by": "bob", "round": 2}


def test_the_same_patch_again_changes_nothing_and_keeps_the_first_name(stage):
    film = stage.film("again")
    stage.patch(film, decided(), user="alice")
    stage.patch(film, decided(), user="bob")
    assert stage.approvals(film)["final"]["by"] == "alice"


def test_an_earlier_gate_s_approval_stays_untouched_by_a_later_one(stage):
    film = stage.film("two-gates", gate="assets")
    stage.patch(film, decided("assets"), user="alice")
    stage.show(film, gate="final", on_show=1)
    stage.patch(film, decided("final"), user="bob")
    assert {gate: given["by"] for gate, given in stage.approvals(film).items()} == {"assets": "alice", "final": "bob"}


def test_taking_an_approval_away_takes_the_verb(stage):
    film = stage.film("taken-back")
    stage.patch(film, decided(), user="alice")
    for change in ({"spec": {"approvals": None}}, {"spec": {"approvals": {"final": None}}}):
        assert "carol may not change approvals" in stage.refusal(film, change, user="carol")
    stage.patch(film, {"spec": {"approvals": None}}, user="bob")
    assert stage.approvals(film) == {}


def test_changing_another_s_approval_takes_the_verb(stage):
    film = stage.film("changed")
    stage.patch(film, decided(), user="alice")
    for change in (decided(decision="Rejected"), decided(by="bob"), decided(reason="no"), decided(round=1, by="carol")):
        assert "carol may not change approvals" in stage.refusal(film, change, user="carol")
    assert stage.approvals(film)["final"] == {"decision": "Approved", "by": "alice", "round": 1}


def test_other_ways_of_writing_are_checked_and_stamped_alike(stage):
    film = stage.film("json-patch")
    add = [{"op": "add", "path": "/spec/approvals", "value": {"final": {"decision": "Approved", "by": "carol"}}}]
    assert "carol may not change" in stage.refusal(film, add, "--type=json", user="carol")
    stage.patch(film, add, "--type=json", user="bob")
    assert stage.approvals(film)["final"]["by"] == "bob"

    film = stage.film("server-side")
    applied = {**a_task(film), "spec": decided()["spec"]}
    words = ["apply", "--server-side", "--field-manager=approval", "-f", "-"]
    stdin = yaml.safe_dump(applied)
    assert "carol may not" in stage.cluster.refusal(*words, stdin=stdin, namespace=stage.namespace, user="carol")
    stage.cluster.kubectl(*words, stdin=stdin, namespace=stage.namespace, user="alice")
    assert stage.approvals(film)["final"] == {"decision": "Approved", "by": "alice", "round": 1}


def test_applying_the_manifest_again_keeps_the_approval(stage):
    film = stage.film("applied-again")
    stage.patch(film, decided(), user="alice")
    stage.cluster.apply(a_task(film, priority="low"), namespace=stage.namespace, user=None)
    assert stage.approvals(film)["final"]["by"] == "alice"


def test_replacing_the_resource_without_its_approval_takes_the_verb(stage):
    film = stage.film("replaced")
    stage.patch(film, decided(), user="alice")
    whole = stage.cluster.get("videotask", film, namespace=stage.namespace)
    whole["spec"].pop("approvals")
    words = ["replace", "-f", "-"]
    stdin = json.dumps(whole)
    assert "carol may not" in stage.cluster.refusal(*words, stdin=stdin, namespace=stage.namespace, user="carol")


@pytest.mark.parametrize("user", [None, "alice", "carol"])
def test_an_approval_at_creation_is_refused(stage, user):
    task = a_task(
        f"born-approved-{user or 'admin'}", approvals={"final": {"decision": "Approved", "by": "alice", "round": 1}}
    )
    words = ["create", "-f", "-"]
    complaint = stage.cluster.refusal(*words, stdin=yaml.safe_dump(task), namespace=stage.namespace, user=user)
    assert "spec.approvals" in complaint or "cannot create resource" in complaint


def test_an_approval_through_the_status_subresource_is_without_effect(stage):
    film = stage.film("by-status")
    stage.patch(film, decided(by="alice", round=1), "--subresource=status", user=None)
    assert stage.approvals(film) == {}


def test_neither_editors_nor_approvers_may_write_the_status(stage):
    film = stage.film("no-status", gate=None)
    for user in ("alice", "carol"):
        complaint = stage.refusal(film, {"status": {"phase": "Completed"}}, "--subresource=status", user=user)
        assert "videotasks/status" in complaint
        assert "Forbidden" in complaint


def test_without_the_stamp_name_and_round_are_given_by_hand(unstamped):
    film = unstamped.film("by-hand", on_show=2)
    assert "on show is round 2" in unstamped.refusal(film, decided(by="alice"), user="alice")
    assert 'give "by": "alice"' in unstamped.refusal(film, decided(round=2), user="alice")
    unstamped.patch(film, decided(by="alice", round=2), user="alice")
    assert unstamped.approvals(film)["final"] == {"decision": "Approved", "by": "alice", "round": 2}


def test_without_the_stamp_a_foreign_name_is_refused(unstamped):
    film = unstamped.film("foreign")
    assert 'give "by": "bob"' in unstamped.refusal(film, decided(by="alice", round=1), user="bob")
    assert "carol may not change approvals" in unstamped.refusal(film, decided(by="carol", round=1), user="carol")
    assert unstamped.approvals(film) == {}


def test_without_the_stamp_an_approval_at_creation_is_refused(unstamped):
    task = a_task("born-approved", approvals={"final": {"decision": "Approved", "by": "alice", "round": 1}})
    complaint = unstamped.cluster.refusal(
        "create", "-f", "-", stdin=yaml.safe_dump(task), namespace=unstamped.namespace
    )
    assert "spec.approvals" in complaint
