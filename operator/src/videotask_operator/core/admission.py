"""Which waiting tasks get their turn: priority, then fairness between channels, then age; caps are never passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from videotask_contract.phases import STOPPED, Phase
from videotask_contract.resources import Priority
from videotask_operator.core.model import ActiveTask

PLACE_HOLDING: Final = frozenset(Phase) - STOPPED - {Phase.QUEUED, Phase.FINAL_REVIEW, Phase.APPROVED}
"""Phases of a task that holds a place of the fleet: a film that waits for a person holds up no other."""
_LAID_DOWN: Final = frozenset(
    {
        "AwaitingApproval",
        "ChannelBlocked",
        "ChannelInvalid",
        "ChannelNotFound",
        "ChannelPaused",
        "FleetPaused",
        "InvalidChange",
        "InvalidSpec",
        "NarrationTooLong",
        "NoPrice",
        "PodNeverStarted",
        "RedoRefused",
        "Rejected",
        "RetryLater",
        "TakeHeld",
        "WaitingForTurn",
    },
)
"""Waiting reasons of a film under way that has given its place back: neither a refused key, nor a missing Secret, nor
a daily quota, nor a person who is away must starve other channels."""
_RANK = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


def holds_place(phase: Phase, waiting_reason: str | None) -> bool:
    """Tell whether a task in this phase, waiting for this, holds a place of the fleet."""
    return phase in PLACE_HOLDING and waiting_reason not in _LAID_DOWN


def decide_admission(
    tasks: Iterable[ActiveTask],
    *,
    fleet_cap: int,
    channel_caps: Mapping[tuple[str, str], int],
    ready_uids: frozenset[str],
) -> tuple[str, ...]:
    """Return the uids to claim now, in order.

    `channel_caps` is keyed by (namespace, channel); a channel without a cap is not known and admits nothing.
    `ready_uids` are the tasks, queued or to go on after a stop, that nothing else holds back. Between channels of equal
    priority the one with fewer active tasks goes first, so that a channel's long queue cannot starve another's.
    """
    everything = tuple(tasks)
    active = Counter((task.namespace, task.channel) for task in everything if task.active)
    queued = [task for task in everything if not task.active and task.uid in ready_uids]
    claimed: list[str] = []
    places = fleet_cap - sum(active.values())
    while places > 0:
        able = [task for task in queued if active[_channel(task)] < channel_caps.get(_channel(task), 0)]
        if not able:
            break
        chosen = min(able, key=lambda task: (_RANK[task.priority], active[_channel(task)], task.queued_at, task.uid))
        queued.remove(chosen)
        active[_channel(chosen)] += 1
        claimed.append(chosen.uid)
        places -= 1
    return tuple(claimed)


def _channel(task: ActiveTask) -> tuple[str, str]:
    return (task.namespace, task.channel)
