"""The keys that the emulators accept, each with its plan, concurrency and trouble; values never leave this room."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

Provider = Literal["gemini", "kling", "elevenlabs"]
Trouble = Literal["", "revoked", "arrears", "pack_exhausted", "account_abnormal", "quota_exceeded"]

PLAN_CONCURRENCY = {"free": 2, "starter": 3, "creator": 5, "pro": 10, "scale": 15}
"""ElevenLabs' calls at once by plan."""
KLING_CONCURRENCY = 20
"""Kling's open tasks at once for each account and model, standard pack."""


@dataclass(slots=True, kw_only=True)
class Key:
    """One account's key; `secret` is the second half of Kling's legacy pair, for signing JWTs."""

    provider: Provider
    value: str
    name: str
    secret: str = ""
    plan: str = "creator"
    concurrency: int | None = None
    credits_left: int | None = None
    trouble: Trouble = ""
    in_flight: dict[str, int] = field(default_factory=dict)
    high_water: dict[str, int] = field(default_factory=dict)

    def limit(self) -> int | None:
        """Return how many calls (ElevenLabs) or open tasks a model (Kling) may be at once; None is no limit."""
        if self.concurrency is not None:
            return self.concurrency
        match self.provider:
            case "kling":
                return KLING_CONCURRENCY
            case "elevenlabs":
                return PLAN_CONCURRENCY[self.plan]
            case _:
                return None

    def enter(self, what: str) -> None:
        """Count one more in flight of `what` (an operation or a model) and keep the highest count."""
        self.in_flight[what] = self.in_flight.get(what, 0) + 1
        self.high_water[what] = max(self.high_water.get(what, 0), self.in_flight[what])

    def leave(self, what: str) -> None:
        """Count one less in flight."""
        self.in_flight[what] -= 1


class KeyRing:
    """All keys, found by provider and value."""

    def __init__(self, keys: list[Key]) -> None:
        self._keys: dict[tuple[str, str], Key] = {(key.provider, key.value): key for key in keys}

    def find(self, provider: str, value: str) -> Key | None:
        """Return the key that the caller showed; None for one that is unknown or revoked."""
        key = self._keys.get((provider, value))
        return None if key is None or key.trouble == "revoked" else key

    def named(self, provider: str, name: str) -> Key | None:
        """Return a key by its name, as tests speak of it."""
        return next((key for key in self._keys.values() if key.provider == provider and key.name == name), None)

    def put(self, key: Key) -> None:
        """Add a key or replace the one with the same value."""
        self._keys[(key.provider, key.value)] = key

    def all(self) -> list[Key]:
        """Return every key."""
        return list(self._keys.values())


def key_id(value: str) -> str:
    """Return a name for an unnamed key: the start of its SHA-256, never the key."""
    return "sha256:" + hashlib.sha256(value.encode()).hexdigest()[:12]


def default_keys() -> list[Key]:
    """Return the demo's keys: one for each provider, and a legacy pair for Kling."""
    return [
        Key(provider="gemini", value="gemini-demo-key", name="gemini-demo"),
        Key(provider="kling", value="kling-demo-key", name="kling-demo"),
        Key(provider="kling", value="kling-demo-access", secret="kling-demo-secret", name="kling-demo-pair"),  # noqa: S106
        Key(provider="elevenlabs", value="elevenlabs-demo-key", name="elevenlabs-demo"),
    ]
