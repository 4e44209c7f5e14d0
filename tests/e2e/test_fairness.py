"""Two channels share a fleet of three: who has the next turn, and never a fourth film under way."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.harm import held_calls, hold, own_channel
from tests.e2e.studio import Film, Studio, storyboard

from videotask_contract.phases import Phase

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

FLEET_CAP = 3
"""The chart's default."""
_SECONDS = 150


def test_a_free_place_goes_by_priority_and_then_to_the_channel_with_fewer_films(studio, eventual):
    full, other = own_channel(studio, "full"), own_channel(studio, "other", namespace=studio.b)
    eventual("the fleet is free", lambda: under_way(studio) == [], timeout_seconds=_SECONDS)

    # The first channel takes the whole fleet, and its films stand in their first step.
    images = hold(studio, full, "image", calls=2 * FLEET_CAP)
    first = [studio.start(marked(studio, f"first-{number}", full)) for number in range(FLEET_CAP)]
    images.wait()

    # These wait, in the order of their age.
    aged = studio.start(studio.film("aged", channel=full))
    low = studio.start(studio.film("low", channel=other, priority="low"), namespace=studio.b)
    fair = studio.start(studio.film("fair", channel=other), namespace=studio.b)
    high = studio.start(studio.film("high", channel=full, priority="high"))
    waiting = [aged, low, fair, high]
    for film in waiting:
        film.wait("it waits for its turn", lambda status: status.get("phase") == Phase.QUEUED.resource)
    assert len(under_way(studio)) == FLEET_CAP

    # Each place that becomes free is taken by the next in order.
    turns = [high, fair, aged, low]
    for number, next_one in enumerate(turns[:FLEET_CAP]):
        first[number].patch({"state": "Cancelled"})
        first[number].wait("it is stopping", lambda status: "waits until its pod is gone" in status["message"])
        for call in held_calls(studio, full):
            if f"first-{number}" in call["text"]:
                studio.control.release(call["request_id"])
        next_one.wait("it has its turn", lambda status: status.get("claimedAt"), timeout_seconds=_SECONDS)
        assert len(under_way(studio)) == FLEET_CAP
    images.end()
    for film in waiting:
        film.wait_phase(Phase.FINAL_REVIEW)
    assert claimed(studio, waiting) == [film.name for film in turns]
    assert most_at_once(studio, [*first, *waiting]) <= FLEET_CAP


def marked(studio: Studio, name: str, channel: str) -> dict[str, Any]:
    """Return a film's manifest whose prompts begin with its name, so that its calls can be told from others'."""
    board = storyboard(1)
    for asset in board["assets"]:
        asset["prompt"] = f"{name}: {asset['prompt']}"
    return studio.film(name, channel=channel, storyboard=board)


def under_way(studio: Studio) -> list[str]:
    """Return the films that hold a place of the fleet."""
    free = "('queued', 'final_review', 'approved', 'completed', 'cancelled', 'failed', 'suspended', 'budget_exceeded')"
    query = f"SELECT name FROM tasks WHERE status NOT IN {free} AND status NOT LIKE '%_error'"
    return [row["name"] for row in studio.sql(query)]


def claimed(studio: Studio, films: list[Film]) -> list[str]:
    """Return the films' names in the order in which they had their turns."""
    query = "SELECT name FROM tasks WHERE id = ANY(%s) ORDER BY claimed_at"
    return [row["name"] for row in studio.sql(query, [film.uid for film in films])]


def most_at_once(studio: Studio, films: list[Film]) -> int:
    """Return how many runs were open at once at most: a run is closed when its pod is proved gone, or has reported."""
    runs = studio.sql(
        "SELECT opened_at, closed_at FROM step_runs WHERE task_uid = ANY(%s)", [film.uid for film in films]
    )
    return max(
        sum(
            (other["opened_at"] <= run["opened_at"] and (other["closed_at"] or run["opened_at"]) > run["opened_at"])
            or other is run
            for other in runs
        )
        for run in runs
    )
