"""Bugs planted on purpose: each is noticed by the histories that are played with every run of the tests."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from tests.unit.reconciler.histories.laws import BrokenLawError
from tests.unit.reconciler.histories.planted_bugs import BUGS
from tests.unit.reconciler.histories.play import play

WITHIN = 500
"""A quarter of those that are played for the laws."""
REPORT = Path(__file__).parents[3] / ".build" / "planted_bugs.txt"
_noticed: dict[str, tuple[int, str]] = {}
# A history that a bug ends in its middle leaves looks behind that nobody waits for.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def first_that_notices(words: str) -> tuple[int, str] | None:
    """Return the first history that notices a bug, and by what; None when none does."""
    if words in _noticed:
        return _noticed[words]
    with pytest.MonkeyPatch.context() as monkeypatch:
        BUGS[words](monkeypatch)
        for seed in range(WITHIN):
            try:
                play(seed)
            except BrokenLawError as error:
                _noticed[words] = (seed, error.law.value)
            except Exception as error:  # noqa: BLE001  the product's own guard noticed it
                _noticed[words] = (seed, type(error).__name__)
            if words in _noticed:
                break
    gc.collect()  # what was left behind is found here, and not in a later test
    return _noticed.get(words)


@pytest.mark.usefixtures("hushed")
@pytest.mark.parametrize("words", BUGS)
def test_a_planted_bug_is_noticed(words):
    assert first_that_notices(words) is not None


@pytest.mark.usefixtures("hushed")
def test_all_planted_bugs_are_in_the_table():
    found = {words: first_that_notices(words) for words in BUGS}
    lines = [f"{'planted bug':<64} {'first history':>13}  noticed by"]
    lines += [f"{words:<64} {seed:>13}  {law}" for words, notice in found.items() if notice for seed, law in [notice]]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n".join([*lines, ""]))
    print("\n".join(lines))
    assert len(found) >= 15
    assert None not in found.values()
