"""A real PostgreSQL for tests: one server for a session, a migrated database for each test."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from videotask_operator.local.postgres import EmbeddedPostgres, start_postgres, stop_postgres
from videotask_operator.store.connections import libpq_arguments
from videotask_operator.store.migrate import migrate
from videotask_operator.store.models import metadata

TEMPLATE = "template_migrated"


@contextmanager
def embedded_postgres() -> Iterator[EmbeddedPostgres]:
    """Yield a server in a temporary folder, stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="videotask-test-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            yield start_postgres(folder, database=TEMPLATE, durable=False)
        finally:
            stop_postgres(folder)


@contextmanager
def database_of(server: EmbeddedPostgres, *, template: str = TEMPLATE) -> Iterator[str]:
    """Yield the SQLAlchemy address of a new database copied from the template, dropped at the end."""
    name = f"test_{uuid.uuid4().hex}"
    run_as_superuser(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, template))))
    try:
        yield server.url(name)
    finally:
        run_as_superuser(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def empty(database_url: str) -> None:
    """Forget all that is recorded: much faster than a new database, for tests that leave the tables as they are."""
    statements = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
    with psycopg.connect(**libpq_arguments(database_url), autocommit=True) as connection:
        connection.execute(statements)


def run_as_superuser(server: EmbeddedPostgres, statement: sql.Composable) -> None:
    """Run one statement outside any database of a test."""
    with psycopg.connect(**libpq_arguments(server.url("postgres")), autocommit=True) as connection:
        connection.execute(statement)


def rows_of(database_url: str, query: str, *parameters: object) -> list[tuple]:
    """Return the rows of a query, over a connection of its own."""
    with psycopg.connect(**libpq_arguments(database_url), autocommit=True) as connection:
        cursor = connection.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    with embedded_postgres() as server:
        migrate(server.url(TEMPLATE))
        yield server


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with database_of(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def shared_database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with database_of(postgres_server) as url:
        yield url


@pytest.fixture
def emptied_database_url(shared_database_url: str) -> str:
    empty(shared_database_url)
    return shared_database_url


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with database_of(postgres_server, template="template0") as url:
        yield url
