"""Leaves out of a long ledger what later lines say again; no money, no try, no take, no tombstone may go with it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from videotask_contract.ledger_record import LedgerRecord, RecordKind
from videotask_steps import durable
from videotask_steps.ledger_lines import read_line

_log: Final = structlog.stdlib.get_logger(__name__)

LONG_LINES: Final = 2000
LONG_BYTES: Final = 1_000_000
"""A ledger that passes one of these is looked at; a film's own is a tenth of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    raw: bytes
    record: LedgerRecord | None
    """None for a line that cannot be read: perhaps a newer release's, so that it stays as it is."""


def compact(path: Path) -> bool:
    """Rewrite the ledger when it is long and most of its lines are superseded; True when it was.

    The caller holds the ledger's lock. The new one appears by rename, so that a crash at any moment leaves the old or
    the new one whole; where the disk has no room for it, the old one serves on.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    compacted = compacted_ledger(content)
    if compacted is None:
        return False
    try:
        durable.save(path, compacted)
    except OSError as error:
        _log.warning("ledger_not_compacted", path=str(path), error=error.strerror)
        with contextlib.suppress(OSError):
            durable.temporary_name(path).unlink(missing_ok=True)
        return False
    _log.info("ledger_compacted", path=str(path), bytes_before=len(content), bytes_after=len(compacted))
    return True


def compacted_ledger(content: bytes) -> bytes | None:
    """Return the ledger without its superseded lines; None when it is short or most of them still count."""
    raw = content.split(b"\n")
    if len(raw) <= LONG_LINES and len(content) <= LONG_BYTES:
        return None
    lines = [_Line(raw=line, record=read_line(line)) for line in raw if line]
    superseded = _superseded(lines)
    if 2 * len(superseded) <= len(lines):
        return None
    return b"".join(line.raw + b"\n" for position, line in enumerate(lines) if position not in superseded)


def _superseded(lines: list[_Line]) -> set[int]:
    """Return the positions of lines whose whole meaning another line carries.

    A take's first DONE line says which run made it and its last one which take counts: those between them say nothing.
    So with a call's lines of one kind; every call stays, for the tries are numbered by them. A FAILED line is
    superseded by any later word on the same item and key.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    failed: list[tuple[int, tuple[str, str]]] = []
    words: dict[tuple[str, str], int] = {}
    for position, line in enumerate(lines):
        record = line.record
        if record is None or record.kind is RecordKind.TOMBSTONE:
            continue
        if record.kind in {RecordKind.FAILED, RecordKind.DONE}:
            words[record.item, record.key] = position
        if record.kind is RecordKind.FAILED:
            failed.append((position, (record.item, record.key)))
        else:
            groups.setdefault(_subject(record, position), []).append(position)
    superseded = {position for position, name in failed if words[name] > position}
    return superseded.union(*(positions[1:-1] for positions in groups.values()))


def _subject(record: LedgerRecord, position: int) -> tuple[str, ...]:
    """Return what the line speaks of; lines of one subject repeat each other."""
    if record.kind is RecordKind.DONE:
        return record.kind.value, record.item, record.key, str(record.take), record.path or ""
    return record.kind.value, record.call_id or f"line {position}"
