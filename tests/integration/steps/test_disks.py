"""Volumes that fill up, refuse or lie, and a clock that goes back: a clear error or repaired work, never paid unseen.

The disk's failures come from a test-only hook in the step's process (tests/support/volume_acts), so that they need no
root and hit any act: from the Nth act on whatever creates or writes fails, the half-written file included.
`VIDEOTASK_LONG=1` fills the disk at every act.
"""

from __future__ import annotations

import pytest
from tests.integration.steps.film import PAID_STEPS
from tests.integration.steps.site import POINTS_SECONDS, SiteOf

from videotask_contract.errors import FailureClass
from videotask_contract.exits import ExitCode
from videotask_contract.steps import Step

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(POINTS_SECONDS)]

STRIDE = 11
LABELS = ("scene 01", "scene 02", "environment harbour", "character hero-1")


@pytest.mark.parametrize("step", PAID_STEPS)
async def test_a_disk_that_fills_up_stops_the_run_with_a_clear_word_and_the_next_run_goes_on(
    step: Step, site_of: SiteOf
) -> None:
    site = await site_of(step)
    for number in site.points(start=3, stride=STRIDE):
        film = site.fresh(f"act-{number}")
        first = await site.run(film, "run-1", full_from=number)
        point = f"full from act {number}"
        failure = first.report.failure
        if first.code == ExitCode.DONE:
            # Nothing was left but a sync, which needs no room; how Kling is asked makes an act more or less.
            assert (first.report.done, failure) == (site.items, None), point
            assert number >= site.acts - 2, point
            site.judge(film, point)
            continue
        assert failure is not None, point
        assert (failure.failure_class, first.code) == (FailureClass.TRANSIENT, ExitCode.TRANSIENT), point
        assert "No space left on device" in failure.message, point
        assert "report this as a bug" not in failure.message, point
        if film.ledger(step).calls():
            assert any(label in failure.message for label in LABELS), f"{point}: {failure.message}"
        await site.go_on_and_judge(film, first, point)


@pytest.mark.parametrize("step", PAID_STEPS)
async def test_a_read_only_volume_is_told_before_anything_is_paid(step: Step, site_of: SiteOf) -> None:
    site = await site_of(step)
    film = site.fresh("read-only")
    first = await site.run(film, "run-1", is_read_only=True)
    failure = first.report.failure
    assert failure is not None
    assert first.code == ExitCode.TRANSIENT
    assert "Read-only file system" in failure.message
    assert site.control.calls() == []
    await site.go_on_and_judge(film, first, "read-only")


@pytest.mark.parametrize("step", PAID_STEPS)
async def test_a_clock_that_was_turned_back_an_hour_pays_for_nothing_twice(step: Step, site_of: SiteOf) -> None:
    """Killed with calls on their way, then run again an hour earlier: a job's age says nothing that costs money."""
    site = await site_of(step)
    for share in (0.4, 0.7):
        film = site.fresh(f"at-{share}")
        first = await site.run(film, "run-1", kill_at=int(share * site.acts))
        await site.go_on_and_judge(film, first, f"clock back at {share}", clock_shift_seconds=-3600.0)
        records = film.ledger(step).records
        assert records[-1].at < records[0].at, "the second run's clock was an hour behind"
