"""Small files that appear whole or not at all; it must never leave a half-written one under its final name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

PRIVATE = 0o600
PUBLIC = 0o644
_LONGEST_NAME = 240
"""Of a file's own name in that of the one written beside it: both end at 255 bytes."""


def write_text(path: Path, text: str, *, mode: int = PUBLIC) -> None:
    """Write a file by temporary name, fsync and rename; readers see the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _write_beside(path, text, mode)
    temporary.replace(path)
    _sync_folder(path.parent)


def write_json(path: Path, value: Any, *, mode: int = PUBLIC) -> None:
    """Write a value as JSON, as `write_text` does."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n", mode=mode)


def create_json(path: Path, value: Any) -> bool:
    """Write a JSON file only if there is none yet; of several writers exactly one gets True."""
    temporary = _write_beside(path, json.dumps(value, ensure_ascii=False) + "\n", PUBLIC)
    try:
        os.link(temporary, path)  # unlike a rename, a link fails when the name is taken
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    _sync_folder(path.parent)
    return True


def read_json(path: Path) -> Any | None:
    """Return a JSON file's value; None when there is no such file or it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _write_beside(path: Path, text: str, mode: int) -> Path:
    temporary = path.with_name(f".{path.name[:_LONGEST_NAME]}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
