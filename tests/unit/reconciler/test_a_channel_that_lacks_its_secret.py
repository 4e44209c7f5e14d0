"""Films whose pods cannot start give their places back: what one channel lacks starves no other, and they go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import NOON, a_channel
from tests.unit.reconciler.by_hand import HandTurned, uid_of

from videotask_contract.errors import PermanentError
from videotask_contract.phases import Phase
from videotask_operator.core.model import TaskKey
from videotask_operator.core.settle import POD_NEVER_STARTED

GOOD = 9
PATIENCE = timedelta(minutes=5, seconds=1)
NEXT_TRY = timedelta(minutes=10)


@pytest.fixture
def studio():
    made = HandTurned()
    made.cluster.apply_channel(replace(a_channel(), name="healthy", uid="healthy-uid"))
    made.after_each_look = lambda: made.hold_up(
        channel="tides", reason="CreateContainerConfigError", message='secret "kling-kee" not found'
    )
    yield made
    made.close()


async def after(studio, wait: timedelta) -> None:
    studio.now += wait
    await studio.look_at_all()


async def fill_the_fleet(studio) -> None:
    for number in range(3):
        await studio.apply(number)
    await studio.apply(GOOD, channelRef={"name": "healthy"}, priority="high")
    assert (await studio.record(GOOD)).waiting_reason == "WaitingForTurn"


async def test_a_healthy_channels_film_begins_once_patience_with_the_others_is_over(studio):
    await fill_the_fleet(studio)
    await after(studio, PATIENCE - timedelta(seconds=2))
    assert (await studio.record(GOOD)).phase is Phase.QUEUED
    assert (await studio.record(0)).waiting_reason == "PodCannotStart"
    await after(studio, timedelta(seconds=2))
    assert (await studio.record(GOOD)).phase is Phase.GENERATING_ASSETS
    for number in range(3):
        record = await studio.record(number)
        assert (record.waiting_reason, record.next_attempt_at) == (POD_NEVER_STARTED, studio.now + NEXT_TRY)
        assert (record.phase, record.step_attempt, record.lost_runs) == (Phase.GENERATING_ASSETS, 1, 0)
    assert {order.task_uid for order, _ in studio.cluster.jobs.values()} == {(await studio.record(GOOD)).uid}


async def test_it_says_what_to_fix_for_as_long_as_it_waits(studio):
    await studio.apply(0)
    await after(studio, PATIENCE)
    await after(studio, timedelta(minutes=3))
    status = studio.cluster.tasks[TaskKey("studio", "film-0")].status
    facts = {line["type"]: (line["status"], line["reason"]) for line in status["conditions"]}
    assert facts["NeedsAttention"] == ("True", POD_NEVER_STARTED)
    assert facts["PodStarting"] == ("False", POD_NEVER_STARTED)
    assert 'secret "kling-kee" not found; create the Secret key it names' in status["message"]
    assert "12:15 UTC" in status["message"]
    assert status["nextAttemptAt"] == "2026-11-21T12:15:01Z"


async def test_nothing_is_begun_before_its_time_and_it_goes_on_by_itself_once_the_secret_is_there(studio):
    await studio.apply(0)
    await after(studio, PATIENCE)
    studio.after_each_look = lambda: None
    await after(studio, NEXT_TRY - timedelta(seconds=1))
    assert studio.cluster.jobs == {}
    await after(studio, timedelta(seconds=1))
    [(order, _)] = studio.cluster.jobs.values()
    record = await studio.record(0)
    assert (record.last_run_number, record.step_attempt, record.waiting_reason) == (2, 1, None)
    assert order.job_name != studio.cluster.orders[0].job_name


async def test_it_asks_for_a_place_again_like_any_other(studio):
    await fill_the_fleet(studio)
    await after(studio, PATIENCE)
    for number in (7, 8):
        await studio.apply(number, channelRef={"name": "healthy"})
    await after(studio, NEXT_TRY)
    places = [number for number in range(3) if (await studio.record(number)).waiting_reason != "WaitingForTurn"]
    assert places == [], "the fleet is full"
    await studio.apply(GOOD, channelRef={"name": "healthy"}, priority="high", state="Cancelled")
    await studio.end_pods_of(GOOD)
    places = [number for number in range(3) if (await studio.record(number)).waiting_reason != "WaitingForTurn"]
    assert places == [0]


async def test_a_persons_word_tries_it_at_once(studio):
    await studio.apply(0)
    await after(studio, PATIENCE)
    await studio.apply(0, attempt=2)
    assert (await studio.record(0)).last_run_number == 2


async def test_nothing_is_kept_of_the_channels_money_while_it_waits(studio):
    await studio.apply(0)
    await after(studio, PATIENCE)
    record = await studio.record(0)
    async with studio.store.transaction() as transaction:
        money = await transaction.load_money(record, now=studio.now, time_zone="UTC")
    assert money.channel_day_reserved_usd == 0


async def test_a_run_with_the_start_permit_is_never_laid_down(studio):
    await studio.apply(0)
    async with studio.store.transaction() as transaction:
        [run] = await transaction.load_runs(uid_of(0))
        await transaction.save_run(replace(run, permitted_at=NOON, permitted_pod_uid="pod"))
    await after(studio, timedelta(hours=1))
    assert (await studio.record(0)).waiting_reason == "PodCannotStart"
    assert len(studio.cluster.jobs) == 1


async def test_a_film_whose_jobs_deadline_passed_unseen_gives_its_place_back_too(studio):
    await fill_the_fleet(studio)
    await studio.look_at_all()
    studio.now += timedelta(seconds=30)
    await studio.look_at_all()
    for name, (order, job) in studio.cluster.jobs.items():
        studio.cluster.jobs[name] = (order, replace(job, active=False, failed_reason="DeadlineExceeded"))
    studio.cluster.pods.clear()
    await after(studio, timedelta(hours=8))
    record = await studio.record(0)
    assert (record.waiting_reason, record.step_attempt) == (POD_NEVER_STARTED, 1)
    assert 'secret "kling-kee" not found; create the Secret key it names' in record.message
    assert (await studio.record(GOOD)).phase is Phase.GENERATING_ASSETS


async def test_a_film_whose_job_is_refused_gives_its_place_back_too(studio, monkeypatch):
    """As by a quota of its namespace."""

    async def refuse(_order):
        raise PermanentError("exceeded quota: pods")

    with monkeypatch.context() as away:
        away.setattr(studio.cluster, "create_run", refuse)
        await studio.apply(0)
        assert (await studio.record(0)).waiting_reason == "PodCannotStart"
        await after(studio, PATIENCE)
        await after(studio, timedelta(seconds=30))
    record = await studio.record(0)
    assert record.waiting_reason == POD_NEVER_STARTED
    assert "exceeded quota: pods" in record.message
    await after(studio, NEXT_TRY)
    assert [order.task_uid for order, _ in studio.cluster.jobs.values()] == [record.uid]


async def test_a_film_whose_channel_went_before_its_job_was_made_gives_its_place_back_too(studio, monkeypatch):
    async def away(_order):
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(studio.cluster, "create_run", away)
        await studio.apply(0)
    channel = studio.cluster.channels_by_name.pop(("studio", "tides"))
    await after(studio, PATIENCE)
    assert (await studio.record(0)).waiting_reason == "PodCannotStart"
    await after(studio, timedelta(seconds=30))
    record = await studio.record(0)
    assert record.waiting_reason == POD_NEVER_STARTED
    assert "create it" in record.message
    studio.cluster.apply_channel(channel)
    await after(studio, NEXT_TRY)
    assert (await studio.record(0)).last_run_number == 2
