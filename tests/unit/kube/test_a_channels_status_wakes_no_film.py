"""What we write into a Channel's status comes back as an event, and is news to none of its films."""

from __future__ import annotations

from videotask_operator.core.model import TaskKey
from videotask_operator.kube.cache import Cache
from videotask_operator.kube.paths import Kind


def test_only_a_change_of_what_people_want_of_a_channel_concerns_its_films(bodies):
    cache, films = Cache(), {TaskKey("studio", "film")}
    cache.put(Kind.TASK, bodies.task())
    assert cache.put(Kind.CHANNEL, bodies.channel()) == films
    assert not cache.put(Kind.CHANNEL, bodies.channel(version=2, status={"spentTodayUSD": "1.0000"}))
    channel = cache.channel("studio", "tides")
    assert channel is not None
    assert channel.status == {"spentTodayUSD": "1.0000"}
    spec = {**bodies.channel()["spec"], "state": "Paused"}
    assert cache.put(Kind.CHANNEL, bodies.channel(version=3, spec=spec)) == films
