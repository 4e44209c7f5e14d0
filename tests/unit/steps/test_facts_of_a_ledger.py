"""Small facts of a ledger on which resume and money stand: a full disk, a line without a file, whose call made what."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from videotask_contract import layout
from videotask_contract.errors import VideoTaskError
from videotask_contract.ledger_record import LedgerRecord, RecordKind, encode_record
from videotask_contract.steps import Step
from videotask_steps.context import Limits
from videotask_steps.ledger import Ledger, read_ledger
from videotask_steps.money import begin_call

STEP = Step.NARRATION_GENERATION


async def open_ledger(volume: Path) -> Ledger:
    return await Ledger.open(volume, STEP, run_id="run-1", wait_seconds=0)


async def test_a_line_that_a_full_disk_cut_off_does_not_spoil_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = await open_ledger(tmp_path)
    write = os.write

    def half(descriptor: int, data: memoryview) -> int:
        write(descriptor, bytes(data)[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space left"):
            ledger.record_failed("01", "key", message="first")
    ledger.record_failed("02", "key", message="second")
    ledger.close()
    assert [record.item for record in read_ledger(tmp_path, STEP).records] == ["02"]


async def test_a_done_line_that_names_no_file_keeps_nothing(tmp_path: Path) -> None:
    line = LedgerRecord(kind=RecordKind.DONE, at=datetime.now(UTC), run_id="run-0", item="01", key="key")
    path = tmp_path / layout.ledger(STEP)
    path.parent.mkdir(parents=True)
    path.write_text(encode_record(line))
    assert (await open_ledger(tmp_path)).kept("01", "key") is None


async def test_an_item_is_told_with_its_path_and_the_call_that_made_it(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    (tmp_path / "a.mp3").write_bytes(b"sound")
    call = ledger.record_intent(item="01", key="key", take=1, model="m", upper_bound_usd=Decimal(1))
    ledger.record_settled(call, amount_usd=Decimal("0.40"), path="a.mp3")
    made = ledger.record_done("01", "key", path="a.mp3", call=call)
    ledger.record_done("02", "free", path="a.mp3")
    assert made.call_id == call.call_id
    told = {item.item: item for item in ledger.items(run_id="run-1")}
    assert (told["01"].path, told["01"].cost_usd) == ("a.mp3", Decimal("0.40"))
    assert (told["02"].path, told["02"].cost_usd) == ("a.mp3", Decimal(0))


async def test_the_item_for_which_there_was_no_money_is_named(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    limits = Limits(concurrency=1, reservation_usd=Decimal(0))
    with pytest.raises(VideoTaskError) as caught:
        begin_call(ledger, limits, item="07", key="key", take=1, model="m", upper_bound_usd=Decimal(1))
    assert caught.value.item == "07"
