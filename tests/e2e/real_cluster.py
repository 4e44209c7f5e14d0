"""A real cluster as a test uses it: kubectl and helm, users with certificates; it must change nothing by itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "charts" / "videotask-operator"
CACHE = Path(os.environ.get("VIDEOTASK_CACHE") or Path.home() / ".cache" / "videotask-operator")
GRACE_SECONDS = 60

SHARED_PARTS = ("--set=crds.install=false", "--set=rbac.peopleRoles=false")
"""Helm's flags for a release on a cluster that has CRDs and people's roles already."""

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

    def kubeconfig_of(self, user: str, folder: Path) -> Path:
        """Return a kubeconfig by which any program acts as this user; one that must be made is laid into `folder`."""
        self._identity(user)
        if self.users[user] != self.kubeconfig:
            return self.users[user]
        words = ["config", "view", "--raw", "--flatten", "-o", "json"]
        config = json.loads(self.kubectl(*words).stdout)
        for entry in config["users"]:
            entry["user"] |= {"as": user, "as-groups": ["system:authenticated"]}
        path = folder / f"kubeconfig-{user}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config))
        return path

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


def role_binding(user: str, role: str, *, kind: str = "ClusterRole") -> dict[str, Any]:
    """Return the binding that gives a user this role in the namespace it is applied to."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{user}-{role}"},
        "roleRef": {"apiGroup": group, "kind": kind, "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


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


def new_namespace(cluster: Cluster, made: list[str], prefix: str = "film", *, name: str = "") -> str:
    """Make a namespace in which pod security is restricted, note it in `made`, and return its name."""
    name = name or f"{prefix}-{uuid.uuid4().hex[:8]}"
    restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": restricted}})
    made.append(name)
    return name


def end_namespaces(cluster: Cluster, made: list[str]) -> None:
    """Delete these namespaces; their pods end while the session goes on."""
    if made:
        cluster.kubectl(
            "delete", "namespace", *made, "--wait=false", "--ignore-not-found", timeout_seconds=GRACE_SECONDS
        )


def refill_volumes(cluster: Cluster) -> None:
    """Bring the pool of volumes of scripts/cluster back to its size; another cluster has a provisioner."""
    if cluster.kubeconfig == own_kubeconfig():
        run([str(REPOSITORY / "scripts" / "cluster"), "up"], timeout_seconds=600)
