"""A call whose lines rot and that is found again is the same call: it is counted once, and never for nothing."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from videotask_contract import layout
from videotask_contract.ledger_record import RecordKind, decode_record
from videotask_contract.steps import Step
from videotask_steps.ledger import Ledger, PaidCall, read_ledger

STEP = Step.VIDEO_GENERATION
BOUND_USD = Decimal("0.525")


async def open_ledger(volume: Path, run_id: str = "run-1") -> Ledger:
    return await Ledger.open(volume, STEP, run_id=run_id, wait_seconds=0)


def begin(ledger: Ledger, external_id: str | None) -> PaidCall:
    return ledger.record_intent(
        item="01", key="key", take=1, model="m", upper_bound_usd=BOUND_USD, external_id=external_id
    )


async def test_a_call_with_an_id_of_ours_has_the_same_call_id_whoever_writes_it_down(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    first, other = begin(ledger, "ours-1"), begin(ledger, "ours-2")
    ledger.close()
    (tmp_path / layout.ledger(STEP)).write_text("rot\n")
    again = begin(await open_ledger(tmp_path, "run-2"), "ours-1")
    assert again.call_id == first.call_id != other.call_id
    assert len(first.call_id) == 32


async def test_calls_without_an_id_of_ours_are_never_the_same(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    assert begin(ledger, None).call_id != begin(ledger, None).call_id


async def test_an_open_call_whose_intent_cannot_be_read_counts_at_its_upper_bound(tmp_path: Path) -> None:
    ledger = await open_ledger(tmp_path)
    ledger.record_accepted(begin(ledger, "ours-1"), provider_id="theirs-1")
    ledger.close()
    file = tmp_path / layout.ledger(STEP)
    lines = [line for line in file.read_text().splitlines(keepends=True) if _kind(line) is not RecordKind.INTENT]
    file.write_text("rot\n" + "".join(lines))
    view = read_ledger(tmp_path, STEP)
    assert view.possibly_usd("run-1") == BOUND_USD
    assert [call.intent.amount_usd for call in view.calls()] == [BOUND_USD]


def _kind(line: str) -> RecordKind | None:
    record = decode_record(line)
    return record and record.kind
