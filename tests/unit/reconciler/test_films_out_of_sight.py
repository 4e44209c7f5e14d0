"""A film whose namespace is no longer watched, or cannot be read, is left as it is: not seen is not deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import structlog
from tests.support.builders import NOON, UID, a_channel, a_record, a_resource, a_run
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_operator.core.model import Observation, TaskKey
from videotask_operator.core.retention import CleanUpState, Extent
from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

FILM = TaskKey("studio", "film")


class DimCluster(MemoryCluster):
    """A cluster of which some namespaces are not watched: nothing in them is in the cache."""

    def __init__(self) -> None:
        super().__init__()
        self.unwatched: set[str] = set()

    def task_keys(self):
        return tuple(key for key in super().task_keys() if key.namespace not in self.unwatched)

    def observe(self, key: TaskKey) -> Observation:
        if key.namespace in self.unwatched:
            return Observation(task=None, channel=None, in_sight=False)
        return super().observe(key)


class House:
    """An operator after a start with other namespaces; the film is on record and its files go with its resource."""

    def __init__(self) -> None:
        self.cluster, self.store, self.now = DimCluster(), MemoryStore(), NOON
        self.cluster.apply_channel(a_channel())
        self.cluster.apply(a_resource(retention={"onDeletion": "Delete"}))
        self.cluster.clean_up_state = CleanUpState.DONE
        self.settings = Settings(namespaces=("studio",), fleet_max_active_tasks=1)

    async def with_film(self, **changes) -> House:
        async with self.store.transaction() as transaction:
            await transaction.save_task(a_record(**changes))
            await transaction.save_run(a_run(number=1, step=Step.VIDEO_GENERATION, job_created_at=NOON))
        await self.an_operator()._retention.look()  # what was asked for the film's files is on record
        return self

    def an_operator(self) -> Reconciler:
        return Reconciler(cluster=self.cluster, store=self.store, settings=self.settings, clock=lambda: self.now)

    async def record(self):
        async with self.store.transaction() as transaction:
            return await transaction.load_task(UID), await transaction.load_runs(UID)


@pytest.fixture
async def house():
    return await House().with_film(phase=Phase.GENERATING_VIDEO, step=Step.VIDEO_GENERATION, last_run_number=1)


async def test_a_film_whose_namespace_is_no_longer_watched_is_left_as_it_is(house):
    before = await house.record()
    house.cluster.unwatched = {"studio"}
    operator = house.an_operator()
    for _ in range(5):
        await operator._look_at_all()
        await operator.reconcile(FILM)
    assert await house.record() == before, "neither closed as deleted nor its run asked to stop"
    assert house.cluster.clean_ups == [], "and none of its files goes"


async def test_it_is_said_once_and_counted(house):
    house.cluster.unwatched = {"studio"}
    operator = house.an_operator()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            await operator.reconcile(FILM)
    [line] = [line for line in lines if line["event"] == "film_out_of_sight"]
    assert line["task"] == "studio/film"
    assert "chart's namespaces" in line["message"]
    assert operator.out_of_sight == {FILM}
    house.cluster.unwatched = set()
    await operator.reconcile(FILM)
    assert operator.out_of_sight == set()


async def test_a_film_that_was_deleted_counts_as_deleted_once_its_namespace_is_seen_again(house):
    house.cluster.unwatched = {"studio"}
    operator = house.an_operator()
    await operator.reconcile(FILM)
    house.cluster.tasks.clear()
    house.cluster.unwatched = set()
    for _ in range(3):
        await operator.reconcile(FILM)
    record, (run,) = await house.record()
    assert record.resource_gone
    assert not run.is_open
    await operator._retention.look()
    assert [order.extent for order in house.cluster.clean_ups] == [Extent.ALL]


async def test_a_film_on_record_as_deleted_keeps_its_files_while_nobody_can_look(house):
    record, (run,) = await house.record()
    async with house.store.transaction() as transaction:
        await transaction.save_task(replace(record, phase=Phase.CANCELLED, resource_gone=True))
        await transaction.save_run(replace(run, closed_at=NOON))
    house.cluster.tasks.clear()
    house.cluster.unwatched = {"studio"}
    operator = house.an_operator()
    await operator._retention.look()
    assert house.cluster.clean_ups == []
    house.cluster.unwatched = set()
    await operator._retention.look()
    assert [order.extent for order in house.cluster.clean_ups] == [Extent.ALL]


async def test_films_out_of_sight_hold_no_place_of_the_fleet(house):
    operator = house.an_operator()
    waiting = a_record(uid="2" * 36, namespace="attic", name="other")
    async with house.store.transaction() as transaction:
        await transaction.save_task(waiting)
    operator._admissible[waiting.uid] = waiting
    house.cluster.apply_channel(replace(a_channel(), namespace="attic"))
    house.cluster.apply(replace(a_resource(name="other", uid=waiting.uid), key=waiting.key))
    house.cluster.unwatched = set()
    await operator._admit()
    assert operator._admitted == set(), "the fleet has one place, and a film that can be seen has it"
    house.cluster.unwatched = {"studio"}
    await operator._admit()
    assert operator._admitted == {waiting.uid}
