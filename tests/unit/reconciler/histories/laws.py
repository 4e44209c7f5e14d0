"""The laws of every history, each with the name it has in reports; a broken one is told apart from a plain failure."""

from __future__ import annotations

from enum import StrEnum


class Law(StrEnum):
    """What must hold whatever is lost, late, killed or edited."""

    LEGAL = "only legal transitions, without a gap"
    ENDED = "what has ended stays as it ended"
    ONE_RUN = "never two open runs of a task"
    ONE_POD = "never two pods at work for one film"
    ORDER = "no step before its predecessor's work"
    PROOF = "done only when every item is there"
    ONCE = "no paid item asked for twice"
    REDO = "each request for new takes counts once, for what it names"
    TASK_CAP = "the task's cap holds"
    DAY_CAP = "the channel-day's cap holds"
    MONEY = "the record's spend is the provider's bill"
    OWN_DAY = "money counts for the channel's own day, whatever became of the film"
    PLACES = "fleet and channel caps on tasks hold"
    SLOTS = "no more calls than the account's plan allows"
    ATTEMPT = "an attempt is consumed by failures of its classes alone"
    SCHEDULE = "the next attempt is when the schedule says"
    NOT_BEFORE = "no run before its time"
    WORD = "nothing that needs a person's word goes on without it"
    CLOSED = "a run closes by its own pod's word, or when all its pods are gone"
    STOPPED = "a stopped film has no pod at work"
    SHOWN = "the status shows the record"
    WAITS = "each task ends or names whom it waits for"
    STUCK = "nothing is stuck"


class BrokenLawError(AssertionError):
    """A history broke a law."""

    def __init__(self, law: Law, what: str) -> None:
        super().__init__(f"{law.value}: {what}")
        self.law = law


def hold(law: Law, holds: object, what: object = "") -> None:
    """Raise BrokenLawError unless the law holds; `what` may be a function, for words that cost something."""
    if not holds:
        raise BrokenLawError(law, str(what() if callable(what) else what))
