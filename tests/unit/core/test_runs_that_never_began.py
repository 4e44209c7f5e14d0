"""A run without a start permit has paid nothing: however it ends, nothing of it stays reserved."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.builders import NOON, RULES, a_record, a_run
from tests.unit.reconciler.by_hand import HandTurned

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_operator.core.draft import Draft
from videotask_operator.core.settle import fail_run, lose_run, stop_run

WAYS = {
    "stopped": stop_run,
    "lost": lambda draft, run: lose_run(draft, run, message="its Job is gone", rules=RULES.retry),
    "failed": lambda draft, run: fail_run(
        draft, run, failure_class=FailureClass.NETWORK, message="exit code 1", rules=RULES.retry
    ),
}


def ended(way: str, **run):
    opened = a_run(**run)
    record = a_record(phase=Phase.GENERATING_ASSETS, step=Step.ASSET_GENERATION)
    draft = Draft(record=record, runs={opened.run_id: opened}, now=NOON)
    WAYS[way](draft, opened)
    [closed] = draft.runs.values()
    assert not closed.is_open
    return closed


@pytest.mark.parametrize("way", WAYS)
def test_nothing_stays_reserved_by_a_run_that_never_had_the_start_permit(way):
    assert ended(way).ledger_read


@pytest.mark.parametrize("way", WAYS)
def test_all_stays_reserved_by_a_run_that_had_it_or_told_of_money(way):
    assert not ended(way, permitted_at=NOON, permitted_pod_uid="pod").ledger_read
    assert not ended(way, spent_usd=Decimal("0.02")).ledger_read


@pytest.mark.parametrize("way", WAYS)
def test_a_ledger_that_was_read_stays_read(way):
    assert ended(way, permitted_at=NOON, permitted_pod_uid="pod", ledger_read=True).ledger_read


async def test_films_that_are_cancelled_before_their_pods_began_leave_the_channels_day_whole():
    studio = HandTurned()
    try:
        for number in range(3):
            await studio.apply(number)
            assert (await studio.record(number)).phase is Phase.GENERATING_ASSETS
            await studio.apply(number, state="Cancelled")
            await studio.end_pods_of(number)
            record = await studio.record(number)
            assert record.phase is Phase.CANCELLED
            async with studio.store.transaction() as transaction:
                money = await transaction.load_money(record, now=NOON, time_zone="UTC")
            assert (money.task_reserved_usd, money.channel_day_reserved_usd) == (0, 0)
    finally:
        studio.close()
