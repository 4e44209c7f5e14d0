"""The small program that stands over one step process, as a kubelet does; it must never run a step twice.

It needs nothing but the standard library, takes the folder of a run, and leaves two files there: `pod.json` (who runs
it, created once for good) and `exit.json` (how it ended). Its own end takes everything with it that the step started.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from videotask_operator.local.files import create_json, write_json
from videotask_operator.local.processes import start_mark

ORDER: Final = "order.json"
POD: Final = "pod.json"
EXIT: Final = "exit.json"
DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
CANNOT_START_CODE: Final = 128
"""As container runtimes report a program that could not be executed."""

_ENDED, _STOP = "ended", "stop"


def main() -> None:
    """Supervise the run whose folder is the first argument."""
    supervise(Path(sys.argv[1]))


def supervise(folder: Path) -> None:
    """Run the step of this folder's order unless somebody has done so before, and write how it ended."""
    order: dict[str, Any] = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    events: queue.SimpleQueue[str] = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: events.put(_STOP))
    pid = os.getpid()
    if os.getpgrp() != pid:
        os.setpgid(0, 0)
    if not create_json(folder / POD, {"pid": pid, "startMark": start_mark(pid), "startedAt": _now()}):
        return
    write_json(folder / EXIT, _run(order, events) | {"finishedAt": _now()})
    # As in a container: nothing outlives the first process.
    os.killpg(0, signal.SIGKILL)


def _run(order: dict[str, Any], events: queue.SimpleQueue[str]) -> dict[str, Any]:
    with Path(order["log"]).open("ab") as log:
        try:
            step = subprocess.Popen(order["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        except OSError as error:
            log.write(f"{error}\n".encode())
            return {"exitCode": CANNOT_START_CODE, "reason": "StartError"}

    def tell_the_end() -> None:
        step.wait()
        events.put(_ENDED)

    threading.Thread(target=tell_the_end, daemon=True).start()
    reason = _wait(step, events, deadline_seconds=order["deadlineSeconds"], grace_seconds=order["graceSeconds"])
    code = step.wait()
    return {"exitCode": code if code >= 0 else 128 - code, "reason": reason}


def _wait(
    step: subprocess.Popen[bytes], events: queue.SimpleQueue[str], *, deadline_seconds: float, grace_seconds: float
) -> str | None:
    """Wait until the step ended; a stop or the deadline is SIGTERM, grace, SIGKILL; return DeadlineExceeded or None."""
    reason = None
    stopping = False
    until = time.monotonic() + deadline_seconds
    while True:
        try:
            event = events.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            if stopping:
                step.kill()
                return reason
            reason = DEADLINE_EXCEEDED
            event = _STOP
        if event == _ENDED:
            return reason
        if not stopping:
            stopping = True
            until = time.monotonic() + grace_seconds
            step.terminate()


def _now() -> str:
    return datetime.now(UTC).isoformat()


if __name__ == "__main__":
    main()
