"""What a later run found out to have cost nothing is told, so that nobody holds it for possibly paid for ever."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from videotask_contract.report import Certainty
from videotask_contract.steps import Step
from videotask_steps.ledger import Ledger, PaidCall, read_ledger

STEP = Step.VIDEO_GENERATION


async def begun_in_a_run_before(volume: Path) -> PaidCall:
    ledger = await Ledger.open(volume, STEP, run_id="run-1", wait_seconds=0)
    call = ledger.record_intent(item="01", key="key", take=1, model="kling-2.6", upper_bound_usd=Decimal("0.525"))
    ledger.record_accepted(call, provider_id="job-1")
    ledger.close()
    assert [one.certainty for one in read_ledger(volume, STEP).spend()] == [Certainty.POSSIBLY]
    return call


@pytest.mark.parametrize("how", ["settled", "released"])
async def test_a_call_that_a_later_run_found_free_is_told_as_settled_at_nothing(tmp_path: Path, how: str) -> None:
    call = await begun_in_a_run_before(tmp_path)
    ledger = await Ledger.open(tmp_path, STEP, run_id="run-2", wait_seconds=0)
    if how == "settled":
        ledger.record_settled(call, amount_usd=Decimal(0))
    else:
        ledger.record_released(call, message="the provider knows nothing of it")
    [told] = ledger.spend()
    assert (told.call_id, told.run_id) == (call.call_id, "run-1")
    assert (told.amount_usd, told.certainty) == (Decimal(0), Certainty.SETTLED)


async def test_a_call_that_its_own_run_found_free_needs_no_word(tmp_path: Path) -> None:
    ledger = await Ledger.open(tmp_path, STEP, run_id="run-1", wait_seconds=0)
    call = ledger.record_intent(item="01", key="key", take=1, model="kling-2.6", upper_bound_usd=Decimal("0.525"))
    ledger.record_released(call, message="refused")
    assert ledger.spend() == ()
