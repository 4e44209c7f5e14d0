"""On a laptop a film's files are removed by the same program, as a process."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.builders import UID

from videotask_contract import layout
from videotask_contract.steps import Step
from videotask_operator.core.model import TaskKey
from videotask_operator.core.retention import CleanUpOrder, CleanUpState, Extent
from videotask_operator.local.cluster import LocalCluster
from videotask_steps.ledger import Ledger, read_ledger

ORDER = CleanUpOrder(
    key=TaskKey("default", "film"),
    task_uid=UID,
    channel="tides",
    extent=Extent.WORK,
    job_name=f"film-clean-up-work-{UID[:8]}",
    claim_name="tides-films",
    folder=f"projects/film-{UID[:8]}",
)


async def until_over(cluster: LocalCluster) -> CleanUpState:
    async with asyncio.timeout(60):
        while (state := await cluster.run_clean_up(ORDER)) is CleanUpState.RUNNING:
            await asyncio.sleep(0.05)
    return state


async def test_the_work_is_removed_and_a_namesake_is_not_touched(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    cluster.refresh()
    film = tmp_path / "volumes" / "tides-films" / ORDER.folder
    namesake = film.with_name("film-99999999")
    for folder in (film, namesake):
        (folder / "clips").mkdir(parents=True)
        (folder / layout.clip("01")).write_bytes(b"clip")
        (folder / layout.FILM).write_bytes(b"film")
        ledger = await Ledger.open(folder, Step.VIDEO_GENERATION, run_id="run-1")
        ledger.record_done("01", "key", path=layout.clip("01"))
        ledger.close()
    assert await until_over(cluster) is CleanUpState.DONE
    assert not (film / "clips").exists()
    assert (film / layout.FILM).read_bytes() == b"film"
    assert read_ledger(film, Step.VIDEO_GENERATION).tombstone("01", "key") is not None
    assert (namesake / layout.clip("01")).exists()


async def test_a_failure_is_told_and_the_next_look_begins_again(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    cluster.refresh()
    film = tmp_path / "volumes" / "tides-films" / ORDER.folder
    (film / "clips").mkdir(parents=True)
    assert await until_over(cluster) is CleanUpState.FAILED, "no ledger says what was paid for"
    assert (film / "clips").is_dir()
    (film / "clips").rmdir()
    assert await until_over(cluster) is CleanUpState.DONE


async def test_a_film_that_made_no_folder_has_nothing_to_remove(tmp_path: Path) -> None:
    assert await until_over(LocalCluster(tmp_path)) is CleanUpState.DONE
