"""In which order things are made to last: a machine that dies must never leave a word without its deed.

What a kill cannot show, since the kernel keeps unsynced bytes over it, is shown here by the order of the calls.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.step_context import a_context
from tests.support.step_program import a_task_file

from videotask_contract import layout
from videotask_contract.ledger_record import decode_record
from videotask_contract.steps import Step
from videotask_steps import durable
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.ledger import Ledger

STEP = Step.SFX_GENERATION


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every write, fsync and rename in order, by the name of its file: "write ledger", "fsync folder", ..."""
    done: list[str] = []
    write, fsync, replace = os.write, os.fsync, os.replace

    def name_of(descriptor: int) -> str:
        return Path(f"/proc/self/fd/{descriptor}").readlink().name

    def note_write(descriptor: int, data: memoryview) -> int:
        record = decode_record(bytes(data).decode().strip())
        done.append(f"write {record.kind.value}" if record else f"write {name_of(descriptor)}")
        return write(descriptor, data)

    def note_fsync(descriptor: int) -> None:
        done.append(f"fsync {name_of(descriptor)}")
        fsync(descriptor)

    def note_replace(source: Path, target: Path) -> None:
        done.append(f"name {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "write", note_write)
    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    return done


async def test_every_line_of_the_ledger_is_synced_before_the_next_act(tmp_path: Path, acts: list[str]) -> None:
    ledger = await Ledger.open(tmp_path, STEP, run_id="run-1")
    (tmp_path / "a.mp3").write_bytes(b"sound")
    acts.clear()
    call = ledger.record_intent(item="01", key="key", take=1, model="m", upper_bound_usd=Decimal(1))
    ledger.record_accepted(call, provider_id="job")
    ledger.record_settled(call, amount_usd=Decimal(1))
    ledger.record_released(call, message="not charged")
    ledger.record_failed("01", "key", message="gone")
    done = ledger.record_done("01", "key", path="a.mp3")
    ledger.record_again(done.model_copy(update={"take": 2}))
    lines = ["intent", "accepted", "settled", "released", "failed", "done", "done"]
    synced = f"fsync {Path(layout.ledger(STEP)).name}"
    assert acts == [act for line in lines for act in (f"write {line}", synced)]


async def test_paid_media_is_synced_before_it_is_written_down_and_named_before_it_is_done(
    tmp_path: Path, acts: list[str]
) -> None:
    context = await a_context(tmp_path, a_task_file(STEP))
    (tmp_path / "sfx").mkdir()
    part = ""

    async def make(call: Call) -> str:
        nonlocal part
        part = call.part.name
        assert acts[-2:] == ["write intent", f"fsync {Path(layout.ledger(STEP)).name}"]
        call.part.write_bytes(b"sound")
        call.charged(Decimal("0.12"))
        acts.clear()
        return ".mp3"

    wanted = Wanted(
        item="01",
        label="scene 01",
        key="key",
        model="model",
        price_usd=Decimal("0.12"),
        path=lambda _take, suffix: f"sfx/sfx_01{suffix}",
        suffixes=(".mp3",),
        make=make,
        probe=lambda _path: 3.0,
    )
    await make_items(context, [wanted])
    ledger = Path(layout.ledger(STEP)).name
    assert acts == [
        f"fsync {part}",
        "fsync sfx",
        "write settled",
        f"fsync {ledger}",
        "name sfx_01.mp3",
        "fsync sfx",
        "write done",
        f"fsync {ledger}",
    ]


async def test_an_answer_is_on_the_disk_before_anything_else_is_done_with_it(tmp_path: Path, acts: list[str]) -> None:
    """Each of its three states is synced once: six syncs an item, as many as before answers were kept."""
    context = await a_context(tmp_path, a_task_file(STEP))
    durable.make_folder(tmp_path / "sfx")

    async def make(call: Call) -> str:
        call.charged(Decimal("0.12"))
        acts.clear()
        suffix = call.keep(b"sound", ".mp3")
        assert call.part.read_bytes() == b"sound"
        assert call.paid.call_id in call.part.name
        acts.append(f"keep {call.part.name}")
        return suffix

    def probe(_file: Path) -> float:
        acts.append("probe")
        return 3.0

    wanted = Wanted(
        item="01",
        label="scene 01",
        key="key",
        model="model",
        price_usd=Decimal("0.12"),
        path=lambda _take, suffix: f"sfx/sfx_01{suffix}",
        suffixes=(".mp3",),
        make=make,
        probe=probe,
    )
    await make_items(context, [wanted])
    ledger = Path(layout.ledger(STEP)).name
    kept = acts[0].removeprefix("keep ")
    assert acts == [
        f"keep {kept}",
        f"fsync {kept}",
        "fsync sfx",
        "write settled",
        f"fsync {ledger}",
        "probe",
        "name sfx_01.mp3",
        "fsync sfx",
        "write done",
        f"fsync {ledger}",
    ]


def test_a_saved_file_is_synced_under_a_waiting_name_before_it_gets_its_own(tmp_path: Path, acts: list[str]) -> None:
    durable.save(tmp_path / "storyboard.json", b"{}")
    assert acts == ["fsync .storyboard.json.part", "name storyboard.json", f"fsync {tmp_path.name}"]
    assert (tmp_path / "storyboard.json").read_bytes() == b"{}"


def test_a_new_folder_s_name_is_synced_in_the_folder_above_it(tmp_path: Path, acts: list[str]) -> None:
    durable.make_folder(tmp_path / "assets" / "props")
    assert acts == [f"fsync {tmp_path.name}", "fsync assets"]
