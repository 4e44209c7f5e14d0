"""A paused channel, a paused fleet: what is under way ends, nothing new begins, and both say so."""

from __future__ import annotations

import pytest
from tests.support.quiet_studio import QuietStudio

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Failure
from videotask_contract.steps import Step


@pytest.mark.parametrize("fleet", [True, False], ids=["fleet", "channel"])
async def test_a_pause_lets_the_run_under_way_end_and_begins_nothing_until_it_ends(fleet):
    studio = QuietStudio()

    def pause(*, on: bool) -> None:
        studio.has_channel(state="Paused" if on and not fleet else "Running")
        if fleet:  # a new setting is a new process over the same record
            other = QuietStudio(studio.store, fleet_paused=on)
            other.cluster, other.reconciler.cluster = studio.cluster, studio.cluster
            other._specs, other.now = studio._specs, studio.now
            studio.reconciler = other.reconciler
            studio.reconciler.clock = lambda: studio.now

    reason = "FleetPaused" if fleet else "ChannelPaused"
    pause(on=False)
    studio.has_film("one")
    await studio.look()
    pause(on=True)
    studio.has_film("two")
    await studio.look()
    assert studio.step_of("one") is Step.ASSET_GENERATION, "what is under way is left alone"
    await studio.finish("one")
    assert [studio.running(name) for name in ("one", "two")] == [None, None]
    for name, phase in (("one", Phase.ASSETS_READY), ("two", Phase.QUEUED)):
        record = await studio.record(name)
        assert (record.phase, record.waiting_reason) == (phase, reason)
        assert ("operator.paused" if fleet else "kubectl patch channel tides -n studio") in record.message
        assert studio.condition(name, "LaidAside")["status"] == "True"
        assert studio.condition(name, "NeedsAttention")["status"] == "False"
    assert (studio.ready()["status"], studio.ready()["reason"]) == ("False", reason)
    pause(on=False)
    await studio.look(seconds=40)
    assert [studio.step_of(name) for name in ("one", "two")] == [Step.COMPOSITE_CREATION, Step.ASSET_GENERATION]
    assert studio.ready()["status"] == "True"
    assert studio.condition("one", "LaidAside")["status"] == "False"


async def test_a_paused_channel_leaves_others_their_places():
    studio = QuietStudio(fleet_max_active_tasks=1)
    studio.has_channel()
    studio.has_channel("hills")
    studio.has_film("one")
    studio.has_film("two", channelRef={"name": "hills"})
    await studio.look()
    studio.has_channel(state="Paused")
    await studio.finish("one")
    assert [studio.step_of(name) for name in ("one", "two")] == [None, Step.ASSET_GENERATION]
    studio.has_channel()
    await studio.look(seconds=40)
    assert studio.running("one") is None, "its place was given away: it waits its turn"
    assert (await studio.record("one")).waiting_reason == "WaitingForTurn"


async def test_a_retry_that_falls_into_a_pause_waits_for_its_end():

    studio = QuietStudio()
    studio.has_channel()
    studio.has_film("one")
    await studio.look()
    await studio.finish("one", failure=Failure(failure_class=FailureClass.TRANSIENT, message="503"))
    studio.has_channel(state="Paused")
    await studio.look()
    assert (await studio.record("one")).waiting_reason == "RetryScheduled"
    await studio.look(seconds=120)
    assert (await studio.record("one")).waiting_reason == "ChannelPaused"
    studio.has_channel()
    await studio.look(seconds=40)
    assert studio.step_of("one") is Step.ASSET_GENERATION
