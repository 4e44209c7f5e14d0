"""What people asked for their films' files, shown of both stores."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import NOON, UID, a_record, a_run

from videotask_contract.phases import Phase
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


async def test_candidates_are_gone_or_over_and_have_no_open_run(store):
    films = {
        "over": {},
        "busy": {},
        "later": {"pipeline_end_time": NOON + timedelta(seconds=1)},
        "unended": {"phase": Phase.ASSEMBLING, "pipeline_end_time": None},
        "endless": {},
        "unasked": {},
        "gone": {"phase": Phase.CANCELLED, "pipeline_end_time": None},
        "gone-busy": {},
        "elsewhere": {},
    }
    async with store.transaction() as transaction:
        for uid, changes in films.items():
            await transaction.save_task(
                a_record(**{"uid": uid, "name": uid, "phase": Phase.COMPLETED, "pipeline_end_time": NOON} | changes)
            )
            if uid != "unasked":
                await transaction.save_retention(
                    replace(KEPT, task_uid=uid, work_days=None if uid == "endless" else 200)  # over a change of clocks
                )
            is_busy = uid in {"busy", "gone-busy"}
            run = a_run(run_id=f"run-{uid}", task_uid=uid, closed_at=None if is_busy else NOON)
            await transaction.save_run(run)
    shown = ["over", "busy", "later", "unended", "endless", "unasked", "nobody"]

    async def candidates(now):
        async with store.transaction() as transaction:
            found = await transaction.load_clean_up_candidates(gone=["gone", "gone-busy"], shown=shown, now=now)
            for record in found:
                assert record == await transaction.load_task(record.uid)
        return [record.uid for record in found]

    due_at = NOON + timedelta(days=200)
    assert await candidates(due_at - timedelta(seconds=1)) == ["gone"]
    assert await candidates(due_at) == ["gone", "over"]
    assert await candidates(due_at + timedelta(seconds=1)) == ["gone", "later", "over"]
    async with store.transaction() as transaction:
        assert await transaction.load_clean_up_candidates(gone=[], shown=[], now=due_at) == ()
