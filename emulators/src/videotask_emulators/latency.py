"""How long a provider takes: a call lasts at least this long, and never less than its media takes to make."""

import asyncio
import random
import time
from enum import StrEnum


class Latency(StrEnum):
    """The paces to choose from."""

    NONE = "none"
    DEMO = "demo"
    REALISTIC = "realistic"


_SECONDS: dict[Latency, dict[str, tuple[float, float]]] = {
    Latency.NONE: {},
    Latency.DEMO: {
        "image": (0.3, 1.0), "text": (0.5, 1.2), "speech": (0.2, 0.6), "sfx": (0.3, 0.8), "create": (0.05, 0.15),
        "clip": (2.0, 4.0),
    },
    Latency.REALISTIC: {
        "image": (15, 40), "text": (4, 12), "speech": (0.8, 2.5), "sfx": (3, 8), "create": (0.3, 1.2),
        "clip": (60, 240),
    },
}  # fmt: skip


class Pace:
    """Draws a duration for each call, seeded."""

    def __init__(self, latency: Latency, seed: int) -> None:
        self.latency = latency
        self._chance = random.Random(seed)  # noqa: S311 - chance for tests, not for secrets

    def draw_seconds(self, what: str) -> float:
        """Return how long this operation (or "clip", from submitted to succeeded) takes."""
        low, high = _SECONDS[self.latency].get(what, (0.0, 0.0))
        return self._chance.uniform(low, high)

    async def fill(self, what: str, began: float) -> None:
        """Wait until the operation has lasted what was drawn, counted from `began` (time.monotonic)."""
        left = began + self.draw_seconds(what) - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
