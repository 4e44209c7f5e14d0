"""What a film's steps were begun with of quality, voice and look: with that they are finished and redone, unasked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from videotask_contract.changes import PAID_STEPS
from videotask_contract.resources import ChannelSpec, Look, Quality, VideoTaskSpec, Voice
from videotask_contract.steps import STEPS, Step
from videotask_operator.core.estimate import quality_of
from videotask_operator.core.model import RunRecord, TaskRecord

Values = Mapping[str, Any]

_ORDER: Final = [traits.step for traits in STEPS]
_STORYBOARD: Final = ("text_model", "clip_seconds")
"""In the key of a storyboard that is written; all that follows hangs on it."""
_KEYED: Final[Mapping[Step, tuple[str, ...]]] = {
    Step.ASSET_GENERATION: ("image_model", "image_size", "style"),
    Step.COMPOSITE_CREATION: ("width", "height"),
    Step.VIDEO_GENERATION: ("video_model", "video_resolution", "clip_seconds"),
    Step.NARRATION_GENERATION: ("voice",),
    Step.SFX_GENERATION: ("frames_per_second",),
    Step.VIDEO_ASSEMBLY: (),
}
"""The settings in the keys of a step's items, each at the first step that has it: a later one follows the earlier."""
_FROM_CHANNEL_ALONE: Final = frozenset({"style", "voice"})
"""A VideoTask has no word of its own on these."""
_OWN: Final = "own"
"""Beside a step's settings: those that the VideoTask's own quality gave, which counts for as long as it is given."""


def channel_as_begun(
    record: TaskRecord, runs: Iterable[RunRecord], spec: VideoTaskSpec, channel: ChannelSpec
) -> ChannelSpec:
    """Return the Channel as this film sees it: with what the steps that have begun were begun with.

    What is not recorded, by an earlier release or because the record was lost, is the Channel's of now.
    """
    all_runs = tuple(runs)
    held: dict[str, Any] = {}
    for step in _ORDER:
        known = record.begun_with.get(step.value, {})
        for name in _fields(step, spec):
            is_held = name in known and name not in _own(known)
            if is_held and name not in held and _has_begun(record, all_runs, spec, step, name):
                held[name] = known[name]
    try:
        return _laid_over(channel, held) if held else channel
    except ValidationError:
        return channel  # a release that no longer knows a model cannot ask for it


def steps_made_anew(
    record: TaskRecord, runs: Iterable[RunRecord], spec: VideoTaskSpec, channel: ChannelSpec, *, of: Iterable[Step]
) -> frozenset[Step]:
    """Return the steps whose finished items do not count when `of` are run: the VideoTask itself asks for other ones.

    `channel` is the one that `channel_as_begun` returns.
    """
    all_runs = tuple(runs)
    now = _settings(spec, channel)
    anew: set[Step] = set()
    for step in of:
        known = record.begun_with.get(step.value, {})
        changed = {
            name
            for name in _fields(step, spec)
            if name in known and known[name] != now[name] and _has_begun(record, all_runs, spec, step, name)
        }
        if changed:
            anew |= {step, *_followers(step, changed)}
    return frozenset(anew)


def begin_with(
    record: TaskRecord, spec: VideoTaskSpec, channel: ChannelSpec, step: Step, *, storyboard_only: bool
) -> dict[str, dict[str, Any]]:
    """Return `begun_with` with the settings of a run that is opened now; `channel` as above."""
    now = _settings(spec, channel)
    names = _fields(step, spec)
    if storyboard_only:
        names = tuple(name for name in names if name in _STORYBOARD)
    known = record.begun_with.get(step.value, {})
    own = {name for name in _own(known) if name not in names}
    if spec.quality is not None:
        own |= set(names) - _FROM_CHANNEL_ALONE
    # A run that writes the storyboard alone says nothing of the images that were made before.
    return {**record.begun_with, step.value: {**known, **{name: now[name] for name in names}, _OWN: sorted(own)}}


def begin_afresh(begun_with: Mapping[str, Values], steps: Iterable[Step]) -> dict[str, dict[str, Any]]:
    """Return `begun_with` without what the items of these steps were made with: a person has all of them made anew.

    The storyboard is not among them, since none is written for a redo.
    """
    afresh = {step: dict(values) for step, values in begun_with.items()}
    for step in steps:
        for name in _KEYED[step]:
            afresh.get(step.value, {}).pop(name, None)
    return afresh


def others_of_channel(spec: VideoTaskSpec, seen: ChannelSpec, channel: ChannelSpec, step: Step) -> tuple[str, ...]:
    """Return the settings of a step that the Channel has otherwise by now, in the words of its spec."""
    held, present = _settings(spec, seen), _settings(spec, channel)
    return tuple(_WORDS[name] for name in _fields(step, spec) if held[name] != present[name])


_WORDS: Final[Mapping[str, str]] = {
    "text_model": "quality.textModel",
    "clip_seconds": "quality.clipSeconds",
    "image_model": "quality.imageModel",
    "image_size": "quality.imageSize",
    "style": "look.style",
    "width": "quality.frame.width",
    "height": "quality.frame.height",
    "video_model": "quality.videoModel",
    "video_resolution": "quality.videoResolution",
    "voice": "voice",
    "frames_per_second": "quality.frame.framesPerSecond",
}


def _fields(step: Step, spec: VideoTaskSpec) -> tuple[str, ...]:
    is_written = step is Step.ASSET_GENERATION and spec.storyboard is None
    return (*_STORYBOARD, *_KEYED[step]) if is_written else _KEYED[step]


def _own(known: Values) -> frozenset[str]:
    names = known.get(_OWN)
    return frozenset(names) if isinstance(names, list) else frozenset()


def _followers(step: Step, changed: set[str]) -> tuple[Step, ...]:
    """Return the later steps whose items are made of what changes with these settings."""
    if changed & set(_STORYBOARD) and step is Step.ASSET_GENERATION:
        return PAID_STEPS
    return (Step.VIDEO_GENERATION,) if step in {Step.ASSET_GENERATION, Step.COMPOSITE_CREATION} else ()


def _has_begun(record: TaskRecord, runs: tuple[RunRecord, ...], spec: VideoTaskSpec, step: Step, name: str) -> bool:
    """Tell whether a step has, or may have, something paid or made with this setting; if not, it may still change.

    So a name that the provider does not know is mended in the Channel and nowhere else.
    """
    is_storyboard = step is Step.ASSET_GENERATION and name in _STORYBOARD
    if is_storyboard and record.storyboard_sha256 is not None:
        return True
    # What step 1 paid before its first image was done, it paid for the storyboard.
    money_counts = is_storyboard or step is not Step.ASSET_GENERATION or spec.storyboard is not None
    return any(
        run.is_open
        or run.done > 0
        or (run.permitted_at is not None and not run.ledger_read)
        or (money_counts and run.spent_usd > 0)
        for run in runs
        if run.step is step and (is_storyboard or not run.storyboard_only)
    )


def _settings(spec: VideoTaskSpec, channel: ChannelSpec) -> dict[str, Any]:
    """Return what would be used now, by its name alone."""
    quality = quality_of(spec, channel).model_dump(mode="json")
    frame = quality.pop("frame")
    return {**quality, **frame, "style": channel.look.style, "voice": channel.voice.model_dump(mode="json")}


def _laid_over(channel: ChannelSpec, held: Values) -> ChannelSpec:
    quality = channel.quality.model_dump(mode="json")
    frame = {name: held.get(name, value) for name, value in quality.pop("frame").items()}
    quality = {name: held.get(name, value) for name, value in quality.items()}
    voice = held.get("voice", channel.voice.model_dump(mode="json"))
    return channel.model_copy(
        update={
            "quality": Quality.model_validate({**quality, "frame": frame}),
            "look": Look(style=held.get("style", channel.look.style)),
            "voice": Voice.model_validate(voice),
        },
    )
