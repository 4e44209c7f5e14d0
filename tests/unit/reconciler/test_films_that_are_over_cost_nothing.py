"""A film that is over is looked at when something happens to it, and an outage does not fill the log."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import structlog
from tests.support.builders import NOON, UID, a_channel, a_job, a_pod, a_record, a_resource, a_run
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.errors import TransientError
from videotask_contract.phases import TERMINAL, Phase
from videotask_operator.core.model import TaskKey
from videotask_operator.core.ports import StoreUnavailableError
from videotask_operator.core.retention import Extent
from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

FILM = TaskKey("studio", "film")


class House:
    """A reconciler whose looks a test takes by hand."""

    def __init__(self) -> None:
        self.cluster, self.store, self.now = MemoryCluster(), MemoryStore(), NOON
        self.cluster.apply_channel(a_channel())
        self.reconciler = Reconciler(
            cluster=self.cluster,
            store=self.store,
            settings=Settings(namespaces=("studio",)),
            clock=lambda: self.now,
        )
        self.cluster.on_change(self.reconciler._take_change)

    async def looks(self) -> list[TaskKey]:
        """Return whom a look at all wakes, once all that were woken before are forgotten."""
        self.woken()
        await self.reconciler._look_at_all()
        return self.woken()

    def woken(self) -> list[TaskKey]:
        keys = []
        while not self.reconciler._queue.empty():
            keys.append(self.reconciler._queue.get_nowait())
        self.reconciler._queued.clear()
        return keys

    async def record(self, phase: Phase) -> None:
        async with self.store.transaction() as transaction:
            await transaction.save_task(a_record(phase=phase, pipeline_end_time=NOON))


@pytest.mark.parametrize("phase", sorted(TERMINAL))
async def test_a_film_that_is_over_is_woken_by_events_and_by_no_clock(phase):
    house = House()
    await house.record(phase)
    film = a_resource(status={"phase": phase.resource, "observedGeneration": 1})
    house.cluster.apply(film)
    assert house.woken() == [], "the first list tells of every film"
    for _ in range(3):
        assert await house.looks() == [], "not even the first look after a start costs a film that is over anything"
    house.cluster.apply(film)
    assert house.woken() == [FILM]


@pytest.mark.parametrize("status", [{"observedGeneration": 1}, {}])
async def test_after_a_start_a_film_that_is_over_is_looked_at_if_its_spec_changed_meanwhile(status):
    house = House()
    await house.record(Phase.COMPLETED)
    changed = replace(a_resource(status={"phase": "Completed", **status}), generation=2)
    house.cluster.apply(changed)
    assert await house.looks() == [FILM]
    assert await house.looks() == []


async def test_after_a_start_a_film_that_is_over_is_looked_at_if_its_record_was_lost():
    house = House()
    house.cluster.apply(a_resource(status={"phase": "Completed", "observedGeneration": 1}))
    assert await house.looks() == [FILM]


async def test_the_first_look_waits_for_the_record(monkeypatch):
    house = House()
    house.cluster.apply(a_resource())
    answer = house.store.transaction

    def refuse():
        raise StoreUnavailableError("the database is away")

    monkeypatch.setattr(house.store, "transaction", refuse)
    assert await house.looks() == []
    house.cluster.apply(a_resource())
    assert house.woken() == [], "the first look will take it up"
    monkeypatch.setattr(house.store, "transaction", answer)
    assert await house.looks() == [FILM]


async def test_a_film_is_looked_at_until_its_end_is_shown_and_while_its_record_says_otherwise():
    house = House()
    await house.record(Phase.COMPLETED)
    house.cluster.apply(a_resource(status={"phase": "Approved"}))
    await house.looks()
    assert await house.looks() == [FILM], "its end is not shown yet"
    await house.record(Phase.GENERATING_VIDEO)
    house.cluster.apply(a_resource(status={"phase": "Completed"}))
    assert await house.looks() == [FILM], "the record counts, and no status"


async def test_what_still_works_for_a_film_that_is_over_is_looked_after(monkeypatch):
    """The event that told of it was lost."""
    house = House()
    await house.record(Phase.CANCELLED)
    house.cluster.apply(a_resource(status={"phase": "Cancelled"}))
    await house.looks()
    assert await house.looks() == []
    seen = house.cluster.observe(FILM)
    run = a_run()
    monkeypatch.setattr(house.cluster, "observe", lambda _key: replace(seen, pods=(a_pod(run),)))
    assert await house.looks() == [FILM]
    monkeypatch.setattr(house.cluster, "observe", lambda _key: replace(seen, jobs=(a_job(run),)))
    assert await house.looks() == [FILM]


async def test_the_files_of_a_film_that_is_over_go_when_their_time_comes():
    house = House()
    await house.record(Phase.COMPLETED)
    house.cluster.apply(a_resource(retention={"workDays": 7}, status={"phase": "Completed"}))
    for _ in range(2):
        await house.looks()
    assert house.cluster.clean_ups == []
    house.now = NOON + timedelta(days=7)
    assert await house.looks() == []
    assert [(order.task_uid, order.extent) for order in house.cluster.clean_ups] == [(UID, Extent.WORK)]


@pytest.mark.parametrize("error", [StoreUnavailableError("the database is away"), TransientError("no answer")])
async def test_an_outage_is_logged_once_in_a_line_and_again_only_after_its_end(error):
    house = House()

    async def fail(_: TaskKey) -> None:
        raise error

    house.reconciler.reconcile = fail
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            await house.reconciler._turn(FILM)
            house.now += timedelta(seconds=10)
            house.reconciler._forget_outages()
        assert [line["event"] for line in logs] == ["outage_began"]
        assert not any("exc_info" in line for line in logs)
        house.now += timedelta(minutes=5)
        house.reconciler._forget_outages()
        await house.reconciler._turn(FILM)
    assert [line["event"] for line in logs] == ["outage_began", "outage_over", "outage_began"]
    house.reconciler._seats[FILM].timer.cancel()


async def test_what_nobody_foresaw_is_logged_each_time_with_its_place():
    house = House()

    async def fail(_: TaskKey) -> None:
        raise ValueError("a bug")

    house.reconciler.reconcile = fail
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            await house.reconciler._turn(FILM)
    assert [line["event"] for line in logs] == ["reconcile_failed"] * 2
    assert all(line["exc_info"] for line in logs)
    house.reconciler._seats[FILM].timer.cancel()
