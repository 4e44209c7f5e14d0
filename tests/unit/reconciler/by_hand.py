"""A reconciler whose looks are taken by hand: who is woken is looked at, then admission looks, until all is still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.support.builders import NOON, a_channel, a_resource
from tests.support.memory_cluster import MemoryCluster

from videotask_operator.core.model import TaskKey, TaskRecord
from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

ROUNDS = 50
"""More than any of these tests needs to come to rest."""


def uid_of(number: int) -> str:
    return f"{number:08d}-2222-3333-4444-555555555555"


class HandTurned:
    """The loop over the in-memory ports, with a clock that stands still until a test moves it."""

    def __init__(self, **settings: Any) -> None:
        self.now = NOON
        self.cluster, self.store = MemoryCluster(), MemoryStore()
        self.cluster.now = lambda: self.now
        self.cluster.apply_channel(a_channel())
        self.reconciler = Reconciler(
            cluster=self.cluster,
            store=self.store,
            settings=Settings(namespaces=("studio",), **settings),
            clock=lambda: self.now,
        )
        self.reconciler._unseen = set()
        self.cluster.on_change(self.reconciler.wake)
        self.after_each_look: Callable[[], None] = lambda: None

    async def settle(self) -> None:
        """Look at whoever is woken, and let admission look, until nobody is woken any more."""
        queue = self.reconciler._queue
        for _ in range(ROUNDS):
            while not queue.empty():
                key = queue.get_nowait()
                self.reconciler._queued.discard(key)
                await self.reconciler._turn(key)
                self.after_each_look()
            await self.reconciler._admit()
            if queue.empty():
                return
        raise AssertionError("it never comes to rest")

    async def look_at_all(self) -> None:
        for key in self.cluster.task_keys():
            self.reconciler.wake(key)
        await self.settle()

    async def apply(self, number: int, *, name: str | None = None, **spec: Any) -> None:
        """Create or change film number so and so, and let all come to rest."""
        self.cluster.apply(a_resource(name=name or f"film-{number}", uid=uid_of(number), **spec))
        await self.settle()

    async def record(self, number: int) -> TaskRecord:
        async with self.store.transaction() as transaction:
            record = await transaction.load_task(uid_of(number))
        assert record is not None
        return record

    async def end_pods_of(self, number: int) -> None:
        """Let the Jobs and pods of a film be gone, and have it looked at."""
        for name in [name for name, (order, _) in self.cluster.jobs.items() if order.task_uid == uid_of(number)]:
            self.cluster.jobs.pop(name)
            self.cluster.pods.pop(name, None)
        self.reconciler.wake((await self.record(number)).key)
        await self.settle()

    def hold_up(self, *, channel: str, reason: str, message: str) -> None:
        """Let no pod of this channel start."""
        for name, (order, _) in self.cluster.jobs.items():
            pod = self.cluster.pods.get(name)
            if order.channel == channel and pod is not None:
                self.cluster.pods[name] = replace(pod, running=False, waiting_reason=reason, waiting_message=message)

    def close(self) -> None:
        for seat in self.reconciler._seats.values():
            if seat.timer is not None:
                seat.timer.cancel()

    def drop(self, name: str) -> None:
        """Take a resource away; nobody is told before the next look."""
        self.cluster.tasks.pop(TaskKey("studio", name))
