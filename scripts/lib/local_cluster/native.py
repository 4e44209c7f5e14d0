"""Kubernetes as plain processes on this machine, for where no container engine is; it must never stop a foreign one."""

import json
import shutil
import socket
import time
from pathlib import Path

from local_cluster import addresses, leftovers, places
from local_cluster.addons import native_addons
from local_cluster.certificates import make_certificates
from local_cluster.commands import run
from local_cluster.configuration import snapshotter, write_configuration
from local_cluster.console import progress
from local_cluster.engine import ClusterStatus, PartStatus
from local_cluster.errors import ClusterError
from local_cluster.kubectl import apply, fetch, wait_until
from local_cluster.network import foreign_chains, make_network, remove_network
from local_cluster.parts import Part, all_parts, part_named
from local_cluster.pause import ensure_pause_image
from local_cluster.processes import (
    age_seconds,
    kill_process,
    log_of,
    memory_bytes,
    running_process,
    start_process,
    stop_process,
)
from local_cluster.tools import (
    COREDNS,
    DEBIAN_PACKAGES,
    ETCD,
    HELM,
    KUBERNETES,
    KUBERNETES_VERSION,
    PAUSE,
    ensure_debian_packages,
    ensure_tool,
    link_into_bin,
    program,
)

_NODE_TIMEOUT_SECONDS = 90
_LOG_TAIL_CHARACTERS = 1500
_POLL_SECONDS = 0.1


class NativeEngine:
    """containerd, runc, etcd, Kubernetes and CoreDNS, each a process with a pid file and a log."""

    name = "native"
    node_name = addresses.NODE

    def up(self) -> None:
        """Bring every part up that is not; a second call on a healthy cluster changes nothing."""
        if self.status().state == "up":
            return
        ensure_debian_packages(DEBIAN_PACKAGES)
        is_fresh = not (places.STATE / "etcd").exists()
        if is_fresh:
            self._refuse_foreign()  # now, since the first builds take a quarter of an hour
        self._install_tools()
        with progress("Starting the cluster"):
            self._prepare()
            self._start(is_fresh=is_fresh)

    def down(self, *, purge: bool) -> None:
        """End all parts and containers, unmount, take the network away, remove the state."""
        stop_process("kubelet", grace_seconds=5)
        leftovers.remove_containers()
        for part in reversed(all_parts()):
            stop_process(part.name, grace_seconds=part.grace_seconds)
        leftovers.kill_shims()
        leftovers.remove_cgroups()
        leftovers.unmount_all()
        if places.STATE.exists():
            remove_network()
            leftovers.remove_files()
            shutil.rmtree(places.STATE)
        if purge:
            shutil.rmtree(places.IMAGE_STORE, ignore_errors=True)

    def status(self) -> ClusterStatus:
        """Look at each pid file and ask each health address, and the node."""
        parts = tuple(_part_status(part) for part in all_parts())
        running = [part for part in parts if part.pid]
        if not running:
            return ClusterStatus(engine=self.name, state="down", parts=parts)
        node_is_ready = all(part.is_ready for part in parts) and _node_is_ready()
        return ClusterStatus(
            engine=self.name,
            state="up" if node_is_ready else "degraded",
            kubernetes_version=KUBERNETES_VERSION,
            node=addresses.NODE,
            node_is_ready=node_is_ready,
            kubeconfig=str(places.KUBECONFIG),
            parts=parts,
        )

    def stop_part(self, name: str, *, at_once: bool) -> None:
        """End one part; containers outlive even containerd."""
        part = _known_part(name)
        was_running = kill_process(part.name) if at_once else stop_process(part.name, grace_seconds=part.grace_seconds)
        if not was_running:
            raise ClusterError(f"{part.name} was not running")

    def start_part(self, name: str) -> None:
        """Start one part again and wait until it is ready."""
        part = _known_part(name)
        _start_unless_running(part)
        _wait_ready(part)

    def make_volume_folder(self, name: str) -> str:
        """Make a folder below the cluster's state."""
        folder = places.VOLUMES / name
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    def remove_volume_folder(self, name: str) -> None:
        """Remove the folder with all in it."""
        shutil.rmtree(places.VOLUMES / name, ignore_errors=True)

    def image_tags(self) -> set[str]:
        """Ask containerd for the names of the images in Kubernetes' namespace."""
        return set(run([*leftovers.CTR, "images", "list", "-q"]).split())

    def remove_images(self, references: list[str]) -> None:
        """Remove the names; containerd collects what no name holds."""
        run([*leftovers.CTR, "images", "remove", *references], timeout_seconds=120)

    def content_digests(self) -> set[str]:
        """Ask containerd's content store."""
        return set(run([*leftovers.CTR, "content", "list", "-q"]).split())

    def load_archive(self, archive: Path) -> None:
        """Import the archive and unpack its layers."""
        command = [*leftovers.CTR, "images", "import", "--snapshotter", snapshotter(), str(archive)]
        run(command, timeout_seconds=600)

    def _install_tools(self) -> None:
        for tool in (PAUSE, KUBERNETES, ETCD, COREDNS, HELM):
            ensure_tool(tool)
        link_into_bin([program(KUBERNETES, "kubectl"), program(HELM)])

    def _refuse_foreign(self) -> None:
        if foreign_chains():
            raise ClusterError(
                "another Kubernetes runs on this machine, or ended without tidying up: its iptables chains are there; "
                "end it first (`scripts/cluster down` tidies after one of ours, also after one that died)"
            )
        if leftovers.pod_cgroups():
            raise ClusterError("another kubelet's pods run on this machine (cgroup kubepods is there); end it first")
        taken = [str(port) for port in addresses.LISTENING_PORTS if _is_taken(port)]
        if taken:
            raise ClusterError(f"ports {', '.join(taken)} are taken by other programs; `ss -ltnp` names them")

    def _prepare(self) -> None:
        places.STATE.mkdir(mode=0o711, parents=True, exist_ok=True)
        places.ENGINE.write_text(self.name)
        make_certificates()
        write_configuration()
        make_network()

    def _start(self, *, is_fresh: bool) -> None:
        parts = all_parts()
        for stage in sorted({part.stage for part in parts}):
            together = [part for part in parts if part.stage == stage]
            for part in together:
                _start_unless_running(part)
            for part in together:
                _wait_ready(part)
            if stage == 0:
                if is_fresh:
                    leftovers.remove_containers()
                ensure_pause_image(self)
            if stage == 1:  # CoreDNS backs off for long when it starts before it may list
                wait_until("the add-ons to be taken", _addons_are_taken, timeout_seconds=30)
        wait_until("the node to be Ready", _node_is_ready, timeout_seconds=_NODE_TIMEOUT_SECONDS)


def _addons_are_taken() -> bool:
    apply(*native_addons())
    return True


def _known_part(name: str) -> Part:
    try:
        return part_named(name)
    except StopIteration:
        names = ", ".join(part.name for part in all_parts())
        raise ClusterError(f"there is no part {name!r}; there are {names}") from None


def _start_unless_running(part: Part) -> None:
    if running_process(part.name) is None:
        start_process(part.name, part.command)


def _wait_ready(part: Part) -> None:
    deadline = time.monotonic() + part.ready_timeout_seconds
    while not part.is_ready():
        if running_process(part.name) is None:
            raise ClusterError(f"{part.name} ended at once:\n{_log_tail(part.name)}")
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{part.name} was not ready after {part.ready_timeout_seconds:.0f} s:\n{_log_tail(part.name)}"
            )
        time.sleep(_POLL_SECONDS)


def _log_tail(name: str) -> str:
    return log_of(name).read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]


def _part_status(part: Part) -> PartStatus:
    process = running_process(part.name)
    return PartStatus(
        name=part.name,
        pid=process.pid if process else None,
        is_ready=process is not None and part.is_ready(),
        age_seconds=round(age_seconds(process), 1) if process else 0.0,
        memory_bytes=memory_bytes(process.pid) if process else 0,
        log=str(log_of(part.name)),
    )


def _node_is_ready() -> bool:
    try:
        conditions = fetch("node", addresses.NODE)["status"]["conditions"]
    except (ClusterError, json.JSONDecodeError, KeyError):
        return False
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
