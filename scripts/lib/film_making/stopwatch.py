"""How long each part of the work took, for the table at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Stopwatch:
    """Parts in the order they were begun, and their seconds."""

    def __init__(self, console: Console) -> None:
        self.parts: list[tuple[str, float]] = []
        self._console = console

    @contextmanager
    def part(self, name: str, words: str) -> Iterator[None]:
        """Announce one part and take its time."""
        self._console.print(f"── {words}", style="bold", markup=False, soft_wrap=True)
        started = time.monotonic()
        yield
        self.parts.append((name, time.monotonic() - started))

    @property
    def seconds(self) -> float:
        """All parts together."""
        return sum(seconds for _, seconds in self.parts)
