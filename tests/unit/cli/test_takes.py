"""New takes are asked for once, for items that exist; a choice never hides what is made anew."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from videotask_contract.changes import Redo
from videotask_contract.errors import BadInputError
from videotask_contract.steps import Step
from videotask_operator.cli.exits import NotNowError
from videotask_operator.cli.references import parse_redo, parse_take
from videotask_operator.cli.takes import ask_redo, choose_takes, name_request

NOW = datetime(2026, 11, 22, 0, 31, 5, tzinfo=UTC)
CLIP_2 = {"step": "video_generation", "item": "2", "take": 1}
CLIP_3 = {"step": "video_generation", "item": "3", "take": 1}


def redo(task, *words, request="again"):
    return ask_redo(task, parse_redo(words), request=request, storyboard=task.storyboard).patch["spec"]


def take(task, *words):
    return choose_takes(task, [parse_take(word) for word in words], storyboard=task.storyboard)


def test_steps_and_items_are_read_in_all_their_spellings():
    steps = parse_redo(["video_generation:7,12", "video-generation:7", "images:heron", "narrations"])
    assert [(step.step, step.items) for step in steps] == [
        (Step.VIDEO_GENERATION, ("7", "12")),
        (Step.ASSET_GENERATION, ("heron",)),
        (Step.NARRATION_GENERATION, ()),
    ]


def test_a_step_alone_means_all_items_whatever_else_is_named():
    assert parse_redo(["clips:7", "clips"])[0].items == parse_redo(["clips", "clips:7"])[0].items == ()


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("clips:", "an item is missing"),
        ("clips:7,,8", "an item is missing"),
        ("clip7", "is no step"),
        ("composites:7", "the composites follow"),
        ("film", "the film follows"),
        ("clips:Heron!", "string should match"),
    ],
)
def test_a_typo_is_an_error_and_never_another_item(word, complaint):
    with pytest.raises(BadInputError, match=complaint):
        parse_redo([word])


@pytest.mark.parametrize("word", ["clips:7", "clips=1", "clips:7=", "clips:7=0", "clips:7=first", "clips:7=-1"])
def test_a_take_names_step_item_and_number(word):
    with pytest.raises(BadInputError):
        parse_take(word)


def test_a_request_can_be_read_and_fits_the_contract():
    steps = parse_redo(["clips:7,12", "images:a-name-that-is-as-long-as-names-may-be-x"])
    request = name_request(steps, now=NOW, token="k3f9")
    assert request == "clip-7-12-image-a-name-that-is-as-long-a-1122-003105-k3f9"
    Redo(request=request, steps=steps)


def test_a_redo_is_one_guarded_patch_of_the_request(task):
    change = ask_redo(task(), parse_redo(["clips:2"]), request="again", storyboard=task().storyboard)
    wanted = {"request": "again", "steps": [{"step": "video_generation", "items": ["2"]}]}
    assert change.patch == {"spec": {"redo": wanted}}
    assert change.guarded


def test_an_item_that_the_storyboard_has_not_is_refused_before_it_is_asked_for(task):
    with pytest.raises(BadInputError, match=r"no scene '4'.*from 1 to 3"):
        redo(task(), "clips:4")
    with pytest.raises(BadInputError, match="no asset 'heron'; it has harbour, hero-1"):
        redo(task(), "images:heron")


def test_a_generated_storyboard_does_not_stop_a_redo(task):
    assert redo(task(storyboard=None, topic="A heron"), "clips:40")["redo"]["request"] == "again"


def test_takes_chosen_for_what_is_made_anew_go_in_the_same_patch(task):
    film = task(takes=[CLIP_2, CLIP_3])
    assert redo(film, "clips:scene-2")["takes"] == [CLIP_3]
    assert redo(film, "clips:02")["takes"] == [CLIP_3]
    assert redo(film, "clips")["takes"] is None
    assert "takes" not in redo(film, "narrations")


def test_a_request_that_waits_is_asked_for_together_with_the_new_one(task):
    waiting = {"request": "first", "steps": [{"step": "video_generation", "items": ["1"]}]}
    film = task(redo=waiting)
    steps = redo(film, "clips:2", "narrations:1")["redo"]["steps"]
    assert steps == [
        {"step": "video_generation", "items": ["1", "2"]},
        {"step": "narration_generation", "items": ["1"]},
    ]
    assert redo(film, "clips")["redo"]["steps"] == [{"step": "video_generation"}]


def test_a_request_that_was_honoured_is_not_asked_for_again(task):
    done = {"request": "first", "steps": [{"step": "video_generation", "items": ["1"]}]}
    film = task(redo=done, status={"redoRequest": "first"})
    assert redo(film, "clips:2")["redo"]["steps"] == [{"step": "video_generation", "items": ["2"]}]


def test_a_request_id_is_used_once(task):
    done = {"request": "first", "steps": [{"step": "video_generation"}]}
    with pytest.raises(BadInputError, match="'first' was asked for already"):
        redo(task(redo=done, status={"redoRequest": "first"}), "clips:2", request="first")


def test_a_request_id_of_long_ago_is_not_used_again(task):
    film = task(status={"redoRequest": "second", "redoRequests": ["first", "second"]})
    with pytest.raises(BadInputError, match="'first' was asked for already"):
        redo(film, "clips:2", request="first")


def test_a_take_replaces_the_choice_of_that_item_alone(task):
    film = task(takes=[CLIP_2, CLIP_3])
    chosen = take(film, "clips:scene-2=4").patch["spec"]["takes"]
    assert chosen == [CLIP_3, {"step": "video_generation", "item": "scene-2", "take": 4}]


def test_latest_takes_the_choice_away_and_the_last_one_leaves_no_list(task):
    assert take(task(takes=[CLIP_2, CLIP_3]), "clips:2=latest").patch["spec"]["takes"] == [CLIP_3]
    assert take(task(takes=[CLIP_2]), "clips:2=latest").patch["spec"]["takes"] is None


def test_a_choice_that_stands_changes_nothing(task):
    assert take(task(takes=[CLIP_2]), "clips:2=1").patch is None
    assert take(task(), "clips:2=latest").patch is None


def test_a_choice_is_not_called_absent_that_may_stand_under_the_scenes_other_name(task):
    held = {"step": "video_generation", "item": "the-lamp", "take": 1}
    film = task(storyboard=None, topic="A heron", takes=[held])
    with pytest.raises(BadInputError, match=r"'7'.*may be one of the-lamp.*give that name"):
        choose_takes(film, [parse_take("clips:7=latest")], storyboard=None)
    assert choose_takes(film, [parse_take("clips:the-moor=latest")], storyboard=None).patch is None
    assert choose_takes(film, [parse_take("narrations:7=latest")], storyboard=None).patch is None


def test_no_take_is_chosen_of_what_is_about_to_be_made_anew(task):
    film = task(redo={"request": "first", "steps": [{"step": "video_generation", "items": ["2"]}]})
    with pytest.raises(NotNowError, match="not taken up yet"):
        take(film, "clips:02=1")
    assert take(film, "clips:3=1").patch


@pytest.mark.parametrize("phase", ["Completed", "Cancelled", "Failed"])
def test_a_film_that_is_over_is_not_made_anew(task, phase):
    with pytest.raises(NotNowError, match=phase):
        redo(task(phase=phase), "clips:2")
    with pytest.raises(NotNowError, match=phase):
        take(task(phase=phase), "clips:2=1")
