"""Remember which clean-ups failed, how often and until when, so that no restart makes them loop in silence."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; nothing has failed so far."""
    op.add_column(
        "retention",
        sa.Column(
            "failed_extent",
            sa.Text(),
            nullable=True,
            comment="what could not be removed when it was last tried; NULL when nothing failed",
        ),
    )
    op.add_column(
        "retention",
        sa.Column(
            "failures", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="tries in a row that failed"
        ),
    )
    op.add_column(
        "retention",
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True, comment="when it is tried again"),
    )
    op.add_column(
        "retention", sa.Column("failure", sa.Text(), nullable=True, comment="what failed and what a person can do")
    )
    op.create_check_constraint(op.f("ck_retention_failed_extent"), "retention", "failed_extent IN ('work', 'all')")


def downgrade() -> None:
    """Drop them: what failed is tried at each look."""
    op.drop_constraint(op.f("ck_retention_failed_extent"), "retention", type_="check")
    for column in ("failure", "next_try_at", "failures", "failed_extent"):
        op.drop_column("retention", column)
