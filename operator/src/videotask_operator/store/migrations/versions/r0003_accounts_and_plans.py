"""Remember which provider accounts were refused, and what each step of a film was planned to cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PROVIDERS = ("gemini", "kling", "elevenlabs")
STEPS = (
    "asset_generation",
    "composite_creation",
    "video_generation",
    "narration_generation",
    "sfx_generation",
    "video_assembly",
)


def upgrade() -> None:
    """Make both tables; films of before have a plan for the whole of them alone, in tasks.estimated_cost_usd."""
    op.create_table(
        "account_blocks",
        sa.Column(
            "account", sa.Text(), nullable=False, comment="namespace/secret/key; who shares the key shares the block"
        ),
        sa.Column("namespace", sa.Text(), nullable=False, comment="namespace of the channel"),
        sa.Column("channel", sa.Text(), nullable=False, comment="channel whose film found the account refused"),
        sa.Column("provider", sa.Text(), nullable=False, comment="who refuses it"),
        sa.Column("message", sa.Text(), nullable=False, comment="in the provider's words"),
        sa.Column("blocked_at", sa.DateTime(timezone=True), nullable=False, comment="since when no run begins on it"),
        sa.Column(
            "channel_generation",
            sa.BigInteger(),
            nullable=True,
            comment="of that channel then; another one lifts the block",
        ),
        sa.Column("by_task_uid", sa.Text(), nullable=False, comment="whose run was refused"),
        sa.Column("probe_uid", sa.Text(), nullable=True, comment="the task that tries it at a person's word"),
        sa.CheckConstraint(_one_of("provider", PROVIDERS), name=op.f("ck_account_blocks_provider")),
        sa.ForeignKeyConstraint(["by_task_uid"], ["tasks.id"], name=op.f("fk_account_blocks_by_task_uid")),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_account_blocks")),
        comment="one provider account that was refused: dead key, arrears, exhausted pack",
    )
    op.create_table(
        "planned_costs",
        sa.Column("task_uid", sa.Text(), nullable=False, comment="whose step it is"),
        sa.Column("step", sa.Text(), nullable=False, comment="what was planned"),
        sa.Column("usd", sa.Numeric(precision=18, scale=8), nullable=False, comment="at table prices"),
        sa.Column("day", sa.Date(), nullable=False, comment="the channel's day on which it was planned"),
        sa.Column("time_zone", sa.Text(), nullable=False, comment="the channel's, by which its days are told apart"),
        sa.CheckConstraint(_one_of("step", STEPS), name=op.f("ck_planned_costs_step")),
        sa.ForeignKeyConstraint(["task_uid"], ["tasks.id"], name=op.f("fk_planned_costs_task_uid")),
        sa.PrimaryKeyConstraint("task_uid", "step", name=op.f("pk_planned_costs")),
        comment="the estimate of one step of a film, as it stood when the film was claimed",
    )


def downgrade() -> None:
    """Drop them: blocks are found out anew by the next film, and reports know a film's plan as a whole."""
    op.drop_table("planned_costs")
    op.drop_table("account_blocks")


def _one_of(column: str, allowed: tuple[str, ...]) -> str:
    values = ", ".join(f"'{value}'" for value in allowed)
    return f"{column} IN ({values})"
