"""Each setting is held at the steps whose items have it in their keys, and nowhere else; one row a step."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.builders import NOON, a_channel, a_record, a_resource, a_run

from videotask_contract.resources import ChannelSpec
from videotask_contract.steps import Step
from videotask_operator.core.begun import begin_with, channel_as_begun, others_of_channel, steps_made_anew

OTHER_QUALITY = {
    "textModel": "gemini-3.8-pro",
    "clipSeconds": 5,
    "imageModel": "gemini-nano-banana-pro",
    "imageSize": "2K",
    "videoModel": "kling-2.6",
    "videoResolution": "1080p",
    "frame": {"width": 1080, "height": 1920, "framesPerSecond": 24},
}
OTHER = {"quality": OTHER_QUALITY, "look": {"style": "woodcut"}, "voice": {"voiceID": "AnotherVoice1"}}
GENERATED = {"storyboard": None, "topic": "tides"}
HELD = {
    Step.ASSET_GENERATION: {"quality.imageModel", "quality.imageSize", "look.style"},
    Step.COMPOSITE_CREATION: {"quality.frame.width", "quality.frame.height"},
    Step.VIDEO_GENERATION: {"quality.videoModel", "quality.videoResolution", "quality.clipSeconds"},
    Step.NARRATION_GENERATION: {"voice"},
    Step.SFX_GENERATION: {"quality.frame.framesPerSecond"},
    Step.VIDEO_ASSEMBLY: set(),
}
OF_A_GENERATED_STORYBOARD = {"quality.textModel", "quality.clipSeconds"}
FROM_CHANNEL_ALONE = {"look.style", "voice"}
MADE_OF = {
    "images": {Step.ASSET_GENERATION, Step.VIDEO_GENERATION},
    "storyboard": {
        Step.ASSET_GENERATION,
        Step.VIDEO_GENERATION,
        Step.NARRATION_GENERATION,
        Step.SFX_GENERATION,
    },
    "composites": {Step.COMPOSITE_CREATION, Step.VIDEO_GENERATION},
    "clips": {Step.VIDEO_GENERATION},
    "effects": {Step.SFX_GENERATION},
}


def channel(**spec) -> ChannelSpec:
    return a_channel(**spec).spec


def differing(one: ChannelSpec, two: ChannelSpec) -> set[str]:
    """Return the paths of the settings in which two Channels differ."""
    return {path for path, value in settings(one).items() if value != settings(two)[path]}


def settings(spec: ChannelSpec) -> dict[str, object]:
    def paths(prefix, values):
        for name, value in values.items():
            if isinstance(value, dict) and prefix + name != "voice":
                yield from paths(f"{prefix}{name}.", value)
            else:
                yield prefix + name, value

    told = spec.model_dump(mode="json", by_alias=True)
    return dict(paths("", {name: told[name] for name in ("quality", "look", "voice")}))


def begun(step, film, *, with_channel=None, storyboard_only=False, before=None):
    record = before or a_record()
    values = begin_with(record, film, with_channel or channel(), step, storyboard_only=storyboard_only)
    return a_record(step=step, begun_with=values)


def film_of(**spec):
    return a_resource(**spec).spec


def test_the_other_channel_differs_in_every_setting():
    assert differing(channel(), channel(**OTHER)) == set(settings(channel()))


@pytest.mark.parametrize("spec", [{}, GENERATED], ids=["given", "generated"])
@pytest.mark.parametrize("step", Step)
def test_what_a_step_was_begun_with_is_held_and_all_else_is_the_channels(step, spec):
    film, now = film_of(**spec), channel(**OTHER)
    held = HELD[step] | (OF_A_GENERATED_STORYBOARD if spec and step is Step.ASSET_GENERATION else set())
    seen = channel_as_begun(begun(step, film), [a_run(step=step, done=1)], film, now)
    assert differing(seen, now) == held
    assert differing(seen, channel()) == set(settings(now)) - held
    assert set(others_of_channel(film, seen, now, step)) == held
    assert seen.credentials == now.credentials


@pytest.mark.parametrize(
    ("run", "is_held"),
    [
        ({"done": 1, "closed_at": NOON}, True),
        ({}, True),
        ({"closed_at": NOON}, False),
        ({"closed_at": NOON, "spent_usd": Decimal("0.01"), "ledger_read": True}, True),
        ({"closed_at": NOON, "permitted_at": NOON}, True),
        ({"closed_at": NOON, "permitted_at": NOON, "ledger_read": True}, False),
    ],
    ids=["made one", "under way", "never permitted", "paid", "may have paid", "paid nothing"],
)
@pytest.mark.parametrize("step", [step for step in Step if HELD[step]])
def test_it_is_held_as_soon_as_something_is_made_or_may_be_paid_with_it(step, run, is_held):
    film, now = film_of(), channel(**OTHER)
    seen = channel_as_begun(begun(step, film), [a_run(step=step, **run)], film, now)
    assert differing(seen, now) == (HELD[step] if is_held else set())
    another = Step.VIDEO_ASSEMBLY
    assert channel_as_begun(begun(step, film), [a_run(step=another, **run)], film, now) == now


def test_what_was_paid_before_the_first_image_was_paid_for_the_storyboard_that_was_written():
    film, now = film_of(**GENERATED), channel(**OTHER)
    paid = a_run(closed_at=NOON, spent_usd=Decimal("0.01"), ledger_read=True)
    record = begun(Step.ASSET_GENERATION, film)
    assert differing(channel_as_begun(record, [paid], film, now), now) == OF_A_GENERATED_STORYBOARD
    written = a_record(begun_with=record.begun_with, storyboard_sha256="ab")
    assert differing(channel_as_begun(written, [], film, now), now) == OF_A_GENERATED_STORYBOARD


def test_a_run_that_writes_the_storyboard_alone_holds_no_setting_of_images():
    film, now = film_of(**GENERATED), channel(**OTHER)
    record = begun(Step.ASSET_GENERATION, film, storyboard_only=True)
    run = a_run(storyboard_only=True, done=1)
    assert differing(channel_as_begun(record, [run], film, now), now) == OF_A_GENERATED_STORYBOARD


def test_it_says_nothing_of_images_that_were_made_before_and_makes_none_that_were_only_asked_for():
    film, now = film_of(**GENERATED), channel(**OTHER)
    images = begun(Step.ASSET_GENERATION, film)
    written = a_run(number=2, storyboard_only=True, done=1)
    assert differing(channel_as_begun(images, [written], film, now), now) == OF_A_GENERATED_STORYBOARD
    again = begun(Step.ASSET_GENERATION, film, with_channel=now, storyboard_only=True, before=images)
    seen = channel_as_begun(again, [a_run(done=1), written], film, now)
    assert differing(seen, now) == HELD[Step.ASSET_GENERATION]


def test_a_clip_is_as_long_as_the_storyboard_was_written_for_whatever_a_later_step_was_begun_with():
    film = film_of(**GENERATED)
    record = begun(Step.ASSET_GENERATION, film)
    record = begun(Step.VIDEO_GENERATION, film, with_channel=channel(**OTHER), before=record)
    runs = [a_run(done=2), a_run(number=2, step=Step.VIDEO_GENERATION, done=1)]
    assert channel_as_begun(record, runs, film, channel(**OTHER)).quality.clip_seconds == 10


@pytest.mark.parametrize("step", [step for step in Step if HELD[step]])
def test_what_its_own_quality_gave_is_not_held_when_it_is_taken_back(step):
    record = begun(step, film_of(quality=OTHER_QUALITY))
    now = channel(**OTHER | {"quality": {}})
    seen = channel_as_begun(record, [a_run(step=step, done=1)], film_of(), now)
    assert differing(seen, now) == HELD[step] & FROM_CHANNEL_ALONE


def test_a_model_that_a_release_knows_no_more_gives_way_to_the_channels():
    film, now = film_of(), channel(**OTHER)
    record = begun(Step.VIDEO_GENERATION, film)
    record.begun_with["video_generation"]["video_model"] = "kling-1.0"
    assert channel_as_begun(record, [a_run(step=Step.VIDEO_GENERATION, done=1)], film, now) == now


@pytest.mark.parametrize(
    ("step", "own", "spec", "items"),
    [
        (Step.ASSET_GENERATION, {"imageSize": "2K"}, {}, "images"),
        (Step.ASSET_GENERATION, {"imageModel": "gemini-nano-banana-pro"}, {}, "images"),
        (Step.ASSET_GENERATION, {"textModel": "gemini-3.8-pro"}, GENERATED, "storyboard"),
        (Step.ASSET_GENERATION, {"clipSeconds": 5}, GENERATED, "storyboard"),
        (Step.COMPOSITE_CREATION, {"frame": {"width": 1080}}, {}, "composites"),
        (Step.COMPOSITE_CREATION, {"frame": {"height": 1920}}, {}, "composites"),
        (Step.VIDEO_GENERATION, {"videoModel": "kling-2.6"}, {}, "clips"),
        (Step.VIDEO_GENERATION, {"videoResolution": "1080p"}, {}, "clips"),
        (Step.VIDEO_GENERATION, {"clipSeconds": 5}, {}, "clips"),
        (Step.SFX_GENERATION, {"frame": {"framesPerSecond": 24}}, {}, "effects"),
    ],
)
def test_its_own_quality_makes_anew_what_has_the_setting_and_what_is_made_of_it(step, own, spec, items):
    film = film_of(**spec, quality=own)
    runs = [a_run(number=number, step=each, done=1) for number, each in enumerate(Step, start=1)]
    record = a_record()
    for each in Step:
        record = begun(each, film_of(**spec), before=record)
    assert steps_made_anew(record, runs, film, channel(), of=[step]) == MADE_OF[items]
    assert steps_made_anew(record, runs, film_of(**spec), channel(), of=Step) == frozenset()
    assert steps_made_anew(record, [], film, channel(), of=[step]) == frozenset(), "nothing was made yet"


def test_of_several_settings_all_that_are_made_anew_are_named():
    film = film_of(quality={"imageSize": "2K", "videoModel": "kling-2.6", "frame": {"framesPerSecond": 24}})
    runs = [a_run(number=number, step=each, done=1) for number, each in enumerate(Step, start=1)]
    record = a_record()
    for each in Step:
        record = begun(each, film_of(), before=record)
    assert steps_made_anew(record, runs, film, channel(), of=Step) == MADE_OF["images"] | MADE_OF["effects"]
