"""Runs a step that kills itself with SIGKILL just before its Nth write, sync or rename: `crashing_step.py N STEP`."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any

COUNTED = ("write", "fsync", "replace")


def crash_before(number: int) -> None:
    """Count the calls that make something last; end the process, as a lost node would, in place of call `number`."""
    count = 0

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **named)

        return counted

    for name in COUNTED:
        setattr(os, name, counting(getattr(os, name)))


if __name__ == "__main__":
    crash_before(int(sys.argv[1]))
    step = sys.argv[2]
    sys.argv = ["-m"]
    runpy.run_module(f"videotask_steps.steps.{step}", run_name="__main__", alter_sys=True)
