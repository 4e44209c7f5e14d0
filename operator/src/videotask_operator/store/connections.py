"""How every connection to PostgreSQL is made: named, in UTC, and never left waiting for ever."""

from __future__ import annotations

from typing import Final

from sqlalchemy import URL, make_url

APPLICATION_NAME: Final = "videotask-operator"
CONNECT_TIMEOUT_SECONDS: Final = 5
STATEMENT_TIMEOUT_SECONDS: Final = 15
IDLE_IN_TRANSACTION_TIMEOUT_SECONDS: Final = 30
LOCK_TIMEOUT_SECONDS: Final = 10

LEADER_LOCK: Final = 0x7669_6465_6F74_0001
"""Advisory lock of the one process that decides; advisory locks are numbers, these spell "videot"."""
MIGRATION_LOCK: Final = 0x7669_6465_6F74_0002
"""Advisory lock of the one process that migrates."""

# Both ends notice within about 15 s that the other is gone without a word: libpq's settings for ours, the same as
# server settings for PostgreSQL's, which would hold the advisory lock for a dead node for two hours otherwise.
# https://www.postgresql.org/docs/18/libpq-connect.html, https://www.postgresql.org/docs/18/runtime-config-connection.html
_KEEPALIVE: Final = {"keepalives_idle": "5", "keepalives_interval": "3", "keepalives_count": "3"}
_TCP_USER_TIMEOUT_MS: Final = "12000"


def psycopg_url(database_url: str) -> URL:
    """Return the address with psycopg 3 as its driver; `postgresql://` and `postgres://` are understood."""
    if database_url.startswith("postgres://"):
        database_url = database_url.replace("postgres://", "postgresql://", 1)
    return make_url(database_url).set(drivername="postgresql+psycopg")


def connect_arguments(*, statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS) -> dict[str, str | int]:
    """Return libpq's parameters for a connection."""
    settings = {
        "timezone": "UTC",
        "statement_timeout": f"{statement_timeout_seconds:g}s",
        "lock_timeout": f"{LOCK_TIMEOUT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_TIMEOUT_SECONDS}s",
        **{f"tcp_{name}": value for name, value in _KEEPALIVE.items()},
        "tcp_user_timeout": _TCP_USER_TIMEOUT_MS,
    }
    return {
        "application_name": APPLICATION_NAME,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        **_KEEPALIVE,
        "tcp_user_timeout": _TCP_USER_TIMEOUT_MS,
    }


def libpq_arguments(database_url: str) -> dict[str, str | int]:
    """Return all of libpq's parameters for this address, for a connection outside SQLAlchemy."""
    address = psycopg_url(database_url).translate_connect_args(username="user", database="dbname")
    query = {
        name: value if isinstance(value, str) else ",".join(value)
        for name, value in psycopg_url(database_url).query.items()
    }
    return {**query, **address, **connect_arguments()}


def shown(database_url: str) -> str:
    """Return the address as it may stand in a log: without its password."""
    return psycopg_url(database_url).render_as_string(hide_password=True)
