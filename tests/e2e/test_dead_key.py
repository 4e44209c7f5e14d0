"""A provider revokes a channel's key: the channel stops once and waits for a person, and nobody else notices."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import pytest
from tests.e2e.harm import await_gate, own_channel
from tests.e2e.real_cluster import eventually
from tests.e2e.studio import Film, Studio, storyboard

from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_emulators.control import ControlClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

_SECONDS = 150
MARKS = ("First here.", "Second here.", "Third here.", "Elsewhere.")
IMAGES, CLIP = Counter({"image": 2}), Counter({"video": 1})
"""What a film of one scene buys up to its clips."""


def channel_status(studio: Studio, name: str) -> dict[str, Any]:
    return dict(studio.cluster.get("channel", name, namespace=studio.a).get("status", {}))


def readiness(studio: Studio, name: str) -> dict[str, Any]:
    conditions = channel_status(studio, name).get("conditions", [])
    return next((one for one in conditions if one["type"] == "Ready"), {})


def refused_state(studio: Studio, channel: str) -> dict[str, Any] | None:
    ready = readiness(studio, channel)
    return ready if ready.get("reason") == "AccountRefused" else None


def told(studio: Studio, channel: str, reason: str) -> int:
    """Return how often an event of this reason was given on a channel."""
    found = studio.cluster.list("event", namespace=studio.a)
    mine = [one for one in found if (one["involvedObject"]["name"], one["reason"]) == (channel, reason)]
    return sum(one.get("count") or 1 for one in mine)


def refusals(control: ControlClient) -> int:
    """Return how often Kling has refused a caller; a revoked key has no name any more."""
    return sum((call["provider"], call["status"]) == ("kling", 401) for call in control.calls())


def bill(studio: Studio, mark: str) -> Counter[str]:
    return Counter(entry["kind"] for entry in studio.bill(mark=mark))


def clip_runs(film: Film) -> list[dict[str, Any]]:
    query = "SELECT * FROM step_runs WHERE task_uid = %s AND step = %s ORDER BY number"
    return film.studio.sql(query, film.uid, Step.VIDEO_GENERATION.value)


def approve(film: Film, gate: str) -> None:
    film.patch({"approvals": {gate: {"decision": "Approved", "by": "alice", "round": 1}}}, user="alice")


def test_a_dead_key_stops_its_channel_alone_and_a_new_one_lets_it_go_on(studio: Studio) -> None:
    """Films are made as far as their clips, where a person is to look at them."""
    harbour, tides = own_channel(studio, "harbour"), own_channel(studio, "tides")
    studio.control.put_key("kling", name=harbour, trouble="revoked")
    refused_before = refusals(studio.control)

    def a_film(name: str, channel: str, mark: str, *gates: str) -> Film:
        board = storyboard(1, mark=mark)
        return studio.start(studio.film(name, channel=channel, storyboard=board, gates=list(gates)))

    first = a_film("first", harbour, MARKS[0], "video")
    second = a_film("second", harbour, MARKS[1], "assets", "video")
    status = first.wait_phase(Phase.VIDEO_ERROR)
    assert "1002" in status["message"], "in the provider's words"
    refused = refusals(studio.control)
    assert refused > refused_before
    assert len(clip_runs(first)) == 1, "a dead key is not tried again by itself"
    await_gate(second, "assets")
    approve(second, "assets")
    third, other = a_film("third", harbour, MARKS[2], "assets"), a_film("other", tides, MARKS[3], "video")

    ready = eventually("the channel says so", lambda: refused_state(studio, harbour), timeout_seconds=_SECONDS)
    account = f"{studio.a}/{harbour}-kling/api-key"
    assert account in ready["message"]
    assert "raise spec.attempt of one of its films" in ready["message"]
    assert channel_status(studio, harbour)["message"] == ready["message"]

    # One in the queue and one under way wait for it, with a reason; a film of another channel is made meanwhile.
    for film in (second, third):
        film.wait("it waits for the account", lambda status: account in status.get("message", ""))
    await_gate(other, "video")
    assert third.phase is Phase.QUEUED
    assert clip_runs(second) == clip_runs(third) == []
    assert [film.status.get("attempt", 1) for film in (second, third)] == [1, 1]
    assert [bill(studio, mark) for mark in MARKS] == [IMAGES, IMAGES, Counter(), IMAGES + CLIP]
    assert refusals(studio.control) == refused
    assert readiness(studio, tides)["status"] == "True"

    # A new key in the Secret, and a person's word.
    studio.control.put_key("kling", key=f"{harbour}-new", name=f"{harbour}-new")
    new_key = base64.b64encode(f"{harbour}-new".encode()).decode()
    studio.cluster.patch("secret", f"{harbour}-kling", {"data": {"api-key": new_key}}, namespace=studio.a)
    first.patch({"attempt": 2}, user="carol")
    await_gate(first, "video")
    await_gate(second, "video", review_round=2)
    await_gate(third, "assets")
    eventually("it is ready", lambda: readiness(studio, harbour).get("status") == "True")
    assert [bill(studio, mark) for mark in MARKS] == [IMAGES + CLIP, IMAGES + CLIP, IMAGES, IMAGES + CLIP]
    assert refusals(studio.control) == refused
    assert [len(clip_runs(film)) for film in (first, second, other)] == [2, 1, 1]
    assert [told(studio, harbour, reason) for reason in ("AccountRefused", "AccountWorks")] == [1, 1]
    assert told(studio, tides, "AccountRefused") == 0
    assert studio.sql("SELECT * FROM account_blocks WHERE channel = %s", harbour) == []
    # What waits at a gate is no longer needed; other tests count the films under way.
    for film in (first, second, third, other):
        film.patch({"state": "Cancelled"})
        film.wait_phase(Phase.CANCELLED)
