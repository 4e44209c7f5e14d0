"""Faults on demand: which calls they hit, how often, and what they do; the providers' rooms carry them out."""

import itertools
import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from videotask_emulators.calls import Call

MEDIA = frozenset({"image", "speech", "sfx", "download"})
EVERY = frozenset({"create", "poll", "download", "speech", "sfx", "image", "text", "account"})
PAID = frozenset({"create", "speech", "sfx", "image", "text"})
SOUND = frozenset({"speech", "sfx"})
GEMINI = frozenset({"image", "text"})


class FaultKind(StrEnum):
    """What goes wrong; README.md of this folder tells what each does and its params."""

    HTTP_429_RETRY_INFO = "http_429_retry_info"
    HTTP_429_PER_DAY = "http_429_per_day"
    HTTP_429_RETRY_AFTER = "http_429_retry_after"
    HTTP_5XX = "http_5xx"
    TIMEOUT_BEFORE_CHARGING = "timeout_before_charging"
    TIMEOUT_AFTER_CHARGING = "timeout_after_charging"
    DISCONNECT_AFTER_CHARGING = "disconnect_after_charging"
    BLOCK_PROMPT = "block_prompt"
    BLOCK_FINISH_REASON = "block_finish_reason"
    TEXT_NO_IMAGE = "text_no_image"
    TRUNCATED_JSON = "truncated_json"
    SAFETY = "safety"
    AUTH_REVOKED = "auth_revoked"
    ARREARS = "arrears"
    PACK_EXHAUSTED = "pack_exhausted"
    QUOTA_EXCEEDED = "quota_exceeded"
    VOICE_NOT_FOUND = "voice_not_found"
    TRUNCATED_MEDIA = "truncated_media"
    EMPTY_MEDIA = "empty_media"
    HTML_AT_200 = "html_at_200"
    SILENT_AUDIO = "silent_audio"
    BLACK_CLIP = "black_clip"
    FROZEN_CLIP = "frozen_clip"
    SHORT_CLIP = "short_clip"
    WRONG_ASPECT = "wrong_aspect"
    ONE_COLOUR_IMAGE = "one_colour_image"
    TINY_IMAGE = "tiny_image"
    BUSY_BACKGROUND = "busy_background"
    SLOW_JOB = "slow_job"
    STUCK_JOB = "stuck_job"
    HOLD_CALL = "hold_call"
    PRICE = "price"


APPLIES: dict[FaultKind, frozenset[str]] = {
    FaultKind.HTTP_429_RETRY_INFO: GEMINI,
    FaultKind.HTTP_429_PER_DAY: GEMINI,
    FaultKind.HTTP_429_RETRY_AFTER: EVERY,
    FaultKind.HTTP_5XX: EVERY,
    FaultKind.TIMEOUT_BEFORE_CHARGING: EVERY,
    FaultKind.TIMEOUT_AFTER_CHARGING: PAID,
    FaultKind.DISCONNECT_AFTER_CHARGING: PAID,
    FaultKind.BLOCK_PROMPT: GEMINI,
    FaultKind.BLOCK_FINISH_REASON: GEMINI,
    FaultKind.TEXT_NO_IMAGE: frozenset({"image"}),
    FaultKind.TRUNCATED_JSON: frozenset({"create", "poll", "image", "text"}),
    FaultKind.SAFETY: frozenset({"create"}),
    FaultKind.AUTH_REVOKED: EVERY,
    FaultKind.ARREARS: frozenset({"create"}),
    FaultKind.PACK_EXHAUSTED: frozenset({"create"}),
    FaultKind.QUOTA_EXCEEDED: SOUND,
    FaultKind.VOICE_NOT_FOUND: frozenset({"speech"}),
    FaultKind.TRUNCATED_MEDIA: MEDIA,
    FaultKind.EMPTY_MEDIA: MEDIA,
    FaultKind.HTML_AT_200: MEDIA | {"create", "poll", "text"},
    FaultKind.SILENT_AUDIO: SOUND,
    FaultKind.BLACK_CLIP: frozenset({"create"}),
    FaultKind.FROZEN_CLIP: frozenset({"create"}),
    FaultKind.SHORT_CLIP: frozenset({"create"}),
    FaultKind.WRONG_ASPECT: frozenset({"create", "image"}),
    FaultKind.ONE_COLOUR_IMAGE: frozenset({"image"}),
    FaultKind.TINY_IMAGE: frozenset({"image"}),
    FaultKind.BUSY_BACKGROUND: frozenset({"image"}),
    FaultKind.SLOW_JOB: frozenset({"create"}),
    FaultKind.STUCK_JOB: frozenset({"create"}),
    FaultKind.HOLD_CALL: EVERY,
    FaultKind.PRICE: PAID,
}
"""The operations that each kind can hit; a match narrows them further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which calls a fault hits; every field that is not empty must hold."""

    path_contains: str = ""
    prompt_contains: str = ""
    external_id_contains: str = ""
    operation: str = ""
    model: str = ""
    key_id: str = ""

    def holds(self, call: Call) -> bool:
        """Tell whether the call is meant."""
        return (
            self.path_contains in call.path
            and self.prompt_contains in call.prompt
            and self.external_id_contains in call.external_id
            and self.operation in {"", call.operation}
            and self.model in {"", call.model}
            and self.key_id in {"", call.key_name}
        )


@dataclass(slots=True, kw_only=True)
class Fault:
    """A fault that waits for its calls; `times` -1 is for ever."""

    id: str
    kind: FaultKind
    provider: str = ""
    match: Match = field(default_factory=Match)
    times: int = 1
    probability: float = 1.0
    params: dict[str, Any] = field(default_factory=dict)
    hits: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return what the control API tells of the fault."""
        match = {name: getattr(self.match, name) for name in Match.__slots__ if getattr(self.match, name)}
        return {
            "id": self.id, "kind": self.kind.value, "provider": self.provider, "match": match, "times": self.times,
            "probability": self.probability, "params": self.params, "hits": self.hits,
        }  # fmt: skip


class Faults:
    """The faults that wait, in the order they were set; a call meets at most one."""

    def __init__(self, seed: int) -> None:
        self._waiting: list[Fault] = []
        self._numbers = itertools.count(1)
        self._chance = random.Random(seed)  # noqa: S311 - chance for tests, not for secrets

    def add(self, document: dict[str, Any]) -> Fault:
        """Set a fault from its JSON; raises ValueError that says what is wrong with it."""
        known = {"provider", "kind", "match", "times", "probability", "params"}
        if unknown := set(document) - known:
            raise ValueError(f"unknown fields {sorted(unknown)}: use {sorted(known)}")
        provider = document.get("provider", "")
        if provider not in {"", "gemini", "kling", "elevenlabs"}:
            raise ValueError(f"unknown provider {provider!r}: use gemini, kling or elevenlabs")
        try:
            kind, match = FaultKind(document.get("kind", "")), Match(**document.get("match", {}))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{error}: kinds are {[kind.value for kind in FaultKind]}") from error
        fault = Fault(
            id=f"fault-{next(self._numbers)}",
            kind=kind,
            provider=provider,
            match=match,
            times=int(document.get("times", 1)),
            probability=float(document.get("probability", 1.0)),
            params=dict(document.get("params", {})),
        )
        self._waiting.append(fault)
        return fault

    def take(self, call: Call) -> Fault | None:
        """Return the fault that hits this call, used up by one; None for a call that goes well."""
        for fault in self._waiting:
            if fault.times == 0 or fault.provider not in {"", call.provider}:
                continue
            if call.operation not in APPLIES[fault.kind] or not fault.match.holds(call):
                continue
            if self._chance.random() >= fault.probability:
                continue
            fault.times -= 1 if fault.times > 0 else 0
            fault.hits += 1
            call.fault = fault.kind.value
            return fault
        return None

    def all(self) -> list[Fault]:
        """Return every fault that was set, used up or not."""
        return list(self._waiting)

    def clear(self, fault_id: str = "") -> None:
        """Forget all faults, or the one with this id."""
        self._waiting = [fault for fault in self._waiting if fault_id and fault.id != fault_id]
