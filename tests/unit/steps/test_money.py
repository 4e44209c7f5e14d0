"""The guard before paid calls: whatever the order of events, a run's money never passes its reservation by a call."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from videotask_contract.errors import FailureClass, VideoTaskError
from videotask_contract.steps import Step
from videotask_steps.context import Limits
from videotask_steps.ledger import Ledger, PaidCall
from videotask_steps.money import begin_call

AMOUNTS = st.decimals(min_value="0.0001", max_value="2", places=4)


async def open_ledger(volume: Path, run_id: str = "run-1") -> Ledger:
    return await Ledger.open(volume, Step.VIDEO_GENERATION, run_id=run_id, wait_seconds=0)


def begin(ledger: Ledger, limits: Limits, usd: str | Decimal) -> PaidCall:
    return begin_call(ledger, limits, item="01", key="key", take=1, model="m", upper_bound_usd=Decimal(usd))


def limits_of(usd: str | Decimal) -> Limits:
    return Limits(concurrency=1, reservation_usd=Decimal(usd))


async def test_the_last_cent_may_be_spent_and_not_one_more(tmp_path: Path) -> None:
    ledger, limits = await open_ledger(tmp_path), limits_of("1.00")
    begin(ledger, limits, "0.60")
    begin(ledger, limits, "0.40")
    with pytest.raises(VideoTaskError) as caught:
        begin(ledger, limits, "0.0001")
    assert caught.value.failure_class is FailureClass.OVER_BUDGET
    assert "spec.budgetUSD" in caught.value.message
    assert len(ledger.calls()) == 2, "a refused call leaves no intent"


async def test_what_a_settled_call_did_not_use_is_free_again(tmp_path: Path) -> None:
    ledger, limits = await open_ledger(tmp_path), limits_of("1.00")
    call = begin(ledger, limits, "1.00")
    ledger.record_settled(call, amount_usd=Decimal("0.80"))
    begin(ledger, limits, "0.20")
    assert ledger.spent_usd("run-1") == Decimal("1.00")


async def test_calls_of_earlier_runs_do_not_count_and_those_of_this_run_count_after_a_restart(tmp_path: Path) -> None:
    first = await open_ledger(tmp_path, "run-1")
    begin(first, limits_of(1), "1.00")
    first.close()
    other = await open_ledger(tmp_path, "run-2")
    begin(other, limits_of(1), "1.00")
    other.close()
    again = await open_ledger(tmp_path, "run-1")
    with pytest.raises(VideoTaskError):
        begin(again, limits_of(1), "0.01")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(bounds=st.lists(AMOUNTS, min_size=1, max_size=8), shares=st.lists(st.integers(0, 100), min_size=8, max_size=8))
def test_no_order_of_calls_passes_the_reservation(
    bounds: list[Decimal], shares: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    reservation_usd = Decimal("2.5")

    async def pay(ledger: Ledger, limits: Limits, bound: Decimal, share: int) -> None:
        try:
            call = begin(ledger, limits, bound)
        except VideoTaskError:
            return
        assert ledger.spent_usd("run-1") <= reservation_usd
        await asyncio.sleep(0)
        ledger.record_settled(call, amount_usd=bound * share / 100)

    async def pay_all() -> None:
        ledger = await open_ledger(tmp_path_factory.mktemp("money"))
        limits = limits_of(reservation_usd)
        await asyncio.gather(*(pay(ledger, limits, *pair) for pair in zip(bounds, shares, strict=False)))
        assert ledger.spent_usd("run-1") <= reservation_usd
        ledger.close()

    asyncio.run(pay_all())
