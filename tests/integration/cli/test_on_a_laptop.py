"""The command line over a laptop's folder, with a real operator behind it: what a person says is done."""

from __future__ import annotations

import getpass
import json

import pytest

from videotask_operator.cli.__main__ import main
from videotask_operator.cli.exits import CommandExit

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
    run("resume", "fox")
    studio.wait(lambda status: status["steps"][2]["state"] == "Done", "fox")
    capsys.readouterr()
    run("logs", "fox", "video-generation")
    assert json.loads(capsys.readouterr().out)["run"] == 4  # the newest, after the one that was ended


def test_what_breaks_the_contract_is_never_written(studio, capsys):
    studio.film("owl")
    before = (studio.folder.videotasks / "owl.yaml").read_bytes()
    assert main(["edit", "owl", "--scene", "3", "--narration", "x"]) == CommandExit.USAGE
    assert main(["set", "owl", "budget=1000000"]) == CommandExit.USAGE
    assert main(["take", "owl", "clips:2=1001"]) == CommandExit.USAGE
    assert (studio.folder.videotasks / "owl.yaml").read_bytes() == before
    run("cancel", "owl", "-y")
    studio.wait_for("Cancelled", "owl")
