"""What is remembered of refused accounts and of plans, shown of both stores."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.builders import NOON, UID, a_record
from tests.support.postgres import rows_of

from videotask_contract.steps import Provider, Step
from videotask_operator.core.model import AccountBlock
from videotask_operator.core.ports import RecordConflictError

BLOCK = AccountBlock(
    account="studio/kling-key/api-key",
    namespace="studio",
    channel="tides",
    provider=Provider.KLING,
    message="401: dead key",
    blocked_at=NOON,
    channel_generation=3,
    by_task_uid=UID,
    probe_uid="another",
)


async def given(store, *blocks):
    async with store.transaction() as transaction:
        await transaction.save_task(a_record())
        for block in blocks:
            await transaction.save_account_block(block)


async def blocks_of(store, *accounts):
    async with store.transaction() as transaction:
        return await transaction.load_account_blocks(accounts)


async def test_a_block_comes_back_as_it_was_saved_and_only_for_its_account(store):
    other = replace(BLOCK, account="studio/gemini-key/api-key", provider=Provider.GEMINI)
    await given(store, BLOCK, other)
    assert await blocks_of(store, BLOCK.account) == (BLOCK,)
    assert await blocks_of(store, "studio/elevenlabs-key/api-key", BLOCK.account, other.account) == (other, BLOCK)
    assert await blocks_of(store) == ()


async def test_saving_again_replaces_each_field(store):
    await given(store, BLOCK)
    async with store.transaction() as transaction:
        await transaction.save_task(a_record(uid="t2", name="t2"))
    changed = AccountBlock(
        account=BLOCK.account,
        namespace="other",
        channel="hills",
        provider=Provider.ELEVENLABS,
        message="a\0b",
        blocked_at=NOON + timedelta(hours=1),
        channel_generation=None,
        by_task_uid="t2",
    )
    same = [field.name for field in fields(AccountBlock) if getattr(BLOCK, field.name) == getattr(changed, field.name)]
    assert same == ["account"]
    await given(store, changed)
    assert await blocks_of(store, BLOCK.account) == (replace(changed, message="a\ufffdb"),)


async def test_lifting_twice_is_lifting_once(store):
    await given(store, BLOCK)
    for _ in range(2):
        async with store.transaction() as transaction:
            await transaction.delete_account_block(BLOCK.account)
    assert await blocks_of(store, BLOCK.account) == ()


async def test_a_block_by_an_unknown_task_is_refused(store):
    with pytest.raises(RecordConflictError):
        await given(store, replace(BLOCK, by_task_uid="nobody"))


async def test_a_plan_is_kept_by_step_on_the_channels_day_and_replaced(postgres_store, database_url):
    for usd in ("1.00", "2.50"):
        async with postgres_store.transaction() as transaction:
            await transaction.save_task(a_record())
            await transaction.save_plan_costs(
                a_record(),
                {Step.VIDEO_GENERATION: Decimal(usd), Step.VIDEO_ASSEMBLY: Decimal(0)},
                now=NOON + timedelta(hours=11, minutes=30),
                time_zone="Europe/Berlin",
            )
    rows = rows_of(database_url, "SELECT step, usd, day::text, time_zone FROM planned_costs ORDER BY usd")
    assert rows == [
        ("video_assembly", Decimal(0), "2026-11-22", "Europe/Berlin"),
        ("video_generation", Decimal("2.5"), "2026-11-22", "Europe/Berlin"),
    ]


async def test_the_zone_of_a_plan_is_the_films_own(store):
    async with store.transaction() as transaction:
        await transaction.save_task(a_record())
        await transaction.save_task(a_record(uid="other", name="other"))
        assert await transaction.load_time_zone(a_record().uid) is None
        planned = {Step.VIDEO_GENERATION: Decimal(1), Step.VIDEO_ASSEMBLY: Decimal(0)}
        for zone in ("Europe/Berlin", "Pacific/Auckland"):
            await transaction.save_plan_costs(a_record(), planned, now=NOON, time_zone=zone)
    async with store.transaction() as transaction:
        assert await transaction.load_time_zone(a_record().uid) == "Pacific/Auckland"
        assert await transaction.load_time_zone("other") is None
