"""A report is taken for the run in its address and its token; words that name another run or step are refused."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from tests.support.builders import a_channel, a_report, a_resource
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.steps import Step
from videotask_operator.reconciler import Reconciler
from videotask_operator.reports import ReportServer
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

DEADLINE_SECONDS = 30


@pytest.mark.parametrize(
    "lie", [{"run_id": "another-run"}, {"step": Step.VIDEO_ASSEMBLY.value}], ids=["another run", "another step"]
)
async def test_a_report_whose_words_are_for_another_run_or_step_is_refused(lie):
    cluster = MemoryCluster()
    reconciler = Reconciler(
        cluster=cluster, store=MemoryStore(), settings=Settings(resync_seconds=0.1, namespaces=("studio",))
    )
    cluster.now = reconciler.clock
    reports = ReportServer(reconciler)
    url = f"http://127.0.0.1:{await reports.start(host='127.0.0.1', port=0)}"
    cluster.apply_channel(a_channel())
    cluster.apply(a_resource())
    stop = asyncio.Event()
    loop = asyncio.create_task(reconciler.run(stop))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not cluster.orders:
            await asyncio.sleep(0.005)
    (order,) = cluster.orders
    async with reconciler.store.transaction() as transaction:
        run = await transaction.load_run(order.run_id)
    lying = a_report(run).model_copy(update=lie)
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer token-{order.run_id}"}) as http,
        http.post(
            f"{url}/v1/runs/{order.run_id}/final", json=lying.model_dump(mode="json", by_alias=True, exclude_none=True)
        ) as answer,
    ):
        assert answer.status == 400
        assert "another run or step" in (await answer.json())["error"]
    async with reconciler.store.transaction() as transaction:
        assert (await transaction.load_run(order.run_id)).is_open
    stop.set()
    await loop
    await reports.stop()
