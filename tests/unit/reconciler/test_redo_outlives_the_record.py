"""When the database is lost, requests for new takes are known from the status: none is paid twice, none is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import UID, a_record, a_resource, a_situation
from tests.support.quiet_studio import QuietStudio

from videotask_contract.phases import Phase
from videotask_contract.steps import Step
from videotask_operator.core.decide import decide
from videotask_operator.core.model import TaskKey
from videotask_operator.core.projection import project_status

CLIP_2 = [{"step": "video_generation", "items": ["2"]}]
ALL_CLIPS = [{"step": "video_generation"}]


def redo(request: str, steps: list = CLIP_2) -> dict:
    return {"request": request, "steps": steps}


async def on_show() -> QuietStudio:
    studio = QuietStudio()
    studio.has_channel()
    studio.has_film("one")
    await studio.goes_on_to("one", Step.VIDEO_ASSEMBLY)
    await studio.finish("one")
    return studio


async def with_a_lost_database(studio: QuietStudio) -> QuietStudio:
    """Return the same cluster under an operator whose record begins anew; steps under way end with the old one."""
    after = QuietStudio()
    after.cluster.channels_by_name = studio.cluster.channels_by_name
    after.cluster.tasks = dict(studio.cluster.tasks)
    after._specs = studio._specs
    after.now = studio.now
    await after.look()
    assert (await after.record("one")).phase is Phase.SUSPENDED
    return after


async def goes_on(studio: QuietStudio, **spec) -> dict[str, int]:
    """Let a person raise the attempt; return the redo counts that the clips' run is told."""
    attempt = (await studio.record("one")).attempt
    studio.has_film("one", attempt=attempt + 1, **spec)
    await studio.goes_on_to("one", Step.VIDEO_GENERATION)
    return dict(studio.running("one").task_file.redo)


async def test_a_request_that_was_honoured_is_the_same_take_after_the_record_was_lost():
    studio = await on_show()
    for request in ("first", "second"):
        studio.has_film("one", redo=redo(request))
        await studio.goes_on_to("one", Step.VIDEO_ASSEMBLY)
        await studio.finish("one")
    shown = studio.cluster.tasks[TaskKey("studio", "one")].status
    assert (shown["redoRequest"], shown["redoCounts"]) == ("second", {"video_generation": {"scene-2": 2}})
    after = await with_a_lost_database(studio)
    assert await goes_on(after) == {"scene-2": 2}, "the ledger has this take: it is not paid again"


async def test_a_request_that_was_honoured_and_not_made_is_made_after_the_record_was_lost():
    studio = await on_show()
    studio.has_film("one", redo=redo("first"))
    await studio.look()
    assert studio.step_of("one") is Step.VIDEO_GENERATION
    after = await with_a_lost_database(studio)
    assert await goes_on(after) == {"scene-2": 1}


async def test_a_request_that_nobody_had_honoured_is_honoured_with_a_number_of_its_own():
    studio = await on_show()
    studio.has_film("one", redo=redo("first"))
    await studio.goes_on_to("one", Step.VIDEO_ASSEMBLY)
    await studio.finish("one")
    after = await with_a_lost_database(studio)
    told = await goes_on(after, redo=redo("second", ALL_CLIPS))
    assert told == {"scene-2": 1, "*": 1}
    assert (await after.record("one")).redo_request == "second"
    assert (await after.record("one")).redo_requests == {"first", "second"}


def imported(status: dict, **spec):
    resource = a_resource(status={"phase": "FinalReview", **status}, **spec)
    return decide(a_situation().with_resource(resource).build()).record


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ({"redoRequest": "first"}, {"video_generation": {"scene-2": 1}}),
        ({"redoRequest": "another"}, {}),
        ({}, {}),
        ({"redoRequest": "first", "redoCounts": {"video_generation": {"2": 5}}}, {"video_generation": {"2": 5}}),
        ({"redoCounts": {"video_generation": {"2": "x", "3": 1, "4": True, "5": -1}}}, {"video_generation": {"3": 1}}),
        ({"redoCounts": {"video_generation": 7, "nonsense": {"2": 1}}}, {}),
        ({"redoCounts": "nonsense"}, {}),
    ],
)
def test_the_counts_come_from_what_the_status_tells(status, counts):
    assert imported(status, redo=redo("first")).redo_counts == counts


def test_a_film_that_nobody_ever_asked_for_again_shows_no_counts():
    record = a_record(uid=UID, phase=Phase.FINAL_REVIEW)
    plain = {"runs": (), "history": (), "step_costs": {}, "previous": {}, "generation": 1, "now": record.queued_at}
    assert "redoCounts" not in project_status(record, **plain)
    asked = replace(record, redo_counts={"video_generation": {"*": 1}})
    assert project_status(asked, **plain)["redoCounts"] == {"video_generation": {"*": 1}}
