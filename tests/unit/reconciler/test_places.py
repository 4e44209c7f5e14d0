"""A place of the fleet is given once, and given on as soon as the film that it was meant for does not take it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from tests.support.builders import a_resource
from tests.unit.reconciler.by_hand import HandTurned, uid_of

from videotask_contract.phases import Phase
from videotask_contract.resources import DesiredState
from videotask_operator.core.model import TaskKey


@pytest.fixture
async def turned():
    """A fleet of one place, which is given to the first of two films that were suspended at work and are to go on."""
    made = HandTurned(fleet_max_active_tasks=1)
    for number in (1, 2):
        await made.apply(number)
        await made.apply(number, state=DesiredState.SUSPENDED)
        await made.end_pods_of(number)
        assert (await made.record(number)).phase is Phase.SUSPENDED
    for number in (1, 2):
        await look_at(made, number, state=DesiredState.RUNNING)
    await made.reconciler._admit()
    assert made.reconciler._admitted == {uid_of(1)}
    yield made
    made.close()


async def look_at(turned, number, **spec) -> None:
    turned.cluster.apply(a_resource(name=f"film-{number}", uid=uid_of(number), **spec))
    await turned.reconciler.reconcile(TaskKey("studio", f"film-{number}"))


async def test_a_film_that_goes_on_while_admission_reads_the_record_is_counted(turned, monkeypatch):
    first = TaskKey("studio", "film-1")
    transaction = turned.store.transaction

    @asynccontextmanager
    async def with_a_look_at_its_end():
        async with transaction() as opened:
            yield opened
        monkeypatch.undo()
        await turned.reconciler.reconcile(first)

    monkeypatch.setattr(turned.store, "transaction", with_a_look_at_its_end)
    await turned.reconciler._admit()
    assert (await turned.record(1)).phase is not Phase.SUSPENDED
    assert turned.reconciler._admitted == set(), "one place, and film-1 has taken it"


async def test_a_place_that_its_film_does_not_take_is_given_on_at_once(turned):
    turned.reconciler._admission_wanted.clear()
    await look_at(turned, 1, state=DesiredState.SUSPENDED)
    assert turned.reconciler._admission_wanted.is_set()
    await turned.reconciler._admit()
    assert turned.reconciler._admitted == {uid_of(2)}


async def test_a_place_that_is_taken_asks_admission_for_nothing(turned):
    turned.reconciler._admission_wanted.clear()
    await turned.reconciler.reconcile(TaskKey("studio", "film-1"))
    assert not turned.reconciler._admission_wanted.is_set()
