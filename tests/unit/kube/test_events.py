from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import NOON, UID

from videotask_operator.core.model import EventDraft, EventType, TaskKey
from videotask_operator.kube.events import EventPoster

FILM = TaskKey("studio", "film")


class Clock:
    now = NOON

    def __call__(self) -> Any:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def poster(make_api, clock) -> EventPoster:
    return EventPoster(make_api(), reporter="operator-0", now=clock)


def a_draft(message: str = "the pod cannot start") -> EventDraft:
    return EventDraft(type=EventType.WARNING, reason="PodCannotStart", message=message)


async def test_an_event_names_the_task_so_that_describe_finds_it(server, poster) -> None:
    await poster.post(FILM, uid=UID, event=a_draft())
    [event] = server.objects.values()
    assert event["involvedObject"] == {
        "apiVersion": "videotask.dev/v1alpha1",
        "kind": "VideoTask",
        "namespace": "studio",
        "name": "film",
        "uid": UID,
    }
    assert (event["type"], event["reason"], event["count"]) == ("Warning", "PodCannotStart", 1)
    assert event["firstTimestamp"] == "2026-11-21T12:00:00Z"
    assert event["metadata"]["name"].startswith("film.")


async def test_the_same_words_within_ten_minutes_are_counted(server, poster, clock) -> None:
    for _ in range(3):
        await poster.post(FILM, uid=UID, event=a_draft())
        clock.now += timedelta(minutes=9)
    [event] = server.objects.values()
    assert event["count"] == 3
    assert event["lastTimestamp"] == "2026-11-21T12:18:00Z"


async def test_after_ten_quiet_minutes_it_is_a_new_event(server, poster, clock) -> None:
    await poster.post(FILM, uid=UID, event=a_draft())
    clock.now += timedelta(minutes=10)
    await poster.post(FILM, uid=UID, event=a_draft())
    assert len(server.objects) == 2


async def test_other_words_and_other_tasks_are_other_events(server, poster) -> None:
    await poster.post(FILM, uid=UID, event=a_draft())
    await poster.post(FILM, uid=UID, event=a_draft("it still cannot"))
    await poster.post(FILM, uid="re-created", event=a_draft())
    assert [event["count"] for event in server.objects.values()] == [1, 1, 1]


async def test_an_event_that_the_cluster_has_dropped_is_posted_anew(server, poster) -> None:
    await poster.post(FILM, uid=UID, event=a_draft())
    server.objects.clear()
    await poster.post(FILM, uid=UID, event=a_draft())
    assert len(server.objects) == 1


@pytest.mark.parametrize("status", [403, 503])
async def test_a_failure_to_post_is_harmless_and_the_next_one_is_tried(server, poster, status) -> None:
    server.refuse("POST", status)
    await poster.post(FILM, uid=UID, event=a_draft())
    server.refusals.clear()
    await poster.post(FILM, uid=UID, event=a_draft())
    assert len(server.objects) == 1


async def test_long_words_are_cut_to_what_kubernetes_takes(server, poster) -> None:
    await poster.post(TaskKey("studio", "f" * 253), uid=UID, event=a_draft("x" * 3000))
    [event] = server.objects.values()
    assert len(event["message"]) == 1024
    assert len(event["metadata"]["name"]) <= 253
