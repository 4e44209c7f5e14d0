"""Writes down what each test did, one JSON line each; a pytest plugin that must import nothing of the product."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pytest

VARIABLE: Final = "SABOTAGE_WITNESS_FILE"
_MAX_WORDS: Final = 300


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test's call, and its set-up or tear-down where that did not pass."""
    if report.when == "call" or not report.passed:
        _note(test=report.nodeid, when=report.when, outcome=report.outcome, words=_words(report.longrepr))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a file that could not be read as tests."""
    if report.failed:
        _note(test=report.nodeid, when="collect", outcome="failed", words=_words(report.longrepr))


def _note(**facts: Any) -> None:
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")


def _words(longrepr: Any) -> str:
    """Return the error's own last line, without the code around it."""
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message)[:_MAX_WORDS]
    return str(longrepr)[-_MAX_WORDS:] if longrepr else ""
