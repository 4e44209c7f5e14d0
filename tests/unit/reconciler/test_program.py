from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from tests.support.memory_cluster import MemoryCluster

from videotask_operator import __main__ as program
from videotask_operator.reconciler import Reconciler
from videotask_operator.reports import ReportServer
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore


class LockedStore(MemoryStore):
    """Another process holds the lock."""

    async def acquire(self, _timeout_seconds: float) -> None:
        await asyncio.Event().wait()


class Ears(ReportServer):
    """The report endpoint, which says where it listens."""

    port = 0

    async def start(self, *, host: str, port: int) -> int:
        self.port = await super().start(host=host, port=port)
        return self.port


async def test_who_waits_for_the_lock_is_alive_and_sends_steps_away_to_try_again(monkeypatch):
    monkeypatch.setattr(program, "_WAITING_TURN_SECONDS", 0.01)
    settings = Settings(namespaces=("studio",), report_port=0, bind_address="127.0.0.1")
    store, cluster = LockedStore(), MemoryCluster()
    store.is_leader = False
    reconciler = Reconciler(cluster=cluster, store=store, settings=settings)
    begun_at = reconciler.turned_at
    stop = asyncio.Event()
    nobody: Any = None
    reports = Ears(reconciler)
    lead = asyncio.create_task(
        program._lead(settings, None, stop, nobody, store, reconciler, reports, program.Watching())
    )
    async with asyncio.timeout(60):
        while reconciler.turned_at == begun_at:
            await asyncio.sleep(0.005)
        assert await answer_of(reports) == (503, "this operator does not decide now; try again", "close")
        stop.set()
        await lead
        with pytest.raises(aiohttp.ClientConnectorError):
            await answer_of(reports)


async def answer_of(reports: Ears) -> tuple[int, str, str]:
    url = f"http://127.0.0.1:{reports.port}/v1/runs/run1/permit"
    async with aiohttp.ClientSession() as http, http.post(url, json={"runId": "run1"}) as answer:
        return answer.status, (await answer.json())["error"], answer.headers["Connection"]
