"""Bring a database to this release's tables; any number of processes may call it at once, and one does the work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from videotask_contract.errors import PermanentError, TransientError
from videotask_operator.store.connections import MIGRATION_LOCK, connect_arguments, psycopg_url, shown

_log = structlog.get_logger(__name__)

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_STATEMENT_TIMEOUT_SECONDS: Final = 300.0
_RETRY_SECONDS: Final = 0.5
_PROGRESS_SECONDS: Final = 5.0


def migrate(database_url: str, *, timeout_seconds: float = 60.0) -> str:
    """Upgrade to the newest revision and return it; done already is success.

    Waits until PostgreSQL answers and until another migration has ended, together `timeout_seconds`: TransientError
    after that. PermanentError when the database belongs to a newer release. All steps are one transaction.
    """
    deadline = time.monotonic() + timeout_seconds
    engine = create_engine(
        psycopg_url(database_url),
        connect_args=connect_arguments(statement_timeout_seconds=_STATEMENT_TIMEOUT_SECONDS),
        poolclass=NullPool,
    )
    _wait_for_database(engine, database_url, deadline, timeout_seconds)
    with _exclusive(engine, deadline), engine.begin() as connection:
        return _upgrade(connection)


def make_config(connection: Connection) -> Config:
    """Return Alembic's configuration for this connection; also what a developer makes new revisions with."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> str:
    config = make_config(connection)
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head() or ""
    current = MigrationContext.configure(connection).get_current_revision()
    if current == head:
        _log.info("database_is_current", revision=head)
        return head
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise PermanentError(
            f"the database is at revision {current}, which this release does not know (its own is {head}); "
            "run the release that made it, or restore a backup from before",
        )
    command.upgrade(config, "head")
    _log.info("database_migrated", before=current, revision=head)
    return head


def _wait_for_database(engine: Engine, database_url: str, deadline: float, timeout_seconds: float) -> None:
    told = time.monotonic()
    while True:
        try:
            with engine.connect():
                return
        except OperationalError as error:
            problem = str(error.orig).strip()
        now = time.monotonic()
        if now >= deadline:
            raise TransientError(
                f"PostgreSQL at {shown(database_url)} did not answer within {timeout_seconds:.0f} s: {problem}; "
                "check that it runs, its address and its password",
            )
        if now - told >= _PROGRESS_SECONDS:
            told = now
            _log.info("database_awaited", address=shown(database_url), reason=problem)
        time.sleep(_RETRY_SECONDS)


@contextmanager
def _exclusive(engine: Engine, deadline: float) -> Iterator[None]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}).scalar_one():
            if time.monotonic() >= deadline:
                raise TransientError("another process is still migrating this database; try again")
            _log.info("migration_awaited")
            time.sleep(_RETRY_SECONDS)
        # Closing the connection releases the lock.
        yield
