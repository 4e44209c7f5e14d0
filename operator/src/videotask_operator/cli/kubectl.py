"""kubectl as a program: the command line has a person's own rights through it, and must never read a token itself."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

from videotask_contract.errors import PermanentError, TransientError

_MAX_ERROR_CHARACTERS: Final = 500


def kubectl(*words: str, stdin: str | None = None, timeout_seconds: float = 60.0) -> str:
    """Run kubectl and return what it printed.

    Raises PermanentError with kubectl's own words when it fails, TransientError when it does not end in time.
    """
    try:
        done = subprocess.run(
            [_program(), *words], input=stdin, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TransientError(f"kubectl {words[0]} did not end within {timeout_seconds:.0f} s; try again") from error
    if done.returncode != 0:
        raise PermanentError(f"kubectl {words[0]}: {done.stderr.strip()[-_MAX_ERROR_CHARACTERS:]}")
    return done.stdout


def get_json(*words: str) -> dict[str, Any]:
    """Return an object or a list as `kubectl get WORDS -o json` has it."""
    found: dict[str, Any] = json.loads(kubectl("get", *words, "-o", "json"))
    return found


def current_namespace() -> str:
    """Return the namespace of kubectl's current context."""
    return kubectl("config", "view", "--minify", "-o", "jsonpath={..namespace}").strip() or "default"


@contextmanager
def kubectl_output(*words: str, timeout_seconds: float) -> Iterator[IO[bytes]]:
    """Yield kubectl's standard output as it comes; it is ended with the block.

    Raises PermanentError at the end of the block when kubectl failed.
    """
    process = subprocess.Popen([_program(), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None  # noqa: S101  it was asked for
        yield process.stdout
        _, complaint = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired as error:
        raise TransientError(f"kubectl {words[0]} did not end within {timeout_seconds:.0f} s; try again") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if process.returncode != 0:
        words_of_kubectl = complaint.decode(errors="replace").strip()[-_MAX_ERROR_CHARACTERS:]
        raise PermanentError(f"kubectl {words[0]}: {words_of_kubectl}")


def _program() -> str:
    found = shutil.which("kubectl")
    if found is None:
        raise PermanentError("kubectl is not on PATH; install it (https://kubernetes.io/docs/tasks/tools/)")
    return found
