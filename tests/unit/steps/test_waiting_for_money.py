"""A call that finds too little money waits for what the calls under way may leave, and is refused by nothing less."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.step_context import a_context
from tests.unit.steps.test_items import EFFECTS

from videotask_contract.errors import FailureClass, OutcomeUnknownError, VideoTaskError
from videotask_steps.items import Call, Wanted, make_items

PRICE = Decimal("0.12")
BOUND = PRICE * Decimal("1.25")
DEADLINE_SECONDS = 20


class Provider:
    """Makes sounds at the table's price; what happens beside it is written down by the ledger alone."""

    def __init__(self, *, price: Decimal = PRICE) -> None:
        self.price = price
        self.begun: list[str] = []
        self.most_at_once = 0
        self._now = 0

    async def make(self, call: Call) -> str:
        self.begun.append(call.paid.intent.item)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        for _ in range(20):  # turns in which the others ask for money
            await asyncio.sleep(0)
        self._now -= 1
        call.part.write_bytes(b"sound")
        call.charged(self.price)
        return ".mp3"


def wanted(item: str, make: Callable[[Call], Awaitable[str]]) -> Wanted:
    return Wanted(
        item=item,
        label=f"scene {item}",
        key=f"key-{item}",
        model="model",
        price_usd=PRICE,
        path=lambda take, suffix: f"sfx/sfx_{item}_{take}{suffix}",
        suffixes=(".mp3",),
        make=make,
        probe=lambda _path: 3.0,
    )


async def run(tmp_path: Path, cap: Decimal, make: Callable[[Call], Awaitable[str]], *, items: int = 6):
    context = await a_context(tmp_path, EFFECTS, concurrency=5)
    context.limits.reservation_usd = cap
    refusal = None
    async with asyncio.timeout(DEADLINE_SECONDS):
        try:
            await make_items(context, [wanted(f"{number:02}", make) for number in range(1, items + 1)])
        except VideoTaskError as error:
            refusal = error
    assert context.ledger.spent_usd("run-1") <= cap
    return context, refusal


@pytest.mark.parametrize("items", [1, 3, 5, 6])
async def test_money_for_all_at_their_price_is_enough_for_all(tmp_path: Path, items: int) -> None:
    """At the upper bounds only some fit at once; one after another all do."""
    provider = Provider()
    cap = (items - 1) * PRICE + BOUND
    context, refusal = await run(tmp_path, cap, provider.make, items=items)
    assert refusal is None
    assert context.ledger.spent_usd("run-1") == items * PRICE
    assert provider.most_at_once <= cap // BOUND, "five at once never reserve more than there is"


async def test_a_ten_thousandth_less_is_refused_once_nothing_is_under_way(tmp_path: Path) -> None:
    provider = Provider()
    context, refusal = await run(tmp_path, 5 * PRICE + BOUND - Decimal("0.0001"), provider.make)
    assert refusal is not None
    assert refusal.failure_class is FailureClass.OVER_BUDGET
    assert len(provider.begun) == 5
    assert context.ledger.spent_usd("run-1") == 5 * PRICE


async def test_a_call_whose_outcome_nobody_will_tell_is_not_waited_for(tmp_path: Path) -> None:
    provider = Provider()

    async def make(call: Call) -> str:
        if call.paid.intent.item == "01":
            raise OutcomeUnknownError("no answer; it may have been charged", item="01")
        return await provider.make(call)

    _, refusal = await run(tmp_path, 2 * BOUND, make, items=3)
    assert refusal is not None
    assert refusal.failure_class is FailureClass.OVER_BUDGET
    assert provider.begun == ["02"]


async def test_one_that_waits_begins_nothing_after_the_account_was_refused(tmp_path: Path) -> None:
    async def make(_call: Call) -> str:
        for _ in range(20):
            await asyncio.sleep(0)
        raise VideoTaskError("the key is dead", failure_class=FailureClass.ACCOUNT)

    context, refusal = await run(tmp_path, BOUND, make, items=4)
    assert refusal is not None
    assert refusal.failure_class is FailureClass.ACCOUNT
    assert "3 more items were not begun" in refusal.message
    assert len(context.ledger.calls()) == 1


async def test_one_that_waits_goes_when_the_run_is_told_to_stop(tmp_path: Path) -> None:
    context = await a_context(tmp_path, EFFECTS, concurrency=2)
    context.limits.reservation_usd = BOUND
    is_begun, may_end = asyncio.Event(), asyncio.Event()
    provider = Provider()

    async def make(call: Call) -> str:
        is_begun.set()
        await may_end.wait()
        return await provider.make(call)

    making = asyncio.create_task(make_items(context, [wanted("01", make), wanted("02", make)]))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await is_begun.wait()
        context.stopping.ask("a person suspended it")
        may_end.set()
        with pytest.raises(VideoTaskError) as caught:
            await making
    assert caught.value.failure_class is FailureClass.INTERRUPTED
    assert provider.begun == ["01"]


async def test_one_that_waits_takes_a_raised_reservation(tmp_path: Path) -> None:
    context = await a_context(tmp_path, EFFECTS, concurrency=2)
    context.limits.reservation_usd = BOUND
    second = asyncio.Event()

    async def make(call: Call) -> str:
        if call.paid.intent.item == "02":
            second.set()
        else:
            context.limits.reservation_usd = 2 * BOUND
            context.limits.changed.set()
            await second.wait()
        call.part.write_bytes(b"sound")
        call.charged(PRICE)
        return ".mp3"

    async with asyncio.timeout(DEADLINE_SECONDS):
        await make_items(context, [wanted("01", make), wanted("02", make)])
    assert context.ledger.spent_usd("run-1") == 2 * PRICE
