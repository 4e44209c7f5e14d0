"""A Channel as kubectl shows it: whether films can be made, how many are under way, what its day has cost."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from videotask_contract.resources import ChannelStatus, Condition, to_json
from videotask_operator.core.model import ChannelResource


def project_channel_status(
    channel: ChannelResource, *, active_tasks: int, spent_usd: Decimal | None, now: datetime
) -> dict[str, Any]:
    """Return the whole status as JSON; Ready says no more than that the spec holds to the contract."""
    problem = channel.spec_error
    status = ChannelStatus(
        observed_generation=channel.generation,
        active_tasks=active_tasks,
        spent_today_usd=f"{spent_usd:.4f}" if spent_usd is not None else None,
        message=f"the spec breaks the contract: {problem}" if problem else "films can be made",
        conditions=(_ready(channel, problem, now),),
    )
    return to_json(status)


def _ready(channel: ChannelResource, problem: str | None, now: datetime) -> Condition:
    status = "False" if problem else "True"
    before = next((line for line in channel.status.get("conditions", ()) if line.get("type") == "Ready"), None)
    unchanged = before is not None and before.get("status") == status
    return Condition(
        type="Ready",
        status=status,
        reason="InvalidSpec" if problem else "Valid",
        message=problem or "",
        last_transition_time=before["lastTransitionTime"] if before is not None and unchanged else now,
        observed_generation=channel.generation,
    )
