"""Two operators behind one Service: the one without the lock, or without sight, sends a step away to try again."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from tests.support.builders import a_report, a_resource
from tests.support.memory_cluster import MemoryCluster
from tests.unit.reconciler.test_reconciler import Studio

from videotask_contract.steps import Step
from videotask_operator.reconciler import Reconciler
from videotask_operator.reports import ReportServer

CALLS = ("permit", "progress", "final")


class BlindCluster(MemoryCluster):
    """Nothing was listed yet."""

    is_synced = False  # type: ignore[assignment]


async def ask(url: str, run_id: str, what: str, body: dict) -> tuple[int, dict, aiohttp.ClientResponse]:
    headers = {"Authorization": f"Bearer token-{run_id}"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/runs/{run_id}/{what}", json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json(), answer


@pytest.mark.parametrize("what", CALLS)
async def test_one_that_lost_the_lock_changes_nothing_and_closes_its_connection(what):
    async with Studio().open() as studio:
        studio.cluster.apply(a_resource())
        order = await studio.order_of(Step.ASSET_GENERATION)
        assert (await studio.post(order, "permit", {"runId": order.run_id}))[0] == 200
        before = await studio.run_of(order)
        report = a_report(before, done=before.total, total=before.total)
        bodies = {
            "permit": {"runId": order.run_id},
            "progress": {"runId": order.run_id, "done": 1, "total": 2},
            "final": report.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        studio.store.is_leader = False
        status, body, answer = await ask(studio.url, order.run_id, what, bodies[what])
        assert (status, body["error"]) == (503, "this operator does not decide now; try again")
        assert (answer.headers["Retry-After"], answer.headers["Connection"]) == ("1", "close")
        studio.store.is_leader = True
        assert await studio.run_of(order) == before
        assert (await ask(studio.url, order.run_id, what, bodies[what]))[0] == 200, "the same words are taken later"


@pytest.mark.parametrize("what", CALLS)
async def test_one_that_has_not_seen_the_cluster_yet_takes_nothing(what):
    studio = Studio()
    reconciler = Reconciler(cluster=BlindCluster(), store=studio.store, settings=studio.settings)
    reports = ReportServer(reconciler)
    url = f"http://127.0.0.1:{await reports.start(host='127.0.0.1', port=0)}"
    try:
        async with asyncio.timeout(60):
            status, body, _ = await ask(url, "run1", what, {})
        assert (status, body["error"]) == (503, "this operator has not seen the cluster yet; try again")
    finally:
        await reports.stop()
