"""An edit changes the words that were named and keeps all other edits; what the storyboard cannot be is refused."""

from __future__ import annotations

import pytest
import yaml

from videotask_contract.errors import BadInputError
from videotask_operator.cli.editor import edit_fields
from videotask_operator.cli.edits import asset_words, clear_edits, edit_asset, edit_scene, scene_words
from videotask_operator.cli.exits import NotNowError

FIELDS = ("narration", "motion")


def edited(task, scene, **fields):
    return edit_scene(task, scene, fields, storyboard=task.storyboard).patch["spec"]["edits"]


def test_an_edit_is_one_guarded_patch_of_the_fields_that_were_named(task):
    change = edit_scene(task(), "2", {"narration": "Short."}, storyboard=task().storyboard)
    assert change.patch == {"spec": {"edits": {"assets": None, "scenes": [{"scene": "2", "narration": "Short."}]}}}
    assert change.guarded
    assert "remakes the narration, then the film" in change.words


def test_a_second_edit_of_a_scene_keeps_the_fields_of_the_first(task):
    film = task(edits={"scenes": [{"scene": "2", "narration": "Short."}, {"scene": "3", "motion": "Pan."}]})
    assert edited(film, "scene-2", motion="Zoom.")["scenes"] == [
        {"scene": "2", "narration": "Short.", "motion": "Zoom."},
        {"scene": "3", "motion": "Pan."},
    ]


def test_an_asset_is_edited_beside_scenes(task):
    film = task(edits={"scenes": [{"scene": "2", "narration": "Short."}]})
    edits = edit_asset(film, "hero-1", "a taller sailor", storyboard=film.storyboard).patch["spec"]["edits"]
    assert edits == {
        "assets": [{"name": "hero-1", "prompt": "a taller sailor"}],
        "scenes": [{"scene": "2", "narration": "Short."}],
    }


@pytest.mark.parametrize(
    ("scene", "fields", "complaint"),
    [
        ("9", {"narration": "x"}, "no scene '9'.*from 1 to 3"),
        ("2", {"narration": ""}, r"spec\.edits\.scenes\[2\]\.narration"),
        ("2", {"narration": "x" * 301}, "at most 300"),
        ("2", {"environment": "moon"}, r"spec\.storyboard\.scenes\[scene-2\]\.environment: 'moon'"),
        ("2", {"characters": ["hero-1", "harbour"]}, "'harbour' is no character or prop"),
        ("2", {}, "nothing is edited"),
    ],
)
def test_what_the_storyboard_cannot_be_is_refused_with_field_and_fix(task, scene, fields, complaint):
    with pytest.raises(BadInputError, match=complaint):
        edit_scene(task(), scene, fields, storyboard=task().storyboard)


def test_a_generated_storyboard_is_edited_without_being_seen(task):
    film = task(storyboard=None, topic="A heron")
    assert edited(film, "40", narration="Short.")["scenes"] == [{"scene": "40", "narration": "Short."}]


def test_clearing_takes_back_one_scene_one_asset_or_all(task):
    film = task(
        edits={"assets": [{"name": "hero-1", "prompt": "x"}], "scenes": [{"scene": "2", "narration": "Short."}]}
    )
    board = film.storyboard
    assert clear_edits(film, scene="02", asset=None, storyboard=board).patch["spec"]["edits"]["scenes"] is None
    assert clear_edits(film, scene=None, asset="hero-1", storyboard=board).patch["spec"]["edits"]["assets"] is None
    assert clear_edits(film, scene=None, asset=None, storyboard=board).patch == {"spec": {"edits": None}}
    assert clear_edits(film, scene="3", asset=None, storyboard=board).patch is None


def test_an_edit_is_not_called_absent_that_may_stand_under_the_scenes_other_name(task):
    film = task(storyboard=None, topic="A heron", edits={"scenes": [{"scene": "the-lamp", "motion": "Pan."}]})
    with pytest.raises(BadInputError, match=r"'7'.*may be one of the-lamp.*give that name.*--storyboard FILE"):
        clear_edits(film, scene="7", asset=None, storyboard=None)
    assert clear_edits(film, scene="the-moor", asset=None, storyboard=None).patch is None
    assert clear_edits(film, scene="the-lamp", asset=None, storyboard=None).patch


def test_the_same_edit_again_changes_nothing(task):
    film = task(edits={"scenes": [{"scene": "2", "narration": "Short."}]})
    assert edit_scene(film, "2", {"narration": "Short."}, storyboard=film.storyboard).patch is None


def test_a_film_that_is_over_is_not_edited(task):
    with pytest.raises(NotNowError):
        edit_scene(task(phase="Completed"), "2", {"narration": "x"}, storyboard=None)


def test_present_words_are_the_storyboards_with_the_edits_over_them(task):
    film = task(edits={"assets": [{"name": "hero-1", "prompt": "new"}], "scenes": [{"scene": "2", "motion": "Zoom."}]})
    words = scene_words(film, "02", storyboard=film.storyboard)
    assert (words["motion"], words["narration"]) == ("Zoom.", "Part 2: the tide comes in and nobody sleeps.")
    assert asset_words(film, "hero-1", storyboard=film.storyboard) == "new"
    assert asset_words(film, "harbour", storyboard=film.storyboard) == "a harbour at dusk"
    assert scene_words(film, "2", storyboard=None) == {"motion": "Zoom."}


def in_editor(*edits, check=lambda fields: None):
    """Return what is changed, and each text that the editor was opened with."""
    shown, answers = [], iter(edits)

    def edit(text):
        shown.append(text)
        return next(answers)(text)

    words = {"narration": "The lamp: it burns.", "motion": "Pan."}
    return edit_fields(words, about="Scene 2.", fields=FIELDS, check=check, edit=edit), shown


def test_an_editor_shows_present_words_and_only_what_changed_is_edited():
    changed, shown = in_editor(lambda text: text.replace("Pan.", "Zoom: slowly."[:4]))
    assert "narration: 'The lamp: it burns.'" in shown[0]
    assert changed == {"motion": "Zoom"}


@pytest.mark.parametrize("leave", [lambda text: text, lambda text: "", lambda text: "# only this\n"])
def test_an_editor_that_is_closed_without_a_change_changes_nothing(leave):
    assert in_editor(leave)[0] == {}


def test_a_field_that_was_emptied_is_not_taken_for_one_that_was_left():
    words = {"narration": "The lamp.", "characters": ["hero-1", "hero-2"]}

    def emptied(field):
        keep = yaml.safe_dump({name: words[name] for name in words if name != field}).splitlines()
        return edit_fields(
            words,
            about="",
            fields=("narration", "characters"),
            check=lambda _: None,
            edit=lambda _: "\n".join([*keep, f"{field}:"]),
        )

    assert emptied("characters") == {"characters": []}
    assert emptied("narration") == {"narration": ""}


def test_what_is_refused_opens_the_editor_again_with_the_words_kept_and_the_reason():
    def check(fields):
        if "bad" in fields["motion"]:
            raise BadInputError("motion: bad; say it better")

    changed, shown = in_editor(
        lambda text: text.replace("Pan.", "a bad pan"), lambda text: text.replace("bad", "good"), check=check
    )
    assert shown[1].startswith("# Not taken: motion: bad; say it better")
    assert "a bad pan" in shown[1]
    assert changed == {"motion": "a good pan"}


@pytest.mark.parametrize("text", ["motion: [", "just words", "speed: fast"])
def test_the_same_refused_text_saved_twice_ends_with_the_error(text):
    with pytest.raises(BadInputError):
        in_editor(lambda _: text, lambda _: text)
