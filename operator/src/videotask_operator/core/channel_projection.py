"""A Channel as kubectl shows it: whether films can be made, how many are under way, what its day has cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from videotask_contract.resources import ChannelStatus, Condition, to_json
from videotask_operator.core.breaker import ACCOUNT_REFUSED, describe_block
from videotask_operator.core.model import AccountBlock, ChannelResource, EventDraft, EventType
from videotask_operator.core.pause import pause_hindrance

TIME_ZONE_KNOWN: Final = "TimeZoneKnown"


def project_channel_status(
    channel: ChannelResource,
    *,
    active_tasks: int,
    spent_usd: Decimal | None,
    now: datetime,
    blocks: Sequence[AccountBlock] = (),
    fleet_paused: bool = False,
    is_zone_known: bool = True,
) -> dict[str, Any]:
    """Return the whole status as JSON; Ready says whether a film of this channel could begin now, and why not.

    A time zone that nobody knows holds up no film, since its days are UTC's then: a condition of its own says so.
    """
    problem = _problem(channel, blocks, fleet_paused=fleet_paused)
    zones = () if is_zone_known else (_unknown_zone(channel, now),)
    status = ChannelStatus(
        observed_generation=channel.generation,
        active_tasks=active_tasks,
        spent_today_usd=f"{spent_usd:.4f}" if spent_usd is not None else None,
        message="; ".join((problem[1] if problem else "films can be made", *(zone.message for zone in zones))),
        conditions=(_ready(channel, problem, now), *zones),
    )
    return to_json(status)


def channel_event(before: Mapping[str, Any], after: Mapping[str, Any]) -> EventDraft | None:
    """Return the event of a change: a zone is unknown, an account is refused or works again; else None."""
    zone = _condition_of(after, TIME_ZONE_KNOWN)
    if zone and not _condition_of(before, TIME_ZONE_KNOWN):
        return EventDraft(type=EventType.WARNING, reason="TimeZoneUnknown", message=zone.get("message", ""))
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


def _unknown_zone(channel: ChannelResource, now: datetime) -> Condition:
    zone = channel.spec.budget.time_zone if channel.spec else ""
    before = _condition_of(channel.status, TIME_ZONE_KNOWN)
    return Condition(
        type=TIME_ZONE_KNOWN,
        status="False",
        reason="TimeZoneUnknown",
        message=f'no time zone is named "{zone}", so its days begin at midnight UTC; correct spec.budget.timeZone, '
        'for example to "Europe/Lisbon"',
        last_transition_time=before.get("lastTransitionTime", now),
        observed_generation=channel.generation,
    )


def _ready_of(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return _condition_of(status, "Ready")


def _condition_of(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((line for line in status.get("conditions", ()) if line.get("type") == name), {})
