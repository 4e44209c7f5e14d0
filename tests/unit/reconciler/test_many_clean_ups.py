"""Two hundred films cost a look no more queries than one, and their clean-ups come a few at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import NOON, a_record, a_resource
from tests.unit.reconciler.test_retention_keeper import House

from videotask_contract.errors import TransientError
from videotask_contract.phases import Phase
from videotask_operator.core.retention import CleanUpState, Extent
from videotask_operator.store.memory import MemoryTransaction

FILMS = 60
AT_ONCE = 5


def uid_of(number):
    return f"{number:08d}-2222-3333-4444-555555555555"


async def a_house(wish, *, films=FILMS):
    house = House()
    async with house.store.transaction() as transaction:
        for number in range(films):
            record = a_record(uid=uid_of(number), name=f"f{number}", phase=Phase.COMPLETED, pipeline_end_time=NOON)
            await transaction.save_task(record)
    for number in range(films):
        shown = a_resource(uid=uid_of(number), name=f"f{number}", status={"phase": "Completed"}, retention=wish)
        house.cluster.apply(shown)
    await house.looks()
    return house


async def delete_all(house):
    house.cluster.tasks.clear()
    async with house.store.transaction() as transaction:
        for number in range(FILMS):
            record = await transaction.load_task(uid_of(number))
            await transaction.save_task(replace(record, resource_gone=True))


class Counting(MemoryTransaction):
    """Counts the queries of all transactions."""

    queries = 0

    def __getattribute__(self, name):
        if name.startswith(("load_", "save_")):
            Counting.queries += 1
        return super().__getattribute__(name)


@pytest.fixture
def queries(monkeypatch):
    monkeypatch.setattr(Counting, "queries", 0)
    monkeypatch.setattr("videotask_operator.store.memory.MemoryTransaction", Counting)
    return Counting


@pytest.mark.parametrize(("wish", "days", "asked"), [({"workDays": 30}, 1, 0), ({"workDays": 30}, 31, AT_ONCE)])
async def test_a_look_at_many_films_costs_few_queries(queries, wish, days, asked):
    house = await a_house(wish)
    house.now += timedelta(days=days)
    queries.queries = 0
    assert len(await house.looks()) == asked
    assert queries.queries <= 3


async def test_clean_ups_of_one_volume_come_a_few_at_a_time_and_all_in_the_end(queries):
    house = await a_house({"onDeletion": "Delete"})
    await delete_all(house)
    queries.queries = 0
    assert await house.looks() == [Extent.ALL] * AT_ONCE
    assert queries.queries <= 5
    first = {order.job_name for order in house.cluster.clean_ups}
    assert await house.looks() == [Extent.ALL] * AT_ONCE
    assert {order.job_name for order in house.cluster.clean_ups} == first, "no other begins before one of them ends"
    house.cluster.clean_up_state = CleanUpState.DONE
    assert len(await house.looks(times=FILMS // AT_ONCE)) == FILMS
    assert await house.looks() == []


async def test_those_that_got_no_answer_or_failed_keep_no_other_waiting():
    house = await a_house({"onDeletion": "Delete"})
    await delete_all(house)
    run, bad = house.cluster.run_clean_up, {uid_of(number) for number in range(8)}

    async def some_answer(order):
        if order.task_uid in bad:
            raise TransientError("no answer")
        return await run(order)

    house.cluster.run_clean_up, house.cluster.clean_up_state = some_answer, CleanUpState.FAILED
    await house.looks(times=14)
    assert {order.task_uid for order in house.cluster.clean_ups} == {uid_of(number) for number in range(8, FILMS)}


async def test_a_volume_that_is_slow_keeps_no_other_waiting():
    house = await a_house({"onDeletion": "Delete"})
    async with house.store.transaction() as transaction:
        for kept in (await transaction.load_retention())[-2:]:
            await transaction.save_retention(replace(kept, claim_name="attic"))
    house.cluster.channels_by_name.clear()  # its claim is then the one on record
    await delete_all(house)
    assert len(await house.looks()) == AT_ONCE + 2
