"""A cap of the task and of the channel's day, to the last place: what equals it passes, 0.0001 more is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.builders import a_channel, a_record, a_resource, a_storyboard

from videotask_contract.prices import PriceTable, upper_bound_usd
from videotask_contract.steps import Step
from videotask_operator.core.budget import Reservation, decide_reservation
from videotask_operator.core.estimate import estimate_by_step
from videotask_operator.core.model import Money

PRICES = PriceTable()
LEAST = Decimal("0.0001")
FILM = a_resource(storyboard=a_storyboard(scenes=4), budgetUSD="10.00").spec
CHANNEL = a_channel(budget={"perDayUSD": "20.00", "timeZone": "UTC"}).spec
CLIPS = estimate_by_step(FILM, CHANNEL, PRICES)[Step.VIDEO_GENERATION]
CALL = upper_bound_usd(PRICES, CLIPS.largest_call_usd)
ALL = upper_bound_usd(PRICES, CLIPS.cost_usd)
CAPS = {
    "task, spent": ("task_spent_usd", Decimal(10), "the task's budget of 10.00"),
    "task, reserved": ("task_reserved_usd", Decimal(10), "the task's budget of 10.00"),
    "day, spent": ("channel_day_spent_usd", Decimal(20), "the channel's day of 20.00"),
    "day, reserved": ("channel_day_reserved_usd", Decimal(20), "the channel's day of 20.00"),
}


def reserve(field: str, cap: Decimal, left: Decimal, *, finished: int = 0) -> Reservation:
    return decide_reservation(
        estimate=CLIPS,
        finished_items=finished,
        spec=FILM,
        channel=CHANNEL,
        money=Money(**{field: cap - left}),
        prices=PRICES,
        record=a_record(step=Step.VIDEO_GENERATION),
    )


@pytest.mark.parametrize(("field", "cap", "words"), CAPS.values(), ids=CAPS)
def test_room_for_exactly_one_call_is_enough_and_a_ten_thousandth_less_is_not(field, cap, words):
    enough = reserve(field, cap, CALL)
    assert (enough.usd, enough.refusal) == (CALL, None)
    too_little = reserve(field, cap, CALL - LEAST)
    assert too_little.usd == 0
    assert f"the next call may cost {CALL:.4f} dollars and {words} has {CALL - LEAST:.4f} left" in too_little.refusal


@pytest.mark.parametrize(("field", "cap"), [(field, cap) for field, cap, _ in CAPS.values()], ids=CAPS)
def test_room_for_exactly_all_is_reserved_whole_and_never_more_than_there_is(field, cap):
    assert reserve(field, cap, ALL).usd == ALL
    assert reserve(field, cap, ALL - LEAST).usd == ALL - LEAST
    assert reserve(field, cap, ALL + LEAST).usd == ALL, "nor more than the step needs"


@pytest.mark.parametrize("finished", [1, 2, 3])
def test_what_is_finished_is_not_reserved_again(finished):
    field, cap, _ = CAPS["task, spent"]
    wanted = upper_bound_usd(PRICES, CLIPS.largest_call_usd * (4 - finished))
    assert reserve(field, cap, cap, finished=finished).usd == wanted
    assert reserve(field, cap, Decimal(0), finished=4) == Reservation(usd=Decimal(0)), "nothing left to pay for"


def test_spent_and_reserved_count_together():
    money = Money(task_spent_usd=Decimal(5), task_reserved_usd=Decimal(5) - CALL)
    parts = {"estimate": CLIPS, "finished_items": 0, "spec": FILM, "channel": CHANNEL, "prices": PRICES}
    record = a_record(step=Step.VIDEO_GENERATION)
    assert decide_reservation(**parts, money=money, record=record).refusal is None
    more = Money(task_spent_usd=Decimal(5) + LEAST, task_reserved_usd=Decimal(5) - CALL)
    assert decide_reservation(**parts, money=more, record=record).refusal is not None
