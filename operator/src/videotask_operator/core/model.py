"""What decisions are made of: resources as seen, the record as stored, plans as decided; values without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import FinalReport
from videotask_contract.resources import ChannelSpec, DesiredState, FilmStatus, Priority, VideoTaskSpec
from videotask_contract.steps import Gate, Provider, Step
from videotask_contract.task_file import TaskFile


@dataclass(frozen=True, slots=True, order=True)
class TaskKey:
    """Where a VideoTask is found."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


# --- as seen in the cluster -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResource:
    """A VideoTask as the cluster shows it; `spec` is None when it breaks the contract, and `spec_error` says why."""

    key: TaskKey
    uid: str
    generation: int
    created_at: datetime
    deleting: bool
    spec: VideoTaskSpec | None
    spec_error: str | None
    status: dict[str, Any]
    state: DesiredState | None = None
    """spec.state, where it can be read in a spec that otherwise breaks the contract: who wants a stop is heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelResource:
    """A Channel as the cluster shows it."""

    namespace: str
    name: str
    uid: str
    spec: ChannelSpec | None
    spec_error: str | None
    generation: int = 1
    status: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSeen:
    """A Job of ours, or on the laptop a process record. A condition is never proof that work was done."""

    name: str
    uid: str
    run_id: str
    active: bool
    """No terminal condition yet."""
    failed_reason: str | None
    """BackoffLimitExceeded, DeadlineExceeded, ...; None while active or complete."""
    deleting: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen:
    """A pod of a run."""

    name: str
    uid: str
    run_id: str
    job_name: str
    created_at: datetime
    running: bool
    finished: bool
    """Phase Succeeded or Failed: nothing of it runs any more."""
    disrupted: bool
    """Condition DisruptionTarget: evicted; its Job replaces it."""
    exit_code: int | None
    termination_message: str | None
    waiting_reason: str | None
    """CreateContainerConfigError, ImagePullBackOff, Unschedulable, ...; None when nothing holds it up."""
    waiting_message: str | None
    deleting: bool
    deletion_at: datetime | None = None
    """When its grace is over, for a pod that is being deleted; later than that its node does not answer."""
    node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that concerns one task, from the cluster port's cache. `task` None means proved absent, if it is in sight."""

    task: TaskResource | None
    channel: ChannelResource | None
    jobs: tuple[JobSeen, ...] = ()
    pods: tuple[PodSeen, ...] = ()
    in_sight: bool = True
    """False where its namespace is not watched, or was never listed whole: then absence means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who speaks at the report endpoint, proved by a token review."""

    namespace: str
    pod_name: str
    pod_uid: str


# --- as recorded ------------------------------------------------------------------------------------------------


class RunOutcome(StrEnum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    LOST = "lost"
    STOPPED = "stopped"
    """Ended because a person suspended or cancelled the task, or deleted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run of one step; open until `closed_at` is set."""

    run_id: str
    task_uid: str
    number: int
    step: Step
    attempt: int
    """Attempt of the step this run belongs to, from 1; lost runs repeat it."""
    job_name: str
    account: str | None
    """namespace/secret/key of the provider account, None for unpaid steps."""
    concurrency: int
    opened_at: datetime
    job_created_at: datetime | None = None
    permitted_pod_uid: str | None = None
    permitted_at: datetime | None = None
    stop_requested_at: datetime | None = None
    closed_at: datetime | None = None
    outcome: RunOutcome | None = None
    done: int = 0
    total: int = 0
    kept: int = 0
    kept_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    """Counts against the caps until `ledger_read`."""
    spent_usd: Decimal = Decimal(0)
    ledger_read: bool = False
    """True once a report of this run, or of a later run of the step, told all that it spent."""
    storyboard_only: bool = False
    """True for a run of step 1 that ends once the storyboard is written, because a person looks at it first."""
    exit_code: int | None = None
    failure_class: FailureClass | None = None
    failure_message: str | None = None
    failure_item: str | None = None
    retry_after_seconds: float | None = None

    @property
    def is_open(self) -> bool:
        """True until it is closed."""
        return self.closed_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A task as PostgreSQL has it."""

    uid: str
    namespace: str
    name: str
    channel: str
    title: str
    phase: Phase
    priority: Priority
    attempt: int
    """The spec.attempt last honoured."""
    correlation_id: str
    queued_at: datetime
    step: Step | None = None
    """Current or next step; None when all are done."""
    step_attempt: int = 1
    """Attempt of the current step, from 1."""
    lost_runs: int = 0
    """Runs of the current attempt that were lost."""
    last_run_number: int = 0
    next_attempt_at: datetime | None = None
    resume_phase: Phase | None = None
    """Where a suspended task goes back to."""
    claimed_at: datetime | None = None
    pipeline_start_time: datetime | None = None
    pipeline_end_time: datetime | None = None
    pipeline_cost_usd: Decimal = Decimal(0)
    waited_seconds: int = 0
    """Seconds spent waiting for people, not part of the film's duration; the wait under way is not among them yet."""
    waiting_since: datetime | None = None
    """Since when it waits for a person: at a gate, in an error, over its budget, suspended; None while it works."""
    review_gate: Gate | None = None
    review_round: int = 0
    review_required_at: datetime | None = None
    approved_gates: frozenset[Gate] = frozenset()
    approved_by: str | None = None
    error: str | None = None
    message: str = ""
    waiting_reason: str | None = None
    """Reason of the condition that says what a waiting task waits for: RetryScheduled, PodCannotStart, ..."""
    estimated_cost_usd: Decimal | None = None
    storyboard_sha256: str | None = None
    redo_request: str | None = None
    """The spec.redo.request honoured last."""
    redo_requests: frozenset[str] = frozenset()
    """All that were honoured: an older manifest that is applied again asks for nothing anew."""
    redo_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """How often new takes were asked for: step -> reference as the person gave it, or "*" for all -> times."""
    content_digest: str | None = None
    """Of the storyboard and the edits that step 1 was last run with; None before its first run."""
    honoured_takes: dict[str, dict[str, int]] = field(default_factory=dict)
    """The chosen takes that the steps were last run with: step -> reference -> take."""
    begun_with: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of quality, voice and look what each step was last run with: step -> setting -> value; see core/begun.py."""
    change_marks: dict[str, dict[str, int]] = field(default_factory=dict)
    """What a person's change left standing: step -> last run before it, items left, items that edits named."""
    film: FilmStatus | None = None
    step_completion_metadata: dict[str, Any] = field(default_factory=dict)
    notion_page_id: str | None = None
    resource_gone: bool = False
    long_film_warned: bool = False

    @property
    def key(self) -> TaskKey:
        """Where its resource is found."""
        return TaskKey(self.namespace, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One line of task_history."""

    before: Phase | None
    after: Phase
    at: datetime
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What is spent and reserved, in dollars; `*_reserved` counts open and unread runs."""

    task_spent_usd: Decimal = Decimal(0)
    task_reserved_usd: Decimal = Decimal(0)
    channel_day_spent_usd: Decimal = Decimal(0)
    channel_day_reserved_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierFilms:
    """What earlier resources of a task's name left behind, taken together."""

    cost_usd: Decimal = Decimal(0)
    """All that they paid, as far as it is known: recorded, or told by a run that is still open."""
    unread_usd: Decimal = Decimal(0)
    """What their runs may have paid beyond that: begun with a start permit, and their ledger was not read."""
    at_work: bool = False
    """A run of theirs is still open."""
    attempt: int = 0
    """The highest spec.attempt honoured for one that paid or may have; 0 where none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveTask:
    """What admission must know of a task that is queued or under way."""

    uid: str
    namespace: str
    channel: str
    priority: Priority
    queued_at: datetime
    active: bool
    """True when claimed and not stopped: it holds a place of the fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who has slots of an account, or waits for some."""

    claimant: str
    """Id of an open run, or uid of a film that waits to open one."""
    since: datetime
    wanted: int
    """Items it could have under way at once."""
    held: int = 0
    """Slots it may be using now; an open run has at least one, a film that waits none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBlock:
    """A provider account that was refused (dead key, arrears, exhausted pack): nothing begins on it but a probe."""

    account: str
    """namespace/secret/key; who shares the key shares the block."""
    namespace: str
    channel: str
    """Whose film found it out."""
    provider: Provider
    message: str
    """In the provider's words."""
    blocked_at: datetime
    channel_generation: int | None
    """Of that channel then; another one lifts the block."""
    by_task_uid: str
    probe_uid: str | None = None
    """The task that tries the account at a person's word."""


# --- as decided -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """All that is needed to start a run; creating it twice under one run id changes nothing."""

    key: TaskKey
    task_uid: str
    channel: str
    run_id: str
    step: Step
    job_name: str
    claim_name: str
    folder: str
    """Below the volume's root."""
    provider: Provider | None
    secret_name: str | None
    secret_key: str | None
    task_file: TaskFile
    deadline_seconds: int
    grace_seconds: int


class EventType(StrEnum):
    """Kubernetes knows two."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDraft:
    """An Event on the VideoTask."""

    type: EventType
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRun:
    """Create the Job of this open run."""

    order: RunOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRun:
    """Delete a Job and its pods in the background."""

    job_name: str


Action = CreateRun | DeleteRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one look at a task leads to: first recorded in one transaction, then acted on, then shown."""

    record: TaskRecord
    transitions: tuple[Transition, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    """Runs that are new or changed."""
    reports: tuple[FinalReport, ...] = ()
    """Reports that were believed: their items and spend go into the record too."""
    actions: tuple[Action, ...] = ()
    events: tuple[EventDraft, ...] = ()
    look_again_at: datetime | None = None
    """When time alone changes the decision."""
    again: bool = False
    """True when the next decision can be taken at once."""
    wants_turn: bool = False
    """True when nothing but a free place of the fleet is missing."""
    slot_claim: Claim | None = None
    """What it would use of its provider account, where that has no slot for it yet."""
