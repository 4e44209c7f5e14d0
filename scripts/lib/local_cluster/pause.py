"""The image of the process that holds a pod's namespaces, packed without any image tool; it must never be pulled."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from local_cluster import places
from local_cluster.configuration import PAUSE_IMAGE
from local_cluster.engine import Engine
from local_cluster.tools import PAUSE, program


def ensure_pause_image(engine: Engine) -> None:
    """Give the node the pause image unless it has it."""
    if PAUSE_IMAGE in engine.image_tags():
        return
    archive = places.CACHE / "pause-image.tar"
    archive.write_bytes(_archive(Path(program(PAUSE)).read_bytes()))
    engine.load_archive(archive)
    archive.unlink()


def _archive(binary: bytes) -> bytes:
    """Return a docker-archive of one layer that holds one program."""
    layer = _tar({"pause": binary}, mode=0o755)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]).encode()
    return _tar({"manifest.json": manifest, "config.json": config, "layer.tar": layer}, mode=0o644)


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()
