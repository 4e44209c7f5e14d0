"""The cluster through kind, for where Docker or Podman answers; it must never touch a kind cluster of another name."""

import json
import os
import shutil
from pathlib import Path

from local_cluster import places
from local_cluster.commands import run, succeeds
from local_cluster.console import progress
from local_cluster.engine import ClusterStatus
from local_cluster.errors import ClusterError
from local_cluster.kubectl import fetch, kubectl
from local_cluster.tools import HELM, KIND, KUBERNETES, ensure_tool, link_into_bin, program

_CLUSTER = "videotask"
_NODE = f"{_CLUSTER}-control-plane"
_NODE_VOLUMES = "/var/local/videotask-volumes"
_CONFIG = """kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
featureGates: {MutatingAdmissionPolicy: true}
runtimeConfig: {"admissionregistration.k8s.io/v1beta1": "true"}
nodes: [{role: control-plane}]
"""


def container_engine() -> str | None:
    """Return docker or podman, whichever really answers, or None."""
    return next((name for name in ("docker", "podman") if succeeds([name, "info"])), None)


class KindEngine:
    """One kind cluster, its node a container."""

    name = "kind"
    node_name = _NODE

    def __init__(self, container_program: str) -> None:
        self._container = container_program
        self._env = {"KIND_EXPERIMENTAL_PROVIDER": container_program}

    def up(self) -> None:
        """Make the cluster unless it is there and ready."""
        if self.status().state == "up":
            return
        self._link_programs()
        places.STATE.mkdir(mode=0o711, parents=True, exist_ok=True)
        places.ENGINE.write_text(self.name)
        if _CLUSTER in self._kind("get", "clusters").split():
            run([self._container, "start", _NODE], timeout_seconds=60)
        else:
            self._create()
        self._kind("export", "kubeconfig", f"--name={_CLUSTER}", f"--kubeconfig={places.KUBECONFIG}")
        places.KUBECONFIG.chmod(0o600)
        kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=120s", timeout_seconds=130)
        self._make_ours_the_default_class()

    def down(self, *, purge: bool) -> None:  # noqa: ARG002 - kind keeps nothing of ours
        """Delete the cluster."""
        self._kind("delete", "cluster", f"--name={_CLUSTER}", f"--kubeconfig={places.KUBECONFIG}")
        shutil.rmtree(places.STATE, ignore_errors=True)

    def status(self) -> ClusterStatus:
        """Look at the node's container and at the node."""
        inspection = [self._container, "inspect", "-f", "{{.State.Running}}", _NODE]
        if run(inspection, check=False).strip() != "true" or not places.KUBECONFIG.exists():
            return ClusterStatus(engine=self.name, state="down")
        is_ready, version = _node_state()
        return ClusterStatus(
            engine=self.name,
            state="up" if is_ready else "degraded",
            kubernetes_version=version,
            node=_NODE,
            node_is_ready=is_ready,
            kubeconfig=str(places.KUBECONFIG),
        )

    def stop_part(self, name: str, *, at_once: bool) -> None:
        """Refuse: a kind node's parts are its own."""
        raise ClusterError(f"parts can be stopped on the native cluster alone ({name}, at_once={at_once})")

    def start_part(self, name: str) -> None:
        """Refuse: a kind node's parts are its own."""
        raise ClusterError(f"parts can be started on the native cluster alone ({name})")

    def make_volume_folder(self, name: str) -> str:
        """Make a folder inside the node."""
        folder = f"{_NODE_VOLUMES}/{name}"
        run([self._container, "exec", _NODE, "mkdir", "-p", folder])
        return folder

    def remove_volume_folder(self, name: str) -> None:
        """Remove the folder inside the node with all in it."""
        run([self._container, "exec", _NODE, "rm", "-rf", f"{_NODE_VOLUMES}/{name}"])

    def image_tags(self) -> set[str]:
        """Ask the node's containerd."""
        command = [self._container, "exec", _NODE, "ctr", "--namespace", "k8s.io", "images", "list", "-q"]
        return set(run(command).split())

    def remove_images(self, references: list[str]) -> None:
        """Remove the names in the node's containerd."""
        run([self._container, "exec", _NODE, "ctr", "--namespace", "k8s.io", "images", "remove", *references])

    def content_digests(self) -> set[str]:
        """Ask the content store of the node's containerd."""
        command = [self._container, "exec", _NODE, "ctr", "--namespace", "k8s.io", "content", "list", "-q"]
        return set(run(command).split())

    def load_archive(self, archive: Path) -> None:
        """Load the archive into the node."""
        with progress("Loading the images into kind"):
            self._kind("load", "image-archive", str(archive), f"--name={_CLUSTER}")

    def _create(self) -> None:
        config = places.STATE / "kind.yaml"
        config.write_text(_CONFIG)
        with progress("Making the kind cluster", expected="3 minutes"):
            command = ["create", "cluster", f"--name={_CLUSTER}", f"--config={config}"]
            self._kind(*command, f"--kubeconfig={places.KUBECONFIG}", "--wait=180s")

    def _kind(self, *words: str) -> str:
        kind = shutil.which("kind") or str(ensure_tool(KIND) / "kind")
        return run([kind, *words], env=self._env, timeout_seconds=900)

    def _link_programs(self) -> None:
        kubectl_program = shutil.which("kubectl", path=_path_without_ours())
        if kubectl_program is None:
            ensure_tool(KUBERNETES)
            kubectl_program = program(KUBERNETES, "kubectl")
        ensure_tool(HELM)
        link_into_bin([kubectl_program, program(HELM)])

    def _make_ours_the_default_class(self) -> None:
        annotation = "storageclass.kubernetes.io/is-default-class=false"
        kubectl("annotate", "storageclass", "standard", "--overwrite", annotation, check=False)


def _path_without_ours() -> str:
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if folder != str(places.BIN))


def _node_state() -> tuple[bool, str]:
    try:
        status = fetch("node", _NODE)["status"]
    except (ClusterError, json.JSONDecodeError):
        return False, ""
    is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"])
    return is_ready, status["nodeInfo"]["kubeletVersion"].removeprefix("v")
