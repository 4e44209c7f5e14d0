"""Our own kubectl against our own cluster; it must never read the person's kubeconfig."""

import json
import time
from collections.abc import Callable
from typing import Any

from local_cluster import places
from local_cluster.commands import run
from local_cluster.errors import ClusterError

_POLL_SECONDS = 0.2


def kubectl(*words: str, stdin: str | None = None, timeout_seconds: float = 30, check: bool = True) -> str:
    """Run kubectl with the cluster's own kubeconfig and return what it printed."""
    command = [str(places.BIN / "kubectl"), f"--kubeconfig={places.KUBECONFIG}", *words]
    return run(command, stdin=stdin, timeout_seconds=timeout_seconds, check=check, env={"KUBECTL_KUBERC": "false"})


def fetch(*words: str) -> dict[str, Any]:
    """Return one object or list as `kubectl get WORDS -o json` has it."""
    found: dict[str, Any] = json.loads(kubectl("get", *words, "-o", "json"))
    return found


def apply(*objects: dict[str, Any]) -> None:
    """Apply the objects, server-side, as the local cluster's own manager."""
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=videotask-cluster", "-f", "-", stdin=document
    )


def wait_until(what: str, is_true: Callable[[], bool], *, timeout_seconds: float) -> None:
    """Return as soon as `is_true()`, waiting errors out; raises ClusterError naming `what` after the time."""
    deadline = time.monotonic() + timeout_seconds
    trouble = ""
    while time.monotonic() < deadline:
        try:
            if is_true():
                return
        except ClusterError as failure:
            trouble = f": {failure}"
        time.sleep(_POLL_SECONDS)
    raise ClusterError(f"waited {timeout_seconds:.0f} s in vain for {what}{trouble}")
