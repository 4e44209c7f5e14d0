"""The bill: an append-only witness of every charge, on disk before the answer leaves; it never holds a key."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from videotask_emulators.prices import Charge

Outcome = Literal["answered", "timed_out_after_charging", "disconnected_after_charging", "client_gone", "refunded"]

_EXCERPT_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """What was charged and for whom; `text` is kept as an excerpt alone."""

    provider: str
    key_id: str
    model: str
    kind: str
    request_id: str
    charge: Charge
    prompt_sha256: str
    text: str
    external_task_id: str = ""
    outcome: Outcome = "answered"


class Bill:
    """Entries since the last reset, kept as JSON lines in `path`; an entry is written and fsynced before it counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[dict[str, Any]] = []
        self._next = 1
        if path.exists():
            self._load()

    def add(self, charged: Charged) -> dict[str, Any]:
        """Write one charge down and return its entry."""
        return self._append(
            {
                "provider": charged.provider,
                "key_id": charged.key_id,
                "model": charged.model,
                "kind": charged.kind,
                "request_id": charged.request_id,
                "external_task_id": charged.external_task_id,
                "units": str(charged.charge.units),
                "unit": charged.charge.unit,
                "amount_usd": f"{charged.charge.amount_usd:f}",
                "prompt_sha256": charged.prompt_sha256,
                "text": charged.text[:_EXCERPT_CHARACTERS],
                "outcome": charged.outcome,
            }
        )

    def reset(self) -> None:
        """Start a new bill; what was billed before stays in the file."""
        self._append({"kind": "reset"})
        self._entries.clear()

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries since the last reset, oldest first."""
        return list(self._entries)

    def total_usd(self) -> Decimal:
        """Return the sum of the entries since the last reset."""
        return sum((Decimal(entry["amount_usd"]) for entry in self._entries), Decimal(0))

    def times_billed(self, prompt_sha256: str) -> int:
        """Return how often this prompt was billed, in all that the file tells."""
        return sum(1 for entry in self._entries if entry["prompt_sha256"] == prompt_sha256)

    def _append(self, facts: dict[str, Any]) -> dict[str, Any]:
        entry = {"seq": self._next, "at": datetime.now(UTC).isoformat(), **facts}
        self._next += 1
        with self._path.open("ab") as stream:
            stream.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        if facts["kind"] != "reset":
            self._entries.append(entry)
        return entry

    def _load(self) -> None:
        for line in self._path.read_text("utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # a line cut by a crash was never answered
            self._next = entry["seq"] + 1
            if entry["kind"] == "reset":
                self._entries.clear()
            else:
                self._entries.append(entry)
