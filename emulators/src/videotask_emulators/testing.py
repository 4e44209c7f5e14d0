"""Starts the program as a process for a test and ends it, whatever the test did; nothing else imports this."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from videotask_emulators.control import ControlClient

_START_SECONDS = 30.0
_END_SECONDS = 15.0
_LOOK_EVERY_SECONDS = 0.02


class EmulatorProcess:
    """The emulators in a process of their own, on a free port.

    `options` are further arguments of `serve`, such as ("--latency", "realistic"). With `state_dir` the bill and jobs
    stay when it ends, so that a second one in the same folder goes on. The log goes to `log_path`.
    """

    def __init__(self, *, state_dir: Path | None = None, latency: str = "none", options: tuple[str, ...] = ()) -> None:
        self._stack = contextlib.ExitStack()
        self._given = state_dir
        self._arguments = ("--latency", latency, *options)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def control(self) -> ControlClient:
        """A client of this server's control API."""
        return ControlClient(self.url)

    @property
    def log_path(self) -> Path:
        """Where the program's log lines are."""
        return self.folder / "emulators.log"

    @property
    def pid(self) -> int:
        """The program's process id."""
        if self._process is None:
            raise RuntimeError("the emulators are not running: use EmulatorProcess as a context manager")
        return self._process.pid

    def __enter__(self) -> Self:
        self.folder = self._given or Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.folder.mkdir(parents=True, exist_ok=True)
        url_file = self.folder / "emulators.url"
        url_file.unlink(missing_ok=True)
        source = str(Path(__file__).resolve().parent.parent)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")])),
        }
        log = self._stack.enter_context(self.log_path.open("ab"))
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "videotask_emulators", "serve", "--port", "0", "--state-dir", str(self.folder),
                "--pid-file", str(self.folder / "emulators.pid"), "--url-file", str(url_file), *self._arguments,
            ],
            stdout=log, stderr=log, env=environment,
        )  # fmt: skip
        try:
            self.url = self._await_url(url_file)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the program: SIGTERM, and SIGKILL where that does not help."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_END_SECONDS)
            self._process = None
        self._stack.close()

    def kill(self) -> None:
        """End the program by SIGKILL, as a crash does; what is in the state folder stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(_END_SECONDS)
            self._process = None

    def _await_url(self, url_file: Path) -> str:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            if url_file.exists():
                return url_file.read_text("utf-8").strip()
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError(f"the emulators ended at their start: {self._log_tail()}")
            time.sleep(_LOOK_EVERY_SECONDS)
        raise TimeoutError(f"the emulators did not listen within {_START_SECONDS:.0f} s: {self._log_tail()}")

    def _log_tail(self) -> str:
        return self.log_path.read_text("utf-8", errors="replace")[-1500:]
