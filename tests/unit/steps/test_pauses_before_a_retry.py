"""How long the same item waits before it is asked for again in one run; a pause asked for is never cut short."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.steps import Step
from videotask_steps.items import LONGEST_RETRY_SECONDS, MAX_RETRIES, Call, _pause_before_retry
from videotask_steps.ledger import Ledger
from videotask_steps.stop_sign import StopSign


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Call:
    volume = tmp_path_factory.mktemp("volume")
    ledger = asyncio.run(Ledger.open(volume, Step.SFX_GENERATION, run_id="run-1"))
    paid = ledger.record_intent(item="01", key="key", take=1, model="m", upper_bound_usd=Decimal(1))
    return a_call(ledger, paid, volume)


def a_call(ledger: Ledger, paid, volume: Path) -> Call:
    return Call(ledger, paid, part=volume / "part", stopping=StopSign())


def trouble(failure_class: FailureClass = FailureClass.TRANSIENT, *, told: float | None = None) -> VideoTaskError:
    return TransientError("503", failure_class=failure_class, retry_after_seconds=told)


@given(told=st.floats(0, LONGEST_RETRY_SECONDS), tries=st.integers(0, MAX_RETRIES - 1))
def test_a_provider_that_names_a_pause_gets_at_least_that(call, told, tries):
    pause_seconds = _pause_before_retry(trouble(told=told), call, tries=tries)
    assert pause_seconds is not None
    assert pause_seconds >= told


@given(tries=st.integers(0, MAX_RETRIES - 1))
def test_without_a_word_the_pause_doubles_within_half_and_one_and_a_half(call, tries):
    pause_seconds = _pause_before_retry(trouble(), call, tries=tries)
    assert pause_seconds is not None
    assert 0.5 * 2**tries <= pause_seconds <= 1.5 * 2**tries


def test_a_pause_longer_than_a_run_should_wait_is_left_to_the_operator(call):
    assert _pause_before_retry(trouble(told=LONGEST_RETRY_SECONDS), call, tries=0) is not None
    assert _pause_before_retry(trouble(told=LONGEST_RETRY_SECONDS + 0.1), call, tries=0) is None


def test_after_the_last_retry_the_item_is_given_up(call):
    assert _pause_before_retry(trouble(), call, tries=MAX_RETRIES - 1) is not None
    assert _pause_before_retry(trouble(), call, tries=MAX_RETRIES) is None


@pytest.mark.parametrize("failure_class", list(FailureClass))
def test_only_what_cost_nothing_and_may_heal_in_seconds_is_asked_for_again(call, failure_class):
    again = failure_class in {FailureClass.TRANSIENT, FailureClass.NETWORK, FailureClass.RATE_LIMITED}
    error = VideoTaskError("no", failure_class=failure_class)
    assert (_pause_before_retry(error, call, tries=0) is not None) == again


async def test_what_was_taken_or_charged_is_never_asked_for_again(tmp_path):
    ledger = await Ledger.open(tmp_path, Step.SFX_GENERATION, run_id="run-1")
    paid = ledger.record_intent(item="01", key="key", take=1, model="m", upper_bound_usd=Decimal(1))
    accepted, charged = a_call(ledger, paid, tmp_path), a_call(ledger, paid, tmp_path)
    accepted.accepted("job-1")
    charged.charged(Decimal(0))
    assert _pause_before_retry(trouble(), accepted, tries=0) is None
    assert _pause_before_retry(trouble(), charged, tries=0) is None
