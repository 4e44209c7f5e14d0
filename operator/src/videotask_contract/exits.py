"""A step's exit codes: how a pod says its outcome when nobody heard its report; 0 means done and nothing else does."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Own codes stay clear of Python's 1, argparse's 2 and the shell's 126 and above."""

    DONE = 0
    PERMANENT = 10
    TRANSIENT = 11
    RATE_LIMITED = 12
    OUTCOME_UNKNOWN = 13
    OVER_BUDGET = 14
    BAD_INPUT = 15
    NOT_PERMITTED = 16
    INTERRUPTED = 17
    ACCOUNT = 18
