"""A film that lacks a part of its channel says what, takes neither attempt nor money, and goes on once it is there."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.e2e.studio import CHANNEL, Film, Studio, storyboard

from videotask_contract.phases import Phase

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

SECONDS_TO_SAY_SO = 60
PAID_CALLS = 2 + 3
"""Of a film of one scene: two images, a clip, a narration and an effect."""


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((found for found in status.get("conditions", []) if found["type"] == kind), {})


def says(film: Film, kind: str, status: str, *words: str, since: float) -> dict[str, Any]:
    """Wait until a condition says so with these words, within a minute of what was missing."""

    def holds(seen: dict[str, Any]) -> dict[str, Any] | None:
        found = condition(seen, kind)
        told = found.get("status") == status and all(word in found["message"] for word in words)
        return seen if told else None

    left = SECONDS_TO_SAY_SO - (time.monotonic() - since)
    return film.wait(f"{kind} is {status} and says {words}", holds, timeout_seconds=left)


def assert_nothing_consumed(studio: Studio, film: Film, status: dict[str, Any]) -> None:
    assert (status["attempt"], status["costUSD"]) == (1, "0.0000")
    assert studio.sql("SELECT * FROM spend WHERE task_uid = %s", film.uid) == []
    [task] = studio.sql("SELECT step_attempt, lost_runs, error FROM tasks WHERE id = %s", film.uid)
    assert task == {"step_attempt": 1, "lost_runs": 0, "error": None}


def test_an_unknown_channel_is_named_and_the_film_goes_on_once_it_is_there(studio):
    """Nothing is started, so no run is even opened."""
    studio.channel(studio.a)
    begun = time.monotonic()
    film = studio.start(studio.film("channelless", channel="not-yet", storyboard=storyboard(1, mark="No channel.")))
    status = says(film, "Accepted", "False", "'not-yet'", "create it", since=begun)
    assert condition(status, "Accepted")["reason"] == "ChannelNotFound"
    assert condition(status, "NeedsAttention")["status"] == "True"
    assert status["message"] == condition(status, "Accepted")["message"]
    assert_nothing_consumed(studio, film, status)
    assert film.jobs() == []
    assert studio.sql("SELECT * FROM step_runs WHERE task_uid = %s", film.uid) == []
    assert studio.bill(mark="No channel.") == []
    assert any(event["type"] == "Warning" and "not-yet" in event["message"] for event in film.events())

    # On the volume of the channel that is there already.
    studio.channel(studio.a, "not-yet", volume={"claimName": CHANNEL})
    status = film.wait_phase(Phase.FINAL_REVIEW)
    assert condition(status, "Accepted")["status"] == "True"
    assert status["attempt"] == 1
    assert len(studio.bill(mark="No channel.")) == PAID_CALLS


def test_a_missing_secret_key_is_named_and_the_film_goes_on_once_it_is_there(studio):
    studio.channel(studio.a)
    studio.channel(studio.a, "keyless", volume={"claimName": CHANNEL})
    rename = [{"op": "move", "from": "/data/api-key", "path": "/data/mislaid"}]
    studio.cluster.patch("secret", "keyless-gemini", rename, "--type=json", namespace=studio.a)
    film = studio.start(studio.film("keyless", channel="keyless", storyboard=storyboard(1, mark="No key.")))
    film.wait_phase(Phase.GENERATING_ASSETS)
    status = says(film, "PodStarting", "False", "keyless-gemini", "api-key", since=time.monotonic())
    told = condition(status, "PodStarting")
    assert told["reason"] == "PodCannotStart"
    assert "create the Secret key it names" in told["message"]
    assert_nothing_consumed(studio, film, status)
    assert studio.bill(mark="No key.") == []
    assert any(event["reason"] == "PodCannotStart" for event in film.events())

    back = [{"op": "move", "from": "/data/mislaid", "path": "/data/api-key"}]
    studio.cluster.patch("secret", "keyless-gemini", back, "--type=json", namespace=studio.a)
    status = film.wait_phase(Phase.FINAL_REVIEW)
    assert status["attempt"] == 1
    assert len(studio.bill(mark="No key.")) == PAID_CALLS
    assert [run["outcome"] for run in studio.sql("SELECT outcome FROM step_runs WHERE task_uid = %s", film.uid)] == [
        "done"
    ] * 6
