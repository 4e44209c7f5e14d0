"""A mistyped time zone is said where people look, and holds up no film."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import NOON, a_channel
from tests.support.memory_cluster import MemoryCluster

from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore


class House:
    """A Channel that is shown by hand."""

    def __init__(self) -> None:
        self.cluster, self.now = MemoryCluster(), NOON
        settings = Settings(namespaces=("studio",))
        self.reconciler = Reconciler(
            cluster=self.cluster, store=MemoryStore(), settings=settings, clock=lambda: self.now
        )

    async def shown(self, zone: str) -> dict:
        known = self.cluster.channels_by_name.get(("studio", "tides"))
        channel = a_channel(budget={"perDayUSD": "9.00", "timeZone": zone})
        self.cluster.apply_channel(replace(channel, status=known.status if known else {}))
        await self.reconciler._look_at_all()
        return self.cluster.channels_by_name["studio", "tides"].status

    def conditions(self, status: dict) -> dict[str, str]:
        return {line["type"]: line["status"] for line in status["conditions"]}


async def test_it_is_a_condition_a_message_and_one_event_until_it_is_corrected() -> None:
    house = House()
    first = await house.shown("Europe/Lisbonn")
    assert house.conditions(first) == {"Ready": "True", "TimeZoneKnown": "False"}
    assert "Europe/Lisbonn" in first["message"]
    assert "spec.budget.timeZone" in first["message"]
    house.now += timedelta(hours=1)
    assert await house.shown("Europe/Lisbonn") == first, "nothing changed, so nothing is written"
    assert [event.reason for _, event in house.cluster.channel_events] == ["TimeZoneUnknown"]
    assert house.conditions(await house.shown("Europe/Lisbon")) == {"Ready": "True"}


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland"])
async def test_a_zone_that_is_known_is_no_news(zone) -> None:
    house = House()
    status = await house.shown(zone)
    assert house.conditions(status) == {"Ready": "True"}
    assert status["message"] == "films can be made"
    assert house.cluster.channel_events == []
