"""What a cluster of processes leaves behind, found and removed; it must never touch what is not under our own state."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from local_cluster import places
from local_cluster.commands import run, succeeds
from local_cluster.errors import ClusterError
from local_cluster.processes import running_process

CTR = ("ctr", "--address", str(places.CONTAINERD_SOCKET), "--namespace", "k8s.io")
_CGROUPS = Path("/sys/fs/cgroup")
_POD_CGROUP = "kubepods"
_RUN = Path("/run/containerd")
_POLL_SECONDS = 0.05


def remove_containers() -> None:
    """Kill and remove every container of our containerd, if it runs."""
    if running_process("containerd") is None:
        return
    tasks = run([*CTR, "tasks", "list", "-q"]).split()
    if tasks:
        run([*CTR, "tasks", "delete", "--force", *tasks], check=False, timeout_seconds=120)
    containers = run([*CTR, "containers", "list", "-q"]).split()
    if containers:
        run([*CTR, "containers", "delete", *containers], check=False, timeout_seconds=120)


def kill_shims() -> None:
    """Kill the shims that serve our containerd's socket; each is known by the address on its command line."""
    address = str(places.CONTAINERD_SOCKET).encode()
    for process in _processes():
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"containerd-shim" in words[0] and address in words:
                os.kill(int(process.name), signal.SIGKILL)


def remove_cgroups() -> None:
    """Kill what still runs in the pods' cgroups and remove them (cgroup v1 has one tree for each controller)."""
    if not places.STATE.exists():
        return
    trees = pod_cgroups()
    deadline = time.monotonic() + 10
    while trees and time.monotonic() < deadline:
        for tree in trees:
            _kill_members(tree)
        trees = [tree for tree in trees if not _is_removed(tree)]
        time.sleep(_POLL_SECONDS)


def pod_cgroups() -> list[Path]:
    """Return the roots of the pods' cgroups: ours, since `up` refuses to start beside another kubelet."""
    candidates = (_CGROUPS / _POD_CGROUP, *_CGROUPS.glob(f"*/{_POD_CGROUP}"))
    return [tree for tree in candidates if tree.is_dir()]


def unmount_all() -> None:
    """Unmount all that is mounted below our state, deepest first."""
    for mount in _our_mounts():
        if not succeeds(["umount", mount]):
            run(["umount", "--lazy", mount], check=False)
    remaining = _our_mounts()
    if remaining:
        raise ClusterError(f"still mounted, so nothing was removed: {', '.join(remaining)}")


def remove_files() -> None:
    """Remove what the kubelet and the shims keep outside our state: log links and dead sockets."""
    links = Path("/var/log/containers")
    for link in _entries(links):
        if link.is_symlink() and link.readlink().is_relative_to(places.STATE):
            link.unlink()
    for shim_socket in _entries(_RUN / "s"):
        if _is_dead(shim_socket):
            shim_socket.unlink()
    for folder in (links, _RUN / "s", _RUN / "runc" / "k8s.io", _RUN / "runc", _RUN / "fifo", _RUN):
        with contextlib.suppress(OSError):
            folder.rmdir()  # only if it is empty


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _processes() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _kill_members(tree: Path) -> None:
    for members in (tree / "cgroup.procs", *tree.rglob("cgroup.procs")):
        with contextlib.suppress(OSError):
            for pid in members.read_text().split():
                os.kill(int(pid), signal.SIGKILL)


def _is_removed(tree: Path) -> bool:
    folders = sorted((entry for entry in tree.rglob("*") if entry.is_dir()), key=lambda entry: -len(entry.parts))
    try:
        for folder in (*folders, tree):
            folder.rmdir()
    except OSError:
        return False
    return True


def _our_mounts() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].replace("\\040", " ") for line in lines]
    ours = [point for point in points if Path(point).is_relative_to(places.STATE)]
    return sorted(ours, key=lambda point: -len(point))


def _is_dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) != 0
