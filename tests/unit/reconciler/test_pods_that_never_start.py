"""A pod that cannot start keeps no slots from films that could use them, and is heard when it starts after all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import NOON, a_channel, a_resource
from tests.unit.reconciler.test_reconciler import Studio
from tests.unit.reconciler.test_shared_account import SECOND, a_tight_channel

from videotask_contract.phases import Phase
from videotask_operator.settings import Settings

ONE_HOUR = timedelta(hours=1)


class Clock:
    """Stands still until a test moves it."""

    now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
async def studio():
    made = Studio()
    made.reconciler.settings = Settings(resync_seconds=60, namespaces=("studio",))
    made.clock = Clock()
    made.reconciler.clock = made.cluster.now = made.clock
    async with made.open() as opened:
        opened.cluster.apply_channel(a_tight_channel(2))
        yield opened


async def first_without_its_pod(studio):
    """Return the order of a run that has both slots and whose pod does not start; the second film waits for one."""
    studio.cluster.apply(a_resource())
    first = (await studio.until(lambda: studio.cluster.orders))[0]
    studio.cluster.apply(a_resource(**SECOND))
    await studio.until(lambda: "all are in use" in str(studio.cluster.shown[-1][1].get("message")))
    return first


async def second_begins(studio):
    studio.clock.now += ONE_HOUR
    studio.cluster.apply(a_resource(**SECOND))
    async with asyncio.timeout(20):
        second = (await studio.until(lambda: studio.cluster.orders[1:]))[0]
    assert second.task_uid == SECOND["uid"]
    return second


async def test_a_film_gets_the_slots_of_a_pod_that_does_not_start(studio):
    await first_without_its_pod(studio)
    assert (await second_begins(studio)).task_file.concurrency == 2


async def test_a_pod_that_starts_at_last_when_others_have_its_slots_stops_and_its_film_waits_for_one(studio):
    first = await first_without_its_pod(studio)
    second = await second_begins(studio)
    await studio.post(second, "permit", {"runId": second.run_id})
    _, answer = await studio.post(first, "permit", {"runId": first.run_id})
    assert answer["directive"] == "stop"
    await studio.until(lambda: first.job_name not in studio.cluster.jobs)
    await studio.until(lambda: "all are in use" in str(studio.cluster.shown[-1][1].get("message")))
    record = await studio.record()
    assert (record.phase, record.step_attempt, record.lost_runs) == (Phase.GENERATING_ASSETS, 1, 0)
    await studio.report_done(second)
    again = (await studio.until(lambda: studio.cluster.orders[2:]))[0]
    assert again.step is first.step


async def test_a_pod_that_starts_at_last_while_its_slots_are_free_works_with_them(studio):
    studio.cluster.apply(a_resource())
    first = (await studio.until(lambda: studio.cluster.orders))[0]
    studio.clock.now += ONE_HOUR
    _, answer = await studio.post(first, "permit", {"runId": first.run_id})
    assert (answer["directive"], answer["concurrency"]) == ("continue", 2)
    assert (await studio.run_of(first)).concurrency == 2


@pytest.mark.parametrize(
    "channel",
    [replace(a_tight_channel(2), spec=None, spec_error="spec.volume: Field required"), a_channel()],
    ids=["unreadable", "of_another_account"],
)
async def test_a_pod_that_starts_at_last_gets_no_slots_where_its_accounts_limit_is_not_known(studio, channel):
    first = await first_without_its_pod(studio)
    second = await second_begins(studio)
    await studio.post(second, "permit", {"runId": second.run_id})
    studio.cluster.apply_channel(channel)
    _, answer = await studio.post(first, "permit", {"runId": first.run_id})
    assert answer["directive"] == "stop"
    assert not (await studio.run_of(first)).is_open
    assert (await studio.run_of(second)).concurrency == 2
