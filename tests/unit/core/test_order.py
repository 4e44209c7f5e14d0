from __future__ import annotations

from videotask_contract.steps import Step
from videotask_operator.core.order import deadline_seconds


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
