from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.builders import NOON

from videotask_contract.errors import FailureClass
from videotask_operator.core.retry import RetryRules, Verdict, counted_attempt, decide_retry

RULES = RetryRules()


def retry(failure_class, *, attempt=1, lost_runs=0, retry_after_seconds=None, again=False):
    return decide_retry(
        failure_class=failure_class,
        attempt=attempt,
        lost_runs=lost_runs,
        retry_after_seconds=retry_after_seconds,
        now=NOON,
        rules=RULES,
        again=again,
    )


@pytest.mark.parametrize("failure_class", FailureClass)
def test_every_class_has_a_verdict_in_every_attempt(failure_class):
    for attempt in range(1, RULES.max_attempts + 1):
        assert retry(failure_class, attempt=attempt).verdict in Verdict


@pytest.mark.parametrize(("attempt", "minutes"), [(1, 1), (2, 5), (3, 15), (4, 60)])
def test_server_trouble_waits_1_5_15_60_minutes(attempt, minutes):
    found = retry(FailureClass.TRANSIENT, attempt=attempt)
    assert (found.verdict, found.at) == (Verdict.LATER, NOON + timedelta(minutes=minutes))


@pytest.mark.parametrize("seconds", [1e12, float("inf")])
def test_a_wait_without_sense_does_not_stop_a_film_for_good(seconds):
    found = retry(FailureClass.RATE_LIMITED, retry_after_seconds=seconds)
    assert found.at == NOON + timedelta(hours=36)


def test_after_the_fifth_attempt_a_person_is_waited_for():
    assert retry(FailureClass.TRANSIENT, attempt=5).verdict is Verdict.ERROR


def test_a_rate_limit_waits_as_long_as_the_provider_said_else_five_minutes():
    assert retry(FailureClass.RATE_LIMITED, retry_after_seconds=50).at == NOON + timedelta(seconds=50)
    assert retry(FailureClass.RATE_LIMITED).at == NOON + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("attempt", "again", "told_seconds", "seconds"),
    [
        (1, False, 1, 1),
        (2, True, 1, 300),
        (4, True, 50, 300),
        (2, True, 900, 900),
        (2, True, None, 300),
        (2, False, 1, 1),  # after a failure of another kind
        (1, True, 1, 1),  # it has made some of its items meanwhile
    ],
)
def test_from_the_second_rate_limit_in_a_row_on_a_short_word_of_the_provider_is_not_enough(
    attempt, again, told_seconds, seconds
):
    found = retry(FailureClass.RATE_LIMITED, attempt=attempt, again=again, retry_after_seconds=told_seconds)
    assert found.at == NOON + timedelta(seconds=seconds)


def test_five_attempts_at_a_limit_that_lasts_take_a_quarter_of_an_hour():
    told = [
        retry(FailureClass.RATE_LIMITED, attempt=attempt, again=attempt > 1, retry_after_seconds=1)
        for attempt in range(1, 6)
    ]
    assert [one.verdict for one in told] == [Verdict.LATER] * 4 + [Verdict.ERROR]
    assert sum((one.at - NOON for one in told[:4]), timedelta()) == timedelta(seconds=901)


@pytest.mark.parametrize(
    ("failure_class", "is_further", "attempt"),
    [
        (FailureClass.RATE_LIMITED, True, 1),
        (FailureClass.DAILY_QUOTA, True, 1),
        (FailureClass.RATE_LIMITED, False, 4),
        (FailureClass.TRANSIENT, True, 4),
        (FailureClass.NETWORK, True, 4),
    ],
)
def test_only_a_limit_that_let_items_through_begins_the_count_anew(failure_class, is_further, attempt):
    assert counted_attempt(failure_class=failure_class, attempt=4, is_further=is_further) == attempt


def test_a_daily_quota_waits_for_its_reset():
    assert retry(FailureClass.DAILY_QUOTA, retry_after_seconds=40_000).at == NOON + timedelta(seconds=40_000)


def test_a_network_failure_waits_a_minute_in_every_attempt():
    assert {retry(FailureClass.NETWORK, attempt=attempt).at for attempt in (1, 2, 3, 4)} == {
        NOON + timedelta(minutes=1)
    }


@pytest.mark.parametrize(
    "failure_class",
    [FailureClass.BAD_INPUT, FailureClass.REFUSED, FailureClass.PERMANENT, FailureClass.ACCOUNT],
)
def test_what_would_fail_the_same_way_is_an_error_at_once(failure_class):
    assert retry(failure_class).verdict is Verdict.ERROR


@pytest.mark.parametrize("failure_class", [FailureClass.LOST, FailureClass.INTERRUPTED, FailureClass.NOT_PERMITTED])
def test_a_lost_run_goes_again_at_once_five_times(failure_class):
    assert [retry(failure_class, lost_runs=lost).verdict for lost in range(6)] == [Verdict.AGAIN_NOW] * 5 + [
        Verdict.LATER
    ]


def test_a_provider_that_asks_for_longer_than_the_schedule_gets_it():
    assert retry(FailureClass.TRANSIENT, retry_after_seconds=600).at == NOON + timedelta(seconds=600)
    assert retry(FailureClass.TRANSIENT, retry_after_seconds=5).at == NOON + timedelta(seconds=60)
