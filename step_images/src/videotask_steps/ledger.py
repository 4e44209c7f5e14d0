"""What has been asked, paid and made on this volume, line by line; a line once written is never changed or removed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, Final, Self

import structlog

from videotask_contract import layout
from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.ledger_record import LedgerRecord, RecordKind, encode_record
from videotask_contract.report import Certainty, Item, Spend
from videotask_contract.steps import Step
from videotask_steps import durable
from videotask_steps.compaction import compact
from videotask_steps.ledger_lines import parse_ledger, split_ledger

_log: Final = structlog.stdlib.get_logger(__name__)

Probe = Callable[[Path], object]
"""Looks into a media file and raises a VideoTaskError when it is not what it should be."""

LOCK_FILE: Final = "lock"
LOCK_WAIT_SECONDS: Final = 15.0
"""How long a predecessor that is just dying may still hold the lock."""
_SMALLEST_USD: Final = Decimal("0.00000001")
_CLOSING: Final = frozenset({RecordKind.SETTLED, RecordKind.RELEASED})
_OF_A_CALL: Final = frozenset({RecordKind.INTENT, RecordKind.ACCEPTED, *_CLOSING})


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidCall:
    """One call to a provider as all its lines together tell it."""

    intent: LedgerRecord
    accepted: LedgerRecord | None = None
    closed: LedgerRecord | None = None

    @property
    def call_id(self) -> str:
        """Ties the lines together."""
        return self.intent.call_id or ""

    @property
    def is_open(self) -> bool:
        """True when nobody knows yet whether it was charged."""
        return self.closed is None

    @property
    def amount_usd(self) -> Decimal:
        """What it cost: the provider's figure, zero when released, its upper bound while the outcome is unknown."""
        if self.closed is None:
            return self.intent.amount_usd
        return self.closed.amount_usd if self.closed.kind is RecordKind.SETTLED else Decimal(0)

    @property
    def provider_id(self) -> str | None:
        """The provider's id of the job, once it was accepted."""
        return None if self.accepted is None else self.accepted.provider_id


class LedgerView:
    """A ledger read, not written: how one step learns what an earlier one made."""

    def __init__(self, volume: Path, step: Step, records: Iterable[LedgerRecord]) -> None:
        self.volume = volume
        self.step = step
        self._records = list(records)

    @property
    def records(self) -> tuple[LedgerRecord, ...]:
        """All lines that could be read, in the order they were written."""
        return tuple(self._records)

    def current(self, item: str) -> LedgerRecord | None:
        """Return the latest DONE line of an item: the take that counts. None when it was never made."""
        return self.current_items().get(item)

    def current_items(self) -> dict[str, LedgerRecord]:
        """Return the latest DONE line of every item, but of those whose file clean-up removed."""
        removed = self._tombstones()
        latest = {record.item: record for record in self._of_kind(RecordKind.DONE)}
        return {item: record for item, record in latest.items() if (item, record.key) not in removed}

    def take(self, item: str, take: int) -> LedgerRecord | None:
        """Return the latest DONE line of this take of an item, whatever became of its file; None when never made."""
        for record in reversed(self._records):
            if record.kind is RecordKind.DONE and (record.item, record.take) == (item, take):
                return record
        return None

    def tombstone(self, item: str, key: str) -> LedgerRecord | None:
        """Return the line by which clean-up removed this item and key, if it is the latest word on it."""
        return self._tombstones().get((item, key))

    def kept(self, item: str, key: str, *, probe: Probe | None = None) -> LedgerRecord | None:
        """Return the DONE line of this item and key if its file is still there, whole, and passes the probe.

        Raises a TransientError when the volume will not let it be read: it may well be whole, and was paid for.
        """
        if self.tombstone(item, key) is not None:
            return None
        for record in reversed(self._records):
            if record.kind is RecordKind.DONE and (record.item, record.key) == (item, key):
                return record if self._is_intact(record, probe) else None
        return None

    def kept_elsewhere(self, key: str, *, owners: Container[str], probe: Probe | None) -> LedgerRecord | None:
        """Return the latest DONE line of this key that another item than these holds, by the rules of `kept`."""
        made = {record.item: None for record in self._of_kind(RecordKind.DONE) if record.key == key}
        others = (item for item in reversed(made) if item not in owners)
        return next((record for item in others if (record := self.kept(item, key, probe=probe)) is not None), None)

    def calls(self) -> list[PaidCall]:
        """Return every paid call, in the order they were begun."""
        begun: dict[str, LedgerRecord] = {}
        accepted: dict[str, LedgerRecord] = {}
        closed: dict[str, LedgerRecord] = {}
        for record in self._records:
            if record.call_id is None or record.kind not in _OF_A_CALL:
                continue
            # Where the intent cannot be read any more, the first line that can stands for it: money is never dropped.
            begun.setdefault(record.call_id, record)
            if record.kind is RecordKind.ACCEPTED:
                accepted[record.call_id] = record
            elif record.kind in _CLOSING:
                closed[record.call_id] = record
        return [
            PaidCall(intent=first, accepted=accepted.get(call_id), closed=closed.get(call_id))
            for call_id, first in begun.items()
        ]

    def calls_for(self, item: str, key: str) -> list[PaidCall]:
        """Return the calls that were made for this item and key."""
        return [call for call in self.calls() if (call.intent.item, call.intent.key) == (item, key)]

    def spent_usd(self, run_id: str) -> Decimal:
        """Return all that the calls begun in this run cost, in US dollars, unknown outcomes at their upper bound."""
        return sum((call.amount_usd for call in self.calls() if call.intent.run_id == run_id), Decimal(0))

    def possibly_usd(self, run_id: str) -> Decimal:
        """Return the part of spent_usd whose outcome is unknown."""
        return sum(
            (call.amount_usd for call in self.calls() if call.is_open and call.intent.run_id == run_id),
            Decimal(0),
        )

    def spend(self) -> tuple[Spend, ...]:
        """Return every call that cost or may have cost money, of all runs.

        Also one that a later run found to have cost nothing: the run that began it may have told it as possibly paid.
        """
        return tuple(_spend_of(call) for call in self.calls() if call.amount_usd > 0 or _is_freed_later(call))

    def items(self, *, run_id: str) -> tuple[Item, ...]:
        """Return every made item of all runs but removed ones; kept are those that this run did not make."""
        costs: dict[tuple[str, str], Decimal] = {}
        for call in self.calls():
            made = (call.intent.item, call.intent.key)
            costs[made] = costs.get(made, Decimal(0)) + call.amount_usd
        first_makers: dict[tuple[str, str, str | None], str] = {}
        latest: dict[tuple[str, str], LedgerRecord] = {}
        removed = self._tombstones()
        for record in self._of_kind(RecordKind.DONE):
            first_makers.setdefault((record.item, record.key, record.path), record.run_id)
            # Taken out and put in again: the order is that of the last word, so that the take that counts comes last.
            latest.pop((record.item, record.key), None)
            latest[record.item, record.key] = record
        return tuple(
            _item_of(
                record,
                cost_usd=costs.get(made, Decimal(0)),
                kept=first_makers[record.item, record.key, record.path] != run_id,
            )
            for made, record in latest.items()
            if made not in removed
        )

    def next_take(self, item: str) -> int:
        """Return the first take of an item that no line speaks of as made."""
        return 1 + max((record.take for record in self._of_kind(RecordKind.DONE) if record.item == item), default=0)

    def _tombstones(self) -> dict[tuple[str, str], LedgerRecord]:
        """Return, by item and key, the tombstones that are the latest word.

        One that names a path speaks of that file alone: another take of the same key stays.
        """
        made: dict[tuple[str, str], str | None] = {}
        removed: dict[tuple[str, str], LedgerRecord] = {}
        for record in self._records:
            name = (record.item, record.key)
            if record.kind is RecordKind.DONE:
                made[name] = record.path
                removed.pop(name, None)
            elif record.kind is RecordKind.TOMBSTONE and record.path in {None, made.get(name, record.path)}:
                removed[name] = record
        return removed

    def _of_kind(self, kind: RecordKind) -> Iterator[LedgerRecord]:
        return (record for record in self._records if record.kind is kind)

    def _is_intact(self, record: LedgerRecord, probe: Probe | None) -> bool:
        if record.path is None:
            return False
        path = self.volume / record.path
        try:
            if path.stat().st_size != record.size_bytes or durable.sha256_of(path) != record.sha256:
                return False
            if probe is not None:
                probe(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise TransientError(
                f"the volume failed: {record.path} cannot be read ({error.strerror or error}); nothing is paid for it "
                "again: mend the volume or the file's permissions",
                item=record.item,
            ) from error
        except VideoTaskError as error:
            if error.failure_class is FailureClass.TRANSIENT:
                raise  # it could not be looked at, and may well be whole
            return False
        return True


class Ledger(LedgerView):
    """The ledger of one step, held by one process alone and fsynced line by line."""

    def __init__(self, volume: Path, step: Step, *, run_id: str, lock: int) -> None:
        path = volume / layout.ledger(step)
        compact(path)
        content = path.read_bytes() if path.exists() else b""
        records, unreadable = split_ledger(content)
        super().__init__(volume, step, records)
        if unreadable:
            _log.warning("ledger_lines_unreadable", path=str(path), lines=len(unreadable), readable=len(records))
        self.unreadable_lines = len(unreadable)
        """Torn, damaged or foreign ones: each may have been the only word of a call."""
        self.last_written_at = path.stat().st_mtime if path.exists() else 0.0
        """Before this run, in seconds since the epoch."""
        self.run_id = run_id
        self._lock = lock
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o664)
        durable.sync_folder(path.parent)
        self._is_torn = not content.endswith(b"\n") and content != b""

    @classmethod
    async def open(cls, volume: Path, step: Step, *, run_id: str, wait_seconds: float = LOCK_WAIT_SECONDS) -> Self:
        """Lock the task's ledgers and read this step's; NOT_PERMITTED when another process holds the lock."""
        return cls(volume, step, run_id=run_id, lock=await lock_ledgers(volume, wait_seconds=wait_seconds))

    def close(self) -> None:
        """Close the file and let the lock go."""
        os.close(self._file)
        os.close(self._lock)

    def record_intent(
        self,
        *,
        item: str,
        key: str,
        take: int,
        model: str,
        upper_bound_usd: Decimal,
        external_id: str | None = None,
    ) -> PaidCall:
        """Write down that a paid call is about to be made; only then may it be made.

        No two calls of a ledger may have one external id: it gives the call its own.
        """
        return PaidCall(
            intent=self._append(
                RecordKind.INTENT,
                item=item,
                key=key,
                take=take,
                call_id=_call_id(external_id),
                model=model,
                amount_usd=_usd(upper_bound_usd),
                external_id=external_id,
            ),
        )

    def record_accepted(self, call: PaidCall, *, provider_id: str) -> None:
        """Write down that the provider took the call under an id of its own; it counts as the intent would, if lost."""
        self._append_for(call, RecordKind.ACCEPTED, provider_id=provider_id, amount_usd=call.intent.amount_usd)

    def record_settled(
        self, call: PaidCall, *, amount_usd: Decimal, path: str | None = None, take: int | None = None
    ) -> None:
        """Write down what the provider says the call cost, in US dollars; `path` is where its media will lie.

        `take` is the one that the path is of, where it is not the intent's; the last such line counts.
        """
        self._append_for(call, RecordKind.SETTLED, amount_usd=_usd(amount_usd), path=path, take=take)

    def record_released(self, call: PaidCall, *, message: str) -> None:
        """Write down that the call is proved not to be charged, and by what."""
        self._append_for(call, RecordKind.RELEASED, message=message[:300])

    def record_done(
        self,
        item: str,
        key: str,
        *,
        path: str,
        take: int = 1,
        duration_seconds: float | None = None,
        call: PaidCall | None = None,
    ) -> LedgerRecord:
        """Write down that the file at this path (below the task's folder) is whole; it must be synced and renamed."""
        file = self.volume / path
        return self._append(
            RecordKind.DONE,
            item=item,
            key=key,
            take=take,
            path=path,
            call_id=None if call is None else call.call_id,
            size_bytes=file.stat().st_size,
            sha256=durable.sha256_of(file),
            duration_seconds=duration_seconds,
        )

    def record_again(self, record: LedgerRecord) -> None:
        """Make an older take the one that counts, unless it already is; costs nothing and touches no file."""
        if self.current(record.item) != record:
            self._write(record.model_copy(update={"run_id": self.run_id, "at": datetime.now(UTC)}))

    def record_removed(self, record: LedgerRecord) -> None:
        """Write down that clean-up removes this take's file; to be written before the file goes."""
        self._append(
            RecordKind.TOMBSTONE,
            item=record.item,
            key=record.key,
            take=record.take,
            path=record.path,
            message="removed by clean-up",
        )

    def record_failed(self, item: str, key: str, *, message: str) -> None:
        """Write down that the item was given up in this run, and why."""
        self._append(RecordKind.FAILED, item=item, key=key, message=message[:300])

    def _append_for(self, call: PaidCall, kind: RecordKind, *, take: int | None = None, **facts: Any) -> None:
        intent = call.intent
        self._append(
            kind,
            item=intent.item,
            key=intent.key,
            take=intent.take if take is None else take,
            call_id=call.call_id,
            model=intent.model,
            external_id=intent.external_id,
            **facts,
        )

    def _append(self, kind: RecordKind, **facts: Any) -> LedgerRecord:
        return self._write(LedgerRecord(kind=kind, at=datetime.now(UTC), run_id=self.run_id, **facts))

    def _write(self, record: LedgerRecord) -> LedgerRecord:
        line = encode_record(record).encode()
        if self._is_torn:
            line = b"\n" + line
        self._is_torn = True  # until the whole line is on the disk
        view = memoryview(line)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)
        self._is_torn = False
        self._records.append(record)
        return record


def read_ledger(volume: Path, step: Step) -> LedgerView:
    """Read another step's ledger without locking it; a step that never ran has an empty one."""
    path = volume / layout.ledger(step)
    return LedgerView(volume, step, parse_ledger(path.read_bytes() if path.exists() else b""))


async def lock_ledgers(volume: Path, *, wait_seconds: float = LOCK_WAIT_SECONDS) -> int:
    """Lock all ledgers of a task and return the descriptor that holds the lock; it is held until it is closed.

    A Ledger closes the one it is given: whoever opens several gives each a duplicate (dup(2) shares a flock(2)).
    Raises NOT_PERMITTED when another process holds the lock.
    """
    folder = volume / layout.LEDGER_FOLDER
    durable.make_folder(folder)
    return await _lock(folder / LOCK_FILE, wait_seconds=wait_seconds)


async def _lock(path: Path, *, wait_seconds: float) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o664)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise VideoTaskError(
                    f"another process works on this film: it has held {path} for more than {wait_seconds:.0f} s",
                    failure_class=FailureClass.NOT_PERMITTED,
                ) from None
            await asyncio.sleep(0.1)
        else:
            return descriptor


def _is_freed_later(call: PaidCall) -> bool:
    return call.closed is not None and call.amount_usd == 0 and call.closed.run_id != call.intent.run_id


def _call_id(external_id: str | None) -> str:
    """Return 32 hexadecimal digits; the same for the same call also where it is written down anew after a loss.

    The operator counts calls by it: one that was told before and is found again must not be counted twice.
    """
    return (uuid.uuid4() if external_id is None else uuid.uuid5(uuid.NAMESPACE_OID, external_id)).hex


def _spend_of(call: PaidCall) -> Spend:
    return Spend(
        call_id=call.call_id,
        run_id=call.intent.run_id,
        item=call.intent.item,
        model=call.intent.model or "",
        amount_usd=call.amount_usd,
        certainty=Certainty.POSSIBLY if call.is_open else Certainty.SETTLED,
        # The day it was made on, whichever run settles it: on a later day nothing was held for it.
        at=call.intent.at,
    )


def _item_of(record: LedgerRecord, *, cost_usd: Decimal, kept: bool) -> Item:
    return Item(
        item=record.item,
        key=record.key,
        take=record.take,
        path=record.path or "",
        size_bytes=record.size_bytes or 0,
        sha256=record.sha256 or "",
        duration_seconds=record.duration_seconds,
        cost_usd=cost_usd,
        kept=kept,
    )


def _usd(amount: Decimal) -> Decimal:
    return amount.quantize(_SMALLEST_USD, rounding=ROUND_HALF_EVEN)
