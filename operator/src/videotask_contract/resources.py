"""VideoTask and Channel as Python sees them; the CRDs say the same to Kubernetes and a test holds the two together."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from videotask_contract.changes import MAX_CHOICES, Edits, Redo, TakeChoice
from videotask_contract.steps import Gate, Step
from videotask_contract.storyboard import ContractModel, Storyboard

GROUP: Final = "videotask.dev"
API_VERSION: Final = "v1alpha1"
LABEL_TASK_UID: Final = "videotask.dev/task-uid"
LABEL_TASK: Final = "videotask.dev/task"
LABEL_CHANNEL: Final = "videotask.dev/channel"
LABEL_STEP: Final = "videotask.dev/step"
LABEL_RUN_ID: Final = "videotask.dev/run-id"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "videotask-operator"

DEFAULT_BUDGET_USD: Final = Decimal("20.00")

ObjectName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", min_length=1, max_length=253)
]
Money = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,4})?$")]
"""Dollars as a string: "13.00"; a float would not add up."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold the character U+0000; remove it")
    return text


class Priority(StrEnum):
    """Which queued task goes first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class DesiredState(StrEnum):
    """What a person wants of the task now."""

    RUNNING = "Running"
    SUSPENDED = "Suspended"
    CANCELLED = "Cancelled"


class Decision(StrEnum):
    """A person's word at a gate."""

    APPROVED = "Approved"
    REJECTED = "Rejected"


class Approval(ContractModel):
    """A decision at one gate; counts only for the round on show."""

    decision: Decision
    by: Annotated[str, StringConstraints(max_length=253)] | None = None
    """The authenticated user; stamped by the cluster's admission policy."""
    round: Annotated[int, Field(ge=1, le=10_000)] | None = None
    reason: Annotated[str, StringConstraints(max_length=1000)] | None = None


class ChannelRef(ContractModel):
    """The channel a task belongs to, in its own namespace; never changes."""

    name: ObjectName


class FrameSize(ContractModel):
    """Picture size of composites and film."""

    width: Annotated[int, Field(ge=320, le=3840, multiple_of=2)] = 1920
    height: Annotated[int, Field(ge=320, le=3840, multiple_of=2)] = 1080
    frames_per_second: Annotated[int, Field(ge=12, le=60)] = 30


class Quality(ContractModel):
    """What is asked of the providers; decides most of the price."""

    image_model: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "gemini-nano-banana-2.1"
    image_size: Literal["1K", "2K", "4K"] = "1K"
    text_model: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "gemini-3.8-flash"
    video_model: Literal["kling-2.5-turbo", "kling-2.6", "kling-3.0", "kling-3.0-turbo"] = "kling-2.5-turbo"
    video_resolution: Literal["720p", "1080p"] = "720p"
    clip_seconds: Literal[5, 10] = 10
    frame: FrameSize = FrameSize()


class OnDeletion(StrEnum):
    """What becomes of a film's files when its VideoTask is deleted."""

    KEEP = "Keep"
    DELETE = "Delete"


class Retention(ContractModel):
    """How long files stay; the ledger stays always, so that nothing is paid again."""

    on_deletion: OnDeletion = OnDeletion.KEEP
    work_days: Annotated[int, Field(ge=0, le=3650)] | None = None
    """Days after completion until all but the film, its storyboard and the ledger is removed; None keeps it."""


class VideoTaskSpec(ContractModel):
    """What people want; nobody but people writes it."""

    channel_ref: ChannelRef
    title: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_not_blank)]
    topic: Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_not_blank)] | None = None
    """What the film is about; the storyboard is written from it when none is given."""
    direction: Annotated[str, StringConstraints(max_length=4000)] | None = None
    """How the generated storyboard should feel: tone, audience, what to avoid."""
    scene_count: Annotated[int, Field(ge=1, le=60)] = 18
    """Scenes of a generated storyboard."""
    asset_count: Annotated[int, Field(ge=2, le=60)] = 22
    """Assets of a generated storyboard."""
    storyboard: Storyboard | None = None
    priority: Priority = Priority.NORMAL
    budget_usd: Annotated[Money, Field(alias="budgetUSD")] = f"{DEFAULT_BUDGET_USD}"
    gates: tuple[Gate, ...] = ()
    """Further places where a person must say yes; the final review always asks."""
    approvals: dict[Gate, Approval] = Field(default_factory=dict)
    attempt: Annotated[int, Field(ge=1, le=1000)] = 1
    """Raised by a person to go on after an error."""
    state: DesiredState = DesiredState.RUNNING
    quality: Quality | None = None
    """Overrides the channel's."""
    edits: Edits | None = None
    """Single fields of the storyboard, given or generated, in new words; remakes them and what depends on them."""
    redo: Redo | None = None
    """Asks for new takes, once for each request id."""
    takes: Annotated[tuple[TakeChoice, ...], Field(max_length=MAX_CHOICES)] = ()
    """Earlier takes that count instead of the latest."""
    timeouts: dict[Step, Annotated[int, Field(ge=10, le=7200)]] = Field(default_factory=dict)
    """Seconds for one item of a step (for an atomic step: for all of it), where the house's limits do not do."""
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.storyboard is None and self.topic is None:
            raise ValueError("spec: neither storyboard nor topic is given; give one of them")
        return self

    @property
    def budget(self) -> Decimal:
        """The task's cap in dollars."""
        return Decimal(self.budget_usd)


class SecretKeyRef(ContractModel):
    """One key of a Secret in the channel's namespace."""

    name: ObjectName
    key: Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)] = "api-key"


class Account(ContractModel):
    """A provider account: its key and how many calls it may have under way."""

    secret_ref: SecretKeyRef
    concurrency: Annotated[int, Field(ge=1, le=200)] | None = None
    """Calls under way at once that the account's plan allows; shared by all runs that use this Secret."""


class Credentials(ContractModel):
    """One account for each provider."""

    gemini: Account
    kling: Account
    elevenlabs: Account


class Voice(ContractModel):
    """Who speaks."""

    voice_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+$", min_length=1, max_length=64)] = Field(
        alias="voiceID"
    )
    model: Literal["eleven_multilingual_v2", "eleven_v3", "eleven_flash_v2_5"] = "eleven_multilingual_v2"
    stability_percent: Annotated[int, Field(ge=0, le=100)] = 50
    similarity_percent: Annotated[int, Field(ge=0, le=100)] = 75
    style_percent: Annotated[int, Field(ge=0, le=100)] = 0
    speed_percent: Annotated[int, Field(ge=70, le=120)] = 100
    """Pace of speech; 100 is the voice's own."""


class Look(ContractModel):
    """What all pictures of the channel share."""

    style: Annotated[str, StringConstraints(max_length=500), AfterValidator(_without_nul)] = ""
    """Added to every image prompt."""


class ChannelLimits(ContractModel):
    """How much of the fleet a channel may have."""

    max_active_tasks: Annotated[int, Field(ge=1, le=100)] = 3


class ChannelBudget(ContractModel):
    """What a channel may spend in one of its days."""

    per_day_usd: Annotated[Money, Field(alias="perDayUSD")] = "100.00"
    time_zone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]+$", max_length=64)] = "UTC"
    """IANA name; decides when a day ends."""


class ChannelVolume(ContractModel):
    """Where the channel's files lie."""

    claim_name: ObjectName


class ChannelState(StrEnum):
    """Whether a channel's tasks may begin new work."""

    RUNNING = "Running"
    PAUSED = "Paused"


class ChannelSpec(ContractModel):
    """What a channel is: voice, look, credentials, volume, limits, budget."""

    state: ChannelState = ChannelState.RUNNING
    """Paused: runs under way end, and nothing new is begun until a person sets it to Running again."""
    display_name: Annotated[str, StringConstraints(max_length=200)] | None = None
    voice: Voice
    look: Look = Look()
    credentials: Credentials
    volume: ChannelVolume
    quality: Quality = Quality()
    limits: ChannelLimits = ChannelLimits()
    budget: ChannelBudget = ChannelBudget()


class Condition(ContractModel):
    """A standard Kubernetes condition."""

    model_config = ConfigDict(extra="ignore")
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_transition_time: datetime
    observed_generation: int | None = None


class StepStatus(ContractModel):
    """One step's part of the status."""

    model_config = ConfigDict(extra="ignore")
    name: str
    state: Literal["Pending", "Running", "Done", "Failed"]
    done: int = 0
    total: int = 0
    kept: int = 0
    """Items that an earlier run had finished, not paid again."""
    cost_usd: str = Field(default="0.0000", alias="costUSD")
    started_at: datetime | None = None
    completed_at: datetime | None = None


class Review(ContractModel):
    """What is on show and waits for a decision."""

    model_config = ConfigDict(extra="ignore")
    gate: Gate
    round: int
    requested_at: datetime
    command: str
    """The exact one-line command that approves it."""


class FilmStatus(ContractModel):
    """The finished film."""

    model_config = ConfigDict(extra="ignore")
    path: str
    """Below the root of the channel's volume."""
    duration_seconds: str
    size_bytes: int
    sha256: str


class HistoryEntry(ContractModel):
    """One transition."""

    model_config = ConfigDict(extra="ignore")
    phase: str
    at: datetime
    message: str = ""


class VideoTaskStatus(ContractModel):
    """A projection of the record for kubectl; rebuilt whenever it is lost."""

    model_config = ConfigDict(extra="ignore")
    observed_generation: int | None = None
    phase: str | None = None
    step: str | None = None
    progress: str | None = None
    """Items of the current step: 7/18."""
    cost_usd: str | None = Field(default=None, alias="costUSD")
    possibly_paid_usd: str | None = Field(default=None, alias="possiblyPaidUSD")
    """The part of costUSD whose outcome is unknown: calls that died unanswered count as paid."""
    kept_usd: str | None = Field(default=None, alias="keptUSD")
    """What resumed runs found made already: not paid again."""
    estimated_cost_usd: str | None = Field(default=None, alias="estimatedCostUSD")
    message: str | None = None
    attempt: int | None = None
    run: int | None = None
    correlation_id: str | None = Field(default=None, alias="correlationID")
    next_attempt_at: datetime | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_seconds: int | None = None
    approved_by: str | None = None
    review: Review | None = None
    redo_request: str | None = None
    """The spec.redo.request that was honoured last."""
    redo_requests: tuple[str, ...] | None = None
    """All that were honoured, by name."""
    redo_counts: dict[str, dict[str, int]] | None = None
    """How often new takes were asked for, by step and reference, "*" for all; a lost record has them from here."""
    film: FilmStatus | None = None
    steps: tuple[StepStatus, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    """The latest 40 transitions."""
    conditions: tuple[Condition, ...] = ()


class ChannelStatus(ContractModel):
    """A projection of the record for kubectl; rebuilt whenever it is lost."""

    model_config = ConfigDict(extra="ignore")
    observed_generation: int | None = None
    active_tasks: int | None = None
    """Tasks that have their turn now."""
    spent_today_usd: str | None = Field(default=None, alias="spentTodayUSD")
    """Dollars spent on the channel's current day, in its own time zone."""
    message: str | None = None
    conditions: tuple[Condition, ...] = ()


def to_json(model: ContractModel) -> dict[str, Any]:
    """Return the resource's JSON form: camelCase, no nulls."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
