"""Makes the sample film of 22 images and 18 scenes on the cluster; it must change nothing of it but its name."""

from __future__ import annotations

import time
import uuid
from typing import Any

import yaml
from tests.e2e.recording import Making, SessionGuard, Watch
from tests.e2e.studio import SAMPLES, Film, Studio

from videotask_contract.phases import Phase

CHANNEL = "house"
APPROVER = "alice"
HOUSE_FILM_SECONDS = 1800
"""Deadline on a busy machine; on two idle cores it takes about a quarter of that."""


def make_house_film(studio: Studio) -> Making:
    """Apply it, watch it to its review, describe it, have it approved, and return all that was seen."""
    _apply_channel(studio)
    manifest = _sample("videotask.yaml", "VideoTask")
    manifest["metadata"]["name"] += f"-{uuid.uuid4().hex[:5]}"
    manifest["spec"]["channelRef"]["name"] = CHANNEL
    begun = time.monotonic()
    film = studio.start(manifest)
    watch = Watch(film, studio.folder / "house-film")
    with watch, SessionGuard(studio, film) as guard:
        _begin_once_all_look(studio, film, watch)
        at_review = film.wait_phase(Phase.FINAL_REVIEW, timeout_seconds=HOUSE_FILM_SECONDS)
        seconds = time.monotonic() - begun
        described = studio.cluster.kubectl("describe", "videotask", film.name, namespace=film.namespace).stdout
        status = film.approve(user=APPROVER)
        _await_end_of_watch(film, watch)
    return Making(
        film=film,
        watch=watch,
        samples=guard.samples,
        bill=studio.bill(film),
        at_review=at_review,
        described=described,
        status=status,
        jobs=film.jobs(),
        pods=film.pods(),
        files=film.files(),
        seconds=seconds,
    )


def _begin_once_all_look(studio: Studio, film: Film, watch: Watch) -> None:
    """Let the channel go on when each watch shows the film in the queue: none may miss its first phases."""

    def all_see_it_wait(_: dict[str, Any]) -> bool:
        tables = [watch.lines(name) for name in ("table", "wide")]
        seen = all(lines and Phase.QUEUED.resource in lines[-1] for lines in tables)
        return seen and any(status.get("phase") == Phase.QUEUED.resource for status in watch.whole_statuses())

    film.wait("the watches see it in the queue", all_see_it_wait, timeout_seconds=120)
    studio.cluster.patch("channel", CHANNEL, {"spec": {"state": "Running"}}, namespace=film.namespace)


def _await_end_of_watch(film: Film, watch: Watch) -> None:
    def all_have_seen_it(_: dict[str, Any]) -> bool:
        tables = [watch.lines(name) for name in ("table", "wide")]
        return all(lines[-1][1] == Phase.COMPLETED.resource for lines in tables)

    film.wait("the watches have seen the end", all_have_seen_it, timeout_seconds=30)


def _apply_channel(studio: Studio) -> None:
    """Apply the sample's Channel, its look and voice, with Secrets and a volume of the studio's making."""
    spec = _sample("channel.yaml", "Channel")["spec"]
    for ours in ("credentials", "volume"):
        spec.pop(ours)
    studio.channel(studio.a, CHANNEL, **spec, state="Paused")


def _sample(file: str, kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((SAMPLES / file).read_text(encoding="utf-8"))
    return next(document for document in documents if document and document["kind"] == kind)
