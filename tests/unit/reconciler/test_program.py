from __future__ import annotations

import asyncio
from typing import Any

from tests.support.memory_cluster import MemoryCluster

from videotask_operator import __main__ as program
from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore


class LockedStore(MemoryStore):
    """Another process holds the lock."""

    async def acquire(self, _timeout_seconds: float) -> None:
        await asyncio.Event().wait()


async def test_who_waits_for_the_lock_is_alive(monkeypatch):
    monkeypatch.setattr(program, "_WAITING_TURN_SECONDS", 0.01)
    settings, store, cluster = Settings(namespaces=("studio",)), LockedStore(), MemoryCluster()
    reconciler = Reconciler(cluster=cluster, store=store, settings=settings)
    begun_at = reconciler.turned_at
    stop = asyncio.Event()
    nobody: Any = None
    lead = asyncio.create_task(
        program._lead(settings, None, stop, nobody, store, reconciler, nobody, program.Watching())
    )
    async with asyncio.timeout(60):
        while reconciler.turned_at == begun_at:
            await asyncio.sleep(0.005)
        stop.set()
        await lead
