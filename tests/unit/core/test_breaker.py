"""A refused provider account stops its channel once: who waits, who goes on, and what lifts it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.quiet_studio import QuietStudio

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Failure
from videotask_contract.steps import Step

REFUSED = Failure(failure_class=FailureClass.ACCOUNT, message="Kling 401: access key is dead (code 1002)")
KLING = "studio/kling-key/api-key"


async def blocked(**settings) -> QuietStudio:
    """Return a studio in which film one found its Kling account refused."""
    studio = QuietStudio(**settings)
    studio.has_channel()
    studio.has_film("one")
    await studio.goes_on_to("one", Step.VIDEO_GENERATION)
    await studio.finish("one", failure=REFUSED)
    return studio


async def blocks_of(studio, account=KLING):
    async with studio.store.transaction() as transaction:
        return await transaction.load_account_blocks([account])


async def test_the_block_names_account_words_time_and_who_found_out():
    studio = await blocked()
    (block,) = await blocks_of(studio)
    assert (block.account, block.channel, block.provider.value, block.by_task_uid, block.channel_generation) == (
        KLING,
        "tides",
        "kling",
        "uid-of-one",
        1,
    )
    assert block.message == REFUSED.message
    assert (await studio.record("one")).phase is Phase.VIDEO_ERROR


async def test_no_queued_film_of_the_channel_is_claimed_and_the_message_says_why():
    studio = await blocked()
    studio.has_film("two")
    await studio.look()
    record = await studio.record("two")
    assert (record.phase, record.waiting_reason) == (Phase.QUEUED, "ChannelBlocked")
    for words in (KLING, REFUSED.message, "spec.attempt", "change the Channel"):
        assert words in record.message
    assert studio.condition("two", "LaidAside")["reason"] == "ChannelBlocked"
    assert studio.condition("two", "NeedsAttention")["status"] == "True"


async def test_a_film_under_way_stops_before_the_refused_account_and_not_before():
    studio = QuietStudio()
    studio.has_channel()
    studio.has_film("one")
    studio.has_film("two")
    await studio.goes_on_to("one", Step.VIDEO_GENERATION)
    assert studio.step_of("two") is Step.ASSET_GENERATION
    await studio.finish("one", failure=REFUSED)
    await studio.finish("two")
    assert studio.step_of("two") is Step.COMPOSITE_CREATION, "a step that pays nobody goes on"
    await studio.finish("two")
    assert studio.running("two") is None
    assert (await studio.record("two")).waiting_reason == "ChannelBlocked"
    assert [order.step for order in studio.cluster.orders if order.key.name == "two"] == [
        Step.ASSET_GENERATION,
        Step.COMPOSITE_CREATION,
    ]


async def test_a_film_past_the_refused_account_goes_on_with_another_provider():
    studio = QuietStudio()
    studio.has_channel()
    studio.has_film("far")
    await studio.goes_on_to("far", Step.NARRATION_GENERATION)
    studio.has_film("one")
    await studio.goes_on_to("one", Step.VIDEO_GENERATION)
    await studio.finish("one", failure=REFUSED)
    await studio.finish("far")
    assert studio.step_of("far") is Step.SFX_GENERATION


async def test_channels_never_notice_unless_they_share_the_very_key():
    studio = await blocked()
    own = {name: {"secretRef": {"name": f"hills-{name}"}} for name in ("gemini", "kling", "elevenlabs")}
    studio.has_channel("hills", credentials=own)
    studio.has_channel("shore", credentials={**own, "kling": {"secretRef": {"name": "kling-key"}}})
    studio.has_film("free", channelRef={"name": "hills"})
    studio.has_film("bound", channelRef={"name": "shore"})
    await studio.look()
    assert studio.step_of("free") is Step.ASSET_GENERATION
    assert (await studio.record("bound")).waiting_reason == "ChannelBlocked"
    assert (studio.ready("hills")["status"], studio.ready("shore")["reason"]) == ("True", "AccountRefused")


async def test_films_that_wait_for_an_account_hold_no_place_of_the_fleet():
    studio = QuietStudio(fleet_max_active_tasks=2)
    studio.has_channel()
    for name in ("one", "two"):
        studio.has_film(name)
    await studio.goes_on_to("one", Step.VIDEO_GENERATION)
    await studio.finish("one", failure=REFUSED)
    await studio.finish("two")
    await studio.finish("two")
    own = {name: {"secretRef": {"name": f"hills-{name}"}} for name in ("gemini", "kling", "elevenlabs")}
    studio.has_channel("hills", credentials=own)
    for name in ("other-1", "other-2"):
        studio.has_film(name, channelRef={"name": "hills"})
    await studio.look()
    assert [studio.step_of(name) for name in ("other-1", "other-2")] == [Step.ASSET_GENERATION] * 2


async def test_the_channel_says_so_once_and_its_films_do_not_each_post_an_event():
    studio = await blocked()
    for name in ("two", "three", "four"):
        studio.has_film(name)
    for _ in range(3):
        await studio.look(seconds=60)
    assert studio.ready()["reason"] == "AccountRefused"
    assert REFUSED.message in studio.ready()["message"]
    assert [(name, event.reason) for name, event in studio.cluster.channel_events] == [("tides", "AccountRefused")]
    told = {key.name for key, event in studio.cluster.events if event.reason in {"ChannelBlocked", "AccountRefused"}}
    assert told == set()


class TestTheProbe:
    async def test_a_raised_attempt_tries_the_account_alone_and_a_settled_call_lifts_the_block(self):
        studio = await blocked()
        studio.has_film("two")
        studio.has_film("one", attempt=2)
        await studio.look()
        assert studio.step_of("one") is Step.VIDEO_GENERATION
        assert studio.running("two") is None
        await studio.finish("one", usd="0.42")
        assert await blocks_of(studio) == ()
        await studio.look()
        assert studio.step_of("two") is Step.ASSET_GENERATION
        assert studio.ready()["status"] == "True"
        assert [event.reason for _, event in studio.cluster.channel_events] == ["AccountRefused", "AccountWorks"]

    async def test_a_probe_that_is_refused_blocks_anew_in_the_new_words(self):
        studio = await blocked()
        studio.has_film("two")
        studio.has_film("one", attempt=2)
        await studio.look()
        words = Failure(failure_class=FailureClass.ACCOUNT, message="Kling 429: resource pack exhausted (code 1102)")
        await studio.finish("one", failure=words)
        (block,) = await blocks_of(studio)
        assert (block.message, block.probe_uid) == (words.message, None)
        await studio.look()
        assert studio.running("one") is studio.running("two") is None

    async def test_a_lost_network_says_nothing_of_the_key_and_the_probe_tries_again(self):
        studio = await blocked()
        studio.has_film("two")
        studio.has_film("one", attempt=2)
        await studio.look()
        await studio.finish("one", failure=Failure(failure_class=FailureClass.NETWORK, message="no route to Kling"))
        assert len(await blocks_of(studio)) == 1
        await studio.look(seconds=120)
        assert studio.step_of("one") is Step.VIDEO_GENERATION
        assert studio.running("two") is None

    async def test_a_refused_prompt_shows_that_the_account_works(self):
        studio = await blocked()
        studio.has_film("one", attempt=2)
        await studio.look()
        await studio.finish("one", failure=Failure(failure_class=FailureClass.REFUSED, message="Kling 1301: safety"))
        assert await blocks_of(studio) == ()

    async def test_a_run_from_before_the_block_does_not_lift_it(self):
        studio = QuietStudio()
        studio.has_channel()
        for name in ("one", "two"):
            studio.has_film(name)
        await studio.goes_on_to("one", Step.VIDEO_GENERATION)
        await studio.goes_on_to("two", Step.VIDEO_GENERATION)
        await studio.finish("one", failure=REFUSED)
        await studio.finish("two", usd="0.42")
        assert len(await blocks_of(studio)) == 1

    async def test_a_film_that_waits_for_the_account_may_be_the_probe_too(self):
        studio = QuietStudio()
        studio.has_channel()
        studio.has_film("one")
        studio.has_film("two")
        await studio.goes_on_to("one", Step.VIDEO_GENERATION)
        await studio.finish("one", failure=REFUSED)
        await studio.finish("two")
        await studio.finish("two")
        studio.has_film("two", attempt=2)
        await studio.look()
        assert studio.step_of("two") is Step.VIDEO_GENERATION
        assert (await studio.record("two")).attempt == 2
        assert [block.probe_uid for block in await blocks_of(studio)] == ["uid-of-two"]

    async def test_two_persons_words_are_not_two_probes_at_once(self):
        studio = QuietStudio()
        studio.has_channel()
        for name in ("one", "two"):
            studio.has_film(name)
        await studio.goes_on_to("one", Step.VIDEO_GENERATION)
        await studio.goes_on_to("two", Step.VIDEO_GENERATION)
        await studio.finish("one", failure=REFUSED)
        await studio.finish("two", failure=REFUSED)
        studio.has_film("one", attempt=2)
        await studio.look()
        studio.has_film("two", attempt=2)
        await studio.look()
        assert [studio.running(name) is not None for name in ("one", "two")] == [True, False]
        assert "another film tries the account now" in await studio.message("two")


@pytest.mark.parametrize("how", ["changed", "gone"])
async def test_a_channel_that_is_changed_or_gone_lifts_what_its_film_found_out(how):
    studio = await blocked()
    studio.has_channel("shore")
    studio.has_film("bound", channelRef={"name": "shore"})
    await studio.look()
    assert studio.running("bound") is None
    if how == "changed":
        studio.has_channel(generation=2, limits={"maxActiveTasks": 2})
    else:
        del studio.cluster.channels_by_name["studio", "tides"]
    await studio.look()
    await studio.look()
    assert await blocks_of(studio) == ()
    assert studio.step_of("bound") is Step.ASSET_GENERATION


async def test_a_cache_that_lags_behind_makes_one_event_not_two():
    studio = await blocked()
    stale = studio.cluster.channels_by_name["studio", "tides"]
    for _ in range(3):
        studio.cluster.apply_channel(replace(stale, status={}))
        await studio.look(seconds=30)
    assert [event.reason for _, event in studio.cluster.channel_events] == ["AccountRefused"]
