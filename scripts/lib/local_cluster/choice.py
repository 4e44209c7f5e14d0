"""Which engine this machine can run, or exactly why none; it must never promise a cluster that then cannot start."""

import os
import platform
import shutil
import sys
from pathlib import Path

from local_cluster import places
from local_cluster.engine import Engine
from local_cluster.errors import CannotRunError
from local_cluster.kind import KindEngine, container_engine
from local_cluster.native import NativeEngine
from local_cluster.tools import COREDNS, DEBIAN_PACKAGES, ETCD, HELM, KUBERNETES, PAUSE, go_reason, home_of
from local_cluster.tools import missing_debian_packages as missing_packages

_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_CHROOT": 18, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27}
_CONTROLLERS = ("cpu", "memory", "pids")


def current_engine() -> Engine | None:
    """Return the engine of the cluster that was brought up and not down, or None."""
    try:
        name = places.ENGINE.read_text()
    except FileNotFoundError:
        return None
    return NativeEngine() if name == NativeEngine.name else KindEngine(container_engine() or "docker")


def choose_engine() -> Engine:
    """Return the running cluster's engine, else kind where a container engine answers, else native.

    VIDEOTASK_CLUSTER=native or =kind asks for one of the two. Raises CannotRunError with every reason.
    """
    running = current_engine()
    if running:
        return running
    asked = os.environ.get("VIDEOTASK_CLUSTER", "")
    reasons = []
    if asked != "native":
        container = container_engine()
        if container and (shutil.which("kind") or not go_reason()):
            return KindEngine(container)
        reasons.append(
            f"{container} answers, but kind is neither on PATH nor can it be built"
            if container
            else "neither Docker nor Podman answers"
        )
    if asked != "kind":
        native_reasons = _native_reasons()
        if not native_reasons:
            return NativeEngine()
        reasons += native_reasons
    raise CannotRunError(reasons)


def _native_reasons() -> list[str]:
    """Return all that keeps Kubernetes from running here as plain processes."""
    if sys.platform != "linux":
        return [f"Kubernetes as plain processes needs Linux, this is {platform.system()}"]
    reasons = []
    if os.geteuid() != 0:
        reasons.append(f"Kubernetes as plain processes needs root, this is uid {os.geteuid()} (try `sudo -E`)")
    else:
        reasons += [f"root here lacks {name}" for name, bit in _CAPABILITIES.items() if not _has_capability(bit)]
    reasons += _cgroup_reasons()
    if os.geteuid() == 0:
        reasons += _program_reasons()
    return reasons


def _has_capability(bit: int) -> bool:
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return bool(effective >> bit & 1)


def _cgroup_reasons() -> list[str]:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        there = (root / "cgroup.controllers").read_text().split()
        folders = [root]
    else:
        there = [name for name in _CONTROLLERS if (root / name / "cgroup.procs").exists()]
        folders = [root / name for name in there]
    reasons = [f"the cgroup controller {name} is not there" for name in _CONTROLLERS if name not in there]
    reasons += [f"{folder} cannot be written" for folder in folders if not os.access(folder, os.W_OK)]
    return reasons


def _program_reasons() -> list[str]:
    reasons = []
    missing = missing_packages(DEBIAN_PACKAGES)
    if missing and shutil.which("apt-get") is None:
        reasons.append(f"{', '.join(missing)} are not installed and there is no apt-get to install them")
    if not all(home_of(tool).is_dir() for tool in (PAUSE, KUBERNETES, ETCD, COREDNS, HELM)):
        reason = go_reason()
        if reason:
            reasons.append(reason)
    return reasons
