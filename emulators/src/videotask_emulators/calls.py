"""The log of calls: who asked for what, when, and how it was answered; kept in memory, it holds no key and no body."""

import hashlib
import itertools
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Operation = Literal["create", "poll", "download", "speech", "sfx", "image", "text", "account", ""]

_EXCERPT_CHARACTERS = 80
_KEPT = 20_000


@dataclass(slots=True, kw_only=True)
class Call:
    """One call, from its arrival on; `status` is None while it is open and 0 when it ended without an answer."""

    seq: int
    provider: str
    method: str
    path: str
    query: str
    request_id: str
    operation: Operation = ""
    key_name: str = ""
    model: str = ""
    prompt: str = ""
    external_id: str = ""
    status: int | None = None
    fault: str = ""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    began: float = field(default_factory=time.monotonic)
    took_seconds: float | None = None

    @property
    def prompt_sha256(self) -> str:
        """The SHA-256 of the prompt or text, in hex; empty where there is none."""
        return hashlib.sha256(self.prompt.encode()).hexdigest() if self.prompt else ""

    def as_json(self) -> dict[str, Any]:
        """Return what the control API tells of the call."""
        return {
            "seq": self.seq, "at": self.at, "provider": self.provider, "operation": self.operation,
            "method": self.method, "path": self.path, "query": self.query, "request_id": self.request_id,
            "key_id": self.key_name, "model": self.model, "external_task_id": self.external_id,
            "prompt_sha256": self.prompt_sha256, "text": self.prompt[:_EXCERPT_CHARACTERS],
            "status": self.status, "fault": self.fault, "took_seconds": self.took_seconds,
        }  # fmt: skip


class CallLog:
    """The latest calls, numbered from 1 in the order of their arrival."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._numbers = itertools.count(1)

    def open(self, provider: str, method: str, path: str, query: str, request_id: str) -> Call:
        """Write a call down as it arrives."""
        call = Call(
            seq=next(self._numbers), provider=provider, method=method, path=path, query=query, request_id=request_id
        )
        self._calls.append(call)
        del self._calls[:-_KEPT]
        return call

    def close(self, call: Call, status: int) -> None:
        """Write down how a call ended."""
        call.status = status
        call.took_seconds = round(time.monotonic() - call.began, 3)

    def since(self, seq: int) -> list[Call]:
        """Return the calls with a number above `seq`."""
        return [call for call in self._calls if call.seq > seq]

    def clear(self) -> None:
        """Forget the calls; numbers go on."""
        self._calls.clear()
