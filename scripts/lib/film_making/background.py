"""Programs that run beside the demo, each with a pid file; it must never signal a process that it did not start."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from film_making.failure import FilmError
from film_making.places import shown
from videotask_operator.local.processes import ProcessGroup, start_mark

_POLL_SECONDS = 0.05


class Background:
    """One program in a session of its own, from `start` to `end`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> None:
        """Start it, its words going to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        pid = self._process.pid
        self._pid_file.write_text(json.dumps({"pid": pid, "startMark": start_mark(pid)}))

    def wait_until(self, is_ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Wait until it is ready; FilmError with the end of its log when it ends before, or at the deadline."""
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise FilmError(f"the {self.name} did not begin within {timeout_seconds:.0f} s{self._last_words()}")
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raise FilmError with the end of its log when it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            raise FilmError(f"the {self.name} ended by itself with exit code {code}{self._last_words()}")

    def end(self, *, grace_seconds: float = 40.0) -> None:
        """End it, or what an earlier demo that was killed left of it; gone already is success."""
        group = self._group()
        if group is not None:
            group.signal_leader(signal.SIGTERM)
            if not self._ends_within(group, grace_seconds):
                group.signal_all(signal.SIGKILL)
                self._ends_within(group, grace_seconds)
        self._pid_file.unlink(missing_ok=True)

    def _group(self) -> ProcessGroup | None:
        try:
            known = json.loads(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        if known["startMark"] is None:
            return None
        return ProcessGroup(leader_pid=known["pid"], start_mark=known["startMark"])

    def _ends_within(self, group: ProcessGroup, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while group.is_alive:
            if self._process is not None:
                self._process.poll()
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-12:] if self.log.exists() else []
        return "".join(f"\n    {line[:300]}" for line in ["; " + shown(self.log) + " ends with:", *lines])
