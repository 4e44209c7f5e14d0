"""A slow film takes one worker and no more, and a stop lets the turns under way end."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.builders import a_channel, a_resource
from tests.support.memory_cluster import MemoryCluster

from videotask_operator.reconciler import _WORKERS, Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

DEADLINE_SECONDS = 60
SLOW = a_resource(name="slow", uid="aaaaaaaa-0000-0000-0000-000000000000").key


class SlowCluster(MemoryCluster):
    """Answers nothing about one film's status until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.answered = 0

    async def save_status(self, key, *, uid, status):
        if key == SLOW:
            self.is_asked.set()
            await self.may_answer.wait()
            self.answered += 1
        await super().save_status(key, uid=uid, status=status)


@pytest.fixture
async def house():
    cluster, store, stop = SlowCluster(), MemoryStore(), asyncio.Event()
    reconciler = Reconciler(cluster=cluster, store=store, settings=Settings(namespaces=("studio",)))
    cluster.now = reconciler.clock
    cluster.apply_channel(a_channel())
    loop = asyncio.create_task(reconciler.run(stop))
    cluster.apply(a_resource(name=SLOW.name, uid="aaaaaaaa-0000-0000-0000-000000000000"))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await cluster.is_asked.wait()
    yield cluster, reconciler, stop, loop
    cluster.may_answer.set()
    stop.set()
    await loop


async def until(condition) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_slow_film_that_is_asked_for_again_and_again_takes_one_worker(house) -> None:
    cluster, reconciler, _, _ = house
    for _ in range(_WORKERS + 1):
        reconciler.wake(SLOW)
        await until(lambda: SLOW not in reconciler._queued)  # a worker has taken it up
    cluster.apply(a_resource(name="other", uid="bbbbbbbb-0000-0000-0000-000000000000"))
    await until(lambda: any(key.name == "other" for key, _ in cluster.shown))


async def test_what_was_asked_meanwhile_is_looked_at_when_the_turn_ends(house) -> None:
    cluster, reconciler, _, _ = house
    seat = reconciler._seats[SLOW]
    reconciler.wake(SLOW)
    await until(lambda: seat.again)
    cluster.may_answer.set()
    await until(lambda: any(order.key == SLOW for order in cluster.orders))
    await until(lambda: not seat.again)


async def test_a_stop_lets_the_turn_under_way_end(house) -> None:
    cluster, _, stop, loop = house
    stop.set()
    await asyncio.sleep(0)
    cluster.may_answer.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await loop
    assert cluster.answered, "what it had begun to show is shown"
