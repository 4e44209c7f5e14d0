"""A compacted ledger tells the same: every sum, try, take, open call and tombstone, whatever the history was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videotask_contract import layout
from videotask_contract.ledger_record import LedgerRecord, RecordKind, encode_record
from videotask_contract.steps import Step
from videotask_steps import compaction
from videotask_steps.compaction import compacted_ledger
from videotask_steps.ledger import Ledger, LedgerView, parse_ledger

STEP = Step.VIDEO_GENERATION
BEGAN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ITEMS, KEYS = ["01", "02"], ["key-a", "key-b"]


def a_record(kind: RecordKind, number: int = 0, **facts: Any) -> LedgerRecord:
    given = {"run_id": "run-1", "item": "01", "key": "key-a", "at": BEGAN + timedelta(seconds=number), **facts}
    return LedgerRecord(kind=kind, **given)


def written(records: list[LedgerRecord]) -> bytes:
    return "".join(map(encode_record, records)).encode()


@st.composite
def histories(draw: st.DrawFn) -> list[LedgerRecord]:
    records = []
    for number in range(draw(st.integers(1, 60))):
        kind = draw(st.sampled_from(RecordKind))
        take = draw(st.integers(1, 3))
        records.append(
            a_record(
                kind,
                number,
                run_id=draw(st.sampled_from(["run-1", "run-2", "run-3"])),
                item=draw(st.sampled_from(ITEMS)),
                key=draw(st.sampled_from(KEYS)),
                take=take,
                call_id=draw(st.sampled_from(["call-1", "call-2", "call-3", "call-4"])),
                amount_usd=draw(st.sampled_from([Decimal("0.1"), Decimal("0.25"), Decimal(0)])),
                path=f"clips/{take}.mp4" if kind in {RecordKind.DONE, RecordKind.TOMBSTONE} else None,
            )
        )
    return records


def told_by(records: list[LedgerRecord]) -> dict[str, Any]:
    view = LedgerView(Path("/nowhere"), STEP, records)
    return {
        "calls": view.calls(),
        "spend": view.spend(),
        "spent": [(view.spent_usd(run), view.possibly_usd(run)) for run in ("run-1", "run-2", "run-3")],
        "items": [view.items(run_id=run) for run in ("run-1", "run-2", "run-3", "run-4")],
        "current": view.current_items(),
        "takes": [(item, take, view.take(item, take)) for item in ITEMS for take in range(5)],
        "next": [view.next_take(item) for item in ITEMS],
        "tries": [len(view.calls_for(item, key)) for item in ITEMS for key in KEYS],
        "removed": [view.tombstone(item, key) for item in ITEMS for key in KEYS],
    }


@settings(max_examples=150, deadline=None)
@given(history=histories())
def test_a_compacted_ledger_tells_the_same_as_before(history: list[LedgerRecord]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "LONG_LINES", 0)
        compacted = compacted_ledger(written(history))
    if compacted is not None:
        left = list(parse_ledger(compacted))
        assert 2 * len(left) < len(history)
        assert told_by(left) == told_by(history)
        assert [record for record in history if record in left] == left, "in the old order"
        for kind in (RecordKind.TOMBSTONE, RecordKind.INTENT):
            assert {r.call_id for r in left if r.kind is kind} == {r.call_id for r in history if r.kind is kind}


def a_long_history() -> list[LedgerRecord]:
    """Two takes between which somebody changed his mind a thousand times, and one call that is still open."""
    takes = [
        a_record(RecordKind.DONE, number, take=1 + number % 2, path=f"clips/{1 + number % 2}.mp4", key="ab"[number % 2])
        for number in range(2400)
    ]
    paid = [
        a_record(kind, call_id="paid", amount_usd=Decimal("0.3")) for kind in (RecordKind.INTENT, RecordKind.SETTLED)
    ]
    return [a_record(RecordKind.INTENT, call_id="open", amount_usd=Decimal("0.4")), *paid, *takes]


def test_a_long_ledger_becomes_short() -> None:
    history = a_long_history()
    compacted = compacted_ledger(written(history))
    assert compacted is not None
    left = list(parse_ledger(compacted))
    assert len(left) == 3 + 4
    assert told_by(left) == told_by(history)


def test_every_tombstone_stays() -> None:
    tombstones = [a_record(RecordKind.TOMBSTONE, number, call_id="paid", item=f"{number:02}") for number in range(5)]
    compacted = compacted_ledger(written([*tombstones, *a_long_history()]))
    assert compacted is not None
    assert list(parse_ledger(compacted))[:5] == tombstones


def test_a_short_ledger_and_one_whose_lines_count_stay_as_they_are() -> None:
    assert compacted_ledger(written(a_long_history()[:1000])) is None
    calls = [
        a_record(kind, number, call_id=f"call-{number}", amount_usd=Decimal("0.1"))
        for number in range(1500)
        for kind in (RecordKind.INTENT, RecordKind.RELEASED)
    ]
    assert compacted_ledger(written(calls)) is None


def test_lines_of_a_newer_release_and_damaged_ones_are_carried_over_as_they_are() -> None:
    newer, torn = b'{"c":"0123456789abcdef","r":{"version":2,"kind":"gift"}}', b'{"c":"01234567'
    compacted = compacted_ledger(newer + b"\n" + written(a_long_history()) + torn)
    assert compacted is not None
    assert compacted.startswith(newer + b"\n")
    assert compacted.endswith(torn + b"\n")


def write_long(volume: Path) -> Path:
    path = volume / layout.ledger(STEP)
    path.parent.mkdir(parents=True)
    path.write_bytes(written(a_long_history()))
    return path


async def test_opening_a_long_ledger_compacts_it_and_it_is_written_on(tmp_path: Path) -> None:
    path = write_long(tmp_path)
    ledger = await Ledger.open(tmp_path, STEP, run_id="run-9", wait_seconds=0)
    assert path.read_bytes().count(b"\n") == 7
    done = a_record(RecordKind.DONE, take=1, path="clips/1.mp4", key="a")
    ledger.record_again(done)
    ledger.close()
    left = list(parse_ledger(path.read_bytes()))
    assert told_by(left)["spent"] == told_by(a_long_history())["spent"]
    assert (len(left), left[-1].run_id) == (8, "run-9")
    assert not list(path.parent.glob(".*.part"))


async def test_a_disk_without_room_for_a_new_ledger_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_long(tmp_path)
    before = path.read_bytes()

    def full(_file: Path, content: bytes) -> int:
        raise OSError(28, f"no space left on device for {len(content)} bytes")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        ledger = await Ledger.open(tmp_path, STEP, run_id="run-9", wait_seconds=0)
    assert path.read_bytes() == before
    assert told_by(list(ledger.records)) == told_by(a_long_history())
    ledger.close()
