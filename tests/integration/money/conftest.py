"""Emulators and databases for tests of money."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.steps.film import Film
from tests.support.emulators import control, emulators  # noqa: F401  fixtures
from tests.support.postgres import database_url, postgres_server  # noqa: F401  fixtures
from tests.support.report_server import ReportServer

from videotask_emulators.control import ControlClient
from videotask_operator.store.adaptor import PostgresStore


@pytest.fixture
async def server() -> AsyncIterator[ReportServer]:
    async with ReportServer() as server:
        yield server


@pytest.fixture
def film(tmp_path: Path, server: ReportServer, control: ControlClient) -> Film:  # noqa: F811
    return Film(tmp_path, server, control)


@pytest.fixture
async def postgres_store(database_url: str) -> AsyncIterator[PostgresStore]:  # noqa: F811
    store = PostgresStore(database_url)
    await store.acquire(10)
    yield store
    await store.close()
