"""A laptop's folder: a change is written whole, in the file's own form, and only when it keeps the contract."""

from __future__ import annotations

import json

import pytest
import yaml
from tests.support.builders import UID, a_channel_spec, a_spec, a_storyboard

from videotask_contract.errors import BadInputError
from videotask_contract.steps import Step
from videotask_operator.cli.change import Change, change_spec, merge
from videotask_operator.cli.folder import open_folder


def manifest(kind, name, spec):
    return {"apiVersion": "videotask.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def place(tmp_path):
    found = open_folder(tmp_path, is_given=True)
    found.folder.prepare()
    found.folder.apply(manifest("Channel", "tides", a_channel_spec()))
    found.folder.apply(manifest("VideoTask", "heron", a_spec()))
    return found


def files(place):
    return sorted(path.name for path in place.folder.videotasks.iterdir() if path.name != ".lock")


def test_a_change_is_written_and_nothing_else_of_the_resource_is_touched(place):
    before = place.get_task("heron")
    after, _ = place.change_task("heron", lambda _: change_spec("x", priority="high"))
    assert after.spec == {**before.spec, "priority": "high"}
    assert files(place) == ["heron.yaml"]


def test_a_file_in_yaml_stays_yaml_and_json_stays_json(place):
    place.change_task("heron", lambda _: change_spec("x", attempt=2))
    assert json.loads((place.folder.videotasks / "heron.yaml").read_text())["spec"]["attempt"] == 2
    text = yaml.safe_dump(manifest("VideoTask", "fox", a_spec(title="Füchse: zwei")), allow_unicode=True)
    (place.folder.videotasks / "fox.yaml").write_text(text)
    place.change_task("fox", lambda _: change_spec("x", edits={"scenes": [{"scene": "7", "motion": "yes"}]}))
    written = (place.folder.videotasks / "fox.yaml").read_text()
    assert "title: 'Füchse: zwei'" in written
    assert yaml.safe_load(written)["spec"]["edits"]["scenes"] == [{"scene": "7", "motion": "yes"}]


@pytest.mark.parametrize("fields", [{"attempt": 0}, {"title": None}, {"redo": {"request": "", "steps": []}}, {"x": 1}])
def test_what_breaks_the_contract_leaves_the_file_as_it_was(place, fields):
    before = (place.folder.videotasks / "heron.yaml").read_bytes()
    with pytest.raises(BadInputError, match="spec"):
        place.change_task("heron", lambda _: change_spec("x", **fields))
    assert (place.folder.videotasks / "heron.yaml").read_bytes() == before


def test_nothing_is_written_where_nothing_is_to_be_changed(place):
    path = place.folder.videotasks / "heron.yaml"
    before = path.stat().st_ino
    place.change_task("heron", lambda _: Change(patch=None, words="so it is"))
    place.change_task("heron", lambda _: change_spec("x", attempt=2), dry_run=True)
    assert path.stat().st_ino == before


def test_status_and_uid_are_the_operators(place):
    assert (place.get_task("heron").uid, place.get_task("heron").phase) == ("", "queued")
    identity = {"uid": UID, "createdAt": "2026-11-21T11:00:00+00:00", "generation": 3, "status": {"phase": "Completed"}}
    place.folder.status("heron").write_text(json.dumps(identity))
    task = place.get_task("heron")
    assert (task.uid, task.phase, task.is_over) == (UID, "completed", True)


def test_a_generated_storyboard_is_read_from_the_volume(place):
    place.folder.apply(manifest("VideoTask", "owl", a_spec(storyboard=None, topic="An owl")))
    assert place.load_storyboard(place.get_task("owl")) is None
    identity = {"uid": UID, "createdAt": "2026-11-21T11:00:00+00:00", "generation": 1, "status": {}}
    place.folder.status("owl").write_text(json.dumps(identity))
    folder = place.folder.volume("tides-films") / "projects" / f"owl-{UID[:8]}"
    folder.mkdir(parents=True)
    (folder / "storyboard.json").write_text(json.dumps(a_storyboard(scenes=5)))
    assert len(place.load_storyboard(place.get_task("owl")).scenes) == 5


def test_a_watch_tells_all_films_first_then_what_changed_and_what_is_gone(place):
    place.folder.apply(manifest("VideoTask", "fox", a_spec()))
    watch = place.watch()
    assert [look.task.name for look in next(watch)] == ["fox", "heron"]
    place.change_task("fox", lambda _: change_spec("x", attempt=2))
    assert [look.task.name for look in next(watch)] == ["fox"]
    (place.folder.videotasks / "fox.yaml").unlink()
    assert [(look.task.name, look.is_gone) for look in next(watch)] == [("fox", True)]


def test_the_newest_log_is_that_of_the_highest_run_of_this_very_film(place):
    identity = {"uid": UID, "createdAt": "2026-11-21T11:00:00+00:00", "generation": 1, "status": {}}
    place.folder.status("heron").write_text(json.dumps(identity))
    tail = UID[:8]
    for name in (
        f"heron-video-generation-9-{tail}",
        f"heron-video-generation-10-{tail}",
        f"heron-sfx-generation-11-{tail}",
    ):
        (place.folder.logs / f"{name}.log").write_text("")
    (place.folder.logs / "heron-video-generation-12-99999999.log").write_text("an earlier film of this name")
    task = place.get_task("heron")
    assert place._newest_log(task, Step.VIDEO_GENERATION).stem == f"heron-video-generation-10-{tail}"
    assert place._newest_log(task, None).stem == f"heron-sfx-generation-11-{tail}"
    assert place._newest_log(task, Step.VIDEO_ASSEMBLY) is None


@pytest.mark.parametrize(
    ("document", "patch", "merged"),
    [  # from RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_are_laid_over_as_the_standard_says(document, patch, merged):
    assert merge(document, patch) == merged
