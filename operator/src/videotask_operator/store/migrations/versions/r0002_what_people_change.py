"""Remember what people changed about a film, and since when it waits for one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COUNTS = {
    "redo_counts": "how often new takes were asked for, by step and reference",
    "honoured_takes": "the chosen takes that the steps were last run with, by step and reference",
    "change_marks": "by step: the last run before a person's change, and the items it left standing",
}


GATES_BEFORE = ("assets", "video", "narration", "final")
GATES = ("storyboard", *GATES_BEFORE)


def upgrade() -> None:
    """Add the columns and the gate; what waits for a person now has waited since its review or its last transition."""
    op.add_column(
        "tasks",
        sa.Column(
            "waiting_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when it waits for a person; NULL while it works",
        ),
    )
    op.add_column(
        "tasks", sa.Column("redo_request", sa.Text(), nullable=True, comment="the spec.redo.request honoured last")
    )
    op.add_column(
        "tasks",
        sa.Column(
            "content_digest",
            sa.Text(),
            nullable=True,
            comment="of the storyboard and the edits that step 1 was last run with",
        ),
    )
    for name, comment in COUNTS.items():
        op.add_column(
            "tasks",
            sa.Column(name, JSONB(), nullable=False, server_default=sa.text("'{}'::jsonb"), comment=comment),
        )
    op.add_column(
        "step_runs",
        sa.Column(
            "storyboard_only",
            sa.Boolean(),
            nullable=False,
            server_default=sa.text("false"),
            comment="it ends once the storyboard is written",
        ),
    )
    _allow_gates(GATES)
    op.execute(
        "UPDATE tasks SET waiting_since = coalesce(CASE WHEN review_gate IS NOT NULL THEN review_required_at END, "
        "(SELECT max(at) FROM task_history WHERE task_uid = tasks.id)) "
        "WHERE review_gate IS NOT NULL OR status IN ('asset_error', 'video_error', 'audio_error', 'sfx_error', "
        "'assembly_error', 'budget_exceeded', 'suspended')",
    )


def downgrade() -> None:
    """Drop them: redo, edits and chosen takes are honoured anew, as if they had just been asked for."""
    op.execute("UPDATE tasks SET review_gate = NULL WHERE review_gate = 'storyboard'")
    _allow_gates(GATES_BEFORE)
    op.drop_column("step_runs", "storyboard_only")
    for name in (*COUNTS, "content_digest", "redo_request", "waiting_since"):
        op.drop_column("tasks", name)


def _allow_gates(gates: tuple[str, ...]) -> None:
    allowed = ", ".join(f"'{gate}'" for gate in gates)
    op.drop_constraint(op.f("ck_tasks_review_gate"), "tasks", type_="check")
    op.create_check_constraint(op.f("ck_tasks_review_gate"), "tasks", f"review_gate IN ({allowed})")
