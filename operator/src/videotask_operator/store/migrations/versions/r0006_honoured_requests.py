"""Remember every request for new takes that was honoured, so that an older manifest asks for nothing anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of the requests before, the last one is known."""
    op.add_column(
        "tasks",
        sa.Column(
            "redo_requests",
            sa.ARRAY(sa.Text()),
            server_default=sa.text("'{}'::text[]"),
            nullable=False,
            comment="every spec.redo.request that was honoured",
        ),
    )
    op.execute("UPDATE tasks SET redo_requests = ARRAY[redo_request] WHERE redo_request IS NOT NULL")


def downgrade() -> None:
    """Drop it: only the last request is known to be honoured."""
    op.drop_column("tasks", "redo_requests")
