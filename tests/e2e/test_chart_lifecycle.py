"""Install, upgrade, uninstall, install again: the operator gets ready and nothing that people made is lost."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def installation(install):
    return install()


def ready_pods(installation) -> list[str]:
    pods = installation.cluster.list(
        "pod", namespace=installation.namespace, selector="app.kubernetes.io/component=operator"
    )
    return [
        pod["metadata"]["name"]
        for pod in pods
        if any(
            condition["type"] == "Ready" and condition["status"] == "True" for condition in pod["status"]["conditions"]
        )
    ]


def test_operator_and_database_get_ready_under_restricted_pod_security(installation):
    assert len(ready_pods(installation)) == 1
    labels = installation.cluster.get("namespace", installation.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_operator_s_rights_suffice_for_its_watches(installation):
    lines = installation.operator_log().splitlines()
    assert any("operator_starts" in line for line in lines)
    assert [line for line in lines if any(word in line for word in ("forbidden", "Forbidden", "watch_ended"))] == []


@pytest.mark.parametrize(
    ("verb", "resource"),
    [("get", "secrets"), ("list", "secrets"), ("patch", "videotasks"), ("create", "pods"), ("get", "nodes")],
)
def test_the_operator_may_not_do_what_it_need_not(installation, verb, resource):
    account = f"system:serviceaccount:{installation.namespace}:{installation.release}-operator"
    done = installation.cluster.kubectl(
        "auth", "can-i", verb, resource, f"--as={account}", namespace=installation.namespace, check=False
    )
    assert done.stdout.strip() == "no"


def test_an_upgrade_keeps_the_password_and_starts_one_new_operator(installation, image_flags):
    password, before = installation.password(), ready_pods(installation)
    own = ("--set=crds.install=false", "--set=rbac.peopleRoles=false")
    installation.upgrade(*image_flags, *own, "--set=fleet.maxActiveTasks=5")
    assert installation.password() == password
    after = ready_pods(installation)
    assert len(after) == 1
    assert after != before


def test_what_people_made_outlives_an_uninstall_and_the_next_install_finds_it(installation, image_flags, eventual):
    cluster, namespace = installation.cluster, installation.namespace
    password = installation.password()
    task = {
        "apiVersion": "videotask.dev/v1alpha1",
        "kind": "VideoTask",
        "metadata": {"name": "keeps"},
        "spec": {"channelRef": {"name": "nowhere"}, "title": "Kept", "topic": "A heron", "state": "Suspended"},
    }
    cluster.apply(task, namespace=namespace)
    installation.uninstall()
    assert cluster.get("videotask", "keeps", namespace=namespace)["spec"]["title"] == "Kept"
    assert installation.password() == password
    assert cluster.list("pvc", namespace=namespace)

    own = ("--set=crds.install=false", "--set=rbac.peopleRoles=false")
    installation.upgrade(*image_flags, *own)
    assert installation.password() == password
    eventual("the operator is ready again", lambda: ready_pods(installation), timeout_seconds=60)
