"""Clean-up: what goes, what stays, that nothing is paid again, and that it may be killed anywhere."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.integration.steps.conftest import Film

from videotask_contract import layout
from videotask_contract.exits import ExitCode
from videotask_contract.ledger_record import RecordKind
from videotask_contract.steps import Step
from videotask_contract.task_file import VARIABLE_TERMINATION_LOG, VARIABLE_VOLUME
from videotask_steps.clean_up import Extent, clean_up
from videotask_steps.ledger import Ledger, read_ledger

IMAGES, CLIPS, VOICES = Step.ASSET_GENERATION, Step.VIDEO_GENERATION, Step.NARRATION_GENERATION
PATHS = {
    Step.ASSET_GENERATION: ["assets/props/boat.png", "assets/props/boat.take2.png"],
    Step.COMPOSITE_CREATION: [layout.composite("01")],
    Step.VIDEO_GENERATION: [layout.clip("01"), layout.clip("01", take=2)],
    Step.NARRATION_GENERATION: [layout.narration("01")],
    Step.SFX_GENERATION: [layout.effect("01")],
    Step.VIDEO_ASSEMBLY: [layout.segment("01"), layout.FILM],
}


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    code: int
    said: dict[str, Any]


async def a_made_film(volume: Path) -> None:
    """Put a film's files and ledgers there, as the steps leave them."""
    for step, paths in PATHS.items():
        ledger = await Ledger.open(volume, step, run_id="run-1")
        for take, path in enumerate(paths, start=1):
            file = volume / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(path.encode() * 10)
            item = "film" if path == layout.FILM else file.name.split(".")[0]
            call = None
            if step in {IMAGES, CLIPS, VOICES, Step.SFX_GENERATION}:
                call = ledger.record_intent(
                    item=item, key=f"key-{path}", take=take, model="m", upper_bound_usd=Decimal("0.5")
                )
                ledger.record_settled(call, amount_usd=Decimal("0.4"), path=path)
            ledger.record_done(item, f"key-{path}", path=path, take=take, call=call)
        ledger.close()
    (volume / layout.STORYBOARD).write_text("{}")
    (volume / "storyboard.take1.json").write_text("{}")
    (volume / "clips" / ".02.call.rejected").write_bytes(b"evidence")
    (volume / ".film.mp4.part").write_bytes(b"half a film")
    (volume / "notes.txt").write_text("a person's own")


def files(volume: Path) -> set[str]:
    """Return what lies there but the ledgers."""
    found = {str(path.relative_to(volume)) for path in volume.rglob("*") if not path.is_dir() or path.is_symlink()}
    return {path for path in found if not path.startswith("ledger/")}


def buried(volume: Path) -> Counter[str]:
    """Return the tombstones by path."""
    records = [record for step in Step for record in read_ledger(volume, step).records]
    return Counter(record.path or "" for record in records if record.kind is RecordKind.TOMBSTONE)


async def program(volume: Path, *arguments: str, command: tuple[str, ...] = ()) -> Cleaned:
    """Run the program as a pod would."""
    log = volume.parent / "termination-log"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(command or ("-m", "videotask_steps.clean_up")),
        *arguments,
        env={"PATH": os.environ["PATH"], VARIABLE_VOLUME: str(volume), VARIABLE_TERMINATION_LOG: str(log)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        said, problems = await process.communicate()
    code = process.returncode
    assert code is not None
    assert code in set(ExitCode) | {-signal.SIGKILL}, problems.decode()
    assert not said or said.decode().strip() == log.read_text(), "the termination message says the same"
    return Cleaned(code=code, said=json.loads(said or b"{}"))


async def test_the_work_goes_and_the_film_its_storyboards_and_the_ledgers_stay(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    await a_made_film(volume)
    going = files(volume) - {layout.FILM, layout.STORYBOARD, "storyboard.take1.json", "notes.txt"}
    size_bytes = sum((volume / path).stat().st_size for path in going)
    cleaned = await program(volume, "--work")
    assert cleaned.code == ExitCode.DONE
    assert cleaned.said == {"removed": len(going), "removedBytes": size_bytes, "tombstones": 8}
    assert files(volume) == {layout.FILM, layout.STORYBOARD, "storyboard.take1.json", "notes.txt"}
    assert buried(volume) == Counter({path: 1 for paths in PATHS.values() for path in paths if path != layout.FILM})
    assert read_ledger(volume, CLIPS).spend(), "the money is still told"

    again = await program(volume, "--work")
    assert (again.code, again.said) == (ExitCode.DONE, {"removed": 0, "removedBytes": 0, "tombstones": 0})

    everything = await program(volume, "--all")
    assert everything.said["removed"] == 4
    assert files(volume) == set()
    assert buried(volume) == Counter({path: 1 for paths in PATHS.values() for path in paths})


async def test_wherever_it_is_killed_nothing_is_gone_without_its_tombstone_and_the_next_one_finishes(
    tmp_path: Path,
) -> None:
    """Killed before each write, sync, removal and folder removal in turn."""
    crashing = tmp_path / "crashing.py"
    crashing.write_text(
        "import os, runpy, signal, sys\n"
        "count, number = 0, int(sys.argv.pop(1))\n"
        "def counting(original):\n"
        "    def counted(*arguments, **named):\n"
        "        global count\n"
        "        count += 1\n"
        "        if count == number:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return original(*arguments, **named)\n"
        "    return counted\n"
        "for name in ('write', 'fsync', 'unlink', 'rmdir'):\n"
        "    setattr(os, name, counting(getattr(os, name)))\n"
        "runpy.run_module('videotask_steps.clean_up', run_name='__main__', alter_sys=True)\n"
    )
    killed = 0
    # Every third act is enough to meet each kind of place: among tombstones, between them and the files, among files.
    for number in range(1, 200, 3):
        volume = tmp_path / f"film-{number}" / "volume"
        await a_made_film(volume)
        before = files(volume)
        ended = await program(volume, str(number), "--all", command=(str(crashing),))
        gone = {path for path in before - files(volume) if path in {one for paths in PATHS.values() for one in paths}}
        assert gone <= set(buried(volume)), number
        if gone:
            assert len(buried(volume)) == 9, "no file goes before the last tombstone is written"
        await clean_up(volume, Extent.ALL)
        assert files(volume) == set()
        assert set(buried(volume).values()) == {1}, "nothing is buried twice"
        if ended.code == ExitCode.DONE:
            break
        killed += 1
    else:
        pytest.fail("it never came to its end")
    assert killed >= 10


async def test_while_a_run_is_alive_it_refuses_and_touches_nothing(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    await a_made_film(volume)
    before = files(volume)
    run = await Ledger.open(volume, CLIPS, run_id="run-2")
    try:
        refused = await program(volume, "--all", "--wait-seconds", "0.2")
    finally:
        run.close()
    assert refused.code == ExitCode.NOT_PERMITTED
    assert "another process works on this film" in refused.said["failure"]
    assert (files(volume), buried(volume)) == (before, Counter())


async def test_it_holds_the_lock_until_the_last_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = tmp_path / "volume"
    await a_made_film(volume)
    could_begin: list[bool] = []
    rmdir = os.rmdir

    def watched(*arguments: Any, **named: Any) -> None:
        descriptor = os.open(volume / "ledger" / "lock", os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            could_begin.append(True)
        except BlockingIOError:
            could_begin.append(False)
        finally:
            os.close(descriptor)
        rmdir(*arguments, **named)

    monkeypatch.setattr(os, "rmdir", watched)
    await clean_up(volume, Extent.WORK)
    assert len(could_begin) >= 6
    assert not any(could_begin)


async def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "another-film"
    await a_made_film(volume)
    outside.mkdir()
    (outside / "film.mp4").write_bytes(b"not ours")
    (volume / "clips" / "elsewhere").symlink_to(outside)
    (volume / "elsewhere").symlink_to(outside)
    (volume / "segments" / "segment_09.mp4").symlink_to(outside / "film.mp4")
    cleaned = await program(volume, "--all")
    assert cleaned.code == ExitCode.DONE
    assert files(volume) == set()
    assert (outside / "film.mp4").read_bytes() == b"not ours"

    other = tmp_path / "other"
    await a_made_film(other)
    before = files(other)
    (tmp_path / "link").symlink_to(other)
    refused = await program(tmp_path / "link", "--all")
    assert refused.code == ExitCode.BAD_INPUT
    assert files(other) == before


async def test_files_that_no_ledger_knows_are_not_removed(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "clips").mkdir(parents=True)
    (volume / "clips" / "clip_01.mp4").write_bytes(b"paid for")
    refused = await program(volume, "--all")
    assert refused.code == ExitCode.BAD_INPUT
    assert "restore ledger/" in refused.said["failure"]
    assert files(volume) == {"clips/clip_01.mp4"}


async def test_media_that_was_paid_for_and_not_yet_named_is_not_paid_again_either(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    ledger = await Ledger.open(volume, VOICES, run_id="run-1")
    call = ledger.record_intent(item="01", key="key", take=1, model="m", upper_bound_usd=Decimal("0.5"))
    ledger.record_settled(call, amount_usd=Decimal("0.4"), path=layout.narration("01"))
    ledger.close()
    (volume / "narration").mkdir()
    (volume / "narration" / f".01.{call.call_id}.part").write_bytes(b"speech")
    await clean_up(volume, Extent.WORK)
    assert read_ledger(volume, VOICES).tombstone("01", "key") is not None


@pytest.mark.parametrize("extent", Extent)
async def test_a_cleaned_films_steps_call_nobody_when_they_are_run_again(film: Film, extent: Extent) -> None:
    film.with_scenes(2)
    assert (await film.run(IMAGES, run_id="run-1")).code == ExitCode.DONE
    assert (await film.run(VOICES, run_id="run-2")).code == ExitCode.DONE
    calls = len(film.control.calls())
    assert (await program(film.volume, f"--{extent.value}")).code == ExitCode.DONE
    for step, word in ((IMAGES, "clean-up removed it on 20"), (VOICES, "")):
        ended = await film.run(step, run_id=f"again-{step.slug}")
        assert ended.code == ExitCode.BAD_INPUT
        assert ended.report.failure is not None
        assert word in ended.report.failure.message
    assert len(film.control.calls()) == calls
