"""One table for a task's phases: three spellings and the legal transitions; nothing else may spell a phase."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """A task's phase in the database's spelling."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    GENERATING_ASSETS = "generating_assets"
    ASSETS_READY = "assets_ready"
    GENERATING_COMPOSITES = "generating_composites"
    COMPOSITES_READY = "composites_ready"
    GENERATING_VIDEO = "generating_video"
    VIDEO_READY = "video_ready"
    GENERATING_AUDIO = "generating_audio"
    AUDIO_READY = "audio_ready"
    GENERATING_SFX = "generating_sfx"
    SFX_READY = "sfx_ready"
    ASSEMBLING = "assembling"
    FINAL_REVIEW = "final_review"
    APPROVED = "approved"
    COMPLETED = "completed"
    ASSET_ERROR = "asset_error"
    VIDEO_ERROR = "video_error"
    AUDIO_ERROR = "audio_error"
    SFX_ERROR = "sfx_error"
    ASSEMBLY_ERROR = "assembly_error"
    BUDGET_EXCEEDED = "budget_exceeded"
    SUSPENDED = "suspended"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def resource(self) -> str:
        """The spelling in the resource's status: FinalReview."""
        return "".join(word.capitalize() for word in self.value.split("_"))

    @property
    def label(self) -> str:
        """The spelling on the Notion board: "Final Review"."""
        return " ".join(word.capitalize() for word in self.value.split("_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRow:
    """One line of the table."""

    phase: Phase
    meaning: str
    next_phases: frozenset[Phase]


HAPPY_PATH: Final[tuple[Phase, ...]] = (
    Phase.QUEUED,
    Phase.CLAIMED,
    Phase.GENERATING_ASSETS,
    Phase.ASSETS_READY,
    Phase.GENERATING_COMPOSITES,
    Phase.COMPOSITES_READY,
    Phase.GENERATING_VIDEO,
    Phase.VIDEO_READY,
    Phase.GENERATING_AUDIO,
    Phase.AUDIO_READY,
    Phase.GENERATING_SFX,
    Phase.SFX_READY,
    Phase.ASSEMBLING,
    Phase.FINAL_REVIEW,
    Phase.APPROVED,
    Phase.COMPLETED,
)
"""The phases of a film with which nothing goes wrong, in order."""

TERMINAL: Final = frozenset({Phase.COMPLETED, Phase.CANCELLED, Phase.FAILED})
"""Phases that nothing leaves."""

ERRORS: Final = frozenset(
    {Phase.ASSET_ERROR, Phase.VIDEO_ERROR, Phase.AUDIO_ERROR, Phase.SFX_ERROR, Phase.ASSEMBLY_ERROR},
)
"""Phases that wait for a person to raise spec.attempt."""

STOPPED: Final = ERRORS | TERMINAL | {Phase.BUDGET_EXCEEDED, Phase.SUSPENDED}
"""Phases in which no Job may run."""

_MEANINGS: Final[dict[Phase, str]] = {
    Phase.QUEUED: "waits for its turn",
    Phase.CLAIMED: "has its turn; the first step is about to start",
    Phase.GENERATING_ASSETS: "images are being made",
    Phase.ASSETS_READY: "all images are there",
    Phase.GENERATING_COMPOSITES: "characters are being put into their environments",
    Phase.COMPOSITES_READY: "all composites are there",
    Phase.GENERATING_VIDEO: "clips are being made",
    Phase.VIDEO_READY: "all clips are there",
    Phase.GENERATING_AUDIO: "narrations are being spoken",
    Phase.AUDIO_READY: "all narrations are there",
    Phase.GENERATING_SFX: "sound effects are being made",
    Phase.SFX_READY: "all sound effects are there",
    Phase.ASSEMBLING: "the film is being cut and mixed",
    Phase.FINAL_REVIEW: "the film is ready; a person decides",
    Phase.APPROVED: "a person approved it",
    Phase.COMPLETED: "done",
    Phase.ASSET_ERROR: "images or composites failed; raise spec.attempt to go on where it stopped",
    Phase.VIDEO_ERROR: "clips failed; raise spec.attempt to go on where it stopped",
    Phase.AUDIO_ERROR: "narrations failed; raise spec.attempt to go on where it stopped",
    Phase.SFX_ERROR: "sound effects failed; raise spec.attempt to go on where it stopped",
    Phase.ASSEMBLY_ERROR: "assembly failed; raise spec.attempt to go on where it stopped",
    Phase.BUDGET_EXCEEDED: "the next call would pass a cap; raise it to go on",
    Phase.SUSPENDED: "a person stopped it for a while; set spec.state to Running to go on",
    Phase.CANCELLED: "a person ended it",
    Phase.FAILED: "no patch can help; the message says why",
}


def _forward() -> dict[Phase, set[Phase]]:
    legal: dict[Phase, set[Phase]] = {phase: set() for phase in Phase}
    for before, after in itertools.pairwise(HAPPY_PATH):
        legal[before].add(after)
    return legal


_STEP_ERRORS: Final[dict[Phase, Phase]] = {
    Phase.GENERATING_ASSETS: Phase.ASSET_ERROR,
    Phase.GENERATING_COMPOSITES: Phase.ASSET_ERROR,
    Phase.GENERATING_VIDEO: Phase.VIDEO_ERROR,
    Phase.GENERATING_AUDIO: Phase.AUDIO_ERROR,
    Phase.GENERATING_SFX: Phase.SFX_ERROR,
    Phase.ASSEMBLING: Phase.ASSEMBLY_ERROR,
}


def _legal_transitions() -> dict[Phase, frozenset[Phase]]:
    legal = _forward()
    for before_a_step in (Phase.CLAIMED, *(phase for phase in HAPPY_PATH if phase.value.endswith("_ready"))):
        legal[before_a_step].add(Phase.BUDGET_EXCEEDED)
    for working, error in _STEP_ERRORS.items():
        legal[working] |= {error, Phase.BUDGET_EXCEEDED}
        legal[error].add(working)
    waiting = set(HAPPY_PATH) - {Phase.APPROVED, Phase.COMPLETED}
    for phase in waiting | ERRORS | {Phase.BUDGET_EXCEEDED}:
        legal[phase] |= {Phase.SUSPENDED, Phase.CANCELLED, Phase.FAILED}
    # What was stopped goes back to where it stood.
    legal[Phase.SUSPENDED] |= waiting | ERRORS | {Phase.BUDGET_EXCEEDED, Phase.CANCELLED, Phase.FAILED}
    legal[Phase.BUDGET_EXCEEDED] |= set(_STEP_ERRORS)
    _allow_ways_back(legal)
    return {phase: frozenset(legal[phase]) for phase in Phase}


def _allow_ways_back(legal: dict[Phase, set[Phase]]) -> None:
    """Redo, edits and chosen takes send the work back to the earliest step they concern."""
    working = list(_STEP_ERRORS)
    for position, phase in enumerate(working):
        earlier = set(working[: position + 1])
        ready = HAPPY_PATH[HAPPY_PATH.index(phase) + 1]
        for later in (phase, ready, _STEP_ERRORS[phase]):
            legal[later] |= earlier - {later}


TABLE: Final[dict[Phase, PhaseRow]] = {
    phase: PhaseRow(phase=phase, meaning=_MEANINGS[phase], next_phases=following)
    for phase, following in _legal_transitions().items()
}


def is_legal(before: Phase, after: Phase) -> bool:
    """Tell whether a task may go from one phase to the other; staying is always legal."""
    return before == after or after in TABLE[before].next_phases


def phase_of_resource(spelling: str) -> Phase:
    """Return the phase whose resource spelling this is; ValueError names the value when there is none."""
    for phase in Phase:
        if phase.resource == spelling:
            return phase
    raise ValueError(f"no phase is spelled {spelling!r} in a resource's status")
