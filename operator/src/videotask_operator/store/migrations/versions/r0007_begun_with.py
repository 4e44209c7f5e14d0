"""Remember what of quality, voice and look each step was run with, so that a redo of one item keeps the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what earlier runs were given is not on record, so the Channel's present settings count once."""
    op.add_column(
        "tasks",
        sa.Column(
            "begun_with",
            JSONB,
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="by step: what of quality, voice and look its last run was given",
        ),
    )


def downgrade() -> None:
    """Drop it: the Channel's present settings count again."""
    op.drop_column("tasks", "begun_with")
