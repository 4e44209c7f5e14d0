"""Notes what a probe saw in which bytes, so that a clip is decoded once, not in every run; a lost note costs time only.

A note is found by the file's SHA-256, which is taken anew each time: other bytes, another question or another probe
have no note. Nothing is noted of a file that was refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from videotask_contract.ledger_record import item_key
from videotask_steps import durable


class ProbeNotes:
    """The notes of one kind of probe in one file beside the ledger; `question` is all that decides its verdict."""

    def __init__(self, path: Path, **question: object) -> None:
        self._path = path
        self._question = item_key(**question)
        self._seconds = dict(_read(path, self._question))

    def ask(self, file: Path, probe: Callable[[Path], float]) -> float:
        """Return the seconds that the probe saw in these bytes, now or earlier; raises what the probe raises."""
        sha256 = durable.sha256_of(file)
        if sha256 not in self._seconds:
            self._seconds[sha256] = probe(file)
            self._note(sha256)
        return self._seconds[sha256]

    def _note(self, sha256: str) -> None:
        body = [self._question, sha256, self._seconds[sha256]]
        # Not synced, and a full disk is no reason to stop: without the note the next run decodes the file again.
        with contextlib.suppress(OSError), self._path.open("ab", buffering=0) as file:
            file.write(f"\n{json.dumps([_checksum(body), *body])}\n".encode())


def _read(path: Path, question: str) -> Iterator[tuple[str, float]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            checksum, *body = json.loads(line)
            if checksum == _checksum(body) and body[0] == question:
                yield str(body[1]), float(body[2])


def _checksum(body: list[object]) -> str:
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()[:16]
