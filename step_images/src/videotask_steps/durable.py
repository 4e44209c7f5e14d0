"""Files that are whole or not there after a crash; nothing here writes into a file under its final name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 1 << 20


def save(path: Path, content: bytes) -> None:
    """Write the content under this name by temporary file, fsync, rename and fsync of the folder; makes the folder."""
    make_folder(path.parent)
    temporary = temporary_name(path)
    temporary.write_bytes(content)
    sync_file(temporary)
    rename(temporary, path)


def temporary_name(path: Path) -> Path:
    """Return the name under which a file is written until it is whole."""
    return path.with_name(f".{path.name}.part")


def rename(temporary: Path, path: Path) -> None:
    """Give a synced file its name and make the name survive a crash."""
    temporary.replace(path)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make the folder and its parents, each name synced in the folder above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_file(path: Path) -> None:
    """Wait until the file's bytes are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the folder's names are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
