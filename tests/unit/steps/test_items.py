from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.step_context import a_context
from tests.support.step_program import a_task_file

from videotask_contract.errors import TransientError
from videotask_contract.steps import Step
from videotask_steps import items
from videotask_steps.items import Call, Wanted, make_items

EFFECTS = a_task_file(Step.SFX_GENERATION, item_timeout_seconds=60)


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

        return Wanted(
            item=item,
            label=f"scene {item}",
            key=f"key-{item}",
            model="model",
            price_usd=Decimal("0.12"),
            path=lambda take, suffix: f"sfx/sfx_{item}_{take}{suffix}",
            suffixes=(".mp3",),
            make=make,
            probe=lambda _path: 3.0,
        )

    with pytest.raises(TransientError, match=r"scene 01: the volume or the machine failed: no space left") as caught:
        await make_items(context, [wanted("01"), wanted("02"), wanted("03")])
    assert caught.value.item == "01"
    assert begun == ["01", "02"]
    assert context.ledger.current("02") is not None


def a_wanted(make: Callable[[Call], Awaitable[str]]) -> Wanted:
    return Wanted(
        item="01",
        label="scene 01",
        key="key-01",
        model="model",
        price_usd=Decimal("0.12"),
        path=lambda take, suffix: f"sfx/sfx_01_{take}{suffix}",
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
