"""Programs of ours that run on, each with a pid file; it must never signal a process that it did not start."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_cluster import places
from local_cluster.errors import ClusterError

_POLL_SECONDS = 0.05
_KILL_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A running program: its pid and the tick it started at, which together name it for good."""

    pid: int
    start_tick: int


def start_process(name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
    """Start `command` in a session of its own, its words appended to its log, and write its pid file."""
    places.LOGS.mkdir(parents=True, exist_ok=True)
    places.PIDS.mkdir(parents=True, exist_ok=True)
    with log_of(name).open("ab") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env={**os.environ, **(env or {})},
        )
    start_tick = _start_tick(child.pid)
    _pid_file(name).write_text(f"{child.pid} {start_tick}\n")


def running_process(name: str) -> Process | None:
    """Return the process of that name if it lives; a reused pid or a zombie does not count."""
    try:
        pid, start_tick = (int(word) for word in _pid_file(name).read_text().split())
    except (FileNotFoundError, ValueError):
        return None
    return Process(pid=pid, start_tick=start_tick) if _start_tick(pid) == start_tick else None


def stop_process(name: str, *, grace_seconds: float) -> bool:
    """End the process of that name, with SIGKILL after the grace; tell whether there was one."""
    return _end(name, ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, _KILL_SECONDS)))


def kill_process(name: str) -> bool:
    """End the process of that name by SIGKILL at once; tell whether there was one."""
    return _end(name, ((signal.SIGKILL, _KILL_SECONDS),))


def _end(name: str, steps: tuple[tuple[signal.Signals, float], ...]) -> bool:
    process = running_process(name)
    if process is None:
        _pid_file(name).unlink(missing_ok=True)
        return False
    for sign, wait_seconds in steps:
        _signal(process.pid, sign)
        if _ends_within(name, wait_seconds):
            _pid_file(name).unlink(missing_ok=True)
            return True
    raise ClusterError(f"{name} (pid {process.pid}) does not end, not even by SIGKILL")


def log_of(name: str) -> Path:
    """Return the path of a part's log."""
    return places.LOGS / f"{name}.log"


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes, 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def age_seconds(process: Process) -> float:
    """Return how long the process has run, in seconds."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - process.start_tick / os.sysconf("SC_CLK_TCK")


def _pid_file(name: str) -> Path:
    return places.PIDS / f"{name}.pid"


def _ends_within(name: str, wait_seconds: float) -> bool:
    deadline = time.monotonic() + wait_seconds
    while running_process(name) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _signal(pid: int, sign: signal.Signals) -> None:
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return


def _start_tick(pid: int) -> int | None:
    """Return field 22 of /proc/PID/stat (proc(5)), None for a process that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
