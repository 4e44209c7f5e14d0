from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import NOON, a_channel, a_failed_report, a_job, a_pod, a_resource
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.errors import FailureClass
from videotask_contract.report import Failure
from videotask_contract.resources import DesiredState
from videotask_operator.core.model import RunOutcome, TaskKey
from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

KEY = TaskKey("studio", "film")


class LateCluster(MemoryCluster):
    """A cluster whose watch of pods has shown nothing yet."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: set[str] = set()
        """Pods that run although the cache does not have them."""

    async def is_pod_gone(self, key, pod_uid):
        return pod_uid not in self.hidden

    def hide_pods(self) -> None:
        self.hidden = {pod.uid for pod in self.pods.values()}
        self.pods.clear()


@pytest.fixture
def cluster():
    cluster = LateCluster()
    cluster.apply_channel(a_channel())
    cluster.apply(a_resource())
    return cluster


async def begun(cluster) -> Reconciler:
    """Return a reconciler with an open run whose pod has the start permit and was never seen."""
    reconciler = Reconciler(
        cluster=cluster, store=MemoryStore(), settings=Settings(namespaces=("studio",)), clock=lambda: NOON
    )
    await reconciler.reconcile(KEY)
    await reconciler._admit()
    await reconciler.reconcile(KEY)
    await reconciler.reconcile(KEY)
    [order] = cluster.orders
    [run] = await runs(reconciler)
    async with reconciler.store.transaction() as transaction:
        pod_uid = cluster.pods[order.job_name].uid
        await transaction.save_run(replace(run, permitted_pod_uid=pod_uid, permitted_at=NOON))
    cluster.hide_pods()
    del cluster.jobs[order.job_name]
    return reconciler


async def runs(reconciler):
    async with reconciler.store.transaction() as transaction:
        return await transaction.load_runs(a_resource().uid)


async def test_a_run_whose_pod_works_unseen_is_not_called_lost(cluster):
    reconciler = await begun(cluster)
    await reconciler.reconcile(KEY)
    assert [run.is_open for run in await runs(reconciler)] == [True]
    cluster.hidden.clear()
    await reconciler.reconcile(KEY)
    assert [run.outcome for run in await runs(reconciler)] == [RunOutcome.LOST, None]


async def test_a_film_is_not_suspended_while_its_pod_works_unseen(cluster):
    reconciler = await begun(cluster)
    cluster.apply(a_resource(state=DesiredState.SUSPENDED))
    for _ in range(3):
        await reconciler.reconcile(KEY)
    assert [run.is_open for run in await runs(reconciler)] == [True]
    cluster.hidden.clear()
    await reconciler.reconcile(KEY)
    assert [run.outcome for run in await runs(reconciler)] == [RunOutcome.STOPPED]


async def test_a_pod_that_was_refused_the_permit_has_no_word_on_the_run_of_an_unseen_one(cluster):
    reconciler = await begun(cluster)
    [run] = await runs(reconciler)
    failure = Failure(failure_class=FailureClass.NOT_PERMITTED, message="another pod holds the start permit")
    message = a_failed_report(run, failure, done=0).model_dump_json(by_alias=True, exclude_none=True)
    refused = a_pod(run, finished=True, running=False, exit_code=16, termination_message=message)
    cluster.pods[refused.name] = refused
    cluster.jobs[run.job_name] = (cluster.orders[0], a_job(run))
    await reconciler.reconcile(KEY)
    assert [run.is_open for run in await runs(reconciler)] == [True]
    cluster.hidden.clear()
    await reconciler.reconcile(KEY)
    assert next(run.is_open for run in await runs(reconciler)) is False


async def test_a_film_that_was_made_again_ends_no_run_whose_pod_works_unseen(cluster):
    reconciler = await begun(cluster)
    cluster.apply(a_resource(uid="22222222-2222-3333-4444-555555555555"))
    for _ in range(3):
        await reconciler.reconcile(KEY)
    assert [run.is_open for run in await runs(reconciler)] == [True]
    cluster.hidden.clear()
    await reconciler.reconcile(KEY)
    assert [run.outcome for run in await runs(reconciler)] == [RunOutcome.STOPPED]
