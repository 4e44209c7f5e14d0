"""A film that takes too long says so once, where people look: in the log and as an Event."""

from __future__ import annotations

from datetime import timedelta

from structlog.testing import capture_logs
from tests.support.builders import a_resource
from tests.unit.reconciler.test_reconciler import Studio

from videotask_contract.steps import Step


async def test_a_film_over_the_limit_warns_once_in_log_and_event():
    made = Studio()
    late = made.reconciler.settings.long_film_minutes + 1
    with capture_logs() as lines:
        async with made.open() as studio:
            studio.cluster.apply(a_resource())
            order = await studio.order_of(Step.ASSET_GENERATION)
            assert not [event for _, event in studio.cluster.events if event.reason == "FilmTakesLong"]
            clock = studio.reconciler.clock
            studio.reconciler.clock = lambda: clock() + timedelta(minutes=late)
            await studio.until(lambda: [event for _, event in studio.cluster.events if event.reason == "FilmTakesLong"])
            # Further decisions of the same film, each of which could say it again.
            await studio.report_done(order)
            await studio.order_of(Step.COMPOSITE_CREATION)
    told = [event for _, event in studio.cluster.events if event.reason == "FilmTakesLong"]
    assert len(told) == 1
    assert "more than 120 minutes" in told[0].message
    warned = [line for line in lines if line["event"] == "film_takes_long"]
    assert [(line["log_level"], line["task"]) for line in warned] == [("warning", "studio/film")]
