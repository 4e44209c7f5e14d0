"""What a step tells the operator and what it is answered; over HTTP, or as the pod's termination message."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from videotask_contract import CONTRACT_VERSION
from videotask_contract.errors import FailureClass
from videotask_contract.prices import Usd
from videotask_contract.storyboard import ContractModel

PERMIT_PATH: Final = "/v1/runs/{run_id}/permit"
PROGRESS_PATH: Final = "/v1/runs/{run_id}/progress"
FINAL_PATH: Final = "/v1/runs/{run_id}/final"
MAX_TERMINATION_BYTES: Final = 4096
"""Kubernetes keeps this much of a container's termination message."""
FINAL_REPORT_DEADLINE_SECONDS: Final = 3.0
LUMP_PREFIX: Final = "run:"
"""A call_id that begins so stands for all calls of a run whose report was cut."""


class Certainty(StrEnum):
    """How sure it is that a call was paid."""

    SETTLED = "settled"
    """The provider said what it cost."""
    POSSIBLY = "possibly"
    """The outcome is unknown: counts as paid at its upper bound until looked up."""


class Spend(ContractModel):
    """One paid call; `call_id` makes writing it twice harmless."""

    model_config = ConfigDict(extra="ignore")
    call_id: str
    run_id: str
    item: str
    model: str
    amount_usd: Usd
    certainty: Certainty
    at: datetime


class Item(ContractModel):
    """One item as the ledger has it."""

    model_config = ConfigDict(extra="ignore")
    item: str
    """Scene number ("07") or asset name."""
    key: str
    """Hash of all that made it."""
    take: int = 1
    path: str
    size_bytes: int
    sha256: str
    duration_seconds: float | None = None
    cost_usd: Usd = Decimal(0)
    kept: bool = False
    """True when an earlier run had made it."""


class Failure(ContractModel):
    """Why the run ended without all of its work."""

    model_config = ConfigDict(extra="ignore")
    failure_class: FailureClass
    message: Annotated[str, Field(max_length=1000)]
    item: str | None = None
    provider_code: str | None = None
    retry_after_seconds: float | None = None


class Progress(ContractModel):
    """Sent at most once a second; may be lost without harm."""

    model_config = ConfigDict(extra="ignore")
    run_id: str
    done: int
    total: int
    kept: int = 0
    spent_usd: Usd = Decimal(0)
    """This run's settled spend so far, to be shown; calls under way stand in its reservation, so it never goes back."""
    message: Annotated[str, Field(max_length=200)] = ""
    concurrency: int | None = None
    """The limit that this run obeys now; None from a step that does not tell."""
    in_flight: int = 0
    """Items begun and not ended: after a lower limit they may still be more than it."""


class Film(ContractModel):
    """What the assembly made."""

    model_config = ConfigDict(extra="ignore")
    path: str
    duration_seconds: float
    size_bytes: int
    sha256: str
    loudness_lufs: float


class FinalReport(ContractModel):
    """The run's last word; done only when every item is."""

    model_config = ConfigDict(extra="ignore")
    contract_version: int = CONTRACT_VERSION
    run_id: str
    step: str
    outcome: Literal["done", "failed"]
    done: int
    total: int
    kept: int = 0
    kept_usd: Usd = Decimal(0)
    """What the kept items had cost: not paid again."""
    spent_usd: Usd = Decimal(0)
    """All the ledger holds under this run, unknown outcomes at their upper bound."""
    storyboard_sha256: str | None = None
    failure: Failure | None = None
    film: Film | None = None
    items: tuple[Item, ...] = ()
    spend: tuple[Spend, ...] = ()
    """Every paid call in this step's ledger, earlier runs too: the operator skips those it knows."""
    cut: bool = False
    """True when items and spend are left out: to fit a termination message, or because no ledger was opened."""


class Directive(StrEnum):
    """What the operator answers."""

    CONTINUE = "continue"
    STOP = "stop"
    """The run is closed, cancelled or not yours: begin nothing more and exit."""
    SUSPEND = "suspend"
    """Begin nothing more, finish the calls in flight, exit as interrupted."""


class Answer(ContractModel):
    """The operator's answer to a progress report or to a plea for the start permit."""

    model_config = ConfigDict(extra="ignore")
    directive: Directive = Directive.CONTINUE
    reason: str = ""
    concurrency: int | None = None
    """A new limit from now on."""
    reservation_usd: Usd | None = None
    """A new reservation from now on."""


class PermitRequest(ContractModel):
    """Asks to begin paid work; given to one pod of a run alone."""

    model_config = ConfigDict(extra="ignore")
    run_id: str


def to_termination_message(report: FinalReport) -> str:
    """Return the report as JSON of at most 4,096 bytes: without items and spend, then with fewer words, where too long.

    A letter may take six bytes: Kubernetes would cut the message, and nobody could read what is left.
    """
    text = _to_json(report)
    if _fits(text):
        return text
    report = report.model_copy(update={"items": (), "spend": (), "cut": True})
    text = _to_json(report)
    while not _fits(text) and report.failure is not None and report.failure.message:
        words = report.failure.message
        failure = report.failure.model_copy(update={"message": words[: len(words) * 9 // 10]})
        report = report.model_copy(update={"failure": failure})
        text = _to_json(report)
    return text


def _to_json(report: FinalReport) -> str:
    return report.model_dump_json(by_alias=True, exclude_none=True)


def _fits(text: str) -> bool:
    return len(text.encode()) <= MAX_TERMINATION_BYTES
