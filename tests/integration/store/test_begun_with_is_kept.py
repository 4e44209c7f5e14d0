"""What a film's steps were begun with outlives the operator, and a database of an earlier release is taken over."""

from __future__ import annotations

from contextlib import asynccontextmanager

from alembic import command
from sqlalchemy import NullPool, create_engine
from tests.support.builders import UID, a_record
from tests.support.postgres import rows_of
from tests.support.quiet_studio import QuietStudio

from videotask_contract.steps import Step
from videotask_operator.store.adaptor import PostgresStore
from videotask_operator.store.migrate import make_config, migrate

CLIP_2 = {"request": "r1", "steps": [{"step": "video_generation", "items": ["2"]}]}


async def test_a_clip_is_redone_as_the_others_were_made_whatever_the_channel_has_by_now(store):
    studio = QuietStudio(store)
    studio.has_channel()
    studio.has_film("one")
    await studio.goes_on_to("one", Step.VIDEO_GENERATION)
    before = studio.running("one").task_file
    await studio.goes_on_to("one", Step.VIDEO_ASSEMBLY)
    await studio.finish("one")
    studio.has_channel(quality={"videoModel": "kling-2.6", "videoResolution": "1080p"})
    studio.has_film("one", redo=CLIP_2)
    await studio.look()
    again = studio.running("one").task_file
    assert (again.step, again.quality) == (Step.VIDEO_GENERATION, before.quality)
    assert again.reservation_usd * 2 == before.reservation_usd


async def test_films_from_before_the_column_go_on_and_keep_all_else(empty_database_url):
    migrate(empty_database_url)
    marks = {"video_generation": {"run": 3, "left": 1, "edited": 0}}
    async with opened(empty_database_url) as transaction:
        await transaction.save_task(a_record(change_marks=marks, begun_with={"video_generation": {"clip_seconds": 10}}))
    with create_engine(empty_database_url, poolclass=NullPool).begin() as connection:
        command.downgrade(make_config(connection), "0006")
    assert rows_of(empty_database_url, "SELECT change_marks FROM tasks") == [(marks,)]
    migrate(empty_database_url)
    async with opened(empty_database_url) as transaction:
        record = await transaction.load_task(UID)
    assert (record.change_marks, record.begun_with) == (marks, {})


@asynccontextmanager
async def opened(url):
    store = PostgresStore(url)
    await store.acquire(10)
    try:
        async with store.transaction() as transaction:
            yield transaction
    finally:
        await store.close()
