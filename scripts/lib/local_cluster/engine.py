"""What every way to run a cluster must be able to do; it must never say how."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One part as a person sees it."""

    name: str
    pid: int | None
    is_ready: bool
    age_seconds: float
    memory_bytes: int
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """The cluster as a person sees it. `state` is up, degraded or down."""

    engine: str
    state: str
    kubernetes_version: str = ""
    node: str = ""
    node_is_ready: bool = False
    kubeconfig: str = ""
    parts: tuple[PartStatus, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Return plain data for `-o json`."""
        return asdict(self)


class Engine(Protocol):
    """One way to run a one-node cluster on this machine."""

    name: str
    node_name: str

    def up(self) -> None:
        """Bring the cluster up, or make what is broken of it whole. Idempotent."""

    def down(self, *, purge: bool) -> None:
        """End the cluster and leave nothing behind; with `purge`, not even the images kept for the next `up`."""

    def status(self) -> ClusterStatus:
        """Look, in under two seconds, and change nothing."""

    def stop_part(self, name: str, *, at_once: bool) -> None:
        """End one part, by SIGKILL if `at_once`, for a fault test."""

    def start_part(self, name: str) -> None:
        """Start one part and return when it is ready."""

    def make_volume_folder(self, name: str) -> str:
        """Make the folder of a volume on the node unless it is there, and return its path there."""

    def remove_volume_folder(self, name: str) -> None:
        """Remove the folder of a volume from the node, with all in it."""

    def image_tags(self) -> set[str]:
        """Return the names (with tags) of the images that the node has."""

    def remove_images(self, references: list[str]) -> None:
        """Make the node forget these images; containers that run of them go on."""

    def content_digests(self) -> set[str]:
        """Return the digests of all blobs that the node has: an archive may leave these out."""

    def load_archive(self, archive: Path) -> None:
        """Give the node every image of an archive (OCI layout or docker-archive)."""
