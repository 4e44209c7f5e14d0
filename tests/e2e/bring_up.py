"""Brings up the project's own cluster and its images, with what that says in a file that can be followed."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TextIO

import pytest
from tests.e2e.real_cluster import REPOSITORY

BRING_UP_SECONDS = 3600.0
"""From nothing: Kubernetes and its parts are compiled, and eight images are built."""
LOG = REPOSITORY / ".build" / "bring-up.log"
_NO_CLUSTER_HERE = 3
_PROGRAMS = (("scripts/cluster", "up"), ("scripts/images",))


def bring_up() -> None:
    """Run scripts/cluster up and scripts/images; skips what needs a cluster where none can run, and says why."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    with LOG.open("w", encoding="utf-8") as log:
        for program in _PROGRAMS:
            began = time.monotonic()
            code = _run(program, log)
            if code == _NO_CLUSTER_HERE:
                pytest.skip(f"no cluster can run on this machine ({LOG.relative_to(REPOSITORY)} tells why)")
            assert code == 0, f"`{' '.join(program)}` ended with {code}; its words:\n{_last_words()}"
            parts.append(f"{program[0].removeprefix('scripts/')} {time.monotonic() - began:.0f} s")
        log.write(f"Brought up: {', '.join(parts)}\n")


def _run(program: tuple[str, ...], log: TextIO) -> int:
    # scripts/test makes room by a niceness; what the longest tests wait for, and the cluster itself, have none. Who may
    # not take it back (not root) goes on with it: `nice` says so and runs the program all the same.
    first = ("nice", "-n", str(-os.nice(0)))
    return subprocess.run(
        (*first, *program),
        check=False,
        cwd=REPOSITORY,
        stdout=log,
        stderr=log,
        stdin=subprocess.DEVNULL,
        timeout=BRING_UP_SECONDS,
    ).returncode


def _last_words() -> str:
    return "\n".join(LOG.read_text("utf-8").splitlines()[-8:])
