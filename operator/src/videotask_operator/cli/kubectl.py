"""kubectl as a program: the command line has a person's own rights through it, and must never read a token itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final

from videotask_contract.errors import PermanentError, TransientError

_MAX_ERROR_CHARACTERS: Final = 1000
_SERVER_SAID: Final = "Error from server"
_ASIDE: Final = re.compile(r"Warning: |[EWIF]\d{4} \d\d:")
"""What kubectl says beside its complaint: the server's warnings and its own log."""


class KubectlError(PermanentError):
    """kubectl failed; `reason` is the API server's own word for it (NotFound, Conflict, Forbidden, …) or empty."""

    def __init__(self, command: str, complaint: str) -> None:
        lines = [line for line in complaint.strip().splitlines() if not _ASIDE.match(line)]
        said = "\n".join(lines)
        said = said[max(said.rfind(_SERVER_SAID), 0) :]
        super().__init__(f"kubectl {command}: {said[-_MAX_ERROR_CHARACTERS:]}")
        self.said = said
        opened = said.removeprefix(f"{_SERVER_SAID} (") if said.startswith(f"{_SERVER_SAID} (") else ""
        self.reason = opened.partition(")")[0]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with the flags that choose cluster and user: --context, --kubeconfig."""

    flags: tuple[str, ...] = ()

    def run(self, *words: str, stdin: str | None = None, timeout_seconds: float = 60.0) -> str:
        """Run kubectl and return what it printed.

        Raises KubectlError with kubectl's own words when it fails, TransientError when it does not end in time.
        """
        command = self.command(*words)
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=timeout_seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise TransientError(f"kubectl {words[0]} did not end within {timeout_seconds:.0f} s; try again") from error
        if done.returncode != 0:
            raise KubectlError(words[0], done.stderr)
        return done.stdout

    def get_json(self, *words: str) -> dict[str, Any]:
        """Return an object or a list as `kubectl get WORDS -o json` has it."""
        found: dict[str, Any] = json.loads(self.run("get", *words, "-o", "json"))
        return found

    def current_namespace(self) -> str:
        """Return the namespace of the context in use."""
        words = ("config", "view", "--minify", "-o", "jsonpath={..namespace}")
        try:
            return self.run(*words).strip() or "default"
        except KubectlError as error:
            if "current-context" in error.said or "does not exist" in error.said:
                raise PermanentError(
                    f"{error.said.removeprefix('error: ')}; name a cluster by --kubeconfig and --context, or a "
                    "laptop's folder by --folder DIR"
                ) from error
            raise

    @contextmanager
    def output(self, *words: str, timeout_seconds: float) -> Iterator[IO[bytes]]:
        """Yield kubectl's standard output as it comes; it is ended with the block.

        Raises KubectlError at the end of the block when kubectl failed.
        """
        with subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None  # noqa: S101  it was asked for
                yield process.stdout
                _, complaint = process.communicate(timeout=timeout_seconds)
            except subprocess.TimeoutExpired as error:
                raise TransientError(
                    f"kubectl {words[0]} did not end within {timeout_seconds:.0f} s; try again"
                ) from error
            finally:
                if process.poll() is None:
                    process.kill()
        if process.returncode != 0:
            raise KubectlError(words[0], complaint.decode(errors="replace"))

    def attach(self, *words: str) -> int:
        """Run kubectl on this terminal and return its exit code."""
        return subprocess.run(self.command(*words), check=False).returncode

    def command(self, *words: str) -> list[str]:
        """Return the whole command."""
        return [_program(), *self.flags, *words]


def kubectl(*words: str, stdin: str | None = None, timeout_seconds: float = 60.0) -> str:
    """Run kubectl in its current context and return what it printed, as `Kubectl.run` does."""
    return Kubectl().run(*words, stdin=stdin, timeout_seconds=timeout_seconds)


def global_flags(*, context: str | None, kubeconfig: str | None) -> tuple[str, ...]:
    """Return kubectl's flags for the cluster that was named."""
    named: Sequence[tuple[str, str | None]] = (("--context", context), ("--kubeconfig", kubeconfig))
    return tuple(word for flag, value in named if value is not None for word in (flag, value))


def _program() -> str:
    found = shutil.which("kubectl")
    if found is None:
        raise PermanentError(
            "kubectl is not on PATH; install it (https://kubernetes.io/docs/tasks/tools/), or name a laptop's folder "
            "by --folder DIR"
        )
    return found
