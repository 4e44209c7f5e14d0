"""A spec that names one item twice holds its film and says so; nothing is paid by the order of a list."""

from __future__ import annotations

import pytest
from tests.support.builders import a_storyboard
from tests.support.quiet_studio import QuietStudio

from videotask_contract.phases import Phase
from videotask_contract.steps import Step

CLIPS = "video_generation"


def take(item: str, number: int = 1, step: str = CLIPS) -> dict:
    return {"step": step, "item": item, "take": number}


def motion(scene: str) -> dict:
    return {"scene": scene, "motion": f"by {scene}"}


TWINS = {
    "padded take": {"takes": [take("7"), take("07", 2)]},
    "take by name and number": {"takes": [take("scene-7"), take("07")]},
    "the same take twice": {"takes": [take("7"), take("7", 2)]},
    "padded edit": {"edits": {"scenes": [motion("7"), motion("07")]}},
    "edit by name and number": {"edits": {"scenes": [motion("7"), motion("scene-7")]}},
    "the same asset twice": {"edits": {"assets": [{"name": "harbour", "prompt": p} for p in ("dawn", "dusk")]}},
}
APART = {
    "another step": {"takes": [take("7"), take("07", step="narration_generation")]},
    "another scene": {"takes": [take("7"), take("8")], "edits": {"scenes": [motion("7"), motion("scene-8")]}},
}


async def a_studio(**spec) -> QuietStudio:
    studio = QuietStudio()
    studio.has_channel()
    studio.has_film("one", storyboard=a_storyboard(scenes=12), **spec)
    await studio.look()
    return studio


@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS)
async def test_a_film_with_twin_references_waits_until_one_is_taken_away(twins):
    studio = await a_studio(**twins)
    record = await studio.record("one")
    assert (record.phase, record.waiting_reason) == (Phase.QUEUED, "InvalidChange")
    assert f"spec.{next(iter(twins))}: [" in record.message
    assert "are the same" in record.message
    assert studio.condition("one", "Accepted")["status"] == "False"
    assert studio.running("one") is None
    studio.has_film("one", takes=[], edits={})
    await studio.look()
    assert studio.step_of("one") is Step.ASSET_GENERATION


@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS)
async def test_a_film_on_show_is_not_changed_by_them(twins):
    studio = await a_studio()
    await studio.goes_on_to("one", Step.VIDEO_ASSEMBLY)
    await studio.finish("one")
    made = len(studio.cluster.orders)
    studio.has_film("one", **twins)
    await studio.look()
    record = await studio.record("one")
    assert (record.phase, record.waiting_reason) == (Phase.FINAL_REVIEW, "InvalidChange")
    assert len(studio.cluster.orders) == made


async def test_padded_numbers_are_one_scene_though_the_storyboard_is_yet_to_be_written():
    studio = QuietStudio()
    studio.has_channel()
    studio.has_film("one", storyboard=None, topic="the tide", takes=[take("7"), take("07", 2)])
    await studio.look()
    assert (await studio.record("one")).waiting_reason == "InvalidChange"


@pytest.mark.parametrize("apart", APART.values(), ids=APART)
async def test_references_to_different_items_are_taken(apart):
    assert (await a_studio(**apart)).step_of("one") is Step.ASSET_GENERATION
