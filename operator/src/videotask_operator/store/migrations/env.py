"""What Alembic runs; the connection comes from `migrate`, and nothing here opens one."""

from __future__ import annotations

from alembic import context

from videotask_operator.store.models import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
