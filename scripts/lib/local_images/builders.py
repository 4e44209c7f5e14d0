"""Builds images with Docker, Podman or Buildah, whichever is here; it must never leave a build secret in a layer."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from local_cluster import places
from local_cluster.commands import run
from local_cluster.engine import Engine
from local_cluster.errors import CannotRunError
from local_cluster.kind import container_engine
from local_cluster.tools import ensure_debian_packages
from local_images.archive import ImageArchive
from local_images.base import base_reference, make_base
from local_images.catalogue import Image

PUBLIC_BASE = "docker.io/library/python:3.13-slim-trixie"
_BUILD_TIMEOUT_SECONDS = 1800
_PLENTY_BYTES = 6 * 2**30
_DEBIAN_PACKAGES = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "runc": "runc",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFacts:
    """What a build needs beside the Dockerfile: base image, context, version label, and secrets by id and file."""

    base: str
    context: Path
    version: str
    secrets: dict[str, Path]

    def words(self) -> list[str]:
        """Return the arguments that docker, podman and buildah share."""
        arguments = ["--build-arg", f"BASE_IMAGE={self.base}", "--build-arg", f"VERSION={self.version}"]
        for name, path in self.secrets.items():
            arguments += ["--secret", f"id={name},src={path}"]
        return arguments


class Builder(Protocol):
    """One way to build images and hand them to the cluster."""

    def default_base(self) -> str:
        """Return the base image to build on when none is asked for."""

    def prepare(self, base: str) -> None:
        """Install the builder and make the base where it is ours to make."""

    def references(self) -> set[str]:
        """Return the names (with tags) of the images that are already built."""

    def build(self, image: Image, reference: str, facts: BuildFacts) -> None:
        """Build one image."""

    def load(self, references: Sequence[str], engine: Engine) -> None:
        """Give the cluster's node these images."""

    def facts(self, references: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the digest and the size in bytes of each of these images that is built, by its reference."""

    def remove(self, reference: str) -> None:
        """Forget a built image."""


def choose_builder() -> Builder:
    """Return Docker or Podman where one answers, else Buildah. VIDEOTASK_CLUSTER=native asks for the latter."""
    container = None if os.environ.get("VIDEOTASK_CLUSTER") == "native" else container_engine()
    if container:
        return EngineBuilder(container)
    if os.geteuid() != 0:
        raise CannotRunError(["neither Docker nor Podman answers, and building with Buildah needs root"])
    return BuildahBuilder()


class EngineBuilder:
    """Docker or Podman."""

    def __init__(self, program: str) -> None:
        self._program = program

    def default_base(self) -> str:
        """Return the public Python image."""
        return PUBLIC_BASE

    def prepare(self, base: str) -> None:
        """Do nothing: the engine pulls the base."""

    def references(self) -> set[str]:
        """Ask the engine."""
        listed = run([self._program, "images", "--format", "{{.Repository}}:{{.Tag}}"])
        return {name if name.startswith("localhost/") else f"localhost/{name}" for name in listed.split()}

    def build(self, image: Image, reference: str, facts: BuildFacts) -> None:
        """Build one image."""
        log = places.CACHE / "logs" / f"image-{image.name}.log"
        command = [self._program, "build", "-f", str(facts.context / image.dockerfile), "-t", reference]
        command += [*facts.words(), str(facts.context)]
        run(command, log=log, env={"DOCKER_BUILDKIT": "1"}, timeout_seconds=_BUILD_TIMEOUT_SECONDS)

    def load(self, references: Sequence[str], engine: Engine) -> None:
        """Save the images into one archive and load that."""
        with tempfile.TemporaryDirectory(dir=places.CACHE, prefix="load-") as scratch:
            archive = Path(scratch) / "images.tar"
            options = ["--multi-image-archive"] if self._program == "podman" else []
            run([self._program, "save", *options, "-o", str(archive), *references], timeout_seconds=600)
            engine.load_archive(archive)

    def facts(self, references: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the engine's own image IDs and sizes."""
        built = [reference for reference in references if reference in self.references()]
        shown = json.loads(run([self._program, "image", "inspect", *built])) if built else []
        return {name: {"digest": one["Id"], "size_bytes": one["Size"]} for name, one in zip(built, shown, strict=True)}

    def remove(self, reference: str) -> None:
        """Remove the name, and the image with its last name."""
        run([self._program, "rmi", reference], check=False)


class BuildahBuilder:
    """Buildah as root, with a store of its own in the cache, shared by all checkouts."""

    def __init__(self) -> None:
        store = places.CACHE / "buildah"
        mounts = f"/run/videotask-buildah-{hashlib.sha256(str(store).encode()).hexdigest()[:8]}"  # one for each store
        self._command = ["buildah", "--root", str(store), "--runroot", mounts]
        self._env = {"STORAGE_DRIVER": "overlay", "BUILDAH_ISOLATION": "chroot"}

    def default_base(self) -> str:
        """Return the base that we make ourselves: no registry is needed."""
        return base_reference()

    def prepare(self, base: str) -> None:
        """Install Buildah and make the base if it is ours and not there."""
        ensure_debian_packages(_DEBIAN_PACKAGES)
        if base == base_reference() and base not in self.references():
            make_base(self._build_base)

    def references(self) -> set[str]:
        """Ask the store; nothing where Buildah is not installed yet."""
        if shutil.which("buildah") is None:
            return set()
        return set(self._buildah("images", "--format", "{{.Name}}:{{.Tag}}").split())

    def build(self, image: Image, reference: str, facts: BuildFacts) -> None:
        """Build with layers kept for the next time and the next checkout."""
        log = places.CACHE / "logs" / f"image-{image.name}.log"
        command = ["bud", "--layers", "--pull-never", "-f", str(facts.context / image.dockerfile), "-t", reference]
        command += [*facts.words(), str(facts.context)]
        self._buildah(*command, log=log)

    def load(self, references: Sequence[str], engine: Engine) -> None:
        """Export image after image, uncompressed, into one archive of what the node lacks, and load that."""
        with tempfile.TemporaryDirectory(dir=_fast_folder(), prefix="videotask-load-") as scratch:
            archive, export = Path(scratch) / "images.tar", Path(scratch) / "export"
            with ImageArchive(archive, leave_out=engine.content_digests()) as images:
                for reference in references:
                    self._buildah("push", "--quiet", "--disable-compression", reference, f"dir:{export}")
                    images.add(reference, export)
                    shutil.rmtree(export)
            engine.load_archive(archive)

    def facts(self, references: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the image IDs and the sizes of all their layers."""
        return {
            name: {
                "digest": f"sha256:{str(one['id']).removeprefix('sha256:')}",
                "size_bytes": _bytes_of(str(one["size"])),
            }
            for one in json.loads(self._buildah("images", "--json", "--no-trunc"))
            for name in one.get("names") or []
            if name in references
        }

    def remove(self, reference: str) -> None:
        """Remove the name, and the image with its last name."""
        self._buildah("rmi", reference, check=False)

    def _build_base(self, context: Path, reference: str) -> None:
        self._buildah("bud", "-f", str(context / "Dockerfile"), "-t", reference, str(context))

    def _buildah(self, *words: str, log: Path | None = None, check: bool = True) -> str:
        return run(
            [*self._command, *words], env=self._env, log=log, check=check, timeout_seconds=_BUILD_TIMEOUT_SECONDS
        )


def _fast_folder() -> Path:
    """Return a folder in memory where there is plenty, else the cache: a load writes every layer twice on its way."""
    meminfo = Path("/proc/meminfo").read_text()
    available_bytes = int(meminfo.partition("MemAvailable:")[2].split()[0]) * 1024
    memory = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    if memory.is_dir() and min(available_bytes, shutil.disk_usage(memory).free) > _PLENTY_BYTES:
        return memory
    return places.CACHE


def _bytes_of(size: str) -> int:
    """Return the bytes of what Buildah prints for people, such as `125 MB` (decimal units)."""
    number, _, unit = size.partition(" ")
    return round(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}.get(unit.upper() or "B", 1))
