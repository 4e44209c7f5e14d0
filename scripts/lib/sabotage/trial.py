"""Runs tests in a copy and judges a patch by what they did; only a test's own failure counts as noticing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from sabotage import witness
from sabotage.patches import Patch, PatchError
from sabotage.throwaway import WITNESS, Copy

_GRACE_SECONDS: Final = 30.0
"""For pytest to take down its servers after it was told to end."""
_START_SECONDS: Final = 120.0
_HUNG: Final = "Timeout (>"
"""How pytest-timeout begins its words."""
_NOTHING_WRONG: Final = frozenset({0, 1})
"""pytest's codes for "all passed" and "some failed"; any other is no word of a test."""


class Verdict(StrEnum):
    """What became of a patch."""

    NOTICED = "noticed"
    UNNOTICED = "NOT NOTICED"
    """All of its tests passed: the promise can be broken and nobody sees it."""
    UNUSABLE = "DOES NOT APPLY"
    """Its old text is not there once, or what it makes is no Python."""
    BROKEN = "NO VERDICT"
    """Its tests could not be run to their end, or fail without the patch too."""
    SKIPPED = "skipped"

    @property
    def is_good(self) -> bool:
        """True where the run may still succeed."""
        return self in {Verdict.NOTICED, Verdict.SKIPPED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was found out about one patch."""

    patch: Patch
    verdict: Verdict
    seconds: float = 0.0
    noticed_by: tuple[tuple[str, str], ...] = ()
    """Each test that failed, with the first line of what it said."""
    words: str = ""
    """Why there is no better verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a run of pytest came to."""

    failed: Mapping[str, str]
    """Tests whose own call failed, with their words."""
    passed: frozenset[str]
    problems: tuple[str, ...]
    """What was no test's own word: set-up, collection, a deadline, a skip, pytest itself."""


class Runner:
    """Starts pytest and can end all that it started."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = environment
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._is_ended = False

    def run(self, copy: Copy, tests: Iterable[str], *, name: str, deadline_seconds: int) -> Told:
        """Run these tests to their end; no test may take longer than its deadline."""
        chosen = sorted(set(tests))
        told = copy.root / "told.jsonl"
        told.unlink(missing_ok=True)
        words = [
            *(str(copy.python), "-m", "pytest", "-q", "-p", WITNESS, "-p", "no:cacheprovider", "--tb=short"),
            *("-o", f"timeout={deadline_seconds}", "--hypothesis-seed=0", *chosen),
        ]
        limit_seconds = _START_SECONDS + deadline_seconds * len(chosen)
        code = self._run(copy, words, log=self._logs / f"{name}.txt", told=told, limit_seconds=limit_seconds)
        return _read(told, code, limit_seconds)

    def end_all(self) -> None:
        """End what runs, its servers too."""
        with self._lock:
            self._is_ended = True
            running = tuple(self._running)
        for process in running:
            _end(process)

    def _run(self, copy: Copy, words: list[str], *, log: Path, told: Path, limit_seconds: float) -> int | None:
        with log.open("wb") as output:
            with self._lock:
                if self._is_ended:
                    return None
                process = subprocess.Popen(
                    words,
                    cwd=copy.root,
                    env={**os.environ, **self._environment, witness.VARIABLE: str(told)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running.add(process)
            try:
                return process.wait(timeout=limit_seconds)
            except subprocess.TimeoutExpired:
                _end(process)
                return None
            finally:
                self._running.discard(process)


def try_patch(patch: Patch, copy: Copy, runner: Runner, *, sound: Collection[str]) -> Outcome:
    """Break the promise in the copy, run the tests that should notice, and mend it again.

    `sound` are the tests that pass without any patch; parameters are part of their names.
    """
    began = time.monotonic()
    try:
        text = patch.apply_to(copy.root)
    except PatchError as error:
        return Outcome(patch=patch, verdict=Verdict.UNUSABLE, words=str(error))
    with copy.patched(patch.file, text):
        told = runner.run(copy, patch.tests, name=patch.name, deadline_seconds=patch.deadline_seconds)
    noticed = tuple((test, words) for test, words in told.failed.items() if test in sound)
    verdict, words = _judge(noticed, told)
    return Outcome(patch=patch, verdict=verdict, seconds=time.monotonic() - began, noticed_by=noticed, words=words)


def _judge(noticed: tuple[tuple[str, str], ...], told: Told) -> tuple[Verdict, str]:
    if noticed:
        return Verdict.NOTICED, ""
    if told.problems:
        return Verdict.BROKEN, told.problems[0]
    if told.failed:
        return Verdict.BROKEN, f"fails without the patch too: {next(iter(told.failed))}"
    return Verdict.UNNOTICED, f"all {len(told.passed)} of its tests passed"


def _read(told: Path, code: int | None, limit_seconds: float) -> Told:
    failed: dict[str, str] = {}
    passed: set[str] = set()
    problems: list[str] = []
    for line in told.read_text(encoding="utf-8").splitlines() if told.exists() else ():
        note = json.loads(line)
        test, when, words = note["test"], note["when"], _first_line(note["words"])
        if when == "call" and note["outcome"] == "passed":
            passed.add(test)
        elif when == "call" and note["outcome"] == "failed" and _HUNG not in words:
            failed[test] = words
        else:
            problems.append(f"{test}: {when} {note['outcome']}: {words}")
    if code is None:
        problems.append(f"the tests did not end within {limit_seconds:.0f} s")
    elif code not in _NOTHING_WRONG:
        problems.append(f"pytest ended with code {code}")
    return Told(failed=failed, passed=frozenset(passed), problems=tuple(problems))


def _first_line(words: str) -> str:
    return next((line.strip() for line in words.splitlines() if line.strip()), "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let pytest take its servers down; what does not end then is killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(timeout=_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
