"""The format of one line of a step's ledger; old or foreign lines are for the reader to skip, never to trust."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from pydantic import ConfigDict

from videotask_contract.prices import Usd
from videotask_contract.storyboard import ContractModel

LEDGER_VERSION: Final = 1


class RecordKind(StrEnum):
    """What a line says happened."""

    INTENT = "intent"
    """A paid call is about to be made; `amount_usd` is its upper bound."""
    ACCEPTED = "accepted"
    """The provider took it and gave it an id; it will be charged. `amount_usd` is the intent's upper bound again."""
    SETTLED = "settled"
    """The provider said what it cost."""
    RELEASED = "released"
    """It is proved that the call was not charged."""
    DONE = "done"
    """The file is there, fsynced, validated."""
    FAILED = "failed"
    """The item was given up in this run."""
    TOMBSTONE = "tombstone"
    """Clean-up removed the file; it was paid and must not be made again by itself."""


class LedgerRecord(ContractModel):
    """One line. `call_id` ties intent, accepted and settled together; `item` and `key` say what it was for."""

    model_config = ConfigDict(extra="ignore")
    version: int = LEDGER_VERSION
    kind: RecordKind
    at: datetime
    run_id: str
    item: str
    key: str
    take: int = 1
    call_id: str | None = None
    model: str | None = None
    amount_usd: Usd = Decimal(0)
    external_id: str | None = None
    """Our own id at the provider (Kling external_task_id)."""
    provider_id: str | None = None
    """The provider's id."""
    path: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    duration_seconds: float | None = None
    message: str | None = None


def encode_record(record: LedgerRecord) -> str:
    """Return the record as one line with its checksum: {"c": first 16 of sha256, "r": {...}} and a newline."""
    body = record.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps({"c": _checksum(body), "r": body}, ensure_ascii=False, separators=(",", ":")) + "\n"


def decode_record(line: str) -> LedgerRecord | None:
    """Return the record, or None for a torn, damaged, foreign or newer line: what cannot be read is never trusted."""
    try:
        outer = json.loads(line)
        body = outer["r"]
        if outer["c"] != _checksum(body) or body.get("version") != LEDGER_VERSION:
            return None
        return LedgerRecord.model_validate(body)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def item_key(**parts: object) -> str:
    """Return the hash of all that makes an item: prompt, voice, references, take; equal parts give equal keys."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _checksum(body: object) -> str:
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
