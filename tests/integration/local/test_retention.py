"""A finished film's work goes when its days are over, and all but the ledgers when its resource is deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.local.laptop import NightShift

from videotask_contract import layout
from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_emulators.testing import EmulatorProcess
from videotask_steps.ledger import read_ledger

pytestmark = pytest.mark.timeout(1200)


def test_a_films_files_go_as_its_resource_asked_and_the_ledgers_stay(tmp_path: Path) -> None:
    retention = {"onDeletion": "Delete", "workDays": 0}
    with (
        EmulatorProcess(options=("--clip-fps", "6")) as emulators,
        NightShift(tmp_path, emulators.url, {"RESYNC_SECONDS": "1"}) as night,
    ):
        night.channel("tides")
        night.film("heron", channel="tides", scenes=1, retention=retention)
        night.wait_for_films(seconds=600)
        film = night.folder.volume("tides-films") / night.status("heron")["film"]["path"]
        folder = film.parent
        assert (folder / layout.clip("01")).is_file(), "a film on show keeps everything"
        approvals = {"final": {"decision": "Approved", "by": "ada", "round": 1}}
        night.film("heron", channel="tides", scenes=1, retention=retention, approvals=approvals)
        night.wait("the work is gone", lambda: _entries(folder) == {"film.mp4", "storyboard.json"}, seconds=120)
        night.wait("it is recorded", lambda: _cleaned(night, "work"), seconds=60)
        assert night.phase("heron") is Phase.COMPLETED

        (night.folder.videotasks / "heron.yaml").unlink()
        night.wait("all is gone", lambda: not _entries(folder), seconds=120)
        night.wait("it is recorded", lambda: _cleaned(night, "all"), seconds=60)
        billed = len(emulators.control.bill()["entries"])
    assert billed == 2 + 1 + 1 + 1, "two images, a clip, a narration, an effect, and no call for any of this"
    for step in Step:
        ledger = read_ledger(folder, step)
        assert ledger.records, step
        assert ledger.current_items() == {}, step
    assert read_ledger(folder, Step.VIDEO_GENERATION).spend(), "the money is still told"


def _entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {layout.LEDGER_FOLDER}


def _cleaned(night: NightShift, extent: str) -> bool:
    return bool(night.sql(f"SELECT 1 FROM retention WHERE {extent}_cleaned_at IS NOT NULL"))
