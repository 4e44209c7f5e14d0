"""Whether a person has paused a channel or the fleet: what is under way ends, and nothing new may begin."""

from __future__ import annotations

from typing import Final

from videotask_contract.resources import ChannelSpec, ChannelState

CHANNEL_PAUSED: Final = "ChannelPaused"
FLEET_PAUSED: Final = "FleetPaused"


def pause_hindrance(*, namespace: str, name: str, channel: ChannelSpec, fleet_paused: bool) -> tuple[str, str] | None:
    """Return reason and message of the pause that holds this channel's tasks, None where there is none."""
    if fleet_paused:
        return FLEET_PAUSED, (
            "the fleet is paused: runs under way end and nothing new begins; to go on, set the chart's value "
            "operator.paused to false (without a chart: VIDEOTASK_FLEET_PAUSED)"
        )
    if channel.state is ChannelState.PAUSED:
        patch = '{"spec":{"state":"Running"}}'
        return CHANNEL_PAUSED, (
            f"the Channel {name!r} is paused: runs under way end and nothing new begins; to go on: "
            f"kubectl patch channel {name} -n {namespace} --type=merge -p '{patch}'"
        )
    return None
