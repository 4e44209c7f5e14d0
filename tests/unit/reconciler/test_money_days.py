from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.builders import NOON, a_channel, a_record, a_report, a_resource, a_run
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.phases import Phase
from videotask_contract.report import Certainty, Spend
from videotask_contract.steps import Step
from videotask_operator.reconciler import Reconciler, record_report
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

AUCKLAND = "Pacific/Auckland"
"""There it is tomorrow already."""
LATER = NOON + timedelta(days=1)


def a_call(run):
    return Spend(
        call_id="call-1",
        run_id=run.run_id,
        item="harbour",
        model="any",
        amount_usd=Decimal(1),
        certainty=Certainty.SETTLED,
        at=NOON,
    )


@pytest.fixture
async def reconciler():
    cluster = MemoryCluster()
    cluster.apply_channel(a_channel(budget={"timeZone": AUCKLAND}))
    store = MemoryStore()
    async with store.transaction() as transaction:
        await transaction.save_task(a_record(phase=Phase.GENERATING_ASSETS, pipeline_start_time=NOON))
        await transaction.save_run(a_run())
    return Reconciler(cluster=cluster, store=store, settings=Settings(namespaces=("studio",)), clock=lambda: LATER)


async def spent_usd(reconciler, *, now, time_zone):
    async with reconciler.store.transaction() as transaction:
        return await transaction.load_day_spent("studio", "tides", now=now, time_zone=time_zone)


async def test_a_deleted_films_money_counts_on_its_own_channels_day(reconciler):
    async with reconciler.store.transaction() as transaction:
        record = await transaction.load_task(a_resource().uid)
        zone = await reconciler.zone_of(transaction, record)
        await record_report(transaction, record, a_report(a_run(), spend=(a_call(a_run()),)), time_zone=zone)
    assert await spent_usd(reconciler, now=NOON, time_zone=AUCKLAND) == 1


async def zone_of(reconciler):
    async with reconciler.store.transaction() as transaction:
        return await reconciler.zone_of(transaction, a_record())


async def test_the_zone_of_a_channel_that_broke_is_the_last_one_seen(reconciler):
    assert await zone_of(reconciler) == AUCKLAND
    reconciler.cluster.apply_channel(replace(a_channel(), spec=None, spec_error="voice: Field required"))
    assert await zone_of(reconciler) == AUCKLAND


async def test_the_zone_of_a_channel_that_was_never_seen_is_that_of_the_films_plan(reconciler):
    reconciler.cluster.apply_channel(replace(a_channel(), spec=None, spec_error="voice: Field required"))
    assert await zone_of(reconciler) == "UTC"
    async with reconciler.store.transaction() as transaction:
        planned = {Step.ASSET_GENERATION: Decimal(1)}
        await transaction.save_plan_costs(a_record(), planned, now=NOON, time_zone=AUCKLAND)
    assert await zone_of(reconciler) == AUCKLAND


async def test_the_zone_of_a_channel_counts_before_that_of_the_films_plan(reconciler):
    async with reconciler.store.transaction() as transaction:
        planned = {Step.ASSET_GENERATION: Decimal(1)}
        await transaction.save_plan_costs(a_record(), planned, now=NOON, time_zone="Europe/Berlin")
    assert await zone_of(reconciler) == AUCKLAND


async def test_what_a_cut_report_spent_counts_on_the_day_its_run_closed(reconciler):
    run = replace(a_run(), closed_at=LATER)
    async with reconciler.store.transaction() as transaction:
        record = await transaction.load_task(run.task_uid)
        await transaction.save_run(run)
        report = a_report(run, cut=True, spent_usd=Decimal(1))
        await record_report(transaction, record, report, time_zone="UTC")
    assert await spent_usd(reconciler, now=NOON, time_zone="UTC") == 0
    assert await spent_usd(reconciler, now=LATER, time_zone="UTC") == 1
