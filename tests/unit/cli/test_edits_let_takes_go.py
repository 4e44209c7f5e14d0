"""New words let go of the takes that would hide them, in the same patch, and of no others."""

from __future__ import annotations

from videotask_operator.cli.edits import clear_edits, edit_asset, edit_scene

VOICE_2 = {"step": "narration_generation", "item": "2", "take": 1}
CLIP_2 = {"step": "video_generation", "item": "scene-2", "take": 1}
VOICE_3 = {"step": "narration_generation", "item": "3", "take": 2}
IMAGE = {"step": "asset_generation", "item": "hero-1", "take": 1}
TAKES = [VOICE_2, CLIP_2, VOICE_3, IMAGE]
EDITS = {"scenes": [{"scene": "2", "narration": "Short."}], "assets": [{"name": "hero-1", "prompt": "a sailor"}]}


def test_an_edit_of_a_scene_lets_go_of_takes_of_what_it_remakes(task):
    film = task(takes=TAKES)
    spoken = edit_scene(film, "scene-2", {"narration": "Short."}, storyboard=film.storyboard)
    assert spoken.patch["spec"]["takes"] == [CLIP_2, VOICE_3, IMAGE]
    assert "the takes chosen for what it remakes are let go" in spoken.words
    moved = edit_scene(film, "2", {"motion": "Pan."}, storyboard=film.storyboard)
    assert moved.patch["spec"]["takes"] == [VOICE_2, VOICE_3, IMAGE]


def test_an_edit_of_an_asset_lets_go_of_its_take_and_the_last_one_leaves_no_list(task):
    film = task(takes=[IMAGE])
    change = edit_asset(film, "hero-1", "a taller sailor", storyboard=film.storyboard)
    assert change.patch["spec"]["takes"] is None


def test_an_edit_of_anything_else_says_nothing_of_takes(task):
    film = task(takes=TAKES)
    change = edit_scene(film, "2", {"soundEffect": "Rain."}, storyboard=film.storyboard)
    assert "takes" not in change.patch["spec"]
    assert "let go" not in change.words


def test_an_edit_that_is_taken_back_lets_go_of_takes_of_its_words(task):
    film = task(takes=TAKES, edits=EDITS)
    one = clear_edits(film, scene="scene-2", asset=None, storyboard=film.storyboard)
    assert one.patch["spec"]["takes"] == [CLIP_2, VOICE_3, IMAGE]
    whole = clear_edits(film, scene=None, asset=None, storyboard=film.storyboard)
    assert whole.patch["spec"]["takes"] == [CLIP_2, VOICE_3]
