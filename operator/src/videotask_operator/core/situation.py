"""Everything one decision may look at; `decide` sees nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from videotask_contract.prices import PriceTable
from videotask_contract.steps import Provider, Step
from videotask_operator.core.model import AccountBlock, Claim, EarlierFilms, Money, Observation, RunRecord, TaskRecord
from videotask_operator.core.retry import RetryRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that decisions depend on."""

    retry: RetryRules = field(default_factory=RetryRules)
    prices: PriceTable = field(default_factory=PriceTable)
    base_urls: dict[Provider, str] = field(default_factory=dict)
    report_url: str = ""
    poll_interval_seconds: float = 5.0
    step_concurrency: dict[Step, int] = field(default_factory=dict)
    never_starting_seconds: int = 20
    long_film_minutes: int = 120
    paid_step_grace_seconds: int = 120
    free_step_grace_seconds: int = 10
    fleet_paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One task, its record and its surroundings at one moment."""

    observed: Observation
    record: TaskRecord | None
    runs: tuple[RunRecord, ...]
    money: Money
    admitted: bool
    """True when admission gave this queued task its turn."""
    now: datetime
    fresh_id: str
    """Never used before; becomes a run's or a correlation id."""
    rules: Rules
    earlier: EarlierFilms = field(default_factory=EarlierFilms)
    """What earlier resources of the same name paid; loaded while the task is queued."""
    slot_claims: tuple[Claim, ...] = ()
    """Who else has slots, or waits for some, on the provider account of the task's current step."""
    podless_since: datetime | None = None
    """Since when no living pod of the open run is seen; None while one is, or after a restart until the first look."""
    account_blocks: tuple[AccountBlock, ...] = ()
    """The blocks on accounts of the task's channel."""
