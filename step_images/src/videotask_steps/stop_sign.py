"""The sign that nothing new may be begun; the first reason given stands."""

from __future__ import annotations

import asyncio

from videotask_contract.errors import FailureClass, VideoTaskError


class StopSign(asyncio.Event):
    """An event with a reason; set by SIGTERM, suspend, cancel or a closed run, and never cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.reason = ""

    def ask(self, reason: str) -> None:
        """Ask the run to begin nothing more."""
        self.reason = self.reason or reason
        self.set()

    def raise_if_set(self) -> None:
        """Raise INTERRUPTED when nothing new may be begun."""
        if self.is_set():
            raise interrupted(self.reason)


def interrupted(reason: str) -> VideoTaskError:
    """Return the error of a run that was told to stop."""
    return VideoTaskError(f"stopped before all was done: {reason}", failure_class=FailureClass.INTERRUPTED)
