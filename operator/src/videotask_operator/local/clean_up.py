"""Clean-ups as local processes; one that was lost with its operator is begun again, which changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

from videotask_contract.task_file import VARIABLE_TERMINATION_LOG, VARIABLE_VOLUME
from videotask_operator.core.retention import CleanUpOrder, CleanUpState
from videotask_operator.local.folder import LocalFolder


def advance_clean_up(
    running: dict[str, subprocess.Popen[bytes]], order: CleanUpOrder, folder: LocalFolder
) -> CleanUpState:
    """Start this clean-up unless it runs, and say how far it is; one that ended is forgotten, to be begun anew."""
    known = running.get(order.job_name)
    if known is None:
        volume = folder.volume(order.claim_name) / order.folder
        if not volume.is_dir():
            return CleanUpState.DONE
        running[order.job_name] = _start(order, folder, str(volume.resolve()))
        return CleanUpState.RUNNING
    code = known.poll()
    if code is None:
        return CleanUpState.RUNNING
    del running[order.job_name]
    return CleanUpState.DONE if code == 0 else CleanUpState.FAILED


def _start(order: CleanUpOrder, folder: LocalFolder, volume: str) -> subprocess.Popen[bytes]:
    said = folder.logs / f"{order.job_name}.removed.json"
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        VARIABLE_VOLUME: volume,
        VARIABLE_TERMINATION_LOG: str(said.resolve()),
    }
    with suppress(FileNotFoundError):
        said.unlink()
    with (folder.logs / f"{order.job_name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "videotask_steps.clean_up", f"--{order.extent.value}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
