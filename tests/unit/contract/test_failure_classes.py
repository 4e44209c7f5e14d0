"""The table of failures, word by word: which may heal by time, how a step exits for each, what each exit means."""

from __future__ import annotations

import pytest

from videotask_contract.errors import (
    BadInputError,
    FailureClass,
    OutcomeUnknownError,
    PermanentError,
    TransientError,
    VideoTaskError,
    failure_class_of_exit,
)
from videotask_contract.exits import ExitCode

TABLE = {
    FailureClass.BAD_INPUT: (False, ExitCode.BAD_INPUT),
    FailureClass.REFUSED: (False, ExitCode.PERMANENT),
    FailureClass.PERMANENT: (False, ExitCode.PERMANENT),
    FailureClass.ACCOUNT: (False, ExitCode.ACCOUNT),
    FailureClass.TRANSIENT: (True, ExitCode.TRANSIENT),
    FailureClass.NETWORK: (True, ExitCode.TRANSIENT),
    FailureClass.RATE_LIMITED: (True, ExitCode.RATE_LIMITED),
    FailureClass.DAILY_QUOTA: (True, ExitCode.RATE_LIMITED),
    FailureClass.OUTCOME_UNKNOWN: (True, ExitCode.OUTCOME_UNKNOWN),
    FailureClass.BAD_MEDIA: (True, ExitCode.TRANSIENT),
    FailureClass.OVER_BUDGET: (False, ExitCode.OVER_BUDGET),
    FailureClass.NOT_PERMITTED: (False, ExitCode.NOT_PERMITTED),
    FailureClass.INTERRUPTED: (True, ExitCode.INTERRUPTED),
    FailureClass.LOST: (True, ExitCode.TRANSIENT),
}
EXITS = {
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


@pytest.mark.parametrize("failure_class", list(FailureClass))
def test_each_class_heals_and_exits_as_the_table_says(failure_class):
    assert (failure_class.is_transient, failure_class.exit_code) == TABLE[failure_class]


@pytest.mark.parametrize("code", [code for code in ExitCode if code is not ExitCode.DONE])
def test_each_exit_code_means_what_the_table_says(code):
    assert failure_class_of_exit(code) is EXITS[code]


@pytest.mark.parametrize("code", [1, 2, 126, 137, 143])
def test_an_exit_that_is_not_ours_may_heal(code):
    assert failure_class_of_exit(code) is FailureClass.TRANSIENT


@pytest.mark.parametrize(
    ("kind", "failure_class"),
    [
        (VideoTaskError, FailureClass.PERMANENT),
        (PermanentError, FailureClass.PERMANENT),
        (BadInputError, FailureClass.BAD_INPUT),
        (TransientError, FailureClass.TRANSIENT),
        (OutcomeUnknownError, FailureClass.OUTCOME_UNKNOWN),
    ],
)
def test_each_error_has_its_class_unless_it_is_told_another(kind, failure_class):
    plain = kind("words", provider_code="1301", item="07")
    assert (plain.failure_class, plain.message, str(plain)) == (failure_class, "words", "words")
    assert (plain.provider_code, plain.item) == ("1301", "07")
    assert kind("words", failure_class=FailureClass.ACCOUNT).failure_class is FailureClass.ACCOUNT


def test_the_providers_wish_to_wait_is_kept():
    assert TransientError("429", retry_after_seconds=7.5).retry_after_seconds == 7.5
    assert TransientError("503").retry_after_seconds is None
