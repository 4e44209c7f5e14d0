"""Many items' failures become one: the most telling reason, every item named, the longest wait kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.report import Failure
from videotask_steps.failures import MOST_TELLING_FIRST, combine_failures
from videotask_steps.final_report import failure_of


def an_error(kind: FailureClass, message: str = "why", wait_seconds: float | None = None) -> VideoTaskError:
    if kind.is_transient:
        return TransientError(message, failure_class=kind, retry_after_seconds=wait_seconds)
    return VideoTaskError(message, failure_class=kind)


def test_the_ranking_knows_every_class_once() -> None:
    assert sorted(MOST_TELLING_FIRST) == sorted(FailureClass)


@given(st.lists(st.sampled_from(FailureClass), min_size=1, max_size=60))
def test_the_most_telling_class_wins_and_the_message_fits_a_report(kinds: list[FailureClass]) -> None:
    failures = [(f"scene {number:02d}", an_error(kind, "a reason " * 20)) for number, kind in enumerate(kinds, 1)]
    combined = combine_failures(failures, left=3)
    assert combined.failure_class is min(kinds, key=MOST_TELLING_FIRST.index)
    assert isinstance(failure_of(combined), Failure)
    assert "3 more items were not begun" in combined.message


def test_items_are_named_with_their_reasons() -> None:
    combined = combine_failures(
        [
            ("scene 02 (dusk)", an_error(FailureClass.TRANSIENT, "503")),
            ("scene 07 (dawn)", an_error(FailureClass.REFUSED, "blood")),
        ]
    )
    assert combined.message == "scene 07 (dawn): blood; scene 02 (dusk): 503"
    assert combined.failure_class is FailureClass.REFUSED


def test_the_longest_wait_is_kept() -> None:
    combined = combine_failures(
        [
            ("a", an_error(FailureClass.RATE_LIMITED, wait_seconds=40)),
            ("b", an_error(FailureClass.RATE_LIMITED, wait_seconds=90)),
            ("c", an_error(FailureClass.RATE_LIMITED)),
        ]
    )
    assert isinstance(combined, TransientError)
    assert combined.retry_after_seconds == 90


def test_what_is_not_ours_is_a_bug_that_time_may_heal() -> None:
    assert failure_of(KeyError("x")).failure_class is FailureClass.TRANSIENT
    assert "bug" in failure_of(KeyError("x")).message
    assert "No space left" in failure_of(OSError(28, "No space left on device")).message
    assert len(failure_of(VideoTaskError("x" * 5000)).message) == 1000
