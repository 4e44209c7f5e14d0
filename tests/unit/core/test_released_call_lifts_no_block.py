"""A call that was closed at nothing was never made: it says nothing of the account."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.builders import NOON
from tests.unit.core.test_breaker import blocked, blocks_of

from videotask_contract.errors import FailureClass
from videotask_contract.report import Certainty, Failure, Spend


@pytest.mark.parametrize(("usd", "blocks"), [("0", 1), ("0.42", 0)], ids=["released", "paid"])
async def test_only_a_call_that_was_paid_lifts_the_block(usd, blocks):
    studio = await blocked()
    studio.has_film("one", attempt=2)
    await studio.look()
    order = studio.running("one")
    call = Spend(
        call_id="a",
        run_id=order.run_id,
        item="01",
        model="m",
        amount_usd=Decimal(usd),
        certainty=Certainty.SETTLED,
        at=NOON,
    )
    lost = Failure(failure_class=FailureClass.NETWORK, message="no route to Kling")
    await studio.finish("one", failure=lost, spend=(call,))
    assert len(await blocks_of(studio)) == blocks
