"""What a step's work is given: its task, its volume, its ledger and the sign to stop; it holds no secret."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from pydantic import ValidationError

from videotask_contract import layout
from videotask_contract.errors import BadInputError, PermanentError
from videotask_contract.report import Answer, Directive, Film
from videotask_contract.storyboard import Storyboard
from videotask_contract.task_file import TaskFile
from videotask_steps import durable
from videotask_steps.ledger import Ledger
from videotask_steps.progress import ProgressTracker
from videotask_steps.stop_sign import StopSign


@dataclass(slots=True, kw_only=True)
class Limits:
    """What the operator grants this run now; it may change while the run goes on."""

    concurrency: int
    reservation_usd: Decimal
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def apply(self, answer: Answer) -> None:
        """Take over the limits an answer carries."""
        if answer.concurrency is not None:
            self.concurrency = max(1, answer.concurrency)
        if answer.reservation_usd is not None:
            self.reservation_usd = answer.reservation_usd
        self.changed.set()


@dataclass(slots=True, kw_only=True)
class StepContext:
    """One run of one step. Paths in the ledger and in reports are relative to `volume`, the task's own folder."""

    task: TaskFile
    volume: Path
    ledger: Ledger
    limits: Limits
    progress: ProgressTracker
    stopping: StopSign
    """Set when nothing new may be begun: SIGTERM, suspend, cancel, a closed run."""
    in_flight: int = 0
    """Items begun and not ended."""
    film: Film | None = None
    storyboard_sha256: str | None = None
    _storyboard: Storyboard | None = None

    @property
    def storyboard(self) -> Storyboard:
        """The film's storyboard, read from the volume (step 1 sets it); raises when it is missing or was changed."""
        if self._storyboard is None:
            self._storyboard, self.storyboard_sha256 = _load_storyboard(self)
        return self._storyboard

    def save_storyboard(self, storyboard: Storyboard) -> None:
        """Make this the storyboard that all later steps read: storyboard.json, by rename, only if it differs."""
        content = encode_storyboard(storyboard)
        path = self.volume / layout.STORYBOARD
        if not path.exists() or path.read_bytes() != content:
            durable.save(path, content)
        self._storyboard = storyboard
        self.storyboard_sha256 = hashlib.sha256(content).hexdigest()

    def set_in_flight(self, items: int) -> None:
        """Say how many items are under way; the operator is told, since others may wait for what they leave free."""
        if items != self.in_flight:
            self.in_flight = items
            self.progress.changed.set()

    def set_film(self, film: Film) -> None:
        """Say what the assembly made; goes into the final report."""
        self.film = film

    def obey(self, answer: Answer) -> None:
        """Take over what the operator answered."""
        self.limits.apply(answer)
        if answer.directive is not Directive.CONTINUE:
            self.stopping.ask(answer.reason or f"the operator answered {answer.directive.value}")


Work = Callable[[StepContext], Awaitable[None]]
"""What a step does; it returns only when every item is done and raises a VideoTaskError otherwise."""


def encode_storyboard(storyboard: Storyboard) -> bytes:
    """Return storyboard.json's bytes; equal storyboards give equal bytes."""
    return (storyboard.model_dump_json(by_alias=True, indent=1) + "\n").encode()


def _load_storyboard(context: StepContext) -> tuple[Storyboard, str]:
    path = context.volume / layout.STORYBOARD
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise PermanentError(
            f"{layout.STORYBOARD} is missing in {context.volume}; run asset_generation first"
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if context.task.storyboard_sha256 not in {None, digest}:
        raise BadInputError(
            f"{layout.STORYBOARD} was changed on the volume: its sha256 is {digest} and the record says "
            f"{context.task.storyboard_sha256}; edit the resource instead, or restore the file",
        )
    try:
        return Storyboard.model_validate_json(content), digest
    except ValidationError as error:
        raise BadInputError(f"{layout.STORYBOARD} on the volume is no valid storyboard: {error}") from error
