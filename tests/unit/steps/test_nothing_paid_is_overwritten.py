"""A new take never gets the name of an older one, whether the ledger knows that one or its file alone is there."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.support.step_context import context_of
from tests.support.step_program import a_task_file

from videotask_contract.steps import Step
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.ledger import Ledger

STEP = Step.SFX_GENERATION


async def make_an_effect(volume: Path, *, key: str, content: bytes) -> str:
    """Make effect 01 under this key and return the path it got."""
    ledger = await Ledger.open(volume, STEP, run_id=f"run-of-{key}")
    context = context_of(volume, a_task_file(STEP), ledger)

    async def make(call: Call) -> str:
        call.part.write_bytes(content)
        call.charged(Decimal("0.12"))
        return ".mp3"

    wanted = Wanted(
        item="01",
        label="scene 01",
        key=key,
        model="model",
        price_usd=Decimal("0.12"),
        path=lambda take, suffix: f"sfx/sfx_01.take{take}{suffix}",
        suffixes=(".mp3", ".wav"),
        make=make,
        probe=lambda _path: 3.0,
    )
    await make_items(context, [wanted])
    made = ledger.current("01")
    ledger.close()
    assert made is not None
    assert made.path is not None
    assert (volume / made.path).read_bytes() == content
    return made.path


async def test_another_key_makes_another_take_beside_the_first(tmp_path: Path) -> None:
    assert await make_an_effect(tmp_path, key="rain", content=b"rain") == "sfx/sfx_01.take1.mp3"
    assert await make_an_effect(tmp_path, key="wind", content=b"wind") == "sfx/sfx_01.take2.mp3"
    assert (tmp_path / "sfx/sfx_01.take1.mp3").read_bytes() == b"rain"


async def test_a_take_whose_file_is_gone_keeps_its_number(tmp_path: Path) -> None:
    await make_an_effect(tmp_path, key="rain", content=b"rain")
    (tmp_path / "sfx/sfx_01.take1.mp3").unlink()
    assert await make_an_effect(tmp_path, key="wind", content=b"wind") == "sfx/sfx_01.take2.mp3"


async def test_a_file_that_no_ledger_knows_is_left_alone_whatever_its_suffix(tmp_path: Path) -> None:
    folder = tmp_path / "sfx"
    folder.mkdir()
    (folder / "sfx_01.take1.wav").write_bytes(b"paid for before the ledger was lost")
    assert await make_an_effect(tmp_path, key="rain", content=b"rain") == "sfx/sfx_01.take2.mp3"
    assert (folder / "sfx_01.take1.wav").read_bytes() == b"paid for before the ledger was lost"
