"""How much a run may spend: caps of the task and of its channel's day, less what is spent and reserved already."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from videotask_contract.prices import PriceTable, upper_bound_usd
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_operator.core.estimate import StepEstimate
from videotask_operator.core.model import Money

# A generated narration may be longer than expected; nobody pays for what is reserved and not spent.
_GENERATED_ROOM = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a run may spend, or why it may not begin."""

    usd: Decimal
    refusal: str | None = None


def decide_reservation(
    *,
    estimate: StepEstimate,
    finished_items: int,
    spec: VideoTaskSpec,
    channel: ChannelSpec,
    money: Money,
    prices: PriceTable,
) -> Reservation:
    """Return the run's reservation in dollars.

    The wish is the step's upper bound for the items not finished yet; what the caps leave limits it. A run whose next
    call could pass a cap does not begin. `money` must not count this run itself.
    """
    if estimate.cost_usd == 0:
        return Reservation(usd=Decimal(0))
    wish = _wish(estimate, finished_items, spec, prices)
    if wish == 0:
        return Reservation(usd=Decimal(0))
    task_room = spec.budget - money.task_spent_usd - money.task_reserved_usd
    day_cap = Decimal(channel.budget.per_day_usd)
    day_room = day_cap - money.channel_day_spent_usd - money.channel_day_reserved_usd
    room = min(task_room, day_room)
    next_call = min(upper_bound_usd(prices, estimate.largest_call_usd), wish)
    if room >= next_call:
        return Reservation(usd=min(wish, room))
    return Reservation(usd=Decimal(0), refusal=_refusal((task_room, day_room), next_call, spec, day_cap))


def _wish(estimate: StepEstimate, finished_items: int, spec: VideoTaskSpec, prices: PriceTable) -> Decimal:
    left = max(0, estimate.items - finished_items)
    share = estimate.cost_usd if finished_items == 0 else min(estimate.largest_call_usd * left, estimate.cost_usd)
    factor = 1 if spec.storyboard else _GENERATED_ROOM
    return upper_bound_usd(prices, share) * factor


def _refusal(rooms: tuple[Decimal, Decimal], next_call: Decimal, spec: VideoTaskSpec, day_cap: Decimal) -> str:
    task_room, day_room = rooms
    if task_room <= day_room:
        return (
            f"the next call may cost {next_call:.4f} dollars and the task's budget of {spec.budget_usd} has "
            f"{max(task_room, Decimal(0)):.4f} left; raise spec.budgetUSD to go on"
        )
    return (
        f"the next call may cost {next_call:.4f} dollars and the channel's day of {day_cap} has "
        f"{max(day_room, Decimal(0)):.4f} left; raise the Channel's spec.budget.perDayUSD or wait for its next day"
    )
