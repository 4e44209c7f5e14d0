"""What people asked for their films' files, shown of both stores."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import NOON, UID, a_record

from videotask_contract.resources import OnDeletion
from videotask_operator.core.ports import RecordConflictError
from videotask_operator.core.retention import Extent, RetentionRecord

KEPT = RetentionRecord(task_uid=UID, on_deletion=OnDeletion.DELETE, work_days=7, claim_name="tides-films")


async def kept_by(store):
    async with store.transaction() as transaction:
        return await transaction.load_retention()


async def test_it_comes_back_as_it_was_saved_and_saving_again_replaces_each_field(store):
    async with store.transaction() as transaction:
        await transaction.save_task(a_record())
        await transaction.save_retention(KEPT)
    assert await kept_by(store) == (KEPT,)
    async with store.transaction() as transaction:
        assert await transaction.load_retention_of(UID) == KEPT
        assert await transaction.load_retention_of("nobody") is None
    other = RetentionRecord(
        task_uid=UID,
        on_deletion=OnDeletion.KEEP,
        work_days=None,
        claim_name="other",
        work_cleaned_at=NOON,
        all_cleaned_at=NOON,
        failed_extent=Extent.WORK,
        failures=3,
        next_try_at=NOON,
        failure="the clean-up failed 3 times",
    )
    async with store.transaction() as transaction:
        await transaction.save_retention(other)
    assert await kept_by(store) == (other,)


async def test_a_film_that_is_not_recorded_has_none(store):
    with pytest.raises(RecordConflictError):
        async with store.transaction() as transaction:
            await transaction.save_retention(replace(KEPT, task_uid="nobody"))
    assert await kept_by(store) == ()
