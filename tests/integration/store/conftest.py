"""Stores for the tests of this folder."""

from __future__ import annotations

import pytest
from tests.support.postgres import (  # noqa: F401  fixtures
    database_url,
    emptied_database_url,
    empty_database_url,
    postgres_server,
    shared_database_url,
)

from videotask_operator.store.adaptor import PostgresStore
from videotask_operator.store.memory import MemoryStore


@pytest.fixture
async def postgres_store(database_url):  # noqa: F811
    store = PostgresStore(database_url)
    await store.acquire(10)
    yield store
    await store.close()


@pytest.fixture
async def emptied_store(emptied_database_url):  # noqa: F811
    store = PostgresStore(emptied_database_url)
    await store.acquire(10)
    yield store
    await store.close()


@pytest.fixture
def memory_store():
    return MemoryStore()


@pytest.fixture(params=["memory_store", "emptied_store"], ids=["memory", "postgres"])
def store(request):
    return request.getfixturevalue(request.param)
