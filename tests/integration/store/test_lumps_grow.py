"""One line for a whole run says the most that was ever told of it, in both stores."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.builders import NOON, a_record

from videotask_contract.report import Certainty, Spend
from videotask_contract.steps import Step


def a_lump(usd: str) -> Spend:
    return Spend(
        call_id="run:run1",
        run_id="run1",
        item="*",
        model="*",
        amount_usd=Decimal(usd),
        certainty=Certainty.POSSIBLY,
        at=NOON,
    )


@pytest.mark.parametrize(("first", "second", "kept"), [("0.70", "1.20", "1.20"), ("1.20", "0.70", "1.20")])
async def test_a_later_word_on_all_that_a_run_spent_counts_where_it_is_more(store, first, second, kept):
    async with store.transaction() as transaction:
        await transaction.save_task(a_record())
        for usd in (first, second):
            await transaction.save_spend(a_record(), Step.ASSET_GENERATION, [a_lump(usd)], time_zone="UTC")
        assert [call.amount_usd for call in await transaction.load_spend(a_record().uid)] == [Decimal(kept)]
        assert await transaction.load_day_spent("studio", "tides", now=NOON, time_zone="UTC") == Decimal(kept)
        record = await transaction.load_task(a_record().uid)
    assert record.pipeline_cost_usd == Decimal(kept)
