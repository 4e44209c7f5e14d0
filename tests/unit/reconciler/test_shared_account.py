"""Two films on one account: the one that waits begins as soon as the other says that a slot is free."""

from __future__ import annotations

import asyncio

from tests.support.builders import a_channel, a_resource
from tests.unit.reconciler.test_reconciler import Studio

from videotask_operator.settings import Settings

AT_ONCE_SECONDS = 20
"""A film that waits for a slot looks again by itself after 30 s: by then nobody has told it."""
SECOND = {"uid": "99999999-2222-3333-4444-555555555555", "name": "second"}


def a_tight_channel(slots: int):
    accounts = {name: {"secretRef": {"name": name}, "concurrency": slots} for name in ("gemini", "kling", "elevenlabs")}
    return a_channel(credentials=accounts)


async def test_slots_that_a_run_leaves_free_reach_the_film_that_waits_at_once():
    made = Studio()
    made.reconciler.settings = Settings(resync_seconds=60, namespaces=("studio",))  # nobody else wakes the film
    async with made.open() as studio:
        studio.cluster.apply_channel(a_tight_channel(2))
        studio.cluster.apply(a_resource())
        first = (await studio.until(lambda: studio.cluster.orders))[0]
        studio.cluster.apply(a_resource(**SECOND))
        await studio.until(lambda: "all are in use" in str(studio.cluster.shown[-1][1].get("message")))
        await studio.post(first, "permit", {"runId": first.run_id})
        told = {"runId": first.run_id, "done": 0, "total": 2, "concurrency": 2, "inFlight": 2}
        _, answer = await studio.post(first, "progress", told)
        assert answer["concurrency"] == 1, "half of the account is the other film's"
        assert len(studio.cluster.orders) == 1, "the calls under way have not ended"
        told |= {"done": 1, "concurrency": 1, "inFlight": 1}
        await studio.post(first, "progress", told)
        async with asyncio.timeout(AT_ONCE_SECONDS):
            second = (await studio.until(lambda: studio.cluster.orders[1:]))[0]
        assert second.task_uid == SECOND["uid"]
        assert second.task_file.concurrency == 1


async def test_a_run_gets_the_slots_that_a_closed_run_leaves():
    made = Studio()
    made.reconciler.settings = Settings(resync_seconds=60, namespaces=("studio",))
    async with made.open() as studio:
        studio.cluster.apply_channel(a_tight_channel(2))
        studio.cluster.apply(a_resource())
        first = (await studio.until(lambda: studio.cluster.orders))[0]
        studio.cluster.apply(a_resource(**SECOND))
        await studio.until(lambda: "all are in use" in str(studio.cluster.shown[-1][1].get("message")))
        await studio.post(first, "permit", {"runId": first.run_id})
        await studio.report_done(first)
        async with asyncio.timeout(AT_ONCE_SECONDS):
            mine = await studio.until(
                lambda: [order for order in studio.cluster.orders if order.task_uid == SECOND["uid"]]
            )
        assert mine[0].task_file.concurrency == 2


async def test_a_run_gets_no_slots_by_the_limit_of_an_account_that_it_does_not_use():
    async with Studio().open() as studio:
        studio.cluster.apply_channel(a_tight_channel(1))
        studio.cluster.apply(a_resource())
        order = (await studio.until(lambda: studio.cluster.orders))[0]
        await studio.post(order, "permit", {"runId": order.run_id})
        others = {
            name: {"secretRef": {"name": "other"}, "concurrency": 9} for name in ("gemini", "kling", "elevenlabs")
        }
        studio.cluster.apply_channel(a_channel(credentials=others))  # of its next run
        told = {"runId": order.run_id, "done": 0, "total": 9, "concurrency": 1, "inFlight": 1}
        _, answer = await studio.post(order, "progress", told)
        assert answer.get("concurrency", 1) == 1
        assert (await studio.run_of(order)).concurrency == 1
