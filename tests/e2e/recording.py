"""Watches a film being made, as a person at kubectl and as a guard at the database; it must only ever look."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import psycopg
from tests.e2e.real_cluster import program

if TYPE_CHECKING:
    from tests.e2e.studio import Film, Studio

SAMPLE_SECONDS = 0.2
_IDLE = """
SELECT (SELECT status FROM tasks WHERE id = %s) AS phase, count(*) AS idle,
       coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0)::float8 AS oldest_seconds
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%%'
"""


class Watch:
    """`kubectl get videotask NAME -w`, as a table, as a wide table and as JSON, from before the film to its end."""

    def __init__(self, film: Film, folder: Path) -> None:
        self._folder = folder
        cluster = film.studio.cluster
        base = [program("kubectl"), "--kubeconfig", str(cluster.kubeconfig), "--namespace", film.namespace]
        self._command = [*base, "get", "videotask", film.name, "-w"]
        self._running: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, flags in (("table", []), ("wide", ["-o", "wide"]), ("json", ["-o", "json"])):
            file = (self._folder / name).open("wb")
            command = [*self._command, *flags]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
            (self._folder / f"{name}.pid").write_text(str(process.pid))
            self._running.append((process, file))
        return self

    def __exit__(self, *_: object) -> None:
        for process, file in self._running:
            process.terminate()
            process.wait(timeout=20)
            file.close()

    def header(self, name: str = "table") -> list[str]:
        """Return the names of a table's columns."""
        return (self._folder / name).read_text().splitlines()[0].split()

    def lines(self, name: str = "table") -> list[list[str]]:
        """Return the cells of a table's lines; one that was empty is left out, as a person sees no more."""
        lines = (self._folder / name).read_text().splitlines()[1:]
        # Each line of a watch has widths of its own; three blanks stand between cells.
        return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in lines]

    def statuses(self) -> list[dict[str, Any]]:
        """Return the statuses in the order in which they were shown."""
        return self._statuses(is_whole=True)

    def whole_statuses(self) -> list[dict[str, Any]]:
        """Return those that are written down whole so far, while the watch goes on."""
        return self._statuses(is_whole=False)

    def _statuses(self, *, is_whole: bool) -> list[dict[str, Any]]:
        text = (self._folder / "json").read_text()
        decoder = json.JSONDecoder()
        found, at = [], 0
        while at < len(text):
            try:
                document, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError:
                if is_whole:
                    raise
                break
            found.append(dict(document.get("status", {})))
            while at < len(text) and text[at].isspace():
                at += 1
        return found


@dataclass(slots=True, kw_only=True)
class Sample:
    """One look at the database's sessions."""

    phase: str
    idle: int
    """Sessions that hold a transaction open and do nothing."""
    oldest_seconds: float
    """For how long the oldest of them has done nothing."""
    late_seconds: float
    """How much later than meant this look came: for so long this machine gave a program no turn."""


@dataclass(slots=True)
class SessionGuard:
    """Looks at the record's sessions again and again, on a connection of its own."""

    studio: Studio
    film: Film
    samples: list[Sample] = field(default_factory=list)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._look()
            except psycopg.Error:
                # The forward to the database was cut; what matters is how much was seen, which the test asks for.
                self._ending.wait(1)

    def _look(self) -> None:
        with self.studio.connect() as connection:
            looked_at = time.monotonic()
            while not self._ending.wait(SAMPLE_SECONDS):
                row = connection.execute(_IDLE, [self.film.uid]).fetchone()
                late_seconds = time.monotonic() - looked_at - SAMPLE_SECONDS
                looked_at += SAMPLE_SECONDS + late_seconds
                if row is not None and row["phase"] is not None:
                    self.samples.append(Sample(**row, late_seconds=late_seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """One film from nothing to completed, and all that was seen of it."""

    film: Film
    watch: Watch
    samples: list[Sample]
    bill: list[dict[str, Any]]
    """The emulators' bill for this film alone."""
    at_review: dict[str, Any]
    """Its status when it was put on show."""
    described: str
    """`kubectl describe` then."""
    status: dict[str, Any]
    """Its status when it was completed."""
    jobs: list[dict[str, Any]]
    pods: list[dict[str, Any]]
    files: Path
    """Its folder of the volume."""
    seconds: float
    """From applying it to the final review."""
