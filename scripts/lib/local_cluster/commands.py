"""Other programs, run with a deadline and their words kept; it must never hide what a failed one said."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_cluster.errors import ClusterError

_KEPT_CHARACTERS = 2000


def run(
    command: Sequence[str],
    *,
    timeout_seconds: float = 60,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    check: bool = True,
) -> str:
    """Run `command` and return its stdout; with `log`, all it says goes to that file and "" is returned.

    Raises ClusterError with the end of what it said when it fails (and `check`), is missing, or passes its deadline.
    """
    try:
        done = _execute(command, timeout_seconds=timeout_seconds, stdin=stdin, env=env, cwd=cwd, log=log)
    except FileNotFoundError as missing:
        raise ClusterError(f"{command[0]} is not installed or not on PATH") from missing
    except subprocess.TimeoutExpired as late:
        raise ClusterError(f"{_shown(command)} did not end within {timeout_seconds:.0f} s") from late
    if check and done.returncode != 0:
        said = log.read_text(errors="replace") if log else f"{done.stdout}{done.stderr}"
        raise ClusterError(f"{_shown(command)} failed ({done.returncode}):\n{said[-_KEPT_CHARACTERS:].strip()}")
    return done.stdout or ""


def succeeds(command: Sequence[str], *, timeout_seconds: float = 20) -> bool:
    """Tell whether `command` exists, ends in time and exits 0."""
    try:
        done = _execute(command, timeout_seconds=timeout_seconds)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _execute(
    command: Sequence[str],
    *,
    timeout_seconds: float,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    whole_env = {**os.environ, **(env or {})}
    common = {"input": stdin or "", "text": True, "timeout": timeout_seconds, "env": whole_env, "cwd": cwd}
    if log is None:
        return subprocess.run(command, check=False, capture_output=True, **common)  # type: ignore[call-overload,no-any-return]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as sink:
        return subprocess.run(command, check=False, stdout=sink, stderr=subprocess.STDOUT, **common)  # type: ignore[call-overload,no-any-return]


def _shown(command: Sequence[str]) -> str:
    return " ".join(str(word) for word in command[:6]) + (" ..." if len(command) > 6 else "")  # noqa: PLR2004
