"""Directory-backed PersistentVolumes on the one node; it must never empty a folder that a claim still holds."""

import itertools
from typing import Any

from local_cluster.engine import Engine
from local_cluster.errors import ClusterError
from local_cluster.kubectl import apply, fetch, kubectl

STORAGE_CLASS = "videotask-local"
_POOL_LABEL = "videotask.dev/volume-pool"
_POOL_SIZE = 8
_ENDED = ("Released", "Failed")
_POOL_VOLUME_BYTES = "20Gi"


def storage_class() -> dict[str, Any]:
    """Return the default StorageClass: no provisioner, so a claim binds to a volume that stands ready."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Retain",
    }


def make_volume(engine: Engine, name: str, *, size: str, namespace: str | None, claim: str | None) -> str:
    """Make the volume `name` over a folder of the node, bound beforehand to a claim where one is named. Idempotent.

    A volume whose claim is gone is emptied and made anew. Returns the folder on the node. A static `local` volume and
    not `hostPath`: the kubelet applies fsGroup to the first alone.
    """
    existing = kubectl("get", "pv", name, "--ignore-not-found", "-o", "jsonpath={.status.phase}")
    if existing in _ENDED:
        _discard(engine, name)
    folder = engine.make_volume_folder(name)
    apply(_volume(engine, name, folder, size=size, namespace=namespace, claim=claim))
    return folder


def refill_pool(engine: Engine) -> None:
    """See to it that `_POOL_SIZE` volumes stand ready for any claim; a released one is emptied and used again."""
    phases = {
        volume["metadata"]["name"]: volume.get("status", {}).get("phase", "Pending")
        for volume in fetch("pv", "-l", _POOL_LABEL)["items"]
    }
    for name in [name for name, phase in phases.items() if phase in _ENDED]:
        _discard(engine, name)
        del phases[name]
    wanted = _POOL_SIZE - sum(phase in ("Available", "Pending") for phase in phases.values())
    unused = (name for number in itertools.count(1) if (name := f"videotask-pool-{number}") not in phases)
    new = list(itertools.islice(unused, max(0, wanted)))
    if new:
        apply(*(_pool_volume(engine, name) for name in new))


def _pool_volume(engine: Engine, name: str) -> dict[str, Any]:
    folder = engine.make_volume_folder(name)
    volume = _volume(engine, name, folder, size=_POOL_VOLUME_BYTES, namespace=None, claim=None)
    volume["metadata"]["labels"][_POOL_LABEL] = "default"
    return volume


def _discard(engine: Engine, name: str) -> None:
    kubectl("delete", "pv", name, "--wait=true", "--timeout=20s")
    engine.remove_volume_folder(name)


def _volume(
    engine: Engine, name: str, folder: str, *, size: str, namespace: str | None, claim: str | None
) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": STORAGE_CLASS,
        "volumeMode": "Filesystem",
        "local": {"path": folder},
        "nodeAffinity": {
            "required": {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {"key": "kubernetes.io/hostname", "operator": "In", "values": [engine.node_name]}
                        ]
                    }
                ]
            }
        },
    }
    if claim:
        spec["claimRef"] = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": namespace or "default",
            "name": claim,
        }
    elif namespace:
        raise ClusterError("--namespace goes with --claim: a volume itself has no namespace")
    labels = {"app.kubernetes.io/managed-by": "videotask-cluster"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }
