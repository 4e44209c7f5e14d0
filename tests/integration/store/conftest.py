"""Stores for the tests of this folder."""

from __future__ import annotations

import pytest
from tests.support.postgres import database_url, empty_database_url, postgres_server  # noqa: F401  fixtures

from videotask_operator.store.adaptor import PostgresStore
from videotask_operator.store.memory import MemoryStore


@pytest.fixture
async def postgres_store(database_url):  # noqa: F811
    store = PostgresStore(database_url)
    await store.acquire(10)
    yield store
    await store.close()


@pytest.fixture
def memory_store():
    return MemoryStore()


@pytest.fixture(params=["memory", "postgres"])
def store(request):
    return request.getfixturevalue(f"{request.param}_store")
