"""A program that has imported the steps and forks one process for each request, since starting Python costs a second.

Requests are JSON lines on stdin: {"id", "step", "environment", "stderr", "plan"}; answers are JSON lines on stdout:
{"id", "pid"} at the start and {"id", "code"} at the end. It ends when stdin does, and its children with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import sitecustomize  # the one of tests/support/volume_acts, by PYTHONPATH

STEPS = ("asset_generation", "video_generation", "narration_generation", "sfx_generation")
_PR_SET_PDEATHSIG = 1


def main() -> None:
    for step in STEPS:
        importlib.import_module(f"videotask_steps.steps.{step}")
        # Run anew as __main__ in each child; what it imports stays.
        del sys.modules[f"videotask_steps.steps.{step}"]
    late = [f"videotask_steps.media.{kind}_probe" for kind in ("image", "clip", "audio")]
    for module in (*late, "PIL.PngImagePlugin", "PIL.JpegImagePlugin", "certifi"):
        importlib.import_module(module)
    gc.freeze()
    ready = selectors.DefaultSelector()
    ready.register(0, selectors.EVENT_READ)
    _say({"id": "", "pid": os.getpid()})
    pending = b""
    while True:
        for key, _ in ready.select():
            if key.data is not None:
                _reap(ready, key.fd, *key.data)
                continue
            data = os.read(0, 1 << 20)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                _start(ready, json.loads(line))


def _start(ready: selectors.BaseSelector, request: dict[str, Any]) -> None:
    pid = os.fork()
    if pid == 0:
        _be_the_step(request)
    ready.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, request["id"]))
    _say({"id": request["id"], "pid": pid})


def _reap(ready: selectors.BaseSelector, descriptor: int, pid: int, name: str) -> None:
    _, status = os.waitpid(pid, 0)
    ready.unregister(descriptor)
    os.close(descriptor)
    _say({"id": name, "code": os.waitstatus_to_exitcode(status)})


def _be_the_step(request: dict[str, Any]) -> NoReturn:
    code = 70
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        errors = os.open(request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(errors, 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(2, 1)
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = ["-m"]
        sitecustomize.arm(sitecustomize.Plan(**request["plan"]))  # type: ignore[attr-defined]
        runpy.run_module(f"videotask_steps.steps.{request['step']}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        with contextlib.suppress(BaseException):
            sitecustomize.finish()  # type: ignore[attr-defined]
            sys.stderr.flush()
        os._exit(code)


def _say(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    # A child must not import this folder's modules in the place of the step's own.
    sys.path[:] = [path for path in sys.path if Path(path) != Path(__file__).parent]
    main()
