"""What one item's failure means for the others and for the money, and what a full disk may cost."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.step_context import a_context
from tests.support.step_program import a_task_file

from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.prices import upper_bound_usd
from videotask_contract.steps import Step
from videotask_steps import items
from videotask_steps.items import LONGEST_RETRY_SECONDS, Call, Wanted, make_items

EFFECTS = a_task_file(Step.SFX_GENERATION, item_timeout_seconds=60)
PRICE_USD = Decimal("0.12")
UPPER_BOUND_USD = upper_bound_usd(EFFECTS.prices, PRICE_USD)
ITEMS = ["01", "02", "03", "04", "05"]
BEGUN = {
    **dict.fromkeys(FailureClass, 1),
    **dict.fromkeys([FailureClass.REFUSED, FailureClass.BAD_INPUT, FailureClass.BAD_MEDIA], len(ITEMS)),
    **dict.fromkeys([FailureClass.OUTCOME_UNKNOWN, FailureClass.TRANSIENT, FailureClass.NETWORK], 3),
}
"""How many of the items are asked for while each fails for this reason: one item's fault, the provider's, or either."""
MAYBE_CHARGED = {FailureClass.OUTCOME_UNKNOWN, FailureClass.BAD_MEDIA}


async def test_a_crash_of_one_item_does_not_throw_away_what_is_being_paid_for_beside_it(tmp_path: Path) -> None:
    context = await a_context(tmp_path, EFFECTS, concurrency=2)
    has_crashed = asyncio.Event()
    begun: list[str] = []

    def wanted(item: str) -> Wanted:
        async def make(call: Call) -> str:
            begun.append(item)
            if item == "01":
                has_crashed.set()
                raise OSError("no space left on device")
            await has_crashed.wait()
            for _ in range(10):  # turns in which the crash is noticed
                await asyncio.sleep(0)
            call.part.write_bytes(b"sound")
            call.charged(Decimal("0.12"))
            return ".mp3"

        return a_wanted(make, item)

    with pytest.raises(TransientError, match=r"scene 01: the volume or the machine failed: no space left") as caught:
        await make_items(context, [wanted("01"), wanted("02"), wanted("03")])
    assert caught.value.item == "01"
    assert begun == ["01", "02"]
    assert context.ledger.current("02") is not None


def a_wanted(make: Callable[[Call], Awaitable[str]], item: str = "01") -> Wanted:
    return Wanted(
        item=item,
        label=f"scene {item}",
        key=f"key-{item}",
        model="model",
        price_usd=PRICE_USD,
        path=lambda take, suffix: f"sfx/sfx_{item}_{take}{suffix}",
        suffixes=(".mp3",),
        make=make,
        probe=lambda _path: 3.0,
    )


async def test_nothing_is_paid_for_that_the_volume_has_no_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = await a_context(tmp_path, EFFECTS)

    async def make(_call: Call) -> str:
        raise AssertionError("no call may be made")

    full = shutil.disk_usage(tmp_path)._replace(free=items.LEAST_FREE_BYTES - 1)
    monkeypatch.setattr(items.shutil, "disk_usage", lambda _path: full)
    with pytest.raises(TransientError, match=r"scene 01: the volume has 63 MiB left and 64 MiB must be free"):
        await make_items(context, [a_wanted(make)])
    assert context.ledger.calls() == []


async def test_what_an_answer_cost_is_written_down_though_the_disk_did_not_take_it(tmp_path: Path) -> None:
    context = await a_context(tmp_path, EFFECTS)

    async def make(call: Call) -> str:
        call.charged(Decimal("0.11"))
        call.part.write_bytes(b"half a so")
        raise OSError(28, "No space left on device")

    with pytest.raises(TransientError, match="No space left on device"):
        await make_items(context, [a_wanted(make)])
    assert (context.ledger.spent_usd("run-1"), context.ledger.possibly_usd("run-1")) == (Decimal("0.11"), 0)
    assert not list((tmp_path / "sfx").iterdir())


def fails_with(kind: FailureClass) -> VideoTaskError:
    """Return an error of this class that is left to the operator to retry."""
    if kind.is_transient:
        return TransientError("no", failure_class=kind, retry_after_seconds=LONGEST_RETRY_SECONDS + 1)
    return VideoTaskError("no", failure_class=kind)


@pytest.mark.parametrize("kind", FailureClass)
async def test_an_items_own_failure_stops_no_other_and_one_that_may_be_the_providers_does_so_the_third_time(
    tmp_path: Path, kind: FailureClass
) -> None:
    context = await a_context(tmp_path, EFFECTS)
    begun: list[str] = []

    async def make(call: Call) -> str:
        begun.append(call.paid.intent.item)
        raise fails_with(kind)

    with pytest.raises(VideoTaskError) as caught:
        await make_items(context, [a_wanted(make, item) for item in ITEMS])
    assert caught.value.failure_class is kind
    assert begun == ITEMS[: BEGUN[kind]]


@pytest.mark.parametrize("kind", FailureClass)
async def test_a_failure_that_proves_nothing_about_the_money_counts_as_paid_and_every_other_as_free(
    tmp_path: Path, kind: FailureClass
) -> None:
    context = await a_context(tmp_path, EFFECTS)

    async def make(_call: Call) -> str:
        raise fails_with(kind)

    with pytest.raises(VideoTaskError):
        await make_items(context, [a_wanted(make)])
    assert context.ledger.spent_usd("run-1") == (UPPER_BOUND_USD if kind in MAYBE_CHARGED else 0)


@pytest.mark.parametrize(
    ("told", "is_believed"),
    [
        ("0", True),
        ("999999.99999999", True),
        ("1000000", False),
        ("-0.01", False),
        ("NaN", False),
        ("Infinity", False),
    ],
)
async def test_a_sum_that_no_call_can_cost_is_no_word_and_the_answer_is_kept_at_its_upper_bound(
    tmp_path: Path, told: str, *, is_believed: bool
) -> None:
    context = await a_context(tmp_path, EFFECTS)

    async def make(call: Call) -> str:
        call.charged(Decimal(told))
        return call.keep(b"sound", ".mp3")

    await make_items(context, [a_wanted(make)])
    assert context.ledger.spent_usd("run-1") == (Decimal(told) if is_believed else UPPER_BOUND_USD)
    assert context.ledger.current("01") is not None
