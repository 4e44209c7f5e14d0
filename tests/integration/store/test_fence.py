"""One process decides: shown with two stores on one database, cut connections and a restarted PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import psycopg
import pytest
from tests.support.builders import UID, a_record
from tests.support.postgres import embedded_postgres, rows_of

from videotask_operator.core.ports import NotLeaderError, StoreUnavailableError
from videotask_operator.local.postgres import start_postgres, stop_postgres
from videotask_operator.store.adaptor import PostgresStore
from videotask_operator.store.connections import APPLICATION_NAME, LEADER_LOCK, libpq_arguments
from videotask_operator.store.migrate import migrate


@asynccontextmanager
async def a_store(url):
    store = PostgresStore(url)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def kept(store):
    keeper = asyncio.create_task(store.keep())
    try:
        yield keeper
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


@pytest.fixture
async def second(database_url):
    async with a_store(database_url) as store:
        yield store


async def save(store, message=""):
    async with store.transaction() as transaction:
        await transaction.save_task(a_record(message=message))


async def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


def cut_lock(url):
    """Cut the connection that holds the leader's lock."""
    cut = rows_of(url, "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    assert cut == [(True,)]


def cut_pool(url):
    """Cut every connection of the operator's that holds no advisory lock; return how many."""
    return len(
        rows_of(
            url,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s "
            "AND datname = current_database() AND pid <> pg_backend_pid() "
            "AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')",
            APPLICATION_NAME,
        )
    )


def epoch_of(url):
    return rows_of(url, "SELECT epoch FROM leader")[0][0]


async def test_a_second_store_is_refused_by_name_of_the_first_and_can_never_write(postgres_store, second):
    assert postgres_store.is_leader
    with pytest.raises(NotLeaderError, match=r"held by .+:[0-9]+"):
        await second.acquire(0)
    assert not second.is_leader
    with pytest.raises(NotLeaderError):
        await save(second)
    await save(postgres_store)


async def test_when_the_first_ends_the_second_takes_over(postgres_store, second):
    taking = asyncio.create_task(second.acquire(10))
    await save(postgres_store)
    await postgres_store.close()
    await taking
    await save(second, "mine")
    assert not postgres_store.is_leader


async def test_a_store_whose_lock_was_taken_meanwhile_writes_nothing(postgres_store, second, database_url):
    await save(postgres_store, "before")
    cut_lock(database_url)
    await second.acquire(5)
    assert postgres_store.is_leader, "it has not noticed yet: the epoch alone stands between it and the record"
    with pytest.raises(NotLeaderError):
        await save(postgres_store, "after")
    assert not postgres_store.is_leader
    assert rows_of(database_url, "SELECT message FROM tasks") == [("before",)]


async def test_the_next_holder_waits_for_the_last_transaction_of_the_one_before(postgres_store, second, database_url):
    async with postgres_store.transaction() as transaction:
        await transaction.save_task(a_record(message="last"))
        cut_lock(database_url)
        taking = asyncio.create_task(second.acquire(10))
        await until(lambda: rows_of(database_url, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        assert not second.is_leader
    await taking
    async with second.transaction() as transaction:
        assert (await transaction.load_task(UID)).message == "last"
    with pytest.raises(NotLeaderError):
        await save(postgres_store)


async def test_a_cut_lock_connection_is_noticed_without_a_write_and_taken_again(postgres_store, database_url):
    async with kept(postgres_store):
        before = epoch_of(database_url)
        cut_lock(database_url)
        await until(lambda: epoch_of(database_url) == before + 1)
        await until(lambda: postgres_store.is_leader)
        await save(postgres_store)


async def test_a_lost_lock_that_another_took_is_noticed_without_a_write(postgres_store, database_url):
    waiting = await psycopg.AsyncConnection.connect(**libpq_arguments(database_url), autocommit=True)
    async with waiting as other, kept(postgres_store):
        # PostgreSQL hands the lock to one that waits in it, before any that tries.
        taking = asyncio.create_task(other.execute("SELECT pg_advisory_lock(%s)", (LEADER_LOCK,)))
        await until(lambda: rows_of(database_url, "SELECT 1 FROM pg_locks WHERE NOT granted"))
        cut_lock(database_url)
        await taking
        await until(lambda: not postgres_store.is_leader)
        with pytest.raises(NotLeaderError):
            await save(postgres_store)
        await other.close()
        await until(lambda: postgres_store.is_leader)
        await save(postgres_store)


async def test_keeping_the_lock_can_be_cancelled_at_any_time_and_the_lock_stays(postgres_store, database_url):
    for _ in range(3):
        async with kept(postgres_store):
            await asyncio.sleep(0)
    assert postgres_store.is_leader
    await save(postgres_store)


async def test_trouble_in_a_transaction_has_the_lock_looked_at_at_once(postgres_store, database_url):
    async with kept(postgres_store):
        await save(postgres_store)
        postgres_store._fence.doubt()
        await until(lambda: not postgres_store._fence._doubted.is_set())
        assert postgres_store.is_leader


async def test_connections_cut_while_idle_are_replaced_without_an_error(postgres_store, database_url):
    await save(postgres_store, "first")
    assert cut_pool(database_url) >= 1
    await save(postgres_store, "second")
    assert rows_of(database_url, "SELECT message FROM tasks") == [("second",)]


async def test_a_connection_cut_within_a_transaction_is_an_error_that_says_so_and_the_next_goes_on(
    postgres_store, database_url
):
    await save(postgres_store, "first")

    async def write_and_be_cut():
        async with postgres_store.transaction() as transaction:
            await transaction.save_task(a_record(message="lost"))
            cut_pool(database_url)
            await transaction.load_task(UID)

    with pytest.raises(StoreUnavailableError):
        await write_and_be_cut()
    async with postgres_store.transaction() as transaction:
        assert (await transaction.load_task(UID)).message == "first"


async def test_work_goes_on_within_15_s_of_the_end_of_a_restart_of_postgresql():
    with embedded_postgres() as server:
        url = server.url("template_migrated")
        migrate(url)
        async with a_store(url) as store:
            await store.acquire(10)
            async with kept(store):
                await save(store, "before")
                stop_postgres(server.folder)
                await until(lambda: not store.is_leader)
                with pytest.raises(NotLeaderError):
                    await save(store)
                start_postgres(server.folder, durable=False)
                back = time.monotonic()
                await until(lambda: store.is_leader, 15)
                await save(store, "after")
                assert time.monotonic() - back < 15
        assert rows_of(url, "SELECT message FROM tasks") == [("after",)]


async def test_without_a_database_the_lock_is_refused_at_the_deadline_with_the_reason(tmp_path):
    async with a_store(f"postgresql+psycopg://postgres:secret@/x?host={tmp_path}") as store:
        with pytest.raises(NotLeaderError, match="does not answer") as caught:
            await store.acquire(0.1)
        assert "secret" not in str(caught.value)


async def test_a_database_without_tables_is_named_with_what_to_run(empty_database_url):
    async with a_store(empty_database_url) as store:
        with pytest.raises(NotLeaderError, match="videotask-operator migrate"):
            await store.acquire(0)
