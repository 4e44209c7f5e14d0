"""Say of resume_phase what it is: a film over its budget goes on with its step, not with a phase kept for it."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OF_BOTH = "phase that a suspended task, or one over its budget, goes back to"
_OF_SUSPENDED = "phase that a suspended task goes back to"


def upgrade() -> None:
    """Change the comment; what films over their budget have in it was never read and may stay."""
    op.alter_column("tasks", "resume_phase", comment=_OF_SUSPENDED, existing_comment=_OF_BOTH)


def downgrade() -> None:
    """Give the comment back."""
    op.alter_column("tasks", "resume_phase", comment=_OF_BOTH, existing_comment=_OF_SUSPENDED)
