"""One archive of many images, each shared layer in it once; it must never hold what the reader already has.

The format: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class ImageArchive:
    """An OCI image layout as a tar file, filled image by image."""

    def __init__(self, path: Path, *, leave_out: set[str]) -> None:
        self._tar = tarfile.open(path, "w")  # noqa: SIM115 - closed by __exit__
        self._known = set(leave_out)
        self._manifests: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the index and close."""
        index = {"schemaVersion": 2, "manifests": self._manifests}
        self._add_bytes("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        self._add_bytes("index.json", json.dumps(index).encode())
        self._tar.close()

    def add(self, reference: str, folder: Path) -> None:
        """Add the image of a folder in the `dir:` format: manifest.json, and blobs named by the hex of their sha256.

        The index gives it its full name in the annotation that containerd's import reads.
        """
        manifest = (folder / "manifest.json").read_bytes()
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        content = json.loads(manifest)
        for part in (content["config"], *content["layers"]):
            self._add_blob(part["digest"], (folder / part["digest"].removeprefix("sha256:")))
        if digest not in self._known:
            self._add_bytes(_blob_path(digest), manifest)
        annotations = {"io.containerd.image.name": reference}
        entry = {"mediaType": content["mediaType"], "digest": digest, "size": len(manifest), "annotations": annotations}
        self._manifests.append(entry)

    def _add_blob(self, digest: str, file: Path) -> None:
        if digest not in self._known:
            self._tar.add(file, _blob_path(digest))
            self._known.add(digest)

    def _add_bytes(self, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        self._tar.addfile(entry, io.BytesIO(content))


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
