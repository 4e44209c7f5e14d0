"""When a film's files go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import NOON, UID, a_record, a_run

from videotask_contract.phases import Phase, phase_of_resource
from videotask_contract.resources import OnDeletion
from videotask_operator.core.retention import (
    Extent,
    RetentionRecord,
    due_clean_up,
    failed_clean_up,
    job_name,
    may_be_due,
)

DAY = timedelta(days=1)
ASKED = RetentionRecord(task_uid=UID, on_deletion=OnDeletion.DELETE, work_days=7, claim_name="tides-films")
COMPLETED = a_record(phase=Phase.COMPLETED, pipeline_end_time=NOON)
GONE = a_record(phase=Phase.CANCELLED, resource_gone=True)
CLOSED = (a_run(closed_at=NOON),)


def extent(kept=ASKED, *, record=COMPLETED, runs=CLOSED, is_shown=True, after=8 * DAY):
    order = due_clean_up(kept, record=record, runs=runs, is_shown=is_shown, now=NOON + after)
    return None if order is None else order.extent


@pytest.mark.parametrize(("after", "found"), [(7 * DAY, Extent.WORK), (7 * DAY - timedelta(seconds=1), None)])
def test_the_work_goes_so_many_days_after_completion_and_not_a_second_earlier(after, found) -> None:
    assert extent(after=after) is found


def test_with_no_day_at_all_it_goes_at_once_and_without_a_number_never() -> None:
    assert extent(replace(ASKED, work_days=0), after=timedelta(0)) is Extent.WORK
    assert extent(replace(ASKED, work_days=None), after=4000 * DAY) is None


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.COMPLETED])
def test_the_work_of_a_film_that_is_not_completed_stays(phase) -> None:
    assert extent(record=replace(COMPLETED, phase=phase)) is None


def test_what_was_removed_is_not_removed_again() -> None:
    assert extent(replace(ASKED, work_cleaned_at=NOON + 8 * DAY), after=9 * DAY) is None


@pytest.mark.parametrize("phase", [None, *(phase.resource for phase in Phase)])
@pytest.mark.parametrize("on_deletion", OnDeletion)
@pytest.mark.parametrize("work_days", [None, 0])
@pytest.mark.parametrize("cleaned", [{}, {"work_cleaned_at": NOON}, {"all_cleaned_at": NOON}])
def test_whatever_is_due_is_worth_a_look(phase, on_deletion, work_days, cleaned) -> None:
    kept = RetentionRecord(
        task_uid=UID, on_deletion=on_deletion, work_days=work_days, claim_name="tides-films", **cleaned
    )
    record = replace(COMPLETED if phase else GONE, phase=phase_of_resource(phase) if phase else Phase.CANCELLED)
    is_due = extent(kept, record=record, is_shown=phase is not None) is not None
    assert may_be_due(kept, shown_phase=phase) is is_due


def test_all_goes_when_the_resource_is_gone_and_that_was_asked_for() -> None:
    assert extent(record=GONE, is_shown=False) is Extent.ALL
    assert extent(replace(ASKED, on_deletion=OnDeletion.KEEP), record=GONE, is_shown=False) is None
    assert extent(replace(ASKED, all_cleaned_at=NOON), record=GONE, is_shown=False) is None


def test_nothing_goes_for_a_deletion_while_the_resource_is_there_or_is_not_proved_gone() -> None:
    assert extent(record=GONE, is_shown=True) is None
    assert extent(record=replace(GONE, resource_gone=False), is_shown=False) is None
    assert extent(record=COMPLETED, is_shown=False) is None


@pytest.mark.parametrize("record", [COMPLETED, GONE])
def test_nothing_goes_while_a_run_may_be_at_work(record) -> None:
    runs = (*CLOSED, a_run(number=2))
    assert runs[-1].is_open
    assert extent(record=record, runs=runs, is_shown=record is COMPLETED) is None


def test_the_order_names_this_uids_folder_so_that_a_namesake_is_not_touched() -> None:
    order = due_clean_up(ASKED, record=GONE, runs=(), is_shown=False, now=NOON)
    assert order is not None
    assert (order.folder, order.claim_name) == (f"projects/film-{UID[:8]}", "tides-films")
    assert order.job_name == f"film-clean-up-{UID[:8]}"


@pytest.mark.parametrize("extent", Extent)
@pytest.mark.parametrize("name", ["film", "a" * 253, "a" * 38 + "--.b"])
def test_a_jobs_name_fits_a_label_and_is_another_for_each_extent_and_uid(extent, name) -> None:
    record = a_record(name=name)
    mine = job_name(record, extent)
    assert len(mine) <= 63
    assert mine.replace("-", "").isalnum()
    assert mine != job_name(replace(record, uid="2" * 36), extent)
    assert len({job_name(record, each) for each in Extent}) == 2


@pytest.mark.parametrize(("failures", "hours"), [(0, 5 / 60), (1, 15 / 60), (2, 1), (3, 6), (4, 24), (5, 24), (99, 24)])
def test_a_clean_up_that_fails_is_tried_again_later_each_time_and_once_a_day_for_good(failures, hours) -> None:
    before = replace(ASKED, failed_extent=Extent.WORK, failures=failures)
    order = due_clean_up(before, record=COMPLETED, runs=CLOSED, is_shown=True, now=NOON + 8 * DAY)
    assert order is not None
    kept = failed_clean_up(before, order, why="its Job failed", now=NOON)
    assert (kept.failed_extent, kept.failures, kept.next_try_at) == (
        Extent.WORK,
        failures + 1,
        NOON + timedelta(hours=hours),
    )
    again = due_clean_up(kept, record=COMPLETED, runs=CLOSED, is_shown=True, now=NOON + 8 * DAY)
    assert again is not None
    assert again.job_name == f"film-clean-up-work-{UID[:8]}-{failures + 2}"


def test_failures_of_one_extent_put_off_no_other() -> None:
    failed = replace(ASKED, failed_extent=Extent.WORK, failures=4, next_try_at=NOON + 9 * DAY)
    order = due_clean_up(failed, record=GONE, runs=CLOSED, is_shown=False, now=NOON)
    assert order is not None
    assert (order.extent, order.job_name) == (Extent.ALL, f"film-clean-up-{UID[:8]}")
    kept = failed_clean_up(failed, order, why="its Job failed", now=NOON)
    assert (kept.failures, kept.next_try_at) == (1, NOON + timedelta(minutes=5))
