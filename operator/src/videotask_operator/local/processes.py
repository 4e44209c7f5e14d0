"""Whether a process group that we started still runs; it must never mistake a reused number for one of ours."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_DEAD_STATES = frozenset("ZX")
"""Zombie and dead: such a process runs nothing any more, whoever forgot to reap it."""


class ProcessGroup(NamedTuple):
    """A group by its leader: the leader's pid, and the mark of the moment it started, which no later process shares.

    No dataclass: a supervisor needs this module, and would take a sixth longer to start.
    """

    leader_pid: int
    start_mark: str

    @property
    def is_led(self) -> bool:
        """True while the leader itself lives."""
        return start_mark(self.leader_pid) == self.start_mark

    @property
    def is_alive(self) -> bool:
        """True while any member lives: a leader that was killed may leave its children behind."""
        mark = start_mark(self.leader_pid)
        if mark is not None:
            return mark == self.start_mark
        # A number stays taken while its group has members, so these can only be ours.
        return _has_members(self.leader_pid)

    def signal_leader(self, sign: signal.Signals) -> None:
        """Signal the leader alone; gone already is success."""
        if self.is_led:
            with suppress(ProcessLookupError):
                os.kill(self.leader_pid, sign)

    def signal_all(self, sign: signal.Signals) -> None:
        """Signal every member; gone already is success."""
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.killpg(self.leader_pid, sign)


def start_mark(pid: int) -> str | None:
    """Return what tells this process from a later one of the same number; None when it does not live."""
    if _PROC.joinpath("self").exists():
        fields = _stat_fields(pid)
        return None if fields is None or fields[0] in _DEAD_STATES else fields[19]  # proc(5): (22) starttime
    return _start_mark_by_ps(pid)


def _start_mark_by_ps(pid: int) -> str | None:
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() or None if not _DEAD_STATES & set(state[:1]) else None


def _has_members(group: int) -> bool:
    if not _PROC.joinpath("self").exists():
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        return True
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())
    return any(
        fields is not None and fields[0] not in _DEAD_STATES and int(fields[2]) == group
        for fields in map(_stat_fields, pids)
    )


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of proc(5)'s stat from (3) state on; the name before them may hold blanks and brackets."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
