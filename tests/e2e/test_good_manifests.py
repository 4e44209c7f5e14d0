"""Manifests as people write them, each of which must become a film: odd texts, one scene, sixty, a topic alone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.studio import SMALL_FRAME, Film, Studio, storyboard
from tests.support.film_audit import audit_film

from videotask_contract import layout
from videotask_contract.phases import Phase
from videotask_contract.resources import FrameSize
from videotask_contract.storyboard import Storyboard

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

FRAME = FrameSize.model_validate(SMALL_FRAME)
MANY_SCENES = 60
MANY_SECONDS = 1500
ODD_TEXTS = {
    "emoji": "The fox 🦊 waves, 👩‍🚀🏳️‍🌈 and the lamp 🪔 burns.",
    "quotes": """She said "wait", and 'why?' and `echo $HOME` and “so”.""",
    "newlines": "One line of the song,\nand then another,\r\n\tand the last.",
    "percent": "It is 100% sure: %s, %d and %(name)s are words; {0} too.",
    "markup": "If a < b & c > d, then <b>stay</b> &amp; <!-- go --> ]]>.",
    "right-to-left": "אור אחד. نور.",
}
"""Short enough to be spoken within a clip of ten seconds; the emulators' voice spells what is not English."""


def odd_film(studio: Studio, name: str, text: str) -> dict[str, Any]:
    board = storyboard(1)
    board["assets"][1]["prompt"] = f"An old sailor. {text}"
    board["scenes"][0].update(motion=f"Slow pan. {text}", narration=text, soundEffect=f"Waves. {text}")
    return studio.film(name, storyboard=board, clip_seconds=10, title=f"A film: {text}")


@pytest.fixture(scope="module")
def films(studio: Studio) -> dict[str, Film]:
    """All of them, applied at once; the fleet makes three at a time."""
    manifests = {name: odd_film(studio, name, text) for name, text in ODD_TEXTS.items()}
    manifests["long-title"] = studio.film("long-title", title="é" * 200)
    manifests["topic"] = studio.film(
        "topic", storyboard=None, topic="A heron keeps the last lamp on a railway line", sceneCount=2, assetCount=4
    )
    return {name: studio.start(manifest) for name, manifest in manifests.items()}


@pytest.fixture(scope="module")
def small_films_are_done(films) -> None:
    """So that a film of sixty scenes does not work beside them, and its time is its own."""
    for film in films.values():
        film.wait_phase(Phase.FINAL_REVIEW, timeout_seconds=1200)


def assert_well_made(film: Film) -> Storyboard:
    """Hold the film on show to what it was made from, and return its storyboard."""
    files = film.files()
    audit = audit_film(files, frame=FRAME)
    assert audit.findings == []
    return Storyboard.model_validate_json((files / layout.STORYBOARD).read_bytes())


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_odd_texts_reach_the_film_letter_by_letter(studio, films, name):
    text, film = ODD_TEXTS[name], films[name]
    film.wait_phase(Phase.FINAL_REVIEW, timeout_seconds=1200)
    board = assert_well_made(film)
    assert board.scenes[0].narration == text
    assert board.assets[1].prompt.endswith(text)
    [row] = studio.sql("SELECT title FROM tasks WHERE id = %s", film.uid)
    assert row["title"] == film.resource["spec"]["title"] == f"A film: {text}"
    # The bill's own words are cut after 80 characters.
    assert text in {entry["text"] for entry in studio.bill() if entry["kind"] == "speech"}


def test_a_title_of_200_characters_is_kept_whole(studio, films):
    film = films["long-title"]
    film.wait_phase(Phase.FINAL_REVIEW, timeout_seconds=1200)
    assert_well_made(film)
    assert studio.sql("SELECT title FROM tasks WHERE id = %s", film.uid) == [{"title": "é" * 200}]


def test_a_topic_alone_becomes_a_storyboard_that_is_paid_once_and_then_a_film(studio, films):
    film = films["topic"]
    film.wait_phase(Phase.FINAL_REVIEW, timeout_seconds=1200)
    board = assert_well_made(film)
    assert (len(board.scenes), len(board.assets)) == (2, 4)
    texts = studio.sql("SELECT item FROM spend WHERE task_uid = %s AND step = 'asset_generation'", film.uid)
    assert len(texts) == 1 + 4
    written = [entry for entry in studio.bill() if entry["kind"] == "text"]
    assert len([entry for entry in written if entry["key_id"] == "gemini-demo"]) == 1
    [task] = studio.sql("SELECT storyboard_sha256, step_completion_metadata FROM tasks WHERE id = %s", film.uid)
    assert task["storyboard_sha256"]
    assert task["step_completion_metadata"]["total_clips"] == 2


def test_what_all_of_them_cost_is_what_the_providers_bill(studio, small_films_are_done, films):
    """Calls of films that work at the same time cannot be told apart on the bill; their sum can."""
    [row] = studio.sql(
        "SELECT sum(amount_usd) AS usd, min(opened_at) AS begun, max(closed_at) AS ended FROM spend JOIN "
        "(SELECT task_uid AS uid, min(opened_at) AS opened_at, max(closed_at) AS closed_at FROM step_runs "
        "GROUP BY 1) AS runs ON uid = task_uid WHERE task_uid = ANY(%s)",
        [film.uid for film in films.values()],
    )
    billed = studio.billed_between(row["begun"], row["ended"])
    assert abs(billed - row["usd"]) < 0.0001


def test_sixty_scenes_become_a_film(studio, small_films_are_done):
    film = studio.start(studio.film("sixty", scenes=MANY_SCENES, budgetUSD="60"))
    status = film.wait_phase(Phase.FINAL_REVIEW, timeout_seconds=MANY_SECONDS)
    print(f"\nsixty scenes: {status['film']}, {status['costUSD']} dollars")
    files = film.files()
    assert len(list((files / "clips").glob("clip_*.mp4"))) == MANY_SCENES
    assert [step["total"] for step in status["steps"][1:5]] == [MANY_SCENES] * 4
    planned = sum(
        row["duration_seconds"] + 0.5
        for row in studio.sql(
            "SELECT duration_seconds FROM items WHERE task_uid = %s AND step = 'narration_generation'", film.uid
        )
    )
    # Each scene is rounded up to a whole frame of the film's clock.
    frame_seconds = 1 / FRAME.frames_per_second
    assert planned <= float(status["film"]["durationSeconds"]) + 0.01
    assert float(status["film"]["durationSeconds"]) <= planned + MANY_SCENES * frame_seconds + 0.01
    assert abs(studio.billed_usd(film) - sum(row["amount_usd"] for row in spend_of(studio, film))) < 0.0001


def spend_of(studio: Studio, film: Film) -> list[dict[str, Any]]:
    return studio.sql("SELECT amount_usd FROM spend WHERE task_uid = %s", film.uid)
