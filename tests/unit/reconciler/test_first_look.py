"""After a start nobody gets a turn before every film of the first list was looked at."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.builders import a_resource
from tests.unit.reconciler.test_reconciler import Studio

from videotask_operator.core.model import TaskKey
from videotask_operator.core.ports import NotLeaderError
from videotask_operator.settings import Settings

FIRST = "aaaaaaaa-0000-0000-0000-000000000000"
LAST = "bbbbbbbb-0000-0000-0000-000000000000"


def a_studio_with_room_for_one() -> Studio:
    made = Studio()
    settings = Settings(resync_seconds=0.2, namespaces=("studio",), fleet_max_active_tasks=1)
    made.settings = made.reconciler.settings = settings
    made.cluster.apply(a_resource(name="first", uid=FIRST, priority="low"))
    made.cluster.apply(a_resource(name="last", uid=LAST, priority="high"))
    return made


async def test_a_film_that_is_looked_at_last_still_gets_its_turn_first():
    made = a_studio_with_room_for_one()
    reconcile, may_go_on = made.reconciler.reconcile, asyncio.Event()

    async def slow_for_the_last(key: TaskKey) -> None:
        if key.name == "last":
            await may_go_on.wait()
        await reconcile(key)

    made.reconciler.reconcile = slow_for_the_last
    async with made.open() as studio:
        await studio.until(lambda: FIRST in studio.reconciler._admissible)
        for _ in range(3):  # admission is asked again and again, and gives nothing away
            studio.reconciler._admission_wanted.set()
            await studio.until(lambda: not studio.reconciler._admission_wanted.is_set())
        assert not studio.reconciler._admitted
        may_go_on.set()
        order = await studio.until(lambda: studio.cluster.orders and studio.cluster.orders[0])
        assert order.key.name == "last"


@pytest.mark.parametrize("error", [RuntimeError("a bug"), NotLeaderError("another decides")])
async def test_a_film_that_cannot_be_decided_holds_up_the_others_only_while_nobody_may_decide(error):
    made = a_studio_with_room_for_one()
    reconcile, is_broken = made.reconciler.reconcile, True

    async def broken_for_the_last(key: TaskKey) -> None:
        if key.name == "last" and is_broken:
            raise error
        await reconcile(key)

    made.reconciler.reconcile = broken_for_the_last
    async with made.open() as studio:
        if isinstance(error, NotLeaderError):
            await studio.until(lambda: FIRST in studio.reconciler._admissible)
            studio.reconciler._admission_wanted.set()
            await studio.until(lambda: not studio.reconciler._admission_wanted.is_set())
            assert not studio.reconciler._admitted
            is_broken = False
        order = await studio.until(lambda: studio.cluster.orders and studio.cluster.orders[0])
        assert order.key.name == ("last" if isinstance(error, NotLeaderError) else "first")
