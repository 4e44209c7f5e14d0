"""Where each kind of object is found in the API; the only place that spells its paths."""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from urllib.parse import quote

from videotask_contract.resources import API_VERSION, GROUP, LABEL_MANAGED_BY, MANAGED_BY


class Kind(StrEnum):
    """The kinds that are watched and kept in the cache, by their plural names."""

    TASK = "videotasks"
    CHANNEL = "channels"
    JOB = "jobs"
    POD = "pods"

    @property
    def group(self) -> str:
        """API group; empty for the core group."""
        return _GROUPS[self][0]

    @property
    def version(self) -> str:
        """Version within the group."""
        return _GROUPS[self][1]

    @property
    def label_selector(self) -> str | None:
        """What is asked of the API server: of Jobs and pods only our own."""
        return OURS if self in {Kind.JOB, Kind.POD} else None


OURS: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
TASK_KIND: Final = "VideoTask"
CHANNEL_KIND: Final = "Channel"
TASK_API_VERSION: Final = f"{GROUP}/{API_VERSION}"
TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105  a path, not a token

_GROUPS: Final = {
    Kind.TASK: (GROUP, API_VERSION),
    Kind.CHANNEL: (GROUP, API_VERSION),
    Kind.JOB: ("batch", "v1"),
    Kind.POD: ("", "v1"),
}


def objects(kind: Kind, namespace: str) -> str:
    """Return the path of a kind's list in a namespace."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/{quote(namespace, safe='')}/{kind.value}"


def one(kind: Kind, namespace: str, name: str) -> str:
    """Return the path of one object."""
    return f"{objects(kind, namespace)}/{quote(name, safe='')}"


def core(plural: str, namespace: str, name: str | None = None) -> str:
    """Return the path of a core object that is not cached, such as configmaps or events; of all without a name."""
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/{plural}"
    return path if name is None else f"{path}/{quote(name, safe='')}"
