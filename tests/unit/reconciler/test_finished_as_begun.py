"""What a film's step was begun with of the Channel, it is finished and redone with: no item is bought for a change."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.builders import a_storyboard
from tests.support.quiet_studio import QuietStudio

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Failure
from videotask_contract.steps import Step
from videotask_contract.task_file import TaskFile

SCENES = 18
BOARD = a_storyboard(scenes=SCENES)
DEARER = {"videoModel": "kling-2.6", "videoResolution": "1080p"}
OTHER_VOICE = {"voiceID": "AnotherVoice1"}
TABLE_PRICE, UPPER_BOUND = Decimal("0.42"), Decimal("0.525")
"""Of one clip of 10 seconds with what Channels have by default."""
BROKE = Failure(failure_class=FailureClass.OVER_BUDGET, message="the next call would pass the reservation")
REFUSED = Failure(failure_class=FailureClass.PERMANENT, message="404: voice_not_found")


def redo(request: str, step: Step, *items: str) -> dict:
    return {"request": request, "steps": [{"step": step.value, "items": list(items)}]}


class Studio(QuietStudio):
    """One film of eighteen scenes, whose steps tell true counts."""

    def __init__(self, **spec) -> None:
        super().__init__()
        self.has_channel()
        self.has_film("one", **{"storyboard": BOARD, "budgetUSD": "80.00"} | spec)

    @property
    def told(self) -> TaskFile:
        order = self.running("one")
        assert order is not None
        return order.task_file

    async def ends(self, *, failure: Failure | None = None, usd: str = "0", **counts: int) -> None:
        """End the run under way, by itself with all items of its step done."""
        items = {Step.ASSET_GENERATION: 2, Step.VIDEO_ASSEMBLY: 1}.get(self.told.step, SCENES)
        await self.finish("one", failure=failure, usd=usd, **{"done": items, "total": items} | counts)

    async def comes_to(self, step: Step) -> TaskFile:
        await self.look()
        while self.step_of("one") is not step:
            await self.ends()
        return self.told

    async def is_shown(self) -> None:
        await self.comes_to(Step.VIDEO_ASSEMBLY)
        await self.ends()
        assert await self.phase() is Phase.FINAL_REVIEW

    async def phase(self) -> Phase:
        return (await self.record("one")).phase

    async def approves_the_storyboard(self) -> None:
        shown = (await self.record("one")).review_round
        await self.asks(approvals={"storyboard": {"decision": "Approved", "by": "anna", "round": shown}})

    async def asks(self, **spec) -> None:
        self.has_film("one", **spec)
        await self.look()


async def test_a_redo_of_one_clip_costs_one_clip_whatever_the_channel_has_by_now():
    studio = Studio()
    before = await studio.comes_to(Step.VIDEO_GENERATION)
    await studio.is_shown()
    studio.has_channel(quality=DEARER)
    await studio.asks(redo=redo("r1", Step.VIDEO_GENERATION, "7"))
    assert (studio.told.step, studio.told.quality) == (Step.VIDEO_GENERATION, before.quality)
    assert studio.told.reservation_usd == UPPER_BOUND
    assert "with quality.videoModel and quality.videoResolution as begun" in await studio.message("one")
    await studio.ends(kept=SCENES - 1, usd=str(TABLE_PRICE))
    later = 0
    while studio.running("one"):
        later += studio.told.reservation_usd
        await studio.ends()
    assert (later, await studio.phase()) == (0, Phase.FINAL_REVIEW)


async def test_a_redo_of_an_image_keeps_the_voice_and_the_look_of_what_is_made():
    studio = Studio()
    images = await studio.comes_to(Step.ASSET_GENERATION)
    spoken = await studio.comes_to(Step.NARRATION_GENERATION)
    await studio.is_shown()
    studio.has_channel(voice=OTHER_VOICE, look={"style": "woodcut"}, quality={"imageSize": "4K"})
    await studio.asks(redo=redo("r1", Step.ASSET_GENERATION, "hero-1"))
    assert (studio.told.look, studio.told.quality) == (images.look, images.quality)
    again = await studio.comes_to(Step.NARRATION_GENERATION)
    assert (again.voice, again.reservation_usd) == (spoken.voice, 0)


async def test_a_half_made_step_goes_on_with_what_it_was_begun_with():
    studio = Studio()
    before = await studio.comes_to(Step.VIDEO_GENERATION)
    refused = Failure(failure_class=FailureClass.PERMANENT, message="scene 10 was refused", item="10")
    await studio.ends(failure=refused, done=9, usd=str(9 * TABLE_PRICE))
    studio.has_channel(quality=DEARER)
    await studio.asks(attempt=2)
    assert (studio.told.quality, studio.told.reservation_usd) == (before.quality, 9 * UPPER_BOUND)


async def test_a_step_that_has_not_begun_takes_what_the_channel_has():
    studio = Studio()
    await studio.comes_to(Step.COMPOSITE_CREATION)
    studio.has_channel(quality=DEARER, voice=OTHER_VOICE)
    clips = await studio.comes_to(Step.VIDEO_GENERATION)
    assert (clips.quality.video_model, clips.quality.video_resolution) == ("kling-2.6", "1080p")
    assert (await studio.comes_to(Step.NARRATION_GENERATION)).voice.voice_id == "AnotherVoice1"


async def test_what_earlier_steps_share_with_later_ones_stays_one_thing():
    studio = Studio()
    await studio.comes_to(Step.NARRATION_GENERATION)
    studio.has_channel(quality={"clipSeconds": 5, "frame": {"width": 1080, "height": 1920}})
    film = await studio.comes_to(Step.VIDEO_ASSEMBLY)
    assert film.quality.clip_seconds == 10, "its clips are that long"
    assert (film.quality.frame.width, film.quality.frame.height) == (1920, 1080)


async def test_a_wrong_voice_is_mended_in_the_channel_for_as_long_as_nothing_was_made_with_it():
    studio = Studio()
    await studio.comes_to(Step.NARRATION_GENERATION)
    await studio.ends(failure=REFUSED, done=0)
    studio.has_channel(voice=OTHER_VOICE)
    await studio.asks(attempt=2)
    assert studio.told.voice.voice_id == "AnotherVoice1"


async def test_money_that_may_be_out_for_an_item_holds_its_settings_too():
    studio = Studio()
    before = await studio.comes_to(Step.VIDEO_GENERATION)
    unsure = Failure(failure_class=FailureClass.PERMANENT, message="its outcome is unknown")
    await studio.ends(failure=unsure, done=0, usd=str(TABLE_PRICE))
    studio.has_channel(quality=DEARER)
    await studio.asks(attempt=2)
    assert studio.told.quality == before.quality


async def test_a_redo_of_all_items_takes_what_the_channel_has_and_reserves_for_all():
    studio = Studio()
    await studio.is_shown()
    studio.has_channel(quality=DEARER, voice=OTHER_VOICE)
    await studio.asks(redo=redo("r1", Step.VIDEO_GENERATION))
    assert studio.told.quality.video_model == "kling-2.6"
    assert studio.told.reservation_usd > SCENES * TABLE_PRICE
    assert (await studio.comes_to(Step.NARRATION_GENERATION)).voice.voice_id != "AnotherVoice1"
    await studio.is_shown()
    studio.has_channel()
    await studio.asks(redo=redo("r2", Step.VIDEO_GENERATION, "7"))
    assert studio.told.quality.video_model == "kling-2.6", "that is what the clips are made with now"


async def test_a_redo_of_all_images_writes_no_other_storyboard():
    studio = Studio(storyboard=None, topic="tides", sceneCount=SCENES, assetCount=2)
    await studio.is_shown()
    studio.has_channel(quality={"textModel": "gemini-3.8-pro", "clipSeconds": 5, "imageSize": "2K"})
    await studio.asks(redo=redo("r1", Step.ASSET_GENERATION))
    quality = studio.told.quality
    assert (quality.text_model, quality.clip_seconds, quality.image_size) == ("gemini-3.8-flash", 10, "2K")


async def test_a_storyboard_that_is_looked_at_once_more_does_not_forget_what_the_images_were_made_with():
    studio = Studio(storyboard=None, topic="tides", sceneCount=SCENES, assetCount=2, gates=["storyboard"])
    edits = {"scenes": [{"scene": "7", "narration": "The tide turns."}]}
    for spec in ({}, {"edits": edits}):
        await studio.asks(**spec)
        assert studio.told.storyboard_only
        await studio.ends(storyboard_sha256="ab")
        await studio.approves_the_storyboard()
        assert studio.told.quality.image_size == "1K"
        await studio.is_shown()
        studio.has_channel(quality={"imageSize": "4K"}, look={"style": "woodcut"})


async def test_what_the_videotask_says_itself_counts_and_is_reserved_for_in_full():
    studio = Studio()
    await studio.is_shown()
    await studio.asks(quality=DEARER, redo=redo("r1", Step.VIDEO_GENERATION, "7"))
    assert studio.told.quality.video_model == "kling-2.6"
    dear = studio.told.reservation_usd
    assert dear > SCENES * TABLE_PRICE
    history = [line["message"] for line in next(iter(studio.cluster.tasks.values())).status["history"]]
    assert not any("kept" in line for line in history)
    await studio.is_shown()
    await studio.asks(redo=redo("r2", Step.VIDEO_GENERATION, "8"))
    assert studio.told.reservation_usd * SCENES == dear, "from now on it is what the clips are made with"


async def test_a_quality_of_its_own_that_is_taken_back_gives_way_to_the_channels():
    studio = Studio(quality=DEARER)
    await studio.is_shown()
    await studio.asks(quality=None, redo=redo("r1", Step.VIDEO_GENERATION, "7"))
    assert studio.told.quality.video_model == "kling-2.5-turbo"
    assert studio.told.reservation_usd == SCENES * UPPER_BOUND


async def test_its_own_image_model_makes_all_images_and_clips_anew_with_money_for_them():
    studio = Studio()
    await studio.is_shown()
    await studio.asks(quality={"imageSize": "2K"}, redo=redo("r1", Step.ASSET_GENERATION, "hero-1"))
    assert studio.told.quality.image_size == "2K"
    assert (await studio.comes_to(Step.VIDEO_GENERATION)).reservation_usd == SCENES * UPPER_BOUND
    assert (await studio.comes_to(Step.NARRATION_GENERATION)).reservation_usd == 0


async def test_of_steps_that_its_own_quality_makes_anew_nothing_is_told_as_kept():
    studio = Studio()
    await studio.is_shown()
    own = {"imageSize": "2K", **DEARER}
    await studio.asks(quality=own, redo=redo("r1", Step.ASSET_GENERATION, "hero-1"))
    history = [line["message"] for line in next(iter(studio.cluster.tasks.values())).status["history"]]
    assert [line for line in history if line.startswith("redo")] == ["redo r1: asset_generation hero-1"]


async def test_an_edit_of_one_narration_has_money_for_one_though_the_storyboard_is_written_anew():
    studio = Studio(edits={"scenes": [{"scene": "2", "narration": "The tide waits."}]})
    whole = (await studio.comes_to(Step.NARRATION_GENERATION)).reservation_usd
    await studio.is_shown()
    await studio.asks(edits={"scenes": [{"scene": "2", "narration": "The tide turns."}]})
    again = await studio.comes_to(Step.NARRATION_GENERATION)
    assert 0 < again.reservation_usd < whole / 6


async def test_what_its_own_quality_made_anew_is_counted_anew_though_more_was_left_standing_before():
    studio = Studio()
    await studio.is_shown()
    steps = [{"step": step.value, "items": ["7"]} for step in (Step.VIDEO_GENERATION, Step.SFX_GENERATION)]
    await studio.asks(redo={"request": "r1", "steps": steps})
    await studio.asks(quality={"frame": {"framesPerSecond": 24}})
    whole = (await studio.comes_to(Step.SFX_GENERATION)).reservation_usd
    refused = Failure(failure_class=FailureClass.PERMANENT, message="scene 4 was refused", item="04")
    await studio.ends(failure=refused, done=3)
    await studio.asks(attempt=2)
    assert studio.told.step is Step.SFX_GENERATION
    assert studio.told.reservation_usd * SCENES == whole * (SCENES - 3)


async def test_its_own_quality_gives_way_to_the_channels_though_its_storyboard_was_written_once_more_with_it():
    own = {"imageSize": "2K"}
    studio = Studio(storyboard=None, topic="tides", sceneCount=SCENES, assetCount=2, gates=["storyboard"], quality=own)
    edits = {"scenes": [{"scene": "7", "narration": "The tide turns."}]}
    await studio.look()
    for spec in ({}, {"edits": edits}):
        await studio.asks(**spec)
        assert studio.told.storyboard_only
        await studio.ends(storyboard_sha256="ab")
        if not spec:
            await studio.approves_the_storyboard()
            assert studio.told.quality.image_size == "2K"
            await studio.is_shown()
    studio.has_film("one", quality=None)
    await studio.approves_the_storyboard()
    assert (studio.told.step, studio.told.quality.image_size) == (Step.ASSET_GENERATION, "1K")


class TestItemsThatAreNotFound:
    """Whatever the reason: a person was told of one clip, and eighteen are not bought for that."""

    async def asked_for_one_clip(self) -> Studio:
        studio = Studio()
        await studio.is_shown()
        await studio.asks(redo=redo("r1", Step.VIDEO_GENERATION, "7"))
        await studio.ends(failure=BROKE, done=0)
        return studio

    async def test_a_person_is_asked_before_more_is_paid_than_they_were_told(self):
        studio = await self.asked_for_one_clip()
        await studio.look(seconds=3600)
        assert (await studio.phase(), studio.running("one")) == (Phase.BUDGET_EXCEEDED, None)
        words = await studio.message("one")
        assert "was to find 17 clips made already and has 0; it had 0.5250 dollars" in words
        assert "may cost up to 9.4500" in words
        assert "set spec.attempt to 2" in words
        assert len(words) < 500

    async def test_their_word_is_enough(self):
        studio = await self.asked_for_one_clip()
        await studio.asks(attempt=2)
        assert studio.told.reservation_usd == SCENES * UPPER_BOUND

    async def test_a_change_they_ask_for_after_it_is_a_word_too(self):
        studio = await self.asked_for_one_clip()
        await studio.asks(redo=redo("r2", Step.VIDEO_GENERATION, "7"))
        assert (studio.told.step, studio.told.reservation_usd) == (Step.VIDEO_GENERATION, SCENES * UPPER_BOUND)

    @pytest.mark.parametrize("made", [0, 1])
    async def test_what_is_lacking_within_what_they_were_told_is_made(self, made):
        studio = Studio()
        await studio.is_shown()
        await studio.asks(redo=redo("r1", Step.VIDEO_GENERATION, "7"))
        await studio.ends(failure=BROKE, done=16 + made, kept=16, usd=str(made * TABLE_PRICE))
        assert (studio.running("one") is not None) is bool(made)

    async def test_a_take_that_is_no_longer_held_may_have_to_be_made_and_has_money(self):
        held = [{"step": "video_generation", "item": "7", "take": 1}]
        studio = Studio(takes=held)
        await studio.is_shown()
        await studio.asks(takes=[])
        assert studio.told.reservation_usd == UPPER_BOUND

    @pytest.mark.parametrize("from_the_start", [True, False])
    async def test_words_of_an_image_that_are_taken_back_may_change_all_clips_and_have_money(self, from_the_start):
        edits = {"assets": [{"name": "hero-1", "prompt": "a sailor in snow"}]}
        studio = Studio(edits=edits if from_the_start else None)
        await studio.is_shown()
        if not from_the_start:
            await studio.asks(edits=edits)
            await studio.is_shown()
        await studio.asks(edits={"scenes": [{"scene": "7", "narration": "The tide turns."}]})
        assert (await studio.comes_to(Step.VIDEO_GENERATION)).reservation_usd == SCENES * UPPER_BOUND
