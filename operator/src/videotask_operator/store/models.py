"""The tables of the record; what the contract's enums allow is all that the database allows, and a test holds it so."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Certainty
from videotask_contract.resources import OnDeletion, Priority
from videotask_contract.steps import Gate, Provider, Step
from videotask_operator.core.model import RunOutcome
from videotask_operator.core.retention import Extent

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)


def _moment(name: str, comment: str, **options: Any) -> Column[Any]:
    return Column(name, DateTime(timezone=True), comment=comment, **options)


def _usd(name: str, comment: str, **options: Any) -> Column[Any]:
    # Eight places are the contract's; ten digits before them hold any sum.
    return Column(name, Numeric(18, 8), comment=comment, **options)


def _text(name: str, comment: str, **options: Any) -> Column[Any]:
    return Column(name, Text, comment=comment, **options)


def _counts(name: str, comment: str) -> Column[Any]:
    return Column(name, JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment=comment)


def _one_of(column: str, allowed: Iterable[StrEnum]) -> CheckConstraint:
    values = ", ".join(f"'{member.value}'" for member in allowed)
    return CheckConstraint(f"{column} IN ({values})", name=column)


tasks: Final = Table(
    "tasks",
    metadata,
    _text("id", "uid of the VideoTask resource", primary_key=True),
    _text("namespace", "namespace of the resource", nullable=False),
    _text("name", "name of the resource", nullable=False),
    _text("channel", "name of its Channel, in the same namespace", nullable=False),
    _text("title", "title of the film", nullable=False),
    _text("status", "phase, in the contract's database spelling", nullable=False),
    _text("priority", "high, normal or low", nullable=False),
    Column("attempt", Integer, nullable=False, comment="the spec.attempt last honoured"),
    _text("notion_page_id", "page on the channel's Notion board"),
    _text("correlation_id", "in every log line of this task", nullable=False),
    _moment("queued_at", "when the task was first seen", nullable=False),
    _moment("claimed_at", "when it was given its turn"),
    _moment("pipeline_start_time", "when its first run was opened"),
    _moment("pipeline_end_time", "when the film was finished, or given up"),
    Column(
        "pipeline_duration_seconds",
        BigInteger,
        Computed(
            "CAST(EXTRACT(EPOCH FROM pipeline_end_time - pipeline_start_time) AS bigint) - waited_seconds",
            persisted=True,
        ),
        comment="end minus start minus waited_seconds; NULL until both stand",
    ),
    _usd("pipeline_cost_usd", "sum of the task's spend", nullable=False, server_default=text("0")),
    _moment("review_required_at", "when the gate on show began to wait for a person"),
    _text("approved_by", "authenticated user who approved the film"),
    _text("error", "why the task stands in an error phase, with what to do"),
    Column(
        "step_completion_metadata",
        JSONB,
        nullable=False,
        server_default=text("'{}'::jsonb"),
        comment="items done and in all by step: clips_generated, total_clips, ...",
    ),
    _text("step", "current or next step; NULL when all are done"),
    Column("step_attempt", Integer, nullable=False, comment="attempt of the current step, from 1"),
    Column("lost_runs", Integer, nullable=False, comment="runs of the current attempt that were lost"),
    Column("last_run_number", Integer, nullable=False, comment="highest run number given out; never reused"),
    _moment("next_attempt_at", "not before this moment is the next run opened"),
    _text("resume_phase", "phase that a suspended task goes back to"),
    Column("waited_seconds", BigInteger, nullable=False, comment="spent waiting for people; no part of the duration"),
    _moment("waiting_since", "since when it waits for a person; NULL while it works"),
    _text("review_gate", "gate on show"),
    Column("review_round", Integer, nullable=False, comment="round on show; an approval counts for its round alone"),
    Column("approved_gates", ARRAY(Text), nullable=False, comment="gates that a person has opened"),
    _text("message", "what the status says now", nullable=False),
    _text("waiting_reason", "reason of the condition that says what the task waits for"),
    _usd("estimated_cost_usd", "expected cost of the whole film at table prices"),
    _text("storyboard_sha256", "sha256 of storyboard.json, once step 1 has reported it"),
    _text("redo_request", "the spec.redo.request honoured last"),
    Column(
        "redo_requests",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'::text[]"),
        comment="every spec.redo.request that was honoured",
    ),
    _counts("redo_counts", "how often new takes were asked for, by step and reference"),
    _text("content_digest", "of the storyboard and the edits that step 1 was last run with"),
    _counts("honoured_takes", "the chosen takes that the steps were last run with, by step and reference"),
    _counts("begun_with", "by step: what of quality, voice and look its last run was given"),
    _counts("change_marks", "by step: the last run before a person's change, and the items it left standing"),
    Column("film", JSONB(none_as_null=True), comment="the finished film: path, duration, size, sha256"),
    Column("resource_gone", Boolean, nullable=False, comment="the resource was deleted; the record stays"),
    Column("long_film_warned", Boolean, nullable=False, comment="the one warning about its duration was given"),
    Column("seq", BigInteger, Identity(always=True), nullable=False, comment="order in which tasks were recorded"),
    _one_of("status", Phase),
    _one_of("resume_phase", Phase),
    _one_of("priority", Priority),
    _one_of("step", Step),
    _one_of("review_gate", Gate),
    Index("ix_tasks_namespace_name_seq", "namespace", "name", "seq"),
    Index(
        "ix_tasks_unfinished",
        "status",
        postgresql_where=text("status NOT IN ('completed', 'cancelled', 'failed')"),
    ),
    comment="one VideoTask",
)

step_runs: Final = Table(
    "step_runs",
    metadata,
    _text("run_id", "also the run-id label of its Job", primary_key=True),
    Column("task_uid", Text, ForeignKey("tasks.id"), nullable=False, comment="whose run it is"),
    Column("number", Integer, nullable=False, comment="number of the run within its task, from 1, never reused"),
    _text("step", "what it does", nullable=False),
    Column("attempt", Integer, nullable=False, comment="attempt of the step; lost runs repeat it"),
    _text("job_name", "name of its Job", nullable=False),
    _text("account", "namespace/secret/key of the provider account; NULL for unpaid steps"),
    Column("concurrency", Integer, nullable=False, comment="calls it may have under way: its share of the account"),
    _moment("opened_at", "when it was allocated", nullable=False),
    _moment("job_created_at", "when its Job was first seen"),
    _text("permitted_pod_uid", "the one pod that may pay"),
    _moment("permitted_at", "when that pod was permitted"),
    _moment("stop_requested_at", "when its Job was asked to end"),
    _moment("closed_at", "NULL while the run is open"),
    _text("outcome", "done, failed, lost or stopped; NULL while open"),
    Column("done", Integer, nullable=False, comment="items done"),
    Column("total", Integer, nullable=False, comment="items in all"),
    Column("kept", Integer, nullable=False, comment="items an earlier run had made"),
    _usd("kept_usd", "what the kept items had cost; not paid again", nullable=False),
    _usd("reserved_usd", "upper bound of its spend; counts against the caps until ledger_read", nullable=False),
    _usd("spent_usd", "what the run itself reported as spent", nullable=False),
    Column("ledger_read", Boolean, nullable=False, comment="a report told all that its ledger holds"),
    Column(
        "storyboard_only",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="it ends once the storyboard is written",
    ),
    Column("exit_code", Integer, comment="of its last pod"),
    _text("failure_class", "one retry rule stands behind each"),
    _text("failure_message", "in the provider's words where it had any"),
    _text("failure_item", "scene number or asset name that failed"),
    Column("retry_after_seconds", Double, comment="the provider's word on when to come back"),
    _one_of("step", Step),
    _one_of("outcome", RunOutcome),
    _one_of("failure_class", FailureClass),
    UniqueConstraint("task_uid", "number"),
    Index("uq_step_runs_open", "task_uid", unique=True, postgresql_where=text("closed_at IS NULL")),
    Index("ix_step_runs_open_account", "account", postgresql_where=text("closed_at IS NULL")),
    Index("ix_step_runs_unread", "task_uid", postgresql_where=text("NOT ledger_read")),
    comment="one run of one step; never two open runs for one task",
)

items: Final = Table(
    "items",
    metadata,
    Column("task_uid", Text, ForeignKey("tasks.id"), nullable=False, comment="whose item it is"),
    _text("step", "which step makes it", nullable=False),
    _text("item", "scene number or asset name", nullable=False),
    Column("take", Integer, nullable=False, comment="takes stand beside each other; none is overwritten"),
    Column("run_id", Text, ForeignKey("step_runs.run_id"), nullable=False, comment="the run that made it"),
    _text("key", "hash of all that made it", nullable=False),
    _text("path", "below the task's folder", nullable=False),
    Column("size_bytes", BigInteger, nullable=False, comment="of the file"),
    _text("sha256", "of the file", nullable=False),
    Column("duration_seconds", Double, comment="of clips and sound"),
    _usd("cost_usd", "what it cost when it was made", nullable=False),
    Column("kept", Boolean, nullable=False, comment="the latest report found it made by an earlier run"),
    PrimaryKeyConstraint("task_uid", "step", "item", "take"),
    _one_of("step", Step),
    Index(None, "run_id"),
    comment="one image, clip, narration, effect or film",
)

spend: Final = Table(
    "spend",
    metadata,
    Column("task_uid", Text, ForeignKey("tasks.id"), nullable=False, comment="for which task was paid"),
    _text("call_id", "written before the call was made; makes recording it twice harmless", nullable=False),
    # No foreign key: a ledger may tell of runs from before the record was lost, and that money counts too.
    _text("run_id", "the run that made the call", nullable=False),
    _text("step", "the step that made it", nullable=False),
    _text("item", "scene number or asset name", nullable=False),
    _text("model", "what was paid for", nullable=False),
    _usd("amount_usd", "the provider's own figure, or the upper bound while unknown", nullable=False),
    _text("certainty", "settled or possibly; never goes back to possibly", nullable=False),
    _moment("at", "when the call was made", nullable=False),
    Column("day", Date, nullable=False, comment="the channel's day it counts for; does not move when it is settled"),
    PrimaryKeyConstraint("task_uid", "call_id"),
    _one_of("step", Step),
    _one_of("certainty", Certainty),
    Index(None, "run_id"),
    comment="one paid call",
)

budget_days: Final = Table(
    "budget_days",
    metadata,
    _text("namespace", "namespace of the channel", nullable=False),
    _text("channel", "name of the channel", nullable=False),
    Column("day", Date, nullable=False, comment="in the channel's own time zone"),
    _usd("spent_usd", "sum of the channel's spend of that day", nullable=False),
    PrimaryKeyConstraint("namespace", "channel", "day"),
    comment="what a channel spent in one of its days",
)

account_blocks: Final = Table(
    "account_blocks",
    metadata,
    _text("account", "namespace/secret/key; who shares the key shares the block", primary_key=True),
    _text("namespace", "namespace of the channel", nullable=False),
    _text("channel", "channel whose film found the account refused", nullable=False),
    _text("provider", "who refuses it", nullable=False),
    _text("message", "in the provider's words", nullable=False),
    _moment("blocked_at", "since when no run begins on it", nullable=False),
    Column("channel_generation", BigInteger, comment="of that channel then; another one lifts the block"),
    Column("by_task_uid", Text, ForeignKey("tasks.id"), nullable=False, comment="whose run was refused"),
    _text("probe_uid", "the task that tries it at a person's word"),
    _one_of("provider", Provider),
    comment="one provider account that was refused: dead key, arrears, exhausted pack",
)

planned_costs: Final = Table(
    "planned_costs",
    metadata,
    Column("task_uid", Text, ForeignKey("tasks.id"), nullable=False, comment="whose step it is"),
    _text("step", "what was planned", nullable=False),
    _usd("usd", "at table prices", nullable=False),
    Column("day", Date, nullable=False, comment="the channel's day on which it was planned"),
    _text("time_zone", "the channel's, by which its days are told apart", nullable=False),
    PrimaryKeyConstraint("task_uid", "step"),
    _one_of("step", Step),
    comment="the estimate of one step of a film, as it stood when the film was claimed",
)

retention: Final = Table(
    "retention",
    metadata,
    Column("task_uid", Text, ForeignKey("tasks.id"), primary_key=True, comment="whose files they are"),
    _text("on_deletion", "what becomes of them when the resource is deleted", nullable=False),
    Column("work_days", Integer, comment="days after completion until all but the film goes; NULL keeps it"),
    _text("claim_name", "the volume claim on which they lie", nullable=False),
    _moment("work_cleaned_at", "when all but the film was removed"),
    _moment("all_cleaned_at", "when all but the ledgers was removed"),
    _text("failed_extent", "what could not be removed when it was last tried; NULL when nothing failed"),
    Column("failures", Integer, nullable=False, server_default=text("0"), comment="tries in a row that failed"),
    _moment("next_try_at", "when it is tried again"),
    _text("failure", "what failed and what a person can do"),
    _one_of("on_deletion", OnDeletion),
    _one_of("failed_extent", Extent),
    comment="one film of which files are to be removed some day, or were",
)

task_history: Final = Table(
    "task_history",
    metadata,
    Column("task_uid", Text, ForeignKey("tasks.id"), nullable=False, comment="whose transition it is"),
    Column("seq", Integer, nullable=False, comment="number of the transition within its task, from 1"),
    _text("status_before", "phase it left; NULL for the first"),
    _text("status_after", "phase it entered", nullable=False),
    _moment("at", "when", nullable=False),
    _text("message", "why, for people", nullable=False),
    PrimaryKeyConstraint("task_uid", "seq"),
    UniqueConstraint(
        "task_uid",
        "at",
        "status_before",
        "status_after",
        name="uq_task_history_transition",
        postgresql_nulls_not_distinct=True,
    ),
    _one_of("status_before", Phase),
    _one_of("status_after", Phase),
    comment="every transition of every task",
)

notion_outbox: Final = Table(
    "notion_outbox",
    metadata,
    Column("task_uid", Text, nullable=False, comment="whose page it is"),
    Column("seq", Integer, nullable=False, comment="the transition to show; with task_uid the idempotency key"),
    _moment("created_at", "when it was written", nullable=False),
    _moment("delivered_at", "when Notion had it; NULL until then"),
    Column("attempts", Integer, nullable=False, server_default=text("0"), comment="deliveries tried"),
    _moment("next_attempt_at", "not before this moment is the next delivery tried"),
    _text("error", "why the last delivery failed"),
    Column(
        "given_up", Boolean, nullable=False, server_default=text("false"), comment="a later row or a person replaced it"
    ),
    PrimaryKeyConstraint("task_uid", "seq"),
    ForeignKeyConstraint(["task_uid", "seq"], ["task_history.task_uid", "task_history.seq"]),
    Index(
        "ix_notion_outbox_waiting",
        "task_uid",
        "seq",
        postgresql_where=text("delivered_at IS NULL AND NOT given_up"),
    ),
    comment="transitions that the Notion board is still to show",
)

leader: Final = Table(
    "leader",
    metadata,
    Column("single", Boolean, primary_key=True, comment="true: the table holds one row"),
    Column("epoch", BigInteger, nullable=False, comment="raised by each process that takes the lock"),
    _text("holder", "who took it last: host and pid", nullable=False),
    _moment("acquired_at", "when", nullable=False),
    CheckConstraint("single", name="one_row"),
    comment="fences the one process that decides from those before it",
)
