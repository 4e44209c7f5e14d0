"""What a film will cost by the price table, step by step; an estimate for people, and the bound for reservations."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from videotask_contract.prices import PriceTable, clip_usd, image_usd, narration_usd, storyboard_usd
from videotask_contract.resources import ChannelSpec, Quality, VideoTaskSpec
from videotask_contract.steps import Step

GENERATED_NARRATION_CHARACTERS = 60
"""Expected length of a narration that is not written yet: 4.3 s at 14 characters a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEstimate:
    """One step's calls and dollars by the table; `largest_call_usd` is the dearest single call."""

    items: int
    cost_usd: Decimal
    largest_call_usd: Decimal


def quality_of(spec: VideoTaskSpec, channel: ChannelSpec) -> Quality:
    """Return the quality that holds for a task: its own, else the channel's."""
    return spec.quality or channel.quality


def estimate_by_step(spec: VideoTaskSpec, channel: ChannelSpec, prices: PriceTable) -> dict[Step, StepEstimate]:
    """Return the estimate of every step; KeyError names a model or size the price table does not know."""
    quality = quality_of(spec, channel)
    return {
        Step.ASSET_GENERATION: _assets(spec, quality, prices),
        Step.COMPOSITE_CREATION: _free(scene_count(spec)),
        Step.VIDEO_GENERATION: _clips(spec, quality, prices),
        Step.NARRATION_GENERATION: _narrations(spec, channel, prices),
        Step.SFX_GENERATION: _effects(spec, prices),
        Step.VIDEO_ASSEMBLY: _free(1),
    }


def estimate_storyboard(spec: VideoTaskSpec, channel: ChannelSpec, prices: PriceTable) -> StepEstimate:
    """Return the estimate of a run that writes the storyboard and nothing else; KeyError as above."""
    given = spec.storyboard is not None
    text = Decimal(0) if given else storyboard_usd(prices, model=quality_of(spec, channel).text_model)
    return StepEstimate(items=1, cost_usd=text, largest_call_usd=text)


def total_usd(estimates: dict[Step, StepEstimate]) -> Decimal:
    """Return the sum over all steps."""
    return sum((estimate.cost_usd for estimate in estimates.values()), Decimal(0))


def scene_count(spec: VideoTaskSpec) -> int:
    """Return the scenes a task has, or will have once its storyboard is written."""
    return len(spec.storyboard.scenes) if spec.storyboard else spec.scene_count


def _free(items: int) -> StepEstimate:
    return StepEstimate(items=items, cost_usd=Decimal(0), largest_call_usd=Decimal(0))


def _assets(spec: VideoTaskSpec, quality: Quality, prices: PriceTable) -> StepEstimate:
    count = len(spec.storyboard.assets) if spec.storyboard else spec.asset_count
    each = image_usd(prices, model=quality.image_model, size=quality.image_size)
    text = Decimal(0) if spec.storyboard else storyboard_usd(prices, model=quality.text_model)
    return StepEstimate(items=count, cost_usd=each * count + text, largest_call_usd=max(each, text))


def _clips(spec: VideoTaskSpec, quality: Quality, prices: PriceTable) -> StepEstimate:
    each = clip_usd(
        prices, model=quality.video_model, resolution=quality.video_resolution, seconds=quality.clip_seconds
    )
    count = scene_count(spec)
    return StepEstimate(items=count, cost_usd=each * count, largest_call_usd=each)


def _narrations(spec: VideoTaskSpec, channel: ChannelSpec, prices: PriceTable) -> StepEstimate:
    lengths = (
        [len(scene.narration) for scene in spec.storyboard.scenes]
        if spec.storyboard
        else [GENERATED_NARRATION_CHARACTERS] * spec.scene_count
    )
    costs = [narration_usd(prices, model=channel.voice.model, characters=length) for length in lengths]
    return StepEstimate(items=len(costs), cost_usd=sum(costs, Decimal(0)), largest_call_usd=max(costs))


def _effects(spec: VideoTaskSpec, prices: PriceTable) -> StepEstimate:
    count = scene_count(spec)
    each = prices.elevenlabs_effect_usd
    return StepEstimate(items=count, cost_usd=each * count, largest_call_usd=each)
