"""How many items' failures become the run's one failure; it must name the items and keep the most telling reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from videotask_contract.errors import FailureClass, TransientError, VideoTaskError

MOST_TELLING_FIRST: Final = (
    FailureClass.NOT_PERMITTED,
    FailureClass.ACCOUNT,
    FailureClass.OVER_BUDGET,
    FailureClass.BAD_INPUT,
    FailureClass.REFUSED,
    FailureClass.PERMANENT,
    FailureClass.INTERRUPTED,
    FailureClass.DAILY_QUOTA,
    FailureClass.RATE_LIMITED,
    FailureClass.OUTCOME_UNKNOWN,
    FailureClass.BAD_MEDIA,
    FailureClass.NETWORK,
    FailureClass.TRANSIENT,
    FailureClass.LOST,
)
"""What a person must mend comes before what time may heal; a wish to stop stands between them."""
_MAX_MESSAGE: Final = 900


def combine_failures(failures: Sequence[tuple[str, VideoTaskError]], *, left: int = 0) -> VideoTaskError:
    """Return one error for (label, error) pairs; `left` items were not begun because of them."""
    ranked = sorted(failures, key=lambda pair: MOST_TELLING_FIRST.index(pair[1].failure_class))
    _, first = ranked[0]
    message = _message(ranked, left=left)
    if not first.failure_class.is_transient:
        return VideoTaskError(
            message,
            failure_class=first.failure_class,
            provider_code=first.provider_code,
            item=first.item,
        )
    return TransientError(
        message,
        retry_after_seconds=_longest_wait(error for _, error in failures),
        failure_class=first.failure_class,
        provider_code=first.provider_code,
        item=first.item,
    )


def _longest_wait(errors: Iterable[VideoTaskError]) -> float | None:
    waits = [error.retry_after_seconds for error in errors if isinstance(error, TransientError)]
    return max((wait for wait in waits if wait is not None), default=None)


def _message(ranked: Sequence[tuple[str, VideoTaskError]], *, left: int) -> str:
    lines: list[str] = []
    for label, error in ranked:
        line = f"{label}: {error.message}"
        if lines and sum(map(len, lines)) + len(line) > _MAX_MESSAGE:
            lines.append(f"and {len(ranked) - len(lines)} more items failed")
            break
        lines.append(line[:_MAX_MESSAGE])
    if left:
        lines.append(f"{left} more items were not begun")
    return "; ".join(lines)
