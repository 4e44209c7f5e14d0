"""Reads a ledger's bytes line by line; a line that cannot be trusted is told apart and never thrown away."""

from __future__ import annotations

from collections.abc import Iterator

from videotask_contract.ledger_record import LedgerRecord, decode_record


def parse_ledger(content: bytes) -> Iterator[LedgerRecord]:
    """Yield every line that can be read and trusted; torn, damaged, foreign and newer lines are passed over."""
    for line in content.split(b"\n"):
        record = read_line(line)
        if record is not None:
            yield record


def split_ledger(content: bytes) -> tuple[list[LedgerRecord], list[bytes]]:
    """Return the lines that can be trusted as records, and the others as they stand."""
    records: list[LedgerRecord] = []
    unreadable: list[bytes] = []
    for line in content.split(b"\n"):
        record = read_line(line)
        if record is not None:
            records.append(record)
        elif line:
            unreadable.append(line)
    return records, unreadable


def read_line(line: bytes) -> LedgerRecord | None:
    """Return the line's record, None when it is empty or cannot be trusted."""
    if not line:
        return None
    try:
        return decode_record(line.decode(errors="replace"))
    except RecursionError:  # brackets without end are no record either
        return None
