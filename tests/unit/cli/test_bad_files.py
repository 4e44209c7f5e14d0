"""A file that cannot be used is told in one line, hides no film and ends no watch."""

from __future__ import annotations

import json
import os
from itertools import islice

import pytest
from tests.support.builders import UID, a_channel_spec, a_spec

from videotask_operator.cli.__main__ import main
from videotask_operator.cli.exits import CommandExit
from videotask_operator.cli.folder import open_folder


@pytest.fixture
def place(tmp_path):
    found = open_folder(tmp_path, is_given=True)
    found.folder.prepare()
    for kind, name, spec in (("Channel", "tides", a_channel_spec()), ("VideoTask", "heron", a_spec())):
        metadata = {"name": name}
        found.folder.apply({"apiVersion": "videotask.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
    return found


@pytest.fixture
def run(place, capsys):
    def run(*words):
        code = main([*words, "--folder", str(place.folder.root)])
        return code, *capsys.readouterr()

    return run


BROKEN = {
    "empty": "",
    "no YAML": "spec: [",
    "no name": "metadata: {}\nspec: {}\n",
    "another name": "metadata: {name: heron}\nspec: {}\n",
    "no metadata": "spec: {}\n",
    "words for a spec": "metadata: {name: fox}\nspec: later\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_bad_file_is_a_row_that_says_why_and_the_other_films_are_listed(place, run, text):
    (place.folder.videotasks / "fox.yaml").write_text(text)
    code, told, complaint = run("get")
    assert (code, complaint) == (CommandExit.DONE, "")
    header, fox, heron = told.splitlines()
    assert header.startswith("NAME")
    assert fox.startswith("fox ")
    assert "fox.yaml: " in fox
    assert heron.startswith("heron ")


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_asked_for_by_its_name_a_bad_file_is_one_line_of_complaint(place, run, text):
    (place.folder.videotasks / "fox.yaml").write_text(text)
    code, told, complaint = run("describe", "fox")
    assert (code, told) == (CommandExit.USAGE, "")
    [line] = complaint.splitlines()
    assert "fox.yaml: " in line


@pytest.mark.parametrize("name", [None, "heron"])
def test_a_watch_outlives_a_file_that_is_being_saved(place, name):
    path = place.folder.videotasks / "heron.yaml"
    whole = path.read_text()
    place.folder.status("heron").parent.mkdir(exist_ok=True)
    place.folder.status("heron").write_text(json.dumps({"uid": "u", "status": {"phase": "Queued", "message": "waits"}}))
    seen = place.watch(name)
    [[first]] = islice(seen, 1)
    path.write_text("")
    [[half]] = islice(seen, 1)
    path.write_text(whole)
    [[again]] = islice(seen, 1)
    assert (first.task.message, again.task.message) == ("waits", "waits")
    assert (half.task.phase, half.is_gone) == (first.task.phase, False)
    assert "is no manifest" in half.task.message


def test_a_budget_that_is_no_number_is_shown_as_it_stands(place, run):
    path = place.folder.videotasks / "heron.yaml"
    manifest = json.loads(path.read_text())
    manifest["spec"]["budgetUSD"] = "20 USD"
    path.write_text(json.dumps(manifest))
    code, page, complaint = run("describe", "heron")
    assert (code, complaint) == (CommandExit.DONE, "")
    assert "20 USD   spec.budgetUSD: these are no dollars" in page


def test_a_film_that_cannot_be_written_there_is_one_line_of_complaint(place, run):
    file = place.folder.root / "file"
    file.write_text("")
    for output, words in ((file / "x.mp4", "file"), ("/proc/x.mp4", "/proc/")):
        code, told, complaint = run("fetch", "heron", "-o", str(output))
        assert (code, told) == (CommandExit.FAILED, "")
        [line] = complaint.splitlines()
        assert line.startswith("videotask: ")
        assert words in line


def test_a_folder_is_refused_as_the_films_name_before_anything_is_copied(place, run):
    folder = place.folder.root / "films"
    folder.mkdir()
    code, _, complaint = run("fetch", "heron", "-o", str(folder))
    assert code == CommandExit.USAGE
    assert complaint == f"videotask: -o: {folder} is a folder; name a file, for example {folder / 'heron.mp4'}\n"
    assert list(folder.iterdir()) == []


def with_storyboard(place):
    identity = {"uid": UID, "createdAt": "2026-11-21T11:00:00+00:00", "generation": 1, "status": {}}
    place.folder.status("heron").write_text(json.dumps(identity))
    made = place.folder.volume("tides-films") / "projects" / f"heron-{UID[:8]}"
    made.mkdir(parents=True)
    (made / "storyboard.json").write_text("{}")


def test_a_device_is_never_replaced_by_what_is_fetched(place, run, tmp_path):
    with_storyboard(place)
    device = tmp_path / "null"
    os.mkfifo(device)  # no plain file, as /dev/null is none: a rename would put one in its place for everybody
    code, _, complaint = run("fetch", "heron", "--storyboard", "-o", str(device))
    assert device.is_fifo()
    assert (code, complaint) == (CommandExit.USAGE, f"videotask: -o: {device} is no plain file; name one\n")


def test_a_link_stays_and_the_file_that_it_names_is_written_anew(place, run, tmp_path):
    with_storyboard(place)
    file, link = tmp_path / "old.json", tmp_path / "link.json"
    file.write_text("old")
    link.symlink_to(file)
    assert run("fetch", "heron", "--storyboard", "-o", str(link))[0] == CommandExit.DONE
    assert (link.is_symlink(), file.read_text()) == (True, "{}")
