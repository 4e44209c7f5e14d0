"""When a failed run is tried again, by failure class; the only place that knows the schedule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from videotask_contract.errors import FailureClass

_AT_ONCE_IN_ERROR = frozenset(
    {FailureClass.BAD_INPUT, FailureClass.REFUSED, FailureClass.PERMANENT, FailureClass.ACCOUNT},
)
_LONGEST_SECONDS = 36 * 3600.0
"""Of a provider's own word: a daily quota clears within a day, and a figure without sense must not stop a film."""
_LIMITED = frozenset({FailureClass.RATE_LIMITED, FailureClass.DAILY_QUOTA})
_RUN_AGAIN = frozenset({FailureClass.LOST, FailureClass.INTERRUPTED, FailureClass.NOT_PERMITTED})


class Verdict(StrEnum):
    """What follows a failed run."""

    AGAIN_NOW = "again_now"
    """Run again at once; no attempt is consumed."""
    LATER = "later"
    """Run again at `at`; one attempt is consumed."""
    ERROR = "error"
    """The step's error phase, until a person raises spec.attempt."""
    OVER_BUDGET = "over_budget"
    """Waits for a higher cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """The schedule, from the settings."""

    minutes: tuple[float, ...] = (1, 5, 15, 60)
    rate_limit_minutes: float = 5
    network_minutes: float = 1
    max_lost_runs: int = 5

    @property
    def max_attempts(self) -> int:
        """Attempts of one step before its error phase."""
        return len(self.minutes) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The verdict and, where it waits, until when."""

    verdict: Verdict
    at: datetime | None = None


def decide_retry(
    *,
    failure_class: FailureClass,
    attempt: int,
    lost_runs: int,
    retry_after_seconds: float | None,
    now: datetime,
    rules: RetryRules,
    again: bool = False,
) -> Retry:
    """Return what follows a failure of this class in this attempt (from 1), after so many lost runs of the attempt.

    `again` says that the run before failed of the same class.
    """
    if failure_class is FailureClass.OVER_BUDGET:
        return Retry(verdict=Verdict.OVER_BUDGET)
    if failure_class in _AT_ONCE_IN_ERROR:
        return Retry(verdict=Verdict.ERROR)
    if failure_class in _RUN_AGAIN and lost_runs < rules.max_lost_runs:
        return Retry(verdict=Verdict.AGAIN_NOW)
    if attempt >= rules.max_attempts:
        return Retry(verdict=Verdict.ERROR)
    seconds = _wait_seconds(failure_class, attempt, retry_after_seconds, rules)
    if failure_class is FailureClass.RATE_LIMITED and again and attempt > 1:
        # What the provider said was too little; a word of one second would use up all attempts in five.
        seconds = max(seconds, rules.rate_limit_minutes * 60)
    wait = timedelta(seconds=min(seconds, _LONGEST_SECONDS))
    return Retry(verdict=Verdict.LATER, at=now + wait)


def counted_attempt(*, failure_class: FailureClass, attempt: int, is_further: bool) -> int:
    """Return as which attempt a failed run counts: one that a limit stopped further on than any before is a first.

    A quota that lets a few items through each time ends no film, and each item lets the count begin anew but once.
    """
    return 1 if failure_class in _LIMITED and is_further else attempt


def _wait_seconds(
    failure_class: FailureClass, attempt: int, retry_after_seconds: float | None, rules: RetryRules
) -> float:
    scheduled = rules.minutes[attempt - 1] * 60
    match failure_class:
        case FailureClass.NETWORK:
            return rules.network_minutes * 60
        case FailureClass.RATE_LIMITED | FailureClass.DAILY_QUOTA:
            return retry_after_seconds if retry_after_seconds is not None else rules.rate_limit_minutes * 60
        case _:
            return max(scheduled, retry_after_seconds or 0)
