from __future__ import annotations

import pytest
from tests.support.builders import RULES, a_channel, a_record, a_resource, a_run

from videotask_contract.steps import TRAITS, Step
from videotask_operator.core.order import build_order, deadline_seconds


def deadline(step, **facts):
    return deadline_seconds(step, **{"items": 18, "concurrency": 1, "writes_storyboard": False} | facts)


def test_a_paid_steps_deadline_is_items_times_limit_through_concurrency():
    assert deadline(Step.VIDEO_GENERATION, concurrency=18) == 180 + 2 * 600
    assert deadline(Step.VIDEO_GENERATION, concurrency=6) == 180 + 2 * 3 * 600


def test_a_film_longer_than_the_house_film_has_longer_to_be_assembled():
    assert deadline(Step.VIDEO_ASSEMBLY) == deadline(Step.VIDEO_ASSEMBLY, items=1) == 180 + 2 * 180
    assert deadline(Step.VIDEO_ASSEMBLY, items=60) == 180 + 1200


def test_writing_a_storyboard_has_time_of_its_own():
    assert deadline(Step.ASSET_GENERATION, writes_storyboard=True) - deadline(Step.ASSET_GENERATION) == 300


def task_file(step, **spec):
    facts = {"record": a_record(), "spec": a_resource(**spec).spec, "channel": a_channel().spec, "rules": RULES}
    return build_order(run=a_run(step=step), **facts).task_file


@pytest.mark.parametrize("step", Step)
def test_a_step_is_told_its_own_provider_and_no_other(step):
    told = task_file(step).provider
    assert (told.provider if told else None) is TRAITS[step].provider


def test_only_the_step_that_writes_the_storyboard_is_told_what_it_is_to_be_about():
    written = {"storyboard": None, "topic": "tides", "direction": "slow and quiet"}
    first, later = (task_file(step, **written) for step in (Step.ASSET_GENERATION, Step.VIDEO_GENERATION))
    assert (first.topic, first.direction) == ("tides", "slow and quiet")
    assert (later.topic, later.direction) == (None, None)
