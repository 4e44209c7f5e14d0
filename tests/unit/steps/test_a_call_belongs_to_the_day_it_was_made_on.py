"""Money is booked on the day of the call, whoever settles it and when: that day's cap was held for it."""

from __future__ import annotations

from decimal import Decimal

from videotask_contract.steps import Step
from videotask_steps.ledger import Ledger


async def test_a_call_that_a_later_run_settles_keeps_its_day(tmp_path) -> None:
    first = await Ledger.open(tmp_path, Step.VIDEO_GENERATION, run_id="run-1", wait_seconds=0)
    first.record_intent(item="01", key="key", take=1, model="m", upper_bound_usd=Decimal(1))
    [open_call] = first.calls()
    first.close()
    later = await Ledger.open(tmp_path, Step.VIDEO_GENERATION, run_id="run-2", wait_seconds=0)
    [call] = later.calls()
    later.record_settled(call, amount_usd=Decimal("0.7"))
    [settled] = later.calls()
    [spend] = later.spend()
    later.close()
    assert settled.closed is not None
    assert settled.closed.at > open_call.intent.at
    assert (spend.at, spend.amount_usd) == (open_call.intent.at, Decimal("0.7"))
