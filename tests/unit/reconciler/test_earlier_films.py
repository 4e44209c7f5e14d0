"""A film that is applied anew while the first is at work, or once it was lost, pays nothing without a word."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.support.builders import NOON, a_channel, a_resource
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.phases import Phase
from videotask_operator.core.model import TaskKey
from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

AGAIN = "99999999-2222-3333-4444-555555555555"
THIRD = "77777777-2222-3333-4444-555555555555"
PAID = Decimal("0.70")


class SlowPods(MemoryCluster):
    """Pods outlive their Jobs, as those do that have calls under way."""

    async def delete_run(self, key: TaskKey, job_name: str) -> None:
        order, job = self.jobs[job_name]
        self.jobs[job_name] = (order, replace(job, deleting=True))
        self.pods[job_name] = replace(self.pods[job_name], deleting=True)


class Shop:
    """The loop without its timers: a test says who is looked at, and when."""

    def __init__(self) -> None:
        self.cluster = SlowPods()
        self.cluster.apply_channel(a_channel())
        self.store = MemoryStore()
        self.reconciler = Reconciler(
            cluster=self.cluster, store=self.store, settings=Settings(namespaces=("studio",)), clock=lambda: NOON
        )

    async def apply(self, **changes) -> None:
        resource = a_resource(**changes)
        self.cluster.apply(resource)
        await self.reconciler.reconcile(resource.key)
        self.reconciler._admitted.add(resource.uid)
        await self.reconciler.reconcile(resource.key)

    async def save(self, *, permitted: bool = True, **changes) -> None:
        """Change the open run, as permit and progress do."""
        order = self.cluster.orders[-1]
        async with self.store.transaction() as transaction:
            run = await transaction.load_run(order.run_id)
            pod = f"pod-{run.run_id}" if permitted else None
            changed = replace(run, permitted_at=NOON if permitted else None, permitted_pod_uid=pod, **changes)
            await transaction.save_run(changed)

    async def message(self, uid: str) -> str:
        async with self.store.transaction() as transaction:
            record = await transaction.load_task(uid)
        assert (record.phase, record.waiting_reason) == (Phase.QUEUED, "EarlierFilm")
        return record.message

    def uids(self) -> list[str]:
        return [order.task_uid for order in self.cluster.orders]


@pytest.fixture
async def shop():
    made = Shop()
    await made.apply()
    assert made.uids() == [a_resource().uid]
    return made


async def test_a_film_that_is_applied_anew_while_the_first_one_pays_is_held(shop):
    await shop.save(spent_usd=PAID)
    await shop.apply(uid=AGAIN)
    assert shop.uids() == [a_resource().uid]
    words = await shop.message(AGAIN)
    assert "is still at work and paid 0.70 dollars so far" in words
    assert "set spec.attempt to 2" in words


async def test_a_film_that_is_applied_anew_is_held_by_what_a_lost_run_may_have_paid(shop):
    await shop.save(reserved_usd=Decimal("9.45"))
    await shop.apply(uid=AGAIN)
    shop.cluster.drop_job(shop.cluster.orders[0].job_name)
    await shop.apply(uid=AGAIN)
    assert shop.uids() == [a_resource().uid]
    assert "perhaps up to 9.45 more" in await shop.message(AGAIN)


async def test_a_film_that_is_applied_anew_goes_on_by_itself_once_the_first_ended_and_had_never_begun(shop):
    await shop.apply(uid=AGAIN)
    assert "is still at work" in await shop.message(AGAIN)
    shop.cluster.drop_job(shop.cluster.orders[0].job_name)
    await shop.apply(uid=AGAIN)
    assert shop.uids() == [a_resource().uid, AGAIN]


async def test_a_manifest_that_keeps_its_raised_attempt_is_a_word_for_one_film(shop):
    await shop.save(spent_usd=PAID)
    await shop.apply(uid=AGAIN, attempt=2)
    assert shop.uids() == [a_resource().uid, AGAIN]
    await shop.save(spent_usd=PAID)
    await shop.apply(uid=THIRD, attempt=2)
    assert shop.uids() == [a_resource().uid, AGAIN]
    assert "set spec.attempt to 3" in await shop.message(THIRD)
