"""How far a run has come; it only counts, and never goes backwards within a run."""

from __future__ import annotations

import asyncio


class ProgressTracker:
    """Counts items done and wakes whoever reports them."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.kept = 0
        self.message = ""
        self.changed = asyncio.Event()

    def start(self, total: int, message: str = "") -> None:
        """Say how many items there are in all."""
        self.total = total
        self.say(message)

    def say(self, message: str) -> None:
        """Say in a few words what is being done now."""
        self.message = message[:200]
        self.changed.set()

    def item_done(self, *, kept: bool = False) -> None:
        """Count one finished item; kept when an earlier run had made it."""
        self.done += 1
        self.kept += int(kept)
        self.changed.set()
