"""Make the first tables of the record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PRIORITIES = ("high", "normal", "low")
PHASES = (
    "queued",
    "claimed",
    "generating_assets",
    "assets_ready",
    "generating_composites",
    "composites_ready",
    "generating_video",
    "video_ready",
    "generating_audio",
    "audio_ready",
    "generating_sfx",
    "sfx_ready",
    "assembling",
    "final_review",
    "approved",
    "completed",
    "asset_error",
    "video_error",
    "audio_error",
    "sfx_error",
    "assembly_error",
    "budget_exceeded",
    "suspended",
    "cancelled",
    "failed",
)
GATES = ("assets", "video", "narration", "final")
STEPS = (
    "asset_generation",
    "composite_creation",
    "video_generation",
    "narration_generation",
    "sfx_generation",
    "video_assembly",
)
CERTAINTIES = ("settled", "possibly")
FAILURE_CLASSES = (
    "bad_input",
    "refused",
    "permanent",
    "account",
    "transient",
    "network",
    "rate_limited",
    "daily_quota",
    "outcome_unknown",
    "bad_media",
    "over_budget",
    "not_permitted",
    "interrupted",
    "lost",
)
OUTCOMES = ("done", "failed", "lost", "stopped")
DURATION = "CAST(EXTRACT(EPOCH FROM pipeline_end_time - pipeline_start_time) AS bigint) - waited_seconds"


def _one_of(column: str, allowed: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in allowed)})"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "budget_days",
        sa.Column("namespace", sa.Text(), nullable=False, comment="namespace of the channel"),
        sa.Column("channel", sa.Text(), nullable=False, comment="name of the channel"),
        sa.Column("day", sa.Date(), nullable=False, comment="in the channel's own time zone"),
        sa.Column(
            "spent_usd",
            sa.Numeric(precision=18, scale=8),
            nullable=False,
            comment="sum of the channel's spend of that day",
        ),
        sa.PrimaryKeyConstraint("namespace", "channel", "day", name=op.f("pk_budget_days")),
        comment="what a channel spent in one of its days",
    )
    op.create_table(
        "leader",
        sa.Column("single", sa.Boolean(), nullable=False, comment="true: the table holds one row"),
        sa.Column("epoch", sa.BigInteger(), nullable=False, comment="raised by each process that takes the lock"),
        sa.Column("holder", sa.Text(), nullable=False, comment="who took it last: host and pid"),
        sa.Column("acquired_at", sa.DateTime(timezone=True), nullable=False, comment="when"),
        sa.CheckConstraint("single", name=op.f("ck_leader_one_row")),
        sa.PrimaryKeyConstraint("single", name=op.f("pk_leader")),
        comment="fences the one process that decides from those before it",
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Text(), nullable=False, comment="uid of the VideoTask resource"),
        sa.Column("namespace", sa.Text(), nullable=False, comment="namespace of the resource"),
        sa.Column("name", sa.Text(), nullable=False, comment="name of the resource"),
        sa.Column("channel", sa.Text(), nullable=False, comment="name of its Channel, in the same namespace"),
        sa.Column("title", sa.Text(), nullable=False, comment="title of the film"),
        sa.Column("status", sa.Text(), nullable=False, comment="phase, in the contract's database spelling"),
        sa.Column("priority", sa.Text(), nullable=False, comment="high, normal or low"),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="the spec.attempt last honoured"),
        sa.Column("notion_page_id", sa.Text(), nullable=True, comment="page on the channel's Notion board"),
        sa.Column("correlation_id", sa.Text(), nullable=False, comment="in every log line of this task"),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False, comment="when the task was first seen"),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True, comment="when it was given its turn"),
        sa.Column(
            "pipeline_start_time", sa.DateTime(timezone=True), nullable=True, comment="when its first run was opened"
        ),
        sa.Column(
            "pipeline_end_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the film was finished, or given up",
        ),
        sa.Column(
            "pipeline_duration_seconds",
            sa.BigInteger(),
            sa.Computed(DURATION, persisted=True),
            nullable=True,
            comment="end minus start minus waited_seconds; NULL until both stand",
        ),
        sa.Column(
            "pipeline_cost_usd",
            sa.Numeric(precision=18, scale=8),
            server_default=sa.text("0"),
            nullable=False,
            comment="sum of the task's spend",
        ),
        sa.Column(
            "review_required_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the gate on show began to wait for a person",
        ),
        sa.Column("approved_by", sa.Text(), nullable=True, comment="authenticated user who approved the film"),
        sa.Column("error", sa.Text(), nullable=True, comment="why the task stands in an error phase, with what to do"),
        sa.Column(
            "step_completion_metadata",
            JSONB(),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="items done and in all by step: clips_generated, total_clips, ...",
        ),
        sa.Column("step", sa.Text(), nullable=True, comment="current or next step; NULL when all are done"),
        sa.Column("step_attempt", sa.Integer(), nullable=False, comment="attempt of the current step, from 1"),
        sa.Column("lost_runs", sa.Integer(), nullable=False, comment="runs of the current attempt that were lost"),
        sa.Column(
            "last_run_number", sa.Integer(), nullable=False, comment="highest run number given out; never reused"
        ),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="not before this moment is the next run opened",
        ),
        sa.Column(
            "resume_phase",
            sa.Text(),
            nullable=True,
            comment="phase that a suspended task, or one over its budget, goes back to",
        ),
        sa.Column(
            "waited_seconds",
            sa.BigInteger(),
            nullable=False,
            comment="spent waiting for people; no part of the duration",
        ),
        sa.Column("review_gate", sa.Text(), nullable=True, comment="gate on show"),
        sa.Column(
            "review_round",
            sa.Integer(),
            nullable=False,
            comment="round on show; an approval counts for its round alone",
        ),
        sa.Column("approved_gates", sa.ARRAY(sa.Text()), nullable=False, comment="gates that a person has opened"),
        sa.Column("message", sa.Text(), nullable=False, comment="what the status says now"),
        sa.Column(
            "waiting_reason",
            sa.Text(),
            nullable=True,
            comment="reason of the condition that says what the task waits for",
        ),
        sa.Column(
            "estimated_cost_usd",
            sa.Numeric(precision=18, scale=8),
            nullable=True,
            comment="expected cost of the whole film at table prices",
        ),
        sa.Column(
            "storyboard_sha256",
            sa.Text(),
            nullable=True,
            comment="sha256 of storyboard.json, once step 1 has reported it",
        ),
        sa.Column(
            "film", JSONB(none_as_null=True), nullable=True, comment="the finished film: path, duration, size, sha256"
        ),
        sa.Column("resource_gone", sa.Boolean(), nullable=False, comment="the resource was deleted; the record stays"),
        sa.Column(
            "long_film_warned", sa.Boolean(), nullable=False, comment="the one warning about its duration was given"
        ),
        sa.Column(
            "seq",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="order in which tasks were recorded",
        ),
        sa.CheckConstraint(_one_of("priority", PRIORITIES), name=op.f("ck_tasks_priority")),
        sa.CheckConstraint(_one_of("resume_phase", PHASES), name=op.f("ck_tasks_resume_phase")),
        sa.CheckConstraint(_one_of("review_gate", GATES), name=op.f("ck_tasks_review_gate")),
        sa.CheckConstraint(_one_of("status", PHASES), name=op.f("ck_tasks_status")),
        sa.CheckConstraint(_one_of("step", STEPS), name=op.f("ck_tasks_step")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        comment="one VideoTask",
    )
    op.create_index("ix_tasks_namespace_name_seq", "tasks", ["namespace", "name", "seq"], unique=False)
    op.create_index(
        "ix_tasks_unfinished",
        "tasks",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status NOT IN ('completed', 'cancelled', 'failed')"),
    )
    op.create_table(
        "spend",
        sa.Column("task_uid", sa.Text(), nullable=False, comment="for which task was paid"),
        sa.Column(
            "call_id",
            sa.Text(),
            nullable=False,
            comment="written before the call was made; makes recording it twice harmless",
        ),
        sa.Column("run_id", sa.Text(), nullable=False, comment="the run that made the call"),
        sa.Column("step", sa.Text(), nullable=False, comment="the step that made it"),
        sa.Column("item", sa.Text(), nullable=False, comment="scene number or asset name"),
        sa.Column("model", sa.Text(), nullable=False, comment="what was paid for"),
        sa.Column(
            "amount_usd",
            sa.Numeric(precision=18, scale=8),
            nullable=False,
            comment="the provider's own figure, or the upper bound while unknown",
        ),
        sa.Column("certainty", sa.Text(), nullable=False, comment="settled or possibly; never goes back to possibly"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when the call was made"),
        sa.Column(
            "day",
            sa.Date(),
            nullable=False,
            comment="the channel's day it counts for; does not move when it is settled",
        ),
        sa.CheckConstraint(_one_of("certainty", CERTAINTIES), name=op.f("ck_spend_certainty")),
        sa.CheckConstraint(_one_of("step", STEPS), name=op.f("ck_spend_step")),
        sa.ForeignKeyConstraint(["task_uid"], ["tasks.id"], name=op.f("fk_spend_task_uid")),
        sa.PrimaryKeyConstraint("task_uid", "call_id", name=op.f("pk_spend")),
        comment="one paid call",
    )
    op.create_index(op.f("ix_spend_run_id"), "spend", ["run_id"], unique=False)
    op.create_table(
        "step_runs",
        sa.Column("run_id", sa.Text(), nullable=False, comment="also the run-id label of its Job"),
        sa.Column("task_uid", sa.Text(), nullable=False, comment="whose run it is"),
        sa.Column(
            "number", sa.Integer(), nullable=False, comment="number of the run within its task, from 1, never reused"
        ),
        sa.Column("step", sa.Text(), nullable=False, comment="what it does"),
        sa.Column("attempt", sa.Integer(), nullable=False, comment="attempt of the step; lost runs repeat it"),
        sa.Column("job_name", sa.Text(), nullable=False, comment="name of its Job"),
        sa.Column(
            "account",
            sa.Text(),
            nullable=True,
            comment="namespace/secret/key of the provider account; NULL for unpaid steps",
        ),
        sa.Column(
            "concurrency", sa.Integer(), nullable=False, comment="calls it may have under way: its share of the account"
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False, comment="when it was allocated"),
        sa.Column("job_created_at", sa.DateTime(timezone=True), nullable=True, comment="when its Job was first seen"),
        sa.Column("permitted_pod_uid", sa.Text(), nullable=True, comment="the one pod that may pay"),
        sa.Column("permitted_at", sa.DateTime(timezone=True), nullable=True, comment="when that pod was permitted"),
        sa.Column(
            "stop_requested_at", sa.DateTime(timezone=True), nullable=True, comment="when its Job was asked to end"
        ),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True, comment="NULL while the run is open"),
        sa.Column("outcome", sa.Text(), nullable=True, comment="done, failed, lost or stopped; NULL while open"),
        sa.Column("done", sa.Integer(), nullable=False, comment="items done"),
        sa.Column("total", sa.Integer(), nullable=False, comment="items in all"),
        sa.Column("kept", sa.Integer(), nullable=False, comment="items an earlier run had made"),
        sa.Column(
            "kept_usd",
            sa.Numeric(precision=18, scale=8),
            nullable=False,
            comment="what the kept items had cost; not paid again",
        ),
        sa.Column(
            "reserved_usd",
            sa.Numeric(precision=18, scale=8),
            nullable=False,
            comment="upper bound of its spend; counts against the caps until ledger_read",
        ),
        sa.Column(
            "spent_usd",
            sa.Numeric(precision=18, scale=8),
            nullable=False,
            comment="what the run itself reported as spent",
        ),
        sa.Column("ledger_read", sa.Boolean(), nullable=False, comment="a report told all that its ledger holds"),
        sa.Column("exit_code", sa.Integer(), nullable=True, comment="of its last pod"),
        sa.Column("failure_class", sa.Text(), nullable=True, comment="one retry rule stands behind each"),
        sa.Column("failure_message", sa.Text(), nullable=True, comment="in the provider's words where it had any"),
        sa.Column("failure_item", sa.Text(), nullable=True, comment="scene number or asset name that failed"),
        sa.Column(
            "retry_after_seconds", sa.Double(), nullable=True, comment="the provider's word on when to come back"
        ),
        sa.CheckConstraint(_one_of("failure_class", FAILURE_CLASSES), name=op.f("ck_step_runs_failure_class")),
        sa.CheckConstraint(_one_of("outcome", OUTCOMES), name=op.f("ck_step_runs_outcome")),
        sa.CheckConstraint(_one_of("step", STEPS), name=op.f("ck_step_runs_step")),
        sa.ForeignKeyConstraint(["task_uid"], ["tasks.id"], name=op.f("fk_step_runs_task_uid")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_step_runs")),
        sa.UniqueConstraint("task_uid", "number", name=op.f("uq_step_runs_task_uid_number")),
        comment="one run of one step; never two open runs for one task",
    )
    op.create_index(
        "ix_step_runs_open_account",
        "step_runs",
        ["account"],
        unique=False,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(
        "ix_step_runs_unread", "step_runs", ["task_uid"], unique=False, postgresql_where=sa.text("NOT ledger_read")
    )
    op.create_index(
        "uq_step_runs_open", "step_runs", ["task_uid"], unique=True, postgresql_where=sa.text("closed_at IS NULL")
    )
    op.create_table(
        "task_history",
        sa.Column("task_uid", sa.Text(), nullable=False, comment="whose transition it is"),
        sa.Column("seq", sa.Integer(), nullable=False, comment="number of the transition within its task, from 1"),
        sa.Column("status_before", sa.Text(), nullable=True, comment="phase it left; NULL for the first"),
        sa.Column("status_after", sa.Text(), nullable=False, comment="phase it entered"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when"),
        sa.Column("message", sa.Text(), nullable=False, comment="why, for people"),
        sa.CheckConstraint(_one_of("status_after", PHASES), name=op.f("ck_task_history_status_after")),
        sa.CheckConstraint(_one_of("status_before", PHASES), name=op.f("ck_task_history_status_before")),
        sa.ForeignKeyConstraint(["task_uid"], ["tasks.id"], name=op.f("fk_task_history_task_uid")),
        sa.PrimaryKeyConstraint("task_uid", "seq", name=op.f("pk_task_history")),
        sa.UniqueConstraint(
            "task_uid",
            "at",
            "status_before",
            "status_after",
            name="uq_task_history_transition",
            postgresql_nulls_not_distinct=True,
        ),
        comment="every transition of every task",
    )
    op.create_table(
        "items",
        sa.Column("task_uid", sa.Text(), nullable=False, comment="whose item it is"),
        sa.Column("step", sa.Text(), nullable=False, comment="which step makes it"),
        sa.Column("item", sa.Text(), nullable=False, comment="scene number or asset name"),
        sa.Column("take", sa.Integer(), nullable=False, comment="takes stand beside each other; none is overwritten"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="the run that made it"),
        sa.Column("key", sa.Text(), nullable=False, comment="hash of all that made it"),
        sa.Column("path", sa.Text(), nullable=False, comment="below the task's folder"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="of the file"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the file"),
        sa.Column("duration_seconds", sa.Double(), nullable=True, comment="of clips and sound"),
        sa.Column(
            "cost_usd", sa.Numeric(precision=18, scale=8), nullable=False, comment="what it cost when it was made"
        ),
        sa.Column("kept", sa.Boolean(), nullable=False, comment="the latest report found it made by an earlier run"),
        sa.CheckConstraint(_one_of("step", STEPS), name=op.f("ck_items_step")),
        sa.ForeignKeyConstraint(["run_id"], ["step_runs.run_id"], name=op.f("fk_items_run_id")),
        sa.ForeignKeyConstraint(["task_uid"], ["tasks.id"], name=op.f("fk_items_task_uid")),
        sa.PrimaryKeyConstraint("task_uid", "step", "item", "take", name=op.f("pk_items")),
        comment="one image, clip, narration, effect or film",
    )
    op.create_index(op.f("ix_items_run_id"), "items", ["run_id"], unique=False)
    op.create_table(
        "notion_outbox",
        sa.Column("task_uid", sa.Text(), nullable=False, comment="whose page it is"),
        sa.Column(
            "seq", sa.Integer(), nullable=False, comment="the transition to show; with task_uid the idempotency key"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, comment="when it was written"),
        sa.Column(
            "delivered_at", sa.DateTime(timezone=True), nullable=True, comment="when Notion had it; NULL until then"
        ),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="deliveries tried"),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="not before this moment is the next delivery tried",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="why the last delivery failed"),
        sa.Column(
            "given_up",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="a later row or a person replaced it",
        ),
        sa.ForeignKeyConstraint(
            ["task_uid", "seq"],
            ["task_history.task_uid", "task_history.seq"],
            name=op.f("fk_notion_outbox_task_uid_seq"),
        ),
        sa.PrimaryKeyConstraint("task_uid", "seq", name=op.f("pk_notion_outbox")),
        comment="transitions that the Notion board is still to show",
    )
    op.create_index(
        "ix_notion_outbox_waiting",
        "notion_outbox",
        ["task_uid", "seq"],
        unique=False,
        postgresql_where=sa.text("delivered_at IS NULL AND NOT given_up"),
    )


def downgrade() -> None:
    """Drop them: all that was recorded is lost."""
    op.drop_index(
        "ix_notion_outbox_waiting",
        table_name="notion_outbox",
        postgresql_where=sa.text("delivered_at IS NULL AND NOT given_up"),
    )
    op.drop_table("notion_outbox")
    op.drop_index(op.f("ix_items_run_id"), table_name="items")
    op.drop_table("items")
    op.drop_table("task_history")
    op.drop_index("uq_step_runs_open", table_name="step_runs", postgresql_where=sa.text("closed_at IS NULL"))
    op.drop_index("ix_step_runs_unread", table_name="step_runs", postgresql_where=sa.text("NOT ledger_read"))
    op.drop_index("ix_step_runs_open_account", table_name="step_runs", postgresql_where=sa.text("closed_at IS NULL"))
    op.drop_table("step_runs")
    op.drop_index(op.f("ix_spend_run_id"), table_name="spend")
    op.drop_table("spend")
    op.drop_index(
        "ix_tasks_unfinished",
        table_name="tasks",
        postgresql_where=sa.text("status NOT IN ('completed', 'cancelled', 'failed')"),
    )
    op.drop_index("ix_tasks_namespace_name_seq", table_name="tasks")
    op.drop_table("tasks")
    op.drop_table("leader")
    op.drop_table("budget_days")
