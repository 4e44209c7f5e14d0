"""A Channel as kubectl shows it: whether films can be made, how many are under way, what its day has cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from videotask_contract.resources import ChannelStatus, Condition, to_json
from videotask_operator.core.breaker import ACCOUNT_REFUSED, describe_block
from videotask_operator.core.model import AccountBlock, ChannelResource, EventDraft, EventType
from videotask_operator.core.pause import pause_hindrance


def project_channel_status(
    channel: ChannelResource,
    *,
    active_tasks: int,
    spent_usd: Decimal | None,
    now: datetime,
    blocks: Sequence[AccountBlock] = (),
    fleet_paused: bool = False,
) -> dict[str, Any]:
    """Return the whole status as JSON; Ready says whether a film of this channel could begin now, and why not."""
    problem = _problem(channel, blocks, fleet_paused=fleet_paused)
    status = ChannelStatus(
        observed_generation=channel.generation,
        active_tasks=active_tasks,
        spent_today_usd=f"{spent_usd:.4f}" if spent_usd is not None else None,
        message=problem[1] if problem else "films can be made",
        conditions=(_ready(channel, problem, now),),
    )
    return to_json(status)


def channel_event(before: Mapping[str, Any], after: Mapping[str, Any]) -> EventDraft | None:
    """Return the event that a change of the status deserves: an account is refused, or works again; else None."""
    was, now = _ready_of(before), _ready_of(after)
    if now.get("reason") == ACCOUNT_REFUSED and was.get("reason") != ACCOUNT_REFUSED:
        return EventDraft(type=EventType.WARNING, reason=ACCOUNT_REFUSED, message=now.get("message", ""))
    if was.get("reason") == ACCOUNT_REFUSED and now.get("reason") != ACCOUNT_REFUSED:
        return EventDraft(type=EventType.NORMAL, reason="AccountWorks", message="its accounts are in use again")
    return None


def _problem(channel: ChannelResource, blocks: Sequence[AccountBlock], *, fleet_paused: bool) -> tuple[str, str] | None:
    if channel.spec is None:
        return "InvalidSpec", f"the spec breaks the contract: {channel.spec_error}"
    if blocks:
        return ACCOUNT_REFUSED, "; ".join(describe_block(block) for block in blocks)
    return pause_hindrance(
        namespace=channel.namespace, name=channel.name, channel=channel.spec, fleet_paused=fleet_paused
    )


def _ready(channel: ChannelResource, problem: tuple[str, str] | None, now: datetime) -> Condition:
    status = "False" if problem else "True"
    before = _ready_of(channel.status)
    unchanged = before.get("status") == status
    return Condition(
        type="Ready",
        status=status,
        reason=problem[0] if problem else "Valid",
        message=problem[1] if problem else "",
        last_transition_time=before["lastTransitionTime"] if unchanged else now,
        observed_generation=channel.generation,
    )


def _ready_of(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((line for line in status.get("conditions", ()) if line.get("type") == "Ready"), {})
