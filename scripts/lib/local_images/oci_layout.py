"""Archives made from an OCI image layout; it must never write a blob twice.

The format: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_archive(archive: Path, layout: Path, references: Sequence[str], *, leave_out: set[str]) -> None:
    """Write a tar of the layout that holds these images and none of the blobs that the reader already has.

    Each manifest carries its full name in the annotation that containerd's import reads.
    """
    index = json.loads((layout / "index.json").read_text())
    by_name = {one["annotations"]["org.opencontainers.image.ref.name"]: one for one in index["manifests"]}
    manifests = []
    digests: set[str] = set()
    for reference in references:
        manifest = by_name[reference.rpartition("/")[2]]
        digests |= {manifest["digest"], *_parts(layout, manifest["digest"])}
        manifests.append({**manifest, "annotations": {"io.containerd.image.name": reference}})
    with tarfile.open(archive, "w") as tar:
        _add_json(tar, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add_json(tar, "index.json", {"schemaVersion": 2, "manifests": manifests})
        for digest in sorted(digests - leave_out):
            blob = _blob(layout, digest)
            tar.add(blob, blob.relative_to(layout))


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _parts(layout: Path, digest: str) -> list[str]:
    manifest = json.loads(_blob(layout, digest).read_text())
    return [part["digest"] for part in (manifest["config"], *manifest["layers"])]


def _add_json(tar: tarfile.TarFile, name: str, document: dict[str, Any]) -> None:
    content = json.dumps(document).encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
