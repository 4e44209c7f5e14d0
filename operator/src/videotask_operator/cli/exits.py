"""How the command line ends: one exit code for each way, documented in docs/command-line.md; scripts rely on them."""

from __future__ import annotations

from enum import IntEnum

from videotask_contract.errors import BadInputError, PermanentError, TransientError, VideoTaskError


class CommandExit(IntEnum):
    """Exit codes of `videotask`."""

    DONE = 0
    FAILED = 1
    """It was refused, or something is missing; the message says what."""
    USAGE = 2
    """The words of the command, or a value in them, are wrong; nothing was changed."""
    NOT_FOUND = 3
    """No VideoTask of this name."""
    NOT_NOW = 4
    """What was asked for does not fit where the film stands; nothing was changed."""
    TRY_AGAIN = 5
    """It did not answer in time, or somebody else was faster every time; the same command may succeed later."""
    INTERRUPTED = 130


class NoSuchTaskError(PermanentError):
    """There is no VideoTask of this name."""


class NotNowError(PermanentError):
    """The film's phase does not allow it; the message says what would."""


def exit_of(error: VideoTaskError) -> CommandExit:
    """Return the exit code that tells this error apart from the others."""
    match error:
        case NoSuchTaskError():
            return CommandExit.NOT_FOUND
        case NotNowError():
            return CommandExit.NOT_NOW
        case BadInputError():
            return CommandExit.USAGE
        case TransientError():
            return CommandExit.TRY_AGAIN
        case _:
            return CommandExit.FAILED
