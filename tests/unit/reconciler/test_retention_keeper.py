"""What is asked of a film's files is remembered beyond its resource, and done once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import NOON, UID, a_channel, a_record, a_resource, a_run
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.errors import TransientError
from videotask_contract.phases import Phase
from videotask_operator.core.model import TaskKey
from videotask_operator.core.retention import CleanUpState, Extent
from videotask_operator.reconciler import Reconciler
from videotask_operator.retention import RetentionKeeper
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

ASKED = {"onDeletion": "Delete", "workDays": 7}


class House:
    """A keeper over the in-memory ports, with one film."""

    def __init__(self) -> None:
        self.cluster, self.store, self.now = MemoryCluster(), MemoryStore(), NOON
        self.cluster.apply_channel(a_channel())
        self.woken: list[TaskKey] = []
        self.keeper = RetentionKeeper(
            cluster=self.cluster, store=self.store, clock=lambda: self.now, wake=self.woken.append
        )

    async def with_film(self, **changes) -> House:
        async with self.store.transaction() as transaction:
            await transaction.save_task(a_record(**changes))
            await transaction.save_run(a_run(closed_at=NOON))
        return self

    async def looks(self, *, times: int = 1) -> list[Extent]:
        before = len(self.cluster.clean_ups)
        for _ in range(times):
            await self.keeper.look()
        return [order.extent for order in self.cluster.clean_ups[before:]]

    async def kept(self):
        async with self.store.transaction() as transaction:
            [kept] = await transaction.load_retention()
        return kept

    async def lose_resource(self) -> None:
        self.cluster.tasks.clear()
        async with self.store.transaction() as transaction:
            record = await transaction.load_task(UID)
            await transaction.save_task(replace(record, phase=Phase.CANCELLED, resource_gone=True))


async def test_the_work_goes_after_its_days_and_the_resource_says_so() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(retention=ASKED, status={"phase": "Completed"}))
    assert await house.looks() == []
    house.now = NOON + timedelta(days=7)
    assert await house.looks(times=2) == [Extent.WORK] * 2, "asked again until it is done"
    assert house.cluster.events == []
    house.cluster.clean_up_state = CleanUpState.DONE
    assert await house.looks(times=3) == [Extent.WORK], "and not after that"
    assert [event.reason for _, event in house.cluster.events] == ["WorkRemoved"]


async def test_what_was_asked_is_done_after_the_resource_and_its_channel_are_gone() -> None:
    house = await House().with_film(phase=Phase.GENERATING_VIDEO)
    house.cluster.apply(a_resource(retention=ASKED))
    assert await house.looks() == []
    await house.lose_resource()
    house.cluster.channels_by_name.clear()
    house.cluster.clean_up_state = CleanUpState.DONE
    assert await house.looks(times=3) == [Extent.ALL]
    [order] = house.cluster.clean_ups
    assert (order.claim_name, order.folder) == ("tides-films", f"projects/film-{UID[:8]}")


@pytest.mark.parametrize("later", [{"onDeletion": "Keep"}, {}])
async def test_a_changed_mind_counts(later) -> None:
    house = await House().with_film()
    house.cluster.apply(a_resource(retention=ASKED))
    await house.looks()
    house.cluster.apply(a_resource(retention=later))
    await house.looks()
    await house.lose_resource()
    assert await house.looks() == []


async def test_by_default_nothing_is_ever_removed() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(status={"phase": "Completed"}))
    house.now = NOON + timedelta(days=5000)
    await house.looks()
    await house.lose_resource()
    assert await house.looks() == []


async def test_a_namesake_made_later_keeps_its_files_and_does_not_keep_the_others() -> None:
    house = await House().with_film()
    house.cluster.apply(a_resource(retention=ASKED))
    await house.looks()
    await house.lose_resource()
    house.cluster.apply(a_resource(uid="99999999-2222-3333-4444-555555555555"))
    assert await house.looks() == [Extent.ALL]
    assert house.cluster.clean_ups[-1].task_uid == UID


async def test_a_failure_is_shown_and_tried_again_later_each_time_and_not_before() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(retention={"workDays": 0}, status={"phase": "Completed"}))
    house.cluster.clean_up_state = CleanUpState.FAILED
    at, hours = NOON, 0.0
    for hours in (5 / 60, 15 / 60, 1, 6, 24, 24, 24):
        assert await house.looks(times=3) == [Extent.WORK], "once"
        at += timedelta(hours=hours)
        house.now = at - timedelta(seconds=1)
        assert await house.looks(times=2) == []
        house.now = at
    names = [order.job_name for order in house.cluster.clean_ups]
    assert len(set(names)) == len(names), "each try is a Job of its own, so that the words of the one before stay"
    assert all(len(name) <= 63 for name in names)
    assert [event.reason for _, event in house.cluster.events] == ["CleanUpFailed"] * 7, "never in silence"
    kept = await house.kept()
    assert (kept.work_cleaned_at, kept.failures, kept.failed_extent) == (None, 7, Extent.WORK)
    for words in ("made from failed 7 times: its Job failed", names[-1], "claim tides-films", "spec.retention"):
        assert words in kept.failure
    house.cluster.clean_up_state = CleanUpState.DONE
    assert await house.looks(times=2) == [Extent.WORK]
    kept = await house.kept()
    assert (kept.work_cleaned_at, kept.failures, kept.next_try_at, kept.failure) == (house.now, 0, None, None)


async def test_a_clean_up_under_way_is_looked_at_under_its_own_name_until_it_ends() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(retention={"workDays": 0}, status={"phase": "Completed"}))
    for state, times in ((CleanUpState.FAILED, 1), (CleanUpState.RUNNING, 3), (CleanUpState.DONE, 1)):
        house.cluster.clean_up_state = state
        await house.looks(times=times)
        house.now += timedelta(minutes=5)
    first, *later = [order.job_name for order in house.cluster.clean_ups]
    assert (first, set(later)) == (f"film-clean-up-work-{UID[:8]}", {f"film-clean-up-work-{UID[:8]}-2"})


async def test_a_changed_wish_has_it_tried_at_once_and_a_new_operator_does_not() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(retention={"workDays": 1}, status={"phase": "Completed"}))
    house.cluster.clean_up_state = CleanUpState.FAILED
    house.now = NOON + timedelta(days=1)
    assert await house.looks() == [Extent.WORK]
    house.keeper = RetentionKeeper(
        cluster=house.cluster, store=house.store, clock=lambda: house.now, wake=house.woken.append
    )
    assert await house.looks() == []
    house.cluster.apply(a_resource(retention={"workDays": 0}, status={"phase": "Completed"}))
    assert await house.looks() == [Extent.WORK]


async def test_a_changed_wish_is_not_answered_by_the_job_that_failed_before_it() -> None:
    """A failed Job stays for an hour, with its words: under its name nothing would be tried."""
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(retention={"workDays": 0}, status={"phase": "Completed"}))
    ended: dict[str, CleanUpState] = {}

    async def run_clean_up(order):
        house.cluster.clean_ups.append(order)
        return ended.setdefault(order.job_name, house.cluster.clean_up_state)

    house.cluster.run_clean_up = run_clean_up
    house.cluster.clean_up_state = CleanUpState.FAILED
    assert await house.looks() == [Extent.WORK]
    house.cluster.clean_up_state = CleanUpState.DONE  # its cause was mended
    house.cluster.apply(a_resource(retention=ASKED | {"workDays": 0}, status={"phase": "Completed"}))
    assert await house.looks() == [Extent.WORK]
    assert [event.reason for _, event in house.cluster.events] == ["CleanUpFailed", "WorkRemoved"]
    assert (await house.kept()).work_cleaned_at == house.now


async def test_a_changed_wish_leaves_a_clean_up_under_way_its_name() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(retention={"workDays": 0}, status={"phase": "Completed"}))
    house.cluster.clean_up_state = CleanUpState.FAILED
    await house.looks()
    house.now += timedelta(minutes=5)
    house.cluster.clean_up_state = CleanUpState.RUNNING
    await house.looks()
    house.cluster.apply(a_resource(retention=ASKED | {"workDays": 0}, status={"phase": "Completed"}))
    await house.looks()
    assert house.cluster.clean_ups[-1].job_name == house.cluster.clean_ups[-2].job_name


async def test_a_failed_clean_up_of_a_deleted_film_is_told_on_its_channel_and_waits_for_no_other_extent() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(retention={"onDeletion": "Delete", "workDays": 0}, status={"phase": "Completed"}))
    house.cluster.clean_up_state = CleanUpState.FAILED
    assert await house.looks() == [Extent.WORK]
    assert house.cluster.channel_events == []
    await house.lose_resource()
    assert await house.looks(times=2) == [Extent.ALL], "its work's failures do not hold it up"
    [(channel, event)] = house.cluster.channel_events
    assert (channel, event.reason) == ("tides", "CleanUpFailed")
    assert event.message.startswith("film: the clean-up of the deleted film's files failed once")


async def test_a_cluster_that_does_not_answer_is_no_failure_of_the_clean_up() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(retention={"workDays": 0}, status={"phase": "Completed"}))

    async def silence(_order):
        raise TransientError("no answer")

    answered, house.cluster.run_clean_up = house.cluster.run_clean_up, silence
    await house.looks(times=3)
    kept = await house.kept()
    assert (kept.failures, house.cluster.events) == (0, [])
    house.cluster.run_clean_up = answered
    assert await house.looks() == [Extent.WORK]


async def test_the_resource_shows_what_failed_until_it_is_mended() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(retention={"workDays": 0}, status={"phase": "Completed"}))
    reconciler = Reconciler(
        cluster=house.cluster, store=house.store, settings=Settings(namespaces=("studio",)), clock=lambda: house.now
    )
    key = TaskKey("studio", "film")

    async def shown() -> dict[str, tuple[str, str, str]]:
        await reconciler._retention.look()
        await reconciler.reconcile(key)
        conditions = house.cluster.tasks[key].status["conditions"]
        return {line["type"]: (line["status"], line["reason"], line.get("message", "")) for line in conditions}

    house.cluster.clean_up_state = CleanUpState.RUNNING
    assert "CleanUpFailed" not in await shown()
    house.cluster.clean_up_state = CleanUpState.FAILED
    conditions = await shown()
    failed, attention = conditions["CleanUpFailed"], conditions["NeedsAttention"]
    assert failed[:2] == ("True", "JobFailed")
    assert "its Job failed" in failed[2]
    assert attention == ("True", "CleanUpFailed", failed[2])
    house.now += timedelta(minutes=5)
    house.cluster.clean_up_state = CleanUpState.DONE
    conditions = await shown()
    assert conditions["CleanUpFailed"] == ("False", "Mended", "")
    assert conditions["NeedsAttention"][:2] == ("False", "Nothing")


async def test_a_film_deleted_while_nobody_looked_is_looked_at_and_only_then_removed() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    house.cluster.apply(a_resource(retention=ASKED, status={"phase": "Completed"}))
    await house.looks()
    house.cluster.tasks.clear()
    assert await house.looks() == []
    assert house.woken == [TaskKey("studio", "film")]
    reconciler = Reconciler(
        cluster=house.cluster, store=house.store, settings=Settings(namespaces=("studio",)), clock=lambda: house.now
    )
    await reconciler.reconcile(house.woken[0])
    assert await house.looks() == [Extent.ALL]


async def test_one_film_that_cannot_be_cleaned_does_not_keep_the_others() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    other = "22222222-2222-3333-4444-555555555555"
    async with house.store.transaction() as transaction:
        await transaction.save_task(a_record(uid=other, name="other", phase=Phase.COMPLETED, pipeline_end_time=NOON))
    for uid, name in ((UID, "film"), (other, "other")):
        house.cluster.apply(a_resource(uid=uid, name=name, retention={"workDays": 0}, status={"phase": "Completed"}))
    house.cluster.crash_before = {f"run_clean_up {UID}"}
    await house.looks()
    assert [order.task_uid for order in house.cluster.clean_ups] == [other]
    house.now += timedelta(minutes=5)
    await house.looks()
    assert {order.task_uid for order in house.cluster.clean_ups} == {UID, other}
    assert "the API server refused the Job" in house.cluster.events[0][1].message
