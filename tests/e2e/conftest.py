"""The cluster that e2e tests run on, its people and its namespaces; it must leave nothing behind but the CRDs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "charts" / "videotask-operator"
CACHE = Path(os.environ.get("VIDEOTASK_CACHE") or Path.home() / ".cache" / "videotask-operator")
GRACE_SECONDS = 60

Completed = subprocess.CompletedProcess[str]


class KubectlError(AssertionError):
    """kubectl was expected to succeed and did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster by its kubeconfig; the fixture `cluster` makes the only one."""

    kubeconfig: Path
    discovery_cache: Path
    """Of this session: kubectl keeps what it discovered for hours, and CRDs change under a developer's hands."""
    users: dict[str, Path] = field(default_factory=dict)

    def kubectl(
        self,
        *words: str,
        user: str | None = None,
        namespace: str | None = None,
        stdin: str | None = None,
        check: bool = True,
        timeout_seconds: float = 60,
    ) -> Completed:
        """Run kubectl as the administrator, or as a user with a client certificate, and return what it said."""
        scope = ["--namespace", namespace] if namespace else []
        identity = self._identity(user)
        command = [program("kubectl"), f"--cache-dir={self.discovery_cache}", *identity, *scope, *words]
        done = run(command, stdin=stdin, timeout_seconds=timeout_seconds)
        if check and done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done

    def refusal(self, *words: str, **options: Any) -> str:
        """Run kubectl, which must fail, and return its complaint."""
        done = self.kubectl(*words, check=False, **options)
        assert done.returncode != 0, f"kubectl {' '.join(words)} was let through:\n{done.stdout}"
        return done.stderr

    def apply(self, *objects: dict[str, Any], **options: Any) -> Completed:
        """Apply objects as a person would, client-side."""
        return self.kubectl("apply", "-f", "-", stdin=yaml_of(*objects), **options)

    def get(self, kind: str, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        """Return one object."""
        return json.loads(self.kubectl("get", kind, name, "-o", "json", namespace=namespace).stdout)

    def list(self, kind: str, *, namespace: str | None = None, selector: str = "") -> list[dict[str, Any]]:
        """Return all objects of a kind, or those with the labels."""
        words = ["get", kind, "-o", "json", *(["-l", selector] if selector else [])]
        return json.loads(self.kubectl(*words, namespace=namespace).stdout)["items"]

    def patch(self, kind: str, name: str, change: dict[str, Any], *flags: str, **options: Any) -> Completed:
        """Patch one object, by a merge patch unless a flag says otherwise."""
        how = [] if any(flag.startswith("--type") for flag in flags) else ["--type=merge"]
        return self.kubectl("patch", kind, name, *how, *flags, "-p", json.dumps(change), **options)

    def helm(self, *words: str, timeout_seconds: float = 300) -> str:
        """Run helm against this cluster and return its output."""
        command = [program("helm"), "--kubeconfig", str(self.kubeconfig), *words]
        done = run(command, timeout_seconds=timeout_seconds)
        assert done.returncode == 0, f"helm {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def api_versions(self) -> frozenset[str]:
        """Return every group/version/Kind that is served, as `helm template --api-versions` wants them."""
        served = set()
        for path in ("/apis/admissionregistration.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1beta1"):
            found = self.kubectl("get", "--raw", path, check=False)
            if found.returncode == 0:
                kinds = {resource["kind"] for resource in json.loads(found.stdout)["resources"]}
                served |= {f"{path.removeprefix('/apis/')}/{kind}" for kind in kinds}
        return frozenset(served)

    def render(
        self, *flags: str, release: str, namespace: str, templates: tuple[str, ...] = ()
    ) -> list[dict[str, Any]]:
        """Return the chart's objects as this cluster would get them."""
        versions = [f"--api-versions={version}" for version in sorted(self.api_versions())]
        only = [f"--show-only=templates/{template}" for template in templates]
        text = self.helm("template", release, str(CHART), "--namespace", namespace, *versions, *only, *flags)
        return [document for document in yaml.safe_load_all(text) if document]

    def _identity(self, user: str | None) -> list[str]:
        if user is None:
            return [f"--kubeconfig={self.kubeconfig}"]
        if user not in self.users:
            self.users[user] = user_kubeconfig(user) if self.kubeconfig == own_kubeconfig() else self.kubeconfig
        # On somebody else's cluster certificates are not ours to sign; impersonation gives the same user name.
        impersonation = ["--as", user, "--as-group=system:authenticated"]
        return [f"--kubeconfig={self.users[user]}", *(impersonation if self.users[user] == self.kubeconfig else [])]


def run(command: list[str], *, stdin: str | None = None, timeout_seconds: float = 60) -> Completed:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_seconds, check=False)


def program(name: str) -> str:
    """Return the project's own build of a tool where there is one, else the one on PATH."""
    built = CACHE / "bin" / name
    found = str(built) if built.exists() else shutil.which(name)
    assert found, f"{name} is missing; `scripts/cluster up` brings it"
    return found


def own_kubeconfig() -> Path | None:
    """Return the kubeconfig of the cluster that scripts/cluster runs, or None when it runs none."""
    done = run([str(REPOSITORY / "scripts" / "cluster"), "kubeconfig"])
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def user_kubeconfig(name: str) -> Path:
    done = run([str(REPOSITORY / "scripts" / "cluster"), "user", name], timeout_seconds=90)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def yaml_of(*objects: dict[str, Any]) -> str:
    return yaml.safe_dump_all(objects, allow_unicode=True, sort_keys=False)


def eventually(what: str, probe: Callable[[], Any], *, timeout_seconds: float = 30) -> Any:
    """Return the probe's first truthy result; fails with its last one when the deadline passes."""
    deadline = time.monotonic() + timeout_seconds
    while not (result := probe()):
        assert time.monotonic() < deadline, f"not within {timeout_seconds} s: {what}; last seen: {result!r}"
        time.sleep(0.2)
    return result


@pytest.fixture(scope="session")
def cluster(k8s_manager, tmp_path_factory) -> Cluster:
    """The cluster of $KUBECONFIG, else the one that scripts/cluster runs."""
    named = os.environ.get("KUBECONFIG")
    kubeconfig = Path(named) if named else own_kubeconfig()
    assert kubeconfig, "no cluster: set KUBECONFIG or run `scripts/cluster up`"
    manager = k8s_manager("external")("videotask", kubeconfig=kubeconfig)
    return Cluster(kubeconfig=manager.kubeconfig, discovery_cache=tmp_path_factory.mktemp("discovery"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A release of the chart; the fixture `install` makes and removes it."""

    cluster: Cluster
    release: str
    namespace: str
    """Of the operator and, unless others were named, of the films."""

    def upgrade(self, *flags: str, timeout_seconds: float = 300) -> None:
        """Install the chart, or bring the release to these values, and wait until it is ready."""
        words = ["upgrade", "--install", self.release, str(CHART), f"--namespace={self.namespace}", *flags]
        ready = [f"--timeout={int(timeout_seconds)}s", "--wait"]
        self.cluster.helm(*words, *ready, timeout_seconds=timeout_seconds + 30)

    def uninstall(self) -> None:
        """Remove the release; what it keeps stays."""
        self.cluster.helm("uninstall", self.release, f"--namespace={self.namespace}", "--ignore-not-found", "--wait")

    def operator_log(self) -> str:
        """Return what the operator has logged."""
        words = ["logs", f"deployment/{self.release}-operator", "--container=operator", "--tail=-1"]
        return self.cluster.kubectl(*words, namespace=self.namespace).stdout

    def password(self) -> str:
        """Return the embedded database's password, encoded."""
        return self.cluster.get("secret", f"{self.release}-postgresql", namespace=self.namespace)["data"]["password"]


@pytest.fixture(scope="session")
def image_flags() -> tuple[str, ...]:
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
        cluster.apply(*missing)
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
    own = ("--set=crds.install=false", "--set=rbac.peopleRoles=false")
    if cluster.kubeconfig == own_kubeconfig():
        # Does nothing but bring the pool of volumes back to its size.
        run([str(REPOSITORY / "scripts" / "cluster"), "up"], timeout_seconds=600)

    def make(*flags: str, release: str = "videotask") -> Installation:
        namespace = _new_namespace(cluster, made, prefix="operator")
        installation = Installation(cluster=cluster, release=release, namespace=namespace)
        installations.append(installation)
        installation.upgrade(*image_flags, *own, *flags)
        return installation

    yield make
    for installation in installations:
        installation.uninstall()
    _end_namespaces(cluster, made)


@pytest.fixture(scope="session")
def crds(cluster) -> None:
    """VideoTask and Channel are served, in the form of this work tree. They stay: deleting them would delete films."""
    force = ["--server-side", "--force-conflicts", "--field-manager=videotask-tests"]
    cluster.kubectl("apply", *force, "-f", str(REPOSITORY / "crds"))
    for name in ("videotasks.videotask.dev", "channels.videotask.dev"):
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")


@pytest.fixture(scope="session")
def eventual() -> Callable[..., Any]:
    """`eventual(what, probe, timeout_seconds=30)`: waits for a condition, with a deadline."""
    return eventually


def _new_namespace(cluster: Cluster, made: list[str], prefix: str = "film") -> str:
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": restricted}})
    made.append(name)
    return name


def _end_namespaces(cluster: Cluster, made: list[str]) -> None:
    if made:
        cluster.kubectl(
            "delete", "namespace", *made, "--wait=false", "--ignore-not-found", timeout_seconds=GRACE_SECONDS
        )


@pytest.fixture
def make_namespace(cluster) -> Iterator[Callable[..., str]]:
    """`make_namespace(prefix="film")`: a fresh namespace, pod security restricted, removed after the test."""
    made: list[str] = []
    yield partial(_new_namespace, cluster, made)
    _end_namespaces(cluster, made)


@pytest.fixture(scope="module")
def make_module_namespace(cluster) -> Iterator[Callable[..., str]]:
    """As make_namespace, for what a whole module shares."""
    made: list[str] = []
    yield partial(_new_namespace, cluster, made)
    _end_namespaces(cluster, made)


@pytest.fixture
def namespace(make_namespace) -> str:
    """A fresh namespace, removed after the test."""
    return make_namespace()
