"""The cluster that e2e tests run on, its people and its namespaces; it must leave nothing behind but the CRDs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.bring_up import BRING_UP_SECONDS, bring_up
from tests.e2e.house_film import make_house_film
from tests.e2e.real_cluster import (
    REPOSITORY,
    SHARED_PARTS,
    Cluster,
    Installation,
    end_namespaces,
    eventually,
    new_namespace,
    own_kubeconfig,
    refill_volumes,
    yaml_of,
)
from tests.e2e.recording import Making
from tests.e2e.studio import Studio, open_studio


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test of them all the time that a cluster's first start needs, with all its builds."""
    here = Path(__file__).parent
    first = next((item for item in items if item.path.is_relative_to(here)), None)
    if first is not None:
        first.add_marker(pytest.mark.timeout(BRING_UP_SECONDS), append=False)


@pytest.fixture(scope="session")
def cluster(k8s_manager, tmp_path_factory) -> Cluster:
    """The cluster of $KUBECONFIG, which has the images, else the one of scripts/cluster, brought up with its images."""
    named = os.environ.get("KUBECONFIG")
    if not named:
        bring_up()
    kubeconfig = Path(named) if named else own_kubeconfig()
    assert kubeconfig, "no cluster: set KUBECONFIG or run `scripts/cluster up`"
    manager = k8s_manager("external")("videotask", kubeconfig=kubeconfig)
    return Cluster(kubeconfig=manager.kubeconfig, discovery_cache=tmp_path_factory.mktemp("discovery"))


@pytest.fixture(scope="session")
def image_flags(cluster) -> tuple[str, ...]:
    """Helm's flags for the images that scripts/images has built and loaded."""
    values = REPOSITORY / ".build" / "values-images.yaml"
    assert values.exists(), "no images: run `scripts/images`"
    return ("-f", str(values))


@pytest.fixture(scope="session")
def people_roles(cluster) -> Iterator[None]:
    """The ClusterRoles videotask-view, -edit and -approver are there; those that were missing end with the session."""
    roles = cluster.render(release="videotask", namespace="default", templates=("people-roles.yaml",))
    there = {role["metadata"]["name"] for role in cluster.list("clusterrole", selector="app.kubernetes.io/part-of")}
    missing = [role for role in roles if role["metadata"]["name"] not in there]
    if missing:
        # Server-side: an object with a client-side annotation makes kubectl warn in the tests that allow no warning.
        words = ["apply", "--server-side", "--field-manager=videotask-tests", "-f", "-"]
        cluster.kubectl(*words, stdin=yaml_of(*missing))
    yield
    if missing:
        names = [role["metadata"]["name"] for role in missing]
        cluster.kubectl("delete", "clusterrole", *names, "--ignore-not-found")


@pytest.fixture(scope="module")
def install(cluster, crds, people_roles, image_flags) -> Iterator[Callable[..., Installation]]:
    """`install(*flags, release="videotask")`: the chart in a fresh namespace, ready; removed after the module.

    CRDs and people's roles come from the fixtures of those names, since a cluster has them once.
    """
    made: list[str] = []
    installations: list[Installation] = []
    refill_volumes(cluster)

    def make(*flags: str, release: str = "videotask") -> Installation:
        namespace = new_namespace(cluster, made, prefix="operator")
        installation = Installation(cluster=cluster, release=release, namespace=namespace)
        installations.append(installation)
        installation.upgrade(*image_flags, *SHARED_PARTS, *flags)
        return installation

    yield make
    for installation in installations:
        installation.uninstall()
    end_namespaces(cluster, made)


@pytest.fixture(scope="session")
def studio(cluster, crds, people_roles, image_flags, tmp_path_factory) -> Iterator[Studio]:
    """One installation of the whole product for the session, with emulators, two film namespaces and a channel in each.

    Tests share it: give a film a name of its own (studio.film does), set faults that match it alone, and leave no fault
    and no held call behind.
    """
    with open_studio(cluster, image_flags, tmp_path_factory.mktemp("studio")) as studio:
        yield studio


@pytest.fixture(scope="session")
def house_film(studio) -> Making:
    """The sample of 22 images and 18 scenes at 1920x1080, made once from start to approval and watched all the time.

    Nothing else may be at work in the studio meanwhile: the bill's lines of that time are this film's.
    """
    return make_house_film(studio)


@pytest.fixture(scope="session")
def crds(cluster) -> None:
    """VideoTask and Channel are served, in the form of this work tree. They stay: deleting them would delete films."""
    force = ["--server-side", "--force-conflicts", "--field-manager=videotask-tests"]
    cluster.kubectl("apply", *force, "-f", str(REPOSITORY / "crds"))
    for name in ("videotasks.videotask.dev", "channels.videotask.dev"):
        # Not `kubectl wait`: it takes the null conditions of a CRD that was made this instant for an error.
        eventually(f"{name} is served", partial(_established, cluster, name), timeout_seconds=60)


def _established(cluster: Cluster, name: str) -> bool:
    conditions = cluster.get("crd", name).get("status", {}).get("conditions") or []
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


@pytest.fixture(scope="session")
def eventual() -> Callable[..., Any]:
    """`eventual(what, probe, timeout_seconds=30)`: waits for a condition, with a deadline."""
    return eventually


@pytest.fixture
def make_namespace(cluster) -> Iterator[Callable[..., str]]:
    """`make_namespace(prefix="film")`: a fresh namespace, pod security restricted, removed after the test."""
    made: list[str] = []
    yield partial(new_namespace, cluster, made)
    end_namespaces(cluster, made)


@pytest.fixture(scope="module")
def make_module_namespace(cluster) -> Iterator[Callable[..., str]]:
    """As make_namespace, for what a whole module shares."""
    made: list[str] = []
    yield partial(new_namespace, cluster, made)
    end_namespaces(cluster, made)


@pytest.fixture
def namespace(make_namespace) -> str:
    """A fresh namespace, removed after the test."""
    return make_namespace()
