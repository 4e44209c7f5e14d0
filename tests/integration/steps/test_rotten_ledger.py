"""A ledger whose lines rot: a job that only an unreadable line knew of is looked for before another is posted."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from tests.integration.steps.conftest import Film

from videotask_contract import layout
from videotask_contract.exits import ExitCode
from videotask_contract.ledger_record import RecordKind, decode_record
from videotask_contract.steps import Step

CLIPS = Step.VIDEO_GENERATION


def spoil(ledger: Path, *, keep: RecordKind | None = None, item: str = "01", torn: bool = False) -> int:
    """Damage one byte of each line about an item, or tear the last one off in the middle; returns how many."""
    lines = ledger.read_bytes().splitlines(keepends=True)
    damaged = 0
    for position, line in enumerate(lines):
        record = decode_record(line.decode())
        if record is not None and record.item == item and record.kind is not keep:
            lines[position] = line.replace(b'"item":', b'"itfm":')
            damaged += 1
    if torn:
        lines[-1] = lines[-1][: len(lines[-1]) // 2]
    ledger.write_bytes(b"".join(lines))
    return damaged


async def killed_while_a_job_goes_on(film: Film) -> None:
    """Kill the step when kling has taken a job and makes its clip."""
    film.with_scenes(1).ready_for(CLIPS)
    film.control.add_fault("slow_job", seconds=3, clip_seconds=3, extra_seconds=3)
    program = await film.program(CLIPS, run_id="run-1").start()
    await film.server.until(lambda: bool(film.operations("poll")))
    program.kill()
    await program.end()


@pytest.mark.parametrize("torn", [False, True], ids=["rotten", "torn"])
async def test_a_job_whose_lines_cannot_be_read_is_found_by_its_derived_id_and_not_posted_twice(
    film: Film, *, torn: bool
) -> None:
    await killed_while_a_job_goes_on(film)
    assert spoil(film.volume / layout.ledger(CLIPS), torn=torn) == 2
    assert film.ledger(CLIPS).calls() == []
    again = await film.run(CLIPS, run_id="run-2")
    assert again.code == ExitCode.DONE, again.stderr
    assert "lost_call_found" in again.events()
    assert len(film.operations("create")) == 1
    assert len(film.control.bill()["entries"]) == 1
    assert film.ledger_usd(CLIPS) == film.control.total_usd() > Decimal(0)


async def test_a_clip_whose_every_line_rots_is_fetched_again_for_nothing_and_the_first_file_stays(film: Film) -> None:
    film.with_scenes(1).ready_for(CLIPS)
    told = await film.run(CLIPS, run_id="run-1")
    assert told.code == ExitCode.DONE
    first = film.volume / layout.clip("01")
    before = (first.stat().st_ino, first.read_bytes())
    assert spoil(film.volume / layout.ledger(CLIPS)) == 4
    again = await film.run(CLIPS, run_id="run-2")
    assert again.code == ExitCode.DONE, again.stderr
    assert len(film.operations("create")) == 1
    assert (first.stat().st_ino, first.read_bytes()) == before
    made = film.ledger(CLIPS).current("01")
    assert made is not None
    assert made.path == layout.clip("01", take=2)
    calls = [[call.call_id for call in ended.report.spend] for ended in (told, again)]
    assert calls[0] == calls[1] != [], "a dollar told under two ids is counted twice"
    assert film.ledger_usd(CLIPS) == film.control.total_usd()


async def test_a_whole_ledger_asks_for_no_lost_jobs(film: Film) -> None:
    film.with_scenes(2).ready_for(CLIPS)
    assert (await film.run(CLIPS, run_id="run-1")).code == ExitCode.DONE
    polls = film.operations("poll")
    assert polls
    assert not [call for call in polls if "external_task_ids" in call["query"]]


async def test_nothing_is_posted_while_kling_cannot_be_asked_for_a_lost_job(film: Film) -> None:
    await killed_while_a_job_goes_on(film)
    spoil(film.volume / layout.ledger(CLIPS))
    film.control.add_fault("http_5xx", match={"operation": "poll"}, times=-1)
    refused = await film.run(CLIPS, run_id="run-2")
    assert refused.code == ExitCode.TRANSIENT
    assert len(film.operations("create")) == 1
    film.control.clear_faults()
    assert (await film.run(CLIPS, run_id="run-3")).code == ExitCode.DONE
    assert len(film.control.bill()["entries"]) == 1
