"""A VideoTask resource as a place returned it, read field by field; it is never written but by a patch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import ValidationError

from videotask_contract.changes import Edits, Redo, TakeChoice
from videotask_contract.errors import BadInputError
from videotask_contract.phases import HAPPY_PATH, TERMINAL, Phase, phase_of_resource
from videotask_contract.steps import STEPS, TRAITS, Step
from videotask_contract.storyboard import ContractModel, Storyboard
from videotask_operator.local.resources import explain

_WORKING = frozenset(traits.working for traits in STEPS)
_Model = TypeVar("_Model", bound=ContractModel)


@dataclass(frozen=True, slots=True)
class Task:
    """One VideoTask; fields that the operator has not written yet have the value of a task that was just queued."""

    resource: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.resource["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Its namespace; "default" on a laptop."""
        return str(self.resource["metadata"].get("namespace", "default"))

    @property
    def uid(self) -> str:
        """Its uid; empty on a laptop until an operator has seen it."""
        return str(self.resource["metadata"].get("uid", ""))

    @property
    def version(self) -> str | None:
        """metadata.resourceVersion."""
        found = self.resource["metadata"].get("resourceVersion")
        return None if found is None else str(found)

    @property
    def created_at(self) -> datetime | None:
        """When it was created."""
        return parse_time(self.resource["metadata"].get("creationTimestamp"))

    @property
    def spec(self) -> Mapping[str, Any]:
        """What people want, as JSON."""
        return self.resource.get("spec") or {}

    @property
    def status(self) -> Mapping[str, Any]:
        """What the operator shows, as JSON."""
        return self.resource.get("status") or {}

    @property
    def phase(self) -> Phase:
        """The phase; one that this version does not know is an error that says so."""
        spelling = self.status.get("phase", Phase.QUEUED.resource)
        try:
            return phase_of_resource(spelling)
        except ValueError as error:
            raise BadInputError(f"{self.name}: {error}; this `videotask` is older than its operator") from error

    @property
    def is_over(self) -> bool:
        """True in a phase that nothing leaves."""
        return self.phase in TERMINAL

    @property
    def waits_for_attempt(self) -> bool:
        """True while its step waits for the time of its next attempt, which a raised spec.attempt brings at once."""
        return self.phase in _WORKING and bool(self.status.get("nextAttemptAt"))

    @property
    def message(self) -> str:
        """What happens now, in one line: a program's words, quoted in it, may hold several."""
        return " ".join(str(self.status.get("message", "")).split())

    @property
    def cost_usd(self) -> Decimal:
        """Dollars spent."""
        return Decimal(self.status.get("costUSD", "0"))

    @property
    def review(self) -> Mapping[str, Any] | None:
        """What is on show: gate, round, requestedAt, command."""
        return self.status.get("review")

    @property
    def step(self) -> Step | None:
        """The current step."""
        found = self.status.get("step")
        return Step(found) if found in set(Step) else None

    @property
    def storyboard(self) -> Storyboard | None:
        """The storyboard that was given; None when it is generated. BadInputError when it breaks the contract."""
        given = self.spec.get("storyboard")
        return None if given is None else parse(Storyboard, given, root="spec.storyboard")

    @property
    def edits(self) -> Edits:
        """The edits that stand."""
        return parse(Edits, self.spec.get("edits") or {}, root="spec.edits")

    @property
    def redo(self) -> Redo | None:
        """The redo that was asked for last."""
        found = self.spec.get("redo")
        return None if found is None else parse(Redo, found, root="spec.redo")

    @property
    def is_redo_honoured(self) -> bool:
        """False while the last redo still waits for the operator."""
        redo = self.redo
        return redo is None or redo.request in self.honoured_requests

    @property
    def honoured_requests(self) -> frozenset[str]:
        """Every redo that the operator has taken up."""
        last = self.status.get("redoRequest")
        return frozenset(self.status.get("redoRequests", ())) | ({last} if last else set())

    @property
    def takes(self) -> tuple[TakeChoice, ...]:
        """The takes that were chosen."""
        return tuple(parse(TakeChoice, take, root="spec.takes") for take in self.spec.get("takes") or ())

    def progress_words(self) -> str:
        """Return "7/18 clips", or nothing while no step is under way."""
        progress = self.status.get("progress")
        if not progress or self.step is None or (self.phase in HAPPY_PATH and self.phase not in _WORKING):
            return ""
        return f"{progress} {TRAITS[self.step].item_name}s"

    def where_it_stands(self) -> str:
        """Return "GeneratingVideo (7/18 clips)"."""
        words = self.progress_words()
        return f"{self.phase.resource} ({words})" if words else self.phase.resource


def parse(model: type[_Model], value: Any, *, root: str) -> _Model:
    """Return the value as the contract has it; BadInputError names field, value and fix."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise BadInputError(explain(error, root=root)) from error


def parse_time(text: str | None) -> datetime | None:
    """Return a Kubernetes time."""
    return datetime.fromisoformat(text) if text else None
