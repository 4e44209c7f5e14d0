"""The films that make demo and make film ask for are sound, under fresh names and within the price that is promised."""

from __future__ import annotations

import io
import json
import sys

import pytest

from film_making import film, samples, watch
from film_making.failure import FilmError
from film_making.key_file import read_keys
from film_making.results import price_usd
from videotask_contract.steps import Provider


@pytest.mark.parametrize(("full", "images", "scenes"), [(True, 22, 18), (False, 11, 4)])
def test_the_samples_have_the_promised_sizes(full, images, scenes):
    board = samples.parse_task(samples.load_task(full=full)).storyboard
    assert (len(board.assets), len(board.scenes)) == (images, scenes)


def test_the_house_film_costs_between_6_and_13_dollars():
    task = samples.parse_task(samples.load_task(full=True))
    assert 6 <= price_usd(samples.parse_channel(samples.load_channel()), task) <= 13


@pytest.mark.parametrize("count", [1, 2, 18])
def test_a_film_cut_to_its_first_scenes_is_sound_and_pays_for_no_asset_it_does_not_use(count):
    task = samples.with_first_scenes(samples.load_task(full=True), count)
    board = samples.parse_task(task).storyboard
    used = {scene.environment for scene in board.scenes} | {name for s in board.scenes for name in s.characters}
    assert len(board.scenes) == count
    assert {asset.name for asset in board.assets} == used


def test_a_fresh_name_is_a_legal_name_and_leaves_the_sample_alone():
    task = samples.load_task(full=True)
    fresh = samples.with_fresh_name(task)
    assert fresh["metadata"]["name"].startswith("reedwater-")
    assert task["metadata"]["name"] == "reedwater"
    assert fresh["metadata"]["name"] == fresh["metadata"]["name"].lower()


@pytest.mark.parametrize("wrong", ["0", "19", "-1", "two", "1.5"])
def test_a_wrong_number_of_scenes_is_refused_with_the_right_ones(monkeypatch, wrong):
    monkeypatch.setenv("SCENES", wrong)
    with pytest.raises(FilmError, match="from 1 to 18"):
        film._wanted_task()


def test_unknown_providers_are_refused_before_anything_is_done(monkeypatch):
    monkeypatch.setenv("PROVIDERS", "reel")
    with pytest.raises(FilmError, match="emulators"):
        film._wants_real_providers()


def test_money_is_never_spent_without_a_terminal_or_a_yes(monkeypatch):
    monkeypatch.delenv("YES", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(FilmError, match="YES=1"):
        film._ask(None)


def a_key_file(tmp_path, text, mode=0o600):
    path = tmp_path / "keys.env"
    path.write_text(text)
    path.chmod(mode)
    return path


GOOD = "# mine\nGEMINI_API_KEY=g\nKLING_API_KEY='k=='\n\nELEVENLABS_API_KEY = e \n"


def test_quotes_blanks_and_comments_in_a_key_file_do_no_harm(tmp_path):
    keys = read_keys(a_key_file(tmp_path, GOOD))
    assert keys == {Provider.GEMINI: "g", Provider.KLING: "k==", Provider.ELEVENLABS: "e"}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_file_that_others_may_read_is_refused(tmp_path, mode):
    with pytest.raises(FilmError, match="chmod 600"):
        read_keys(a_key_file(tmp_path, GOOD, mode))


def test_missing_keys_are_named_and_given_ones_never_shown(tmp_path):
    with pytest.raises(FilmError) as caught:
        read_keys(a_key_file(tmp_path, "GEMINI_API_KEY=very-secret\nKLING_API_KEY=\n"))
    assert "KLING_API_KEY, ELEVENLABS_API_KEY" in str(caught.value)
    assert "very-secret" not in str(caught.value)


def test_a_missing_key_file_is_a_sentence(tmp_path):
    with pytest.raises(FilmError, match="one NAME=value a line"):
        read_keys(tmp_path / "keys.env")


def test_documents_that_follow_one_another_are_told_apart():
    objects = [{"a": {"b": "}\n}"}}, {"status": {"phase": "Queued"}}, {}]
    text = "".join(json.dumps(one, indent=4) + "\n" for one in objects)
    assert list(watch._documents(io.StringIO(text))) == objects
