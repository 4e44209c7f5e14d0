"""How much a run may spend: caps of the task and of its channel's day, less what is spent and reserved already."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from videotask_contract.prices import PriceTable, upper_bound_usd
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_contract.steps import STEPS
from videotask_operator.core.estimate import StepEstimate, estimate_by_step
from videotask_operator.core.model import Money, RunRecord, TaskRecord

# A generated narration may be longer than expected; nobody pays for what is reserved and not spent.
_GENERATED_ROOM = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a run may spend, or why it may not begin."""

    usd: Decimal
    refusal: str | None = None
    advice: str = ""
    """Who may raise the cap that is nearer, and by which command."""


def decide_reservation(
    *,
    estimate: StepEstimate,
    finished_items: int,
    spec: VideoTaskSpec,
    channel: ChannelSpec,
    money: Money,
    prices: PriceTable,
    record: TaskRecord,
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
    wanting = wish + _later_usd(record, spec, channel, prices)
    advice = (
        _task_advice(record, spec.budget - task_room + wanting)
        if task_room <= day_room
        else _channel_advice(record, channel, day_cap - day_room + wanting)
    )
    if room >= next_call:
        return Reservation(usd=min(wish, room), advice=advice)
    cap = f"the task's budget of {spec.budget_usd}" if task_room <= day_room else f"the channel's day of {day_cap}"
    refusal = f"the next call may cost {next_call:.4f} dollars and {cap} {_left(room)}; {advice}"
    return Reservation(usd=Decimal(0), refusal=refusal, advice=advice)


def limit_of_run(run: RunRecord, *, spec: VideoTaskSpec | None, channel: ChannelSpec | None, money: Money) -> Decimal:
    """Return what an open run may spend in all by the caps as they are now, in dollars; never more than it reserved.

    A cap that a person lowered holds at once for the calls not yet begun. `money` counts the run's whole reservation,
    which stays recorded as it is: whether the step heard of less is never sure. A spec that cannot be read says
    nothing new.
    """
    rooms = [run.reserved_usd]
    if spec is not None:
        rooms.append(spec.budget - money.task_spent_usd - money.task_reserved_usd + run.reserved_usd)
    if channel is not None:
        day_usd = money.channel_day_spent_usd + money.channel_day_reserved_usd
        rooms.append(Decimal(channel.budget.per_day_usd) - day_usd + run.reserved_usd)
    return max(min(rooms), Decimal(0))


def _wish(estimate: StepEstimate, finished_items: int, spec: VideoTaskSpec, prices: PriceTable) -> Decimal:
    left = max(0, estimate.items - finished_items)
    share = estimate.cost_usd if finished_items == 0 else min(estimate.largest_call_usd * left, estimate.cost_usd)
    factor = 1 if spec.storyboard else _GENERATED_ROOM
    return upper_bound_usd(prices, share) * factor


def _later_usd(record: TaskRecord, spec: VideoTaskSpec, channel: ChannelSpec, prices: PriceTable) -> Decimal:
    """Return the upper bound of the steps after the current one, so that one word of a person is enough."""
    estimates = estimate_by_step(spec, channel, prices)
    later = [traits.step for traits in STEPS]
    later = later[later.index(record.step) + 1 :] if record.step in later else []
    return upper_bound_usd(prices, sum((estimates[step].cost_usd for step in later), Decimal(0)))


def _left(room: Decimal) -> str:
    if room < 0:
        return f"is passed by {-room:.4f} already, because a provider billed more than the upper bound"
    return f"has {room:.4f} left"


def _task_advice(record: TaskRecord, needed_usd: Decimal) -> str:
    patch = f'{{"spec":{{"budgetUSD":"{_whole_dollars(needed_usd)}"}}}}'
    return (
        "raise spec.budgetUSD to go on; whoever may edit the VideoTask can: "
        f"kubectl patch videotask {record.name} -n {record.namespace} --type=merge -p '{patch}'"
    )


def _channel_advice(record: TaskRecord, channel: ChannelSpec, needed_usd: Decimal) -> str:
    patch = f'{{"spec":{{"budget":{{"perDayUSD":"{_whole_dollars(needed_usd)}"}}}}}}'
    return (
        f"it goes on with its next day in {channel.budget.time_zone}, or raise the Channel's spec.budget.perDayUSD; "
        "whoever may edit the Channel can: "
        f"kubectl patch channel {record.channel} -n {record.namespace} --type=merge -p '{patch}'"
    )


def _whole_dollars(usd: Decimal) -> str:
    return f"{usd.to_integral_value(rounding=ROUND_CEILING)}.00"
