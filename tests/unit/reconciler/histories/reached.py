"""Counts what the histories reached, so that none of it is claimed without having happened."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from videotask_contract.errors import FailureClass
from videotask_contract.phases import HAPPY_PATH, TABLE, Phase
from videotask_contract.steps import STEPS
from videotask_operator.core.model import RunOutcome


class Fault(StrEnum):
    """What the adversary does to the machinery."""

    OPERATOR_CRASHED = "operator crashed between two actions"
    VIEW_LATE = "observation delayed"
    VIEW_LOST = "observations lost until a LIST"
    VIEW_REORDERED = "observations out of order"
    WATCH_BROKEN = "one watch broken until a LIST"
    LOOK_REPEATED = "observation repeated"
    LEADER_LOST = "leadership lost for a while"
    DATABASE_AWAY = "database away before a commit"
    COMMIT_UNHEARD = "database away after a commit"
    DATABASE_LOST = "the record's database lost"
    RECORD_LESS_STATUS = "resource restored with a status and no record"
    API_AWAY = "API server away before an action"
    API_UNHEARD = "API server away after an action"
    JOB_REFUSED = "Job refused by the cluster"
    JOB_NAME_TAKEN = "Job's name taken by another"
    POD_KILLED = "pod killed"
    POD_EVICTED = "pod evicted"
    POD_DELETED = "pod deleted by hand"
    POD_DOUBLED = "pod replaced while it still ends"
    POD_HELD_UP = "pod cannot start"
    JOB_DELETED = "Job deleted by hand"
    EXIT_0_UNSAID = "exit 0 with nothing said"
    DEADLINE = "Job ran over its deadline"
    CALL_CUT = "pod died with a call in flight"
    DEAR_CALL = "call settled above its reservation"
    PROGRESS_STALE = "old progress report again"
    PROGRESS_UNHEARD = "progress report lost"
    REPORT_UNHEARD = "final report not heard"
    REPORT_ANSWER_LOST = "final report heard, answer lost"
    REPORT_AGAIN = "final report sent again"
    REPORT_LATE = "report after the run was closed"
    REPORT_CUT = "report cut to a termination message"
    REPORT_OF_STRANGER = "report from another pod of the open run"
    REPORT_MISSING = "exit code and no report"


class Act(StrEnum):
    """What people do meanwhile."""

    SUSPEND = "suspend"
    RESUME = "resume"
    STOP_AND_GO = "suspend what waits for its next attempt, and resume it at once"
    CANCEL = "cancel"
    ATTEMPT = "raise the attempt"
    BUDGET = "raise the budget"
    DAY_BUDGET = "raise the channel's day"
    PRIORITY = "change the priority"
    APPROVE = "approve what is on show"
    APPROVE_EARLIER = "approve an earlier round"
    APPROVE_UNSTAMPED = "approve without a name"
    REJECT = "reject"
    REDO = "ask for new takes"
    EDIT = "edit the storyboard"
    EDIT_WRONG = "edit what is not there"
    TAKE = "choose an earlier take"
    PAUSE_CHANNEL = "pause the channel"
    PAUSE_FLEET = "pause the fleet"
    GO_ON = "let the fleet go on"
    BREAK_SPEC = "break the spec"
    ODD_QUALITY = "ask for a model without a price"
    MEND = "mend the spec"
    DELETE = "delete the task"
    CREATE_ANEW = "create it anew under its name"
    REMOVE_CHANNEL = "remove the channel"
    BREAK_CHANNEL = "break the channel's spec"
    MEND_CHANNEL = "bring the channel back"
    WAIT = "let others go first"


REASONS = frozenset(
    {
        "WaitingForTurn",
        "WaitingForSlot",
        "RetryScheduled",
        "RetryLater",
        "AwaitingApproval",
        "Rejected",
        "PodCannotStart",
        "PodNeverStarted",
        "ChannelNotFound",
        "ChannelInvalid",
        "InvalidSpec",
        "InvalidSpecPending",
        "NoPrice",
        "NarrationTooLong",
        "EarlierFilm",
        "ChangePending",
        "InvalidChange",
        "RedoRefused",
        "TakeHeld",
        "FilmIsFinal",
        "ChannelBlocked",
        "ChannelPaused",
        "FleetPaused",
        "PodUnreachable",
    },
)
"""Every reason for which a task may wait."""


_PAID = tuple(traits for traits in STEPS if traits.provider is not None)
_LEGAL = frozenset((before, after) for before in Phase for after in TABLE[before].next_phases)
TRANSITIONS = frozenset(
    (
        *itertools.pairwise(HAPPY_PATH),
        *((traits.working, traits.failed) for traits in STEPS),
        *((traits.failed, traits.working) for traits in STEPS),
        *((traits.working, Phase.SUSPENDED) for traits in STEPS),
        *((Phase.SUSPENDED, traits.working) for traits in STEPS),
        *((traits.working, Phase.CANCELLED) for traits in STEPS),
        *((traits.working, Phase.BUDGET_EXCEEDED) for traits in _PAID),
        *((Phase.BUDGET_EXCEEDED, traits.working) for traits in _PAID),
        *((Phase.FINAL_REVIEW, traits.working) for traits in _PAID),
        (Phase.FINAL_REVIEW, Phase.SUSPENDED),
        (Phase.SUSPENDED, Phase.FINAL_REVIEW),
        (Phase.FINAL_REVIEW, Phase.CANCELLED),
        (Phase.QUEUED, Phase.SUSPENDED),
        (Phase.SUSPENDED, Phase.QUEUED),
        (Phase.QUEUED, Phase.CANCELLED),
        (Phase.SUSPENDED, Phase.CANCELLED),
    )
)
"""Transitions that every run of the histories must reach.

The other legal ones need a crash between two decisions that follow each other at once, or (out of Failed and into it,
back to a step that pays nothing) are taken by no decision; the table names those that were not reached.
"""


@dataclass
class Reached:
    """How often each thing happened, over all histories of a run."""

    phases: Counter[Phase] = field(default_factory=Counter)
    transitions: Counter[tuple[Phase, Phase]] = field(default_factory=Counter)
    faults: Counter[Fault] = field(default_factory=Counter)
    acts: Counter[Act] = field(default_factory=Counter)
    failures: Counter[FailureClass] = field(default_factory=Counter)
    outcomes: Counter[RunOutcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: int = 0

    def add(self, other: Reached) -> None:
        """Take another's counts in."""
        for mine, theirs in zip(self._counters(), other._counters(), strict=True):
            mine.update(theirs)
        self.examples += other.examples

    def _counters(self) -> tuple[Counter, ...]:
        return (
            self.phases,
            self.transitions,
            self.faults,
            self.acts,
            self.failures,
            self.outcomes,
            self.reasons,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the counts by the names that the table prints, for from_json."""
        counts = [{_words(name): number for name, number in counter.items()} for counter in self._counters()]
        return {"examples": self.examples, "counts": counts}

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Reached:
        """Return what to_json told."""
        reached = cls(examples=known["examples"])
        for counter, names, counts in zip(reached._counters(), _NAMES, known["counts"], strict=True):
            counter.update({names.get(words, words): number for words, number in counts.items()})
        return reached

    def missing(self) -> list[str]:
        """Return what was never reached."""
        wanted = (
            ("phase", self.phases, list(Phase)),
            ("transition", self.transitions, sorted(TRANSITIONS)),
            ("fault", self.faults, list(Fault)),
            ("person", self.acts, [act for act in Act if act is not Act.WAIT]),
            ("failure class", self.failures, list(FailureClass)),
            ("run outcome", self.outcomes, list(RunOutcome)),
            ("waiting reason", self.reasons, sorted(REASONS)),
        )
        return [f"{kind} {_words(name)}" for kind, counts, names in wanted for name in names if not counts[name]]

    def table(self) -> str:
        """Return the counts as text, a section for each kind."""
        lines = [f"{self.examples} histories", ""]
        sections = (
            ("phase entered", self.phases),
            ("transition", self.transitions),
            ("fault", self.faults),
            ("person", self.acts),
            ("run closed by failure class", self.failures),
            ("run outcome", self.outcomes),
            ("waiting reason", self.reasons),
        )
        for title, counts in sections:
            lines.append(f"{title} ({len(counts)})")
            lines += [f"  {number:>9}  {_words(name)}" for name, number in counts.most_common()]
            lines.append("")
        never = sorted(_LEGAL - self.transitions.keys())
        lines += [f"legal transitions not reached ({len(never)})", *(f"  {_words(pair)}" for pair in never), ""]
        return "\n".join(lines)


def _words(name: object) -> str:
    if isinstance(name, tuple):
        return " -> ".join(phase.value for phase in name)
    return str(getattr(name, "value", name))


_NAMES: tuple[dict[str, Any], ...] = tuple(
    {_words(name): name for name in names}
    for names in (Phase, itertools.product(Phase, Phase), Fault, Act, FailureClass, RunOutcome, ())
)
"""The counters' names by their words, in the order of Reached._counters."""
