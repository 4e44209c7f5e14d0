"""The one tree of errors; each carries the decision whether and when to try again."""

from __future__ import annotations

from enum import StrEnum

from videotask_contract.exits import ExitCode


class FailureClass(StrEnum):
    """Why a run ended without all of its work; one retry rule stands behind each."""

    BAD_INPUT = "bad_input"
    """The task's own data is wrong; no attempt helps until it is edited."""
    REFUSED = "refused"
    """The provider will not make this (safety, policy); the prompt must change."""
    PERMANENT = "permanent"
    """400, 403, 404, a missing file: the same call would fail the same way."""
    ACCOUNT = "account"
    """Key dead, arrears, pack exhausted: blocks the channel, not the task alone."""
    TRANSIENT = "transient"
    """Server trouble: 5xx."""
    NETWORK = "network"
    """No connection, or a time-out before anything was sent."""
    RATE_LIMITED = "rate_limited"
    """429 that clears within minutes."""
    DAILY_QUOTA = "daily_quota"
    """429 that clears when the provider's day ends."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """It may have happened and may have been charged: look before doing it again."""
    BAD_MEDIA = "bad_media"
    """The answer was paid for and is not usable media."""
    OVER_BUDGET = "over_budget"
    """The next call would pass a cap."""
    NOT_PERMITTED = "not_permitted"
    """Another pod holds the start permit, or the run is closed."""
    INTERRUPTED = "interrupted"
    """Told to stop: SIGTERM, suspend, cancel."""
    LOST = "lost"
    """The Job is gone with neither report nor exit code."""

    @property
    def is_transient(self) -> bool:
        """True when time alone may heal it."""
        return self in _TRANSIENT

    @property
    def exit_code(self) -> ExitCode:
        """The code a step exits with when this stopped it."""
        return _EXIT_CODES[self]


_TRANSIENT = frozenset(
    {
        FailureClass.TRANSIENT,
        FailureClass.NETWORK,
        FailureClass.RATE_LIMITED,
        FailureClass.DAILY_QUOTA,
        FailureClass.OUTCOME_UNKNOWN,
        FailureClass.BAD_MEDIA,
        FailureClass.INTERRUPTED,
        FailureClass.LOST,
    },
)

_EXIT_CODES = {
    FailureClass.BAD_INPUT: ExitCode.BAD_INPUT,
    FailureClass.REFUSED: ExitCode.PERMANENT,
    FailureClass.PERMANENT: ExitCode.PERMANENT,
    FailureClass.ACCOUNT: ExitCode.ACCOUNT,
    FailureClass.TRANSIENT: ExitCode.TRANSIENT,
    FailureClass.NETWORK: ExitCode.TRANSIENT,
    FailureClass.RATE_LIMITED: ExitCode.RATE_LIMITED,
    FailureClass.DAILY_QUOTA: ExitCode.RATE_LIMITED,
    FailureClass.OUTCOME_UNKNOWN: ExitCode.OUTCOME_UNKNOWN,
    FailureClass.BAD_MEDIA: ExitCode.TRANSIENT,
    FailureClass.OVER_BUDGET: ExitCode.OVER_BUDGET,
    FailureClass.NOT_PERMITTED: ExitCode.NOT_PERMITTED,
    FailureClass.INTERRUPTED: ExitCode.INTERRUPTED,
    FailureClass.LOST: ExitCode.TRANSIENT,
}

_CLASS_OF_EXIT = {
    ExitCode.PERMANENT: FailureClass.PERMANENT,
    ExitCode.TRANSIENT: FailureClass.TRANSIENT,
    ExitCode.RATE_LIMITED: FailureClass.RATE_LIMITED,
    ExitCode.OUTCOME_UNKNOWN: FailureClass.OUTCOME_UNKNOWN,
    ExitCode.OVER_BUDGET: FailureClass.OVER_BUDGET,
    ExitCode.BAD_INPUT: FailureClass.BAD_INPUT,
    ExitCode.NOT_PERMITTED: FailureClass.NOT_PERMITTED,
    ExitCode.INTERRUPTED: FailureClass.INTERRUPTED,
    ExitCode.ACCOUNT: FailureClass.ACCOUNT,
}


def failure_class_of_exit(code: int) -> FailureClass:
    """Classify a pod that left an exit code and no report; codes not ours (a crash, an OOM kill) are transient."""
    try:
        return _CLASS_OF_EXIT.get(ExitCode(code), FailureClass.TRANSIENT)
    except ValueError:
        return FailureClass.TRANSIENT


def writable(text: str) -> str:
    """Return words of others as a file, a report and a database take them.

    JSON may hold half a character (a lone surrogate), where a provider quotes a prompt that it cut inside an emoji.
    """
    return text.encode("utf-8", "replace").decode()


class VideoTaskError(Exception):
    """Any failure of ours; `failure_class` decides what happens next, the message says what to do."""

    failure_class: FailureClass = FailureClass.PERMANENT

    def __init__(
        self,
        message: str,
        *,
        failure_class: FailureClass | None = None,
        provider_code: str | None = None,
        item: str | None = None,
    ) -> None:
        self.message = writable(message)
        super().__init__(self.message)
        self.provider_code = None if provider_code is None else writable(provider_code)
        """The provider's own code for it, e.g. "1301" or "RESOURCE_EXHAUSTED"."""
        self.item = item
        if failure_class is not None:
            self.failure_class = failure_class


class PermanentError(VideoTaskError):
    """The same call would fail the same way; a person must act."""


class BadInputError(PermanentError):
    """The task's own data is wrong; names the field, the value and the fix."""

    failure_class = FailureClass.BAD_INPUT


class TransientError(VideoTaskError):
    """Time may heal it; `retry_after_seconds` is the provider's word, None when it gave none."""

    failure_class = FailureClass.TRANSIENT

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        failure_class: FailureClass | None = None,
        provider_code: str | None = None,
        item: str | None = None,
    ) -> None:
        super().__init__(message, failure_class=failure_class, provider_code=provider_code, item=item)
        self.retry_after_seconds = retry_after_seconds


class OutcomeUnknownError(VideoTaskError):
    """It may have happened: look before you do it again; money counts as spent until known."""

    failure_class = FailureClass.OUTCOME_UNKNOWN
