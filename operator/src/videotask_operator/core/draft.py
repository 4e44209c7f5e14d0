"""A plan in the making: collects changes to one task and refuses an illegal transition."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from videotask_contract.phases import ERRORS, Phase, is_legal
from videotask_contract.report import FinalReport
from videotask_operator.core.model import (
    Action,
    Claim,
    EventDraft,
    EventType,
    Plan,
    RunRecord,
    TaskRecord,
    Transition,
)

_WAITS_FOR_A_PERSON = ERRORS | {Phase.BUDGET_EXCEEDED, Phase.SUSPENDED}


class IllegalTransitionError(Exception):
    """The table does not allow it: a bug of ours, never of a person's."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """Mutable while one decision is taken, then frozen by `plan()`."""

    record: TaskRecord
    runs: dict[str, RunRecord]
    """All runs of the task by id, oldest first, as changed so far."""
    now: datetime
    changed_runs: dict[str, None] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    events: list[EventDraft] = field(default_factory=list)
    reports: list[FinalReport] = field(default_factory=list)
    look_again_at: datetime | None = None
    again: bool = False
    wants_turn: bool = False
    slot_claim: Claim | None = None

    @property
    def open_run(self) -> RunRecord | None:
        """The run that is not closed, if any."""
        return next((run for run in self.runs.values() if run.is_open), None)

    def move(self, phase: Phase, message: str) -> None:
        """Change the phase, with its line of history and a message for people."""
        before = self.record.phase
        if not is_legal(before, phase):
            raise IllegalTransitionError(f"{before.value} -> {phase.value} of {self.record.key}")
        if before is not phase:
            self.transitions.append(Transition(before=before, after=phase, at=self.now, message=message))
        self.change(phase=phase, message=message, waiting_reason=None)

    def change(self, **fields: Any) -> None:
        """Change fields of the record."""
        self.record = replace(self.record, **fields)

    def put_run(self, run: RunRecord) -> None:
        """Add or change a run."""
        self.runs[run.run_id] = run
        self.changed_runs[run.run_id] = None

    def wait(self, reason: str, message: str, *, until: datetime | None = None, warn: bool = False) -> None:
        """Stay in the phase and say what for; the first time for this reason it is an event too."""
        if reason != self.record.waiting_reason and warn:
            self.warn(reason, message)
        self.change(waiting_reason=reason, message=message)
        self.look_again(until)

    def wait_for_turn(self) -> None:
        """Stay in the phase until the fleet and the channel have a place."""
        self.wants_turn = True
        self.wait("WaitingForTurn", "waits for its turn")

    def look_again(self, at: datetime | None) -> None:
        """Ask for another look at this time, or earlier if asked before."""
        if at is not None and (self.look_again_at is None or at < self.look_again_at):
            self.look_again_at = at

    def tell(self, reason: str, message: str) -> None:
        """Add a Normal event."""
        self.events.append(EventDraft(type=EventType.NORMAL, reason=reason, message=message))

    def warn(self, reason: str, message: str) -> None:
        """Add a Warning event."""
        self.events.append(EventDraft(type=EventType.WARNING, reason=reason, message=message))

    def _time_waits(self) -> None:
        """Keep the time that people take apart from the film's: it begins and ends here, whatever road led to it."""
        record = self.record
        waits = record.phase in _WAITS_FOR_A_PERSON or record.review_gate is not None
        if waits and record.waiting_since is None:
            self.change(waiting_since=self.now)
        elif not waits and record.waiting_since is not None:
            waited = int((self.now - record.waiting_since).total_seconds())
            self.change(waiting_since=None, waited_seconds=record.waited_seconds + max(waited, 0))

    def plan(self) -> Plan:
        """Return what was decided."""
        self._time_waits()
        return Plan(
            record=self.record,
            transitions=tuple(self.transitions),
            runs=tuple(self.runs[run_id] for run_id in self.changed_runs),
            reports=tuple(self.reports),
            actions=tuple(self.actions),
            events=tuple(self.events),
            look_again_at=self.look_again_at,
            again=self.again,
            wants_turn=self.wants_turn,
            slot_claim=self.slot_claim,
        )
