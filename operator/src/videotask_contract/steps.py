"""The six steps in order, what each makes and with whom; the only place that knows the order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from videotask_contract.phases import Phase


class Step(StrEnum):
    """A step's name as it stands in Jobs, images, the database and the command line."""

    ASSET_GENERATION = "asset_generation"
    COMPOSITE_CREATION = "composite_creation"
    VIDEO_GENERATION = "video_generation"
    NARRATION_GENERATION = "narration_generation"
    SFX_GENERATION = "sfx_generation"
    VIDEO_ASSEMBLY = "video_assembly"

    @property
    def slug(self) -> str:
        """The name with dashes, as Kubernetes names and image names want it."""
        return self.value.replace("_", "-")


class Provider(StrEnum):
    """A paid service and the account behind it."""

    GEMINI = "gemini"
    KLING = "kling"
    ELEVENLABS = "elevenlabs"

    @property
    def key_variable(self) -> str:
        """Environment variable in which a step finds this provider's key."""
        return f"{self.value.upper()}_API_KEY"


class Gate(StrEnum):
    """A place where a person may have to say yes before the work goes on."""

    STORYBOARD = "storyboard"
    """Before the first image is paid."""
    ASSETS = "assets"
    VIDEO = "video"
    NARRATION = "narration"
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTraits:
    """What the operator must know of a step to run it."""

    step: Step
    working: Phase
    """Phase while it runs."""
    ready: Phase
    """Phase after it."""
    failed: Phase
    """Phase when its attempts are used up."""
    provider: Provider | None
    """Whom it pays; None for steps that only compute."""
    item_name: str
    """What one item is called before people."""
    item_timeout_seconds: int
    """Limit for one item; for an atomic step, for the whole step (design: "What a film is")."""
    atomic: bool
    """True when the step is done whole or not at all."""
    default_concurrency: int
    """Items under way at once when nothing else limits it."""
    gate_after: Gate | None
    """Approval that may be asked for once it is done."""
    metadata_done: str | None
    """Key in step_completion_metadata for items done."""
    metadata_total: str | None
    """Key in step_completion_metadata for items in all."""


STEPS: Final[tuple[StepTraits, ...]] = (
    StepTraits(
        step=Step.ASSET_GENERATION,
        working=Phase.GENERATING_ASSETS,
        ready=Phase.ASSETS_READY,
        failed=Phase.ASSET_ERROR,
        provider=Provider.GEMINI,
        item_name="image",
        item_timeout_seconds=60,
        atomic=False,
        default_concurrency=4,
        gate_after=Gate.ASSETS,
        metadata_done="assets_generated",
        metadata_total="total_assets",
    ),
    StepTraits(
        step=Step.COMPOSITE_CREATION,
        working=Phase.GENERATING_COMPOSITES,
        ready=Phase.COMPOSITES_READY,
        failed=Phase.ASSET_ERROR,
        provider=None,
        item_name="composite",
        item_timeout_seconds=180,
        atomic=True,
        default_concurrency=2,
        gate_after=None,
        metadata_done=None,
        metadata_total=None,
    ),
    StepTraits(
        step=Step.VIDEO_GENERATION,
        working=Phase.GENERATING_VIDEO,
        ready=Phase.VIDEO_READY,
        failed=Phase.VIDEO_ERROR,
        provider=Provider.KLING,
        item_name="clip",
        item_timeout_seconds=600,
        atomic=False,
        default_concurrency=18,
        gate_after=Gate.VIDEO,
        metadata_done="clips_generated",
        metadata_total="total_clips",
    ),
    StepTraits(
        step=Step.NARRATION_GENERATION,
        working=Phase.GENERATING_AUDIO,
        ready=Phase.AUDIO_READY,
        failed=Phase.AUDIO_ERROR,
        provider=Provider.ELEVENLABS,
        item_name="narration",
        item_timeout_seconds=120,
        atomic=False,
        default_concurrency=4,
        gate_after=Gate.NARRATION,
        metadata_done="narrations_generated",
        metadata_total="total_narrations",
    ),
    StepTraits(
        step=Step.SFX_GENERATION,
        working=Phase.GENERATING_SFX,
        ready=Phase.SFX_READY,
        failed=Phase.SFX_ERROR,
        provider=Provider.ELEVENLABS,
        item_name="effect",
        item_timeout_seconds=60,
        atomic=False,
        default_concurrency=4,
        gate_after=None,
        metadata_done="sfx_generated",
        metadata_total="total_sfx",
    ),
    StepTraits(
        step=Step.VIDEO_ASSEMBLY,
        working=Phase.ASSEMBLING,
        ready=Phase.FINAL_REVIEW,
        failed=Phase.ASSEMBLY_ERROR,
        provider=None,
        item_name="part",
        item_timeout_seconds=180,
        atomic=True,
        default_concurrency=1,
        gate_after=Gate.FINAL,
        metadata_done=None,
        metadata_total=None,
    ),
)

TRAITS: Final[dict[Step, StepTraits]] = {traits.step: traits for traits in STEPS}


def next_step(step: Step | None) -> Step | None:
    """Return the step that follows; the first one after None, and None after the last."""
    order = [traits.step for traits in STEPS]
    if step is None:
        return order[0]
    position = order.index(step) + 1
    return order[position] if position < len(order) else None
