"""A list of many films is never whole in memory, and one that takes too long is begun anew."""

from __future__ import annotations

import json
import tracemalloc

from tests.support.builders import a_spec

from videotask_contract.steps import Step
from videotask_operator.core.model import TaskKey
from videotask_operator.kube.api import Api, ApiRefusedError
from videotask_operator.kube.build_job import JobSettings
from videotask_operator.kube.cluster import KubeCluster

FILMS = 500
PAGE = 100


def a_heavy_film(bodies, number):
    managed = [{"manager": f"m{number}", "fieldsV1": {f"f:part{i}-{number}": {} for i in range(60)}}]
    parts = {"spec": a_spec(), "status": {"phase": "Completed"}, "metadata": {"managedFields": managed}}
    return bodies.task(name=f"film-{number}", uid=f"uid-{number}", version=10 + number, **parts)


class ManyFilms(Api):
    """Answers with pages of films, and with the pages of a list that is no longer there as often as told."""

    def __init__(self, bodies, *, films, expires=0):
        self.bodies, self.films, self.expires, self.asked = bodies, films, expires, []
        self.pages = []

    def page(self, start):
        films = range(start, min(start + PAGE, self.films))
        return json.dumps([a_heavy_film(self.bodies, number) for number in films])

    async def _send(self, method, path, *, query=None, **_):
        if not path.endswith("/videotasks"):
            return {"metadata": {"resourceVersion": "9999"}, "items": []}
        assert (method, query["limit"]) == ("GET", str(PAGE))
        start = int(query.get("continue", 0))
        self.asked.append(start)
        if start and self.expires:
            self.expires -= 1
            raise ApiRefusedError("the provided continue parameter is too old", status=410)
        text = self.pages[start // PAGE] if self.pages else self.page(start)
        end = start + PAGE
        metadata = {"resourceVersion": "9999"} | ({"continue": str(end)} if end < self.films else {})
        return {"metadata": metadata, "items": json.loads(text)}


def a_cluster(api):
    return KubeCluster(api, namespaces=("studio",), jobs=JobSettings(images=dict.fromkeys(Step, "localhost/step:1")))


async def test_a_resync_of_many_films_keeps_a_page_at_a_time(bodies) -> None:
    api = ManyFilms(bodies, films=FILMS)
    cluster = a_cluster(api)
    assert await cluster.resync()
    api.pages = [api.page(start) for start in range(0, FILMS, PAGE)]
    tracemalloc.start()
    try:
        page = json.loads(api.pages[0])
        page_bytes, _ = tracemalloc.get_traced_memory()
        del page
        tracemalloc.reset_peak()
        assert await cluster.resync()
        kept_bytes, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert page_bytes > 1_000_000
    assert peak_bytes < 2 * page_bytes
    assert kept_bytes < page_bytes / 10, "what has not changed is not kept a second time"
    assert len(cluster.task_keys()) == FILMS


async def test_a_list_that_took_too_long_is_begun_anew(bodies) -> None:
    api = ManyFilms(bodies, films=250, expires=1)
    cluster = a_cluster(api)
    assert await cluster.resync()
    assert api.asked == [0, 100, 0, 100, 200]
    assert len(cluster.task_keys()) == 250


async def test_a_list_that_cannot_be_read_to_its_end_takes_nothing_away(bodies) -> None:
    api = ManyFilms(bodies, films=250)
    cluster = a_cluster(api)
    await cluster.resync()
    api.films, api.expires = 150, 9
    assert not await cluster.resync()
    assert len(cluster.task_keys()) == 250
    api.expires = 0
    assert await cluster.resync()
    assert cluster.observe(TaskKey("studio", "film-149")).task is not None
    assert len(cluster.task_keys()) == 150
