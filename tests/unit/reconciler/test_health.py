from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.support.builders import NOON

from videotask_operator.__main__ import stale_after_seconds
from videotask_operator.health import HealthServer, Vitals
from videotask_operator.settings import Settings


def a_server(**changes):
    facts = {
        "now": lambda: NOON,
        "loop_turned_at": lambda: NOON,
        "resync_tried_at": lambda: NOON,
        "is_synced": lambda: True,
        "is_leader": lambda: True,
        "is_watching": lambda: True,
        "stale_after_seconds": 60,
    }
    return HealthServer(Vitals(**facts | changes))


@pytest.mark.parametrize("fact", ["is_synced", "is_leader", "is_watching"])
async def test_an_operator_that_cannot_move_films_is_not_ready(fact):
    answer = await a_server(**{fact: lambda: False})._ready(None)
    assert answer.status == 503
    assert json.loads(answer.text)["ok"] is False


async def test_an_operator_that_leads_and_watches_is_ready():
    assert (await a_server()._ready(None)).status == 200


async def test_films_out_of_sight_are_counted_and_make_nobody_unready():
    answer = await a_server(films_out_of_sight=lambda: 3)._ready(None)
    assert (answer.status, json.loads(answer.text)["filmsOutOfSight"]) == (200, 3)


@pytest.mark.parametrize("fact", ["loop_turned_at", "resync_tried_at"])
async def test_a_loop_that_stands_still_is_not_alive(fact):
    answer = await a_server(**{fact: lambda: NOON - timedelta(seconds=61)})._live(None)
    assert answer.status == 503


async def test_liveness_asks_neither_the_lock_nor_the_database():
    assert (await a_server(is_leader=lambda: False, is_synced=lambda: False)._live(None)).status == 200


@pytest.mark.parametrize("fact", ["loop_turned_at", "resync_tried_at"])
@pytest.mark.parametrize(("resync_seconds", "age", "status"), [(300, 310, 200), (300, 901, 503), (30, 181, 503)])
async def test_an_operator_that_lists_seldom_is_alive_between_two_lists(fact, resync_seconds, age, status):
    stale = stale_after_seconds(Settings(resync_seconds=resync_seconds))
    server = a_server(stale_after_seconds=stale, **{fact: lambda: NOON - timedelta(seconds=age)})
    assert (await server._live(None)).status == status
