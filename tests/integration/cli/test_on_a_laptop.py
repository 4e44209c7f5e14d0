"""The command line over a laptop's folder, with a real operator behind it: what a person says is done."""

from __future__ import annotations

import csv
import getpass
import io
import json
import subprocess
import sys
from decimal import Decimal

import pytest

from videotask_operator.cli.__main__ import main
from videotask_operator.cli.exits import CommandExit
from videotask_operator.local.folder import LocalFolder
from videotask_operator.local.postgres import find_postgres, start_postgres, stop_postgres
from videotask_operator.store.migrate import migrate

pytestmark = pytest.mark.timeout(1200)


def run(*words):
    assert main(list(words)) == CommandExit.DONE, words


def test_a_film_is_watched_rejected_approved_and_fetched(studio, capsys, tmp_path):
    studio.film("heron")
    run("get", "heron", "-w", "--until", "FinalReview")
    assert "Final Review" in capsys.readouterr().out
    run("describe", "heron")
    assert "videotask approve heron --round 1" in capsys.readouterr().out
    assert main(["approve", "heron", "--round", "2"]) == CommandExit.NOT_NOW
    run("reject", "heron", "--reason", "the heron blinks")
    studio.wait(lambda status: "the heron blinks" in status["message"], "heron")
    changes_are_made_anew_in_a_further_round(studio, capsys)
    run("approve", "heron")
    status = studio.wait_for("Completed", "heron")
    assert status["approvedBy"] == getpass.getuser()
    run("fetch", "heron", "-o", str(tmp_path / "out" / "heron.mp4"))
    assert (tmp_path / "out" / "heron.mp4").read_bytes() == b"film"
    assert main(["redo", "heron", "clips:1"]) == CommandExit.NOT_NOW


def changes_are_made_anew_in_a_further_round(studio, capsys):
    run("redo", "heron", "clips:1", "--request", "again")
    status = studio.wait(lambda status: round_of(status) == 2, "heron")
    assert status["redoRequest"] == "again"
    assert main(["redo", "heron", "clips:1", "--request", "again"]) == CommandExit.USAGE
    assert main(["approve", "heron", "--round", "1"]) == CommandExit.NOT_NOW
    run("take", "heron", "clips:1=1")
    studio.wait(lambda status: round_of(status) == 3, "heron")
    run("edit", "heron", "--scene", "2", "--narration", "Nobody sleeps.")
    studio.wait(lambda status: round_of(status) == 4, "heron")
    capsys.readouterr()
    run("describe", "heron")
    page = capsys.readouterr().out
    for words in ("redo   clip 1 (again: taken up)", "take   clip 1: take 1", "edit   scene 2: narration"):
        assert words in page


def round_of(status):
    return status.get("review", {}).get("round") if status.get("phase") == "FinalReview" else None


def test_a_film_under_way_is_suspended_and_resumed(studio, capsys):
    studio.hold("video_generation", "fox")
    studio.film("fox")
    studio.wait(lambda status: status.get("step") == "video_generation", "fox")
    run("suspend", "fox")
    studio.wait_for("Suspended", "fox")
    studio.let_go("fox")
    studio.hold("narration_generation", "fox")  # further it need not go
    run("resume", "fox")
    studio.wait(lambda status: status["steps"][2]["state"] == "Done", "fox")
    capsys.readouterr()
    run("logs", "fox", "video-generation")
    assert json.loads(capsys.readouterr().out)["run"] == 4  # the newest, after the one that was ended
    run("cancel", "fox", "-y")
    studio.wait_for("Cancelled", "fox")


def test_what_breaks_the_contract_is_never_written(studio, capsys):
    studio.film("owl")
    before = (studio.folder.videotasks / "owl.yaml").read_bytes()
    assert main(["edit", "owl", "--scene", "3", "--narration", "x"]) == CommandExit.USAGE
    assert main(["set", "owl", "budget=1000000"]) == CommandExit.USAGE
    assert main(["take", "owl", "clips:2=1001"]) == CommandExit.USAGE
    assert (studio.folder.videotasks / "owl.yaml").read_bytes() == before
    run("cancel", "owl", "-y")
    studio.wait_for("Cancelled", "owl")


def program(*words):
    """Return what the command prints when it is a process of its own."""
    command = [sys.executable, "-m", "videotask_operator.cli", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


def test_costs_are_told_from_the_folders_record(studio, capfd):
    rows = list(csv.DictReader(io.StringIO(program("costs", "--month", "2026-11", "--by", "film", "-o", "csv"))))
    heron = next(row for row in rows if "heron" in row["film"])
    clip_runs = len(list(studio.folder.logs.glob("heron-video-generation-*.log")))
    assert clip_runs > 1  # the first, and those that redo and choice led to; each says that it paid this much
    assert Decimal(heron["paid_usd"]) == Decimal("0.42") * clip_runs
    assert main(["costs", "--by", "moon"]) == CommandExit.USAGE
    assert "moon" in capfd.readouterr().err


def test_costs_are_told_where_no_operator_works_and_its_database_sleeps_again(folder, capfd):
    LocalFolder(folder).prepare()
    assert main(["costs", "--folder", str(folder)]) == CommandExit.FAILED
    assert "holds no database" in capfd.readouterr().err
    database = folder / "postgres"
    migrate(start_postgres(database, durable=False).url("videotask"))
    stop_postgres(database)
    assert json.loads(program("costs", "--folder", str(folder), "-o", "json"))["total"]["paid_usd"] == "0.0000"
    assert find_postgres(database) is None
