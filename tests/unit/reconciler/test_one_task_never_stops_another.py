"""A task whose every look fails is tried again with longer and longer pauses, and the others go on meanwhile."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from tests.support.builders import a_channel, a_resource
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.steps import Step
from videotask_operator.core.model import TaskKey
from videotask_operator.reconciler import _WORKERS, Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

DEADLINE_SECONDS = 60


class SpoiltCluster(MemoryCluster):
    """Cannot be asked about some tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.spoilt: set[TaskKey] = set()
        self.looks = self.lists = 0
        self.lists_fail = False

    def task_keys(self):
        self.lists += 1
        if self.lists_fail:
            raise ValueError("nobody foresaw this list")
        return super().task_keys()

    def observe(self, key):
        if key in self.spoilt:
            self.looks += 1
            raise ValueError(f"nobody foresaw {key}")
        return super().observe(key)


@pytest.fixture(autouse=True)
def _quiet():
    """Keep the log from the terminal: a place in the code takes longer to print than a look."""
    with structlog.testing.capture_logs():
        yield


async def test_a_task_whose_every_look_fails_leaves_the_others_be():
    cluster = SpoiltCluster()
    settings = Settings(resync_seconds=1, namespaces=("studio",))
    reconciler = Reconciler(cluster=cluster, store=MemoryStore(), settings=settings)
    cluster.now = reconciler.clock
    cluster.apply_channel(a_channel())
    stop = asyncio.Event()
    loop = asyncio.create_task(reconciler.run(stop))
    # More of them than there are workers: not one worker may be lost to them.
    for number in range(_WORKERS + 2):
        bad = a_resource(name=f"bad-{number}", uid=f"bad-{number}")
        cluster.spoilt.add(bad.key)
        cluster.apply(bad)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while cluster.looks < 2 * len(cluster.spoilt):
            await asyncio.sleep(0.005)
        cluster.apply(a_resource(name="good"))
        while not cluster.orders:
            await asyncio.sleep(0.005)
    assert [(order.key.name, order.step) for order in cluster.orders] == [("good", Step.ASSET_GENERATION)]
    stop.set()
    await loop


async def test_a_look_at_all_that_fails_is_followed_by_the_next():
    cluster = SpoiltCluster()
    cluster.lists_fail = True
    settings = Settings(resync_seconds=0.01, namespaces=("studio",))
    reconciler = Reconciler(cluster=cluster, store=MemoryStore(), settings=settings)
    cluster.now = reconciler.clock
    cluster.apply_channel(a_channel())
    cluster.apply(a_resource(name="good"))
    stop = asyncio.Event()
    loop = asyncio.create_task(reconciler.run(stop))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while cluster.lists < 2:
            await asyncio.sleep(0.005)
        cluster.lists_fail = False
        while not cluster.orders:
            await asyncio.sleep(0.005)
    stop.set()
    await loop
