"""Remember what people asked for their films' files, beyond the resource, and what was removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; films of before have no line, and their files stay."""
    op.create_table(
        "retention",
        sa.Column("task_uid", sa.Text(), nullable=False, comment="whose files they are"),
        sa.Column(
            "on_deletion", sa.Text(), nullable=False, comment="what becomes of them when the resource is deleted"
        ),
        sa.Column(
            "work_days",
            sa.Integer(),
            nullable=True,
            comment="days after completion until all but the film goes; NULL keeps it",
        ),
        sa.Column("claim_name", sa.Text(), nullable=False, comment="the volume claim on which they lie"),
        sa.Column(
            "work_cleaned_at", sa.DateTime(timezone=True), nullable=True, comment="when all but the film was removed"
        ),
        sa.Column(
            "all_cleaned_at", sa.DateTime(timezone=True), nullable=True, comment="when all but the ledgers was removed"
        ),
        sa.CheckConstraint("on_deletion IN ('Keep', 'Delete')", name=op.f("ck_retention_on_deletion")),
        sa.ForeignKeyConstraint(["task_uid"], ["tasks.id"], name=op.f("fk_retention_task_uid")),
        sa.PrimaryKeyConstraint("task_uid", name=op.f("pk_retention")),
        comment="one film of which files are to be removed some day, or were",
    )


def downgrade() -> None:
    """Drop it: no file is removed any more, and the ledgers still say what was."""
    op.drop_table("retention")
