"""A person at the command line: `videotask` as a program of its own, with the rights of that person alone."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.real_cluster import Completed, program
from tests.e2e.studio import Studio

from videotask_operator.cli.exits import CommandExit

_SECONDS = 300
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One user of the cluster at work in one namespace."""

    studio: Studio
    user: str
    namespace: str

    def ends(self, *words: str) -> Completed:
        """Run one command and return how it ended and what it said."""
        return subprocess.run(
            self._command(words),
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def says(self, *words: str) -> str:
        """Run one command, which must succeed, and return what it printed."""
        done = self.ends(*words)
        assert done.returncode == CommandExit.DONE, f"videotask {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def in_a_terminal(self, *words: str, editor: Path) -> tuple[int, str]:
        """Run one command at a terminal and return its exit code and all that the screen showed, in one line."""
        ours, theirs = pty.openpty()
        environment = self._environment() | {"EDITOR": str(editor), "VISUAL": ""}
        with subprocess.Popen(
            self._command(words), env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            screen = b"".join(_blocks(ours))
        os.close(ours)
        return process.returncode, " ".join(screen.decode().split())

    def _command(self, words: Iterable[str]) -> list[str]:
        kubeconfig = self.studio.cluster.kubeconfig_of(self.user, self.studio.folder)
        where = ["-n", self.namespace, "--kubeconfig", str(kubeconfig)]
        return [sys.executable, "-m", "videotask_operator.cli", *words, *where]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VIDEOTASK_", "KUBE"))}
        tools = Path(program("kubectl")).parent
        # Its own cache: kubectl keeps what it discovered for hours.
        cache = {"KUBECACHEDIR": str(self.studio.cluster.discovery_cache), "COLUMNS": "200"}
        return kept | cache | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}


def _blocks(descriptor: int) -> Iterable[bytes]:
    with contextlib.suppress(OSError):  # EIO: the other side has closed the terminal
        while block := os.read(descriptor, _READ_BYTES):
            yield block
