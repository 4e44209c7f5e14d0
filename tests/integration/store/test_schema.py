"""The database says what the contract says, and the migrations make what the models describe."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import NullPool, create_engine
from tests.support.builders import NOON, UID, a_record, a_run
from tests.support.postgres import rows_of

from videotask_contract.errors import FailureClass, PermanentError, TransientError
from videotask_contract.phases import Phase
from videotask_contract.report import Certainty, Item, Spend
from videotask_contract.resources import Priority
from videotask_contract.steps import STEPS, Gate, Step
from videotask_operator.core.model import RunOutcome, Transition
from videotask_operator.store.connections import APPLICATION_NAME, MIGRATION_LOCK, libpq_arguments
from videotask_operator.store.migrate import make_config, migrate
from videotask_operator.store.models import metadata

RECORD_COLUMNS = set(
    """
    id namespace name channel title status priority attempt notion_page_id correlation_id queued_at claimed_at
    pipeline_start_time pipeline_end_time pipeline_duration_seconds pipeline_cost_usd review_required_at approved_by
    error step_completion_metadata
    """.split()  # noqa: SIM905  reads as the list it is
)

CATALOGUE = """
    SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
           coalesce(pg_get_expr(d.adbin, d.adrelid), '') || a.attidentity::text || a.attgenerated::text,
           coalesce(col_description(c.oid, a.attnum), '')
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    UNION ALL
    SELECT 'index', tablename, indexname, indexdef, '', '', ''
    FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL
    SELECT 'table', c.relname, coalesce(obj_description(c.oid), ''), '', '', '', ''
    FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    AND c.relname <> 'alembic_version'
"""


def catalogue(url):
    """Return all that the database knows of its tables, one line each."""
    return sorted(rows_of(url, CATALOGUE))


def engine_of(url):
    return create_engine(url, poolclass=NullPool)


def allowed_by(url, constraint):
    """Return the values that a CHECK of the database allows."""
    [(definition,)] = rows_of(url, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", constraint)
    return set(re.findall(r"'([^']+)'::text", definition))


class TestMigrations:
    def test_from_nothing_they_make_exactly_what_the_models_describe(self, database_url, empty_database_url):
        with engine_of(empty_database_url).begin() as connection:
            metadata.create_all(connection)
        assert catalogue(database_url) == catalogue(empty_database_url)

    @pytest.mark.filterwarnings("ignore:Computed default on tasks.pipeline_duration_seconds")  # compared above
    def test_alembic_finds_no_difference_either(self, database_url):
        with engine_of(database_url).connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_server_default": True})
            assert compare_metadata(context, metadata) == []

    def test_a_second_time_changes_nothing_and_names_the_same_revision(self, empty_database_url):
        first = migrate(empty_database_url)
        before = catalogue(empty_database_url)
        assert migrate(empty_database_url) == first
        assert catalogue(empty_database_url) == before

    def test_four_at_once_make_one_database(self, empty_database_url):
        with ThreadPoolExecutor(4) as threads:
            revisions = list(threads.map(migrate, [empty_database_url] * 4))
        assert len(set(revisions)) == 1
        assert rows_of(empty_database_url, "SELECT version_num FROM alembic_version") == [(revisions[0],)]

    def test_down_and_up_again_leads_to_the_same_tables(self, empty_database_url):
        migrate(empty_database_url)
        before = catalogue(empty_database_url)
        with engine_of(empty_database_url).begin() as connection:
            command.downgrade(make_config(connection), "base")
        assert catalogue(empty_database_url) == []
        migrate(empty_database_url)
        assert catalogue(empty_database_url) == before

    def test_what_waited_for_a_person_before_the_second_revision_has_waited_since_then(self, empty_database_url):
        migrate(empty_database_url)
        with engine_of(empty_database_url).begin() as connection:
            command.downgrade(make_config(connection), "0001")
        columns = (
            "id, namespace, name, channel, title, status, priority, attempt, correlation_id, queued_at, step_attempt, "
            "lost_runs, last_run_number, waited_seconds, review_round, approved_gates, message, resource_gone, "
            "long_film_warned, review_gate, review_required_at"
        )
        for uid, status, gate in (("a", "video_error", None), ("b", "final_review", "final"), ("c", "queued", None)):
            rows_of(
                empty_database_url,
                f"INSERT INTO tasks ({columns}) VALUES (%s, 'studio', 'film', 'tides', 't', %s, 'normal', 1, 'c', %s, "
                "1, 0, 0, 0, 0, '{}', '', false, false, %s, %s)",
                uid,
                status,
                NOON,
                gate,
                NOON + timedelta(hours=1) if gate else None,
            )
        rows_of(
            empty_database_url,
            "INSERT INTO task_history (task_uid, seq, status_after, at, message) "
            "VALUES ('a', 1, 'video_error', %s, '')",
            NOON + timedelta(hours=2),
        )
        migrate(empty_database_url)
        waiting = rows_of(empty_database_url, "SELECT id, waiting_since FROM tasks ORDER BY id")
        assert waiting == [("a", NOON + timedelta(hours=2)), ("b", NOON + timedelta(hours=1)), ("c", None)]

    def test_a_database_of_a_newer_release_is_left_alone_with_a_reason(self, database_url):
        rows_of(database_url, "UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(PermanentError, match="9999, which this release does not know"):
            migrate(database_url)

    def test_a_database_that_does_not_answer_is_given_up_at_the_deadline_without_its_password(self, tmp_path):
        with pytest.raises(TransientError, match=r"(?s)did not answer within 1 s.+check that it runs") as caught:
            migrate(f"postgresql://postgres:secret@/x?host={tmp_path}", timeout_seconds=1)
        assert "secret" not in str(caught.value)

    def test_a_migration_under_way_elsewhere_is_waited_for_until_the_deadline(self, empty_database_url):
        with psycopg.connect(**libpq_arguments(empty_database_url), autocommit=True) as other:
            other.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            with pytest.raises(TransientError, match="still migrating"):
                migrate(empty_database_url, timeout_seconds=0.5)
        assert migrate(empty_database_url)


class TestWords:
    @pytest.mark.parametrize(
        ("constraint", "enum"),
        [
            ("ck_tasks_status", Phase),
            ("ck_tasks_resume_phase", Phase),
            ("ck_task_history_status_before", Phase),
            ("ck_task_history_status_after", Phase),
            ("ck_tasks_priority", Priority),
            ("ck_tasks_step", Step),
            ("ck_step_runs_step", Step),
            ("ck_items_step", Step),
            ("ck_spend_step", Step),
            ("ck_tasks_review_gate", Gate),
            ("ck_step_runs_outcome", RunOutcome),
            ("ck_step_runs_failure_class", FailureClass),
            ("ck_spend_certainty", Certainty),
        ],
    )
    def test_the_database_allows_exactly_the_contracts_words(self, database_url, constraint, enum):
        assert allowed_by(database_url, constraint) == {member.value for member in enum}

    async def test_a_phase_that_is_not_the_contracts_is_refused(self, postgres_store, database_url):
        async with postgres_store.transaction() as transaction:
            await transaction.save_task(a_record())
        with pytest.raises(psycopg.errors.CheckViolation):
            rows_of(database_url, "UPDATE tasks SET status = 'Final Review'")

    def test_every_table_and_column_says_what_it_is(self, database_url):
        silent = [line[:3] for line in catalogue(database_url) if line[0] == "column" and not line[6]]
        silent += [line[:2] for line in catalogue(database_url) if line[0] == "table" and not line[2]]
        assert silent == []

    def test_tasks_has_every_column_of_the_record(self, database_url):
        columns = {line[2] for line in catalogue(database_url) if line[:2] == ("column", "tasks")}
        assert columns >= RECORD_COLUMNS

    def test_money_is_numeric_and_moments_know_their_zone(self, database_url):
        kinds = {(line[2], line[3]) for line in catalogue(database_url) if line[0] == "column"}
        assert {kind for name, kind in kinds if name.endswith("_usd")} == {"numeric(18,8)"}
        assert not any("without time zone" in kind for _, kind in kinds)


class TestRecord:
    async def test_a_finished_film_fills_its_row(self, postgres_store, database_url):
        traits = [step for step in STEPS if step.metadata_done]
        metadata_of_film = {step.metadata_done: 18 for step in traits} | {step.metadata_total: 18 for step in traits}
        record = a_record(
            phase=Phase.COMPLETED,
            claimed_at=NOON,
            pipeline_start_time=NOON,
            pipeline_end_time=NOON + timedelta(minutes=12, seconds=30),
            waited_seconds=150,
            review_required_at=NOON,
            approved_by="anna",
            step_completion_metadata=metadata_of_film,
        )
        async with postgres_store.transaction() as transaction:
            await transaction.save_task(record)
        [row] = rows_of(
            database_url,
            "SELECT status, pipeline_duration_seconds, approved_by, step_completion_metadata->>'clips_generated', "
            "step_completion_metadata->>'total_sfx', queued_at FROM tasks",
        )
        assert row == ("completed", 600, "anna", "18", "18", NOON)

    async def test_there_is_no_duration_before_the_end(self, postgres_store, database_url):
        async with postgres_store.transaction() as transaction:
            await transaction.save_task(a_record(pipeline_start_time=NOON))
        assert rows_of(database_url, "SELECT pipeline_duration_seconds FROM tasks") == [(None,)]

    async def test_each_transition_waits_once_in_the_outbox_under_its_number(self, postgres_store, database_url):
        transitions = [
            Transition(before=None, after=Phase.QUEUED, at=NOON, message=""),
            Transition(before=Phase.QUEUED, after=Phase.CLAIMED, at=NOON, message=""),
        ]
        for _ in range(2):
            async with postgres_store.transaction() as transaction:
                await transaction.save_task(a_record())
                await transaction.save_history(UID, transitions)
        outbox = rows_of(database_url, "SELECT seq, created_at, delivered_at, attempts FROM notion_outbox ORDER BY seq")
        assert outbox == [(1, NOON, None, 0), (2, NOON, None, 0)]
        assert rows_of(database_url, "SELECT seq, status_after FROM task_history ORDER BY seq") == [
            (1, "queued"),
            (2, "claimed"),
        ]

    async def test_an_item_that_was_kept_stays_with_the_run_that_made_it(self, postgres_store, database_url):
        item = Item(item="01", key="k", path="p", size_bytes=1, sha256="s")
        async with postgres_store.transaction() as transaction:
            await transaction.save_task(a_record())
            for number in (1, 2):
                await transaction.save_run(a_run(number=number, closed_at=NOON))
            await transaction.save_items(UID, Step.VIDEO_GENERATION, "run1", [item])
            await transaction.save_items(UID, Step.VIDEO_GENERATION, "run2", [item.model_copy(update={"kept": True})])
        assert rows_of(database_url, "SELECT run_id FROM items") == [("run1",)]

    async def test_the_tasks_cost_is_the_sum_of_its_spend_after_any_order_of_reports(
        self, postgres_store, database_url
    ):
        record = a_record()
        calls = [
            Spend(
                call_id=f"call{number}",
                run_id="run1",
                item="01",
                model="m",
                amount_usd=Decimal(number) / 10_000_000,
                certainty=Certainty.POSSIBLY if number % 3 else Certainty.SETTLED,
                at=NOON + timedelta(hours=number),
            )
            for number in range(1, 200)
        ]
        settled = [
            call.model_copy(update={"amount_usd": call.amount_usd / 2, "certainty": Certainty.SETTLED})
            for call in calls[::2]
        ]
        for told in (calls[:120], settled[::-1], calls, settled):
            async with postgres_store.transaction() as transaction:
                await transaction.save_task(record)
                await transaction.save_spend(record, Step.VIDEO_GENERATION, told, time_zone="America/New_York")
        [(cost, spent, days, count)] = rows_of(
            database_url,
            "SELECT (SELECT pipeline_cost_usd FROM tasks), (SELECT sum(amount_usd) FROM spend), "
            "(SELECT sum(spent_usd) FROM budget_days), (SELECT count(*) FROM spend)",
        )
        assert cost == spent == days
        assert count == len(calls)

    async def test_what_an_older_version_wrote_oddly_is_read_as_missing(self, postgres_store, database_url):
        async with postgres_store.transaction() as transaction:
            await transaction.save_task(a_record())
        rows_of(
            database_url,
            "UPDATE tasks SET film = '{\"path\": 7}', approved_gates = '{assets,gone}', "
            'step_completion_metadata = \'[1]\', redo_counts = \'{"video_generation": {"07": 1, "08": "x"}, '
            "\"gone\": 3}', honoured_takes = '[]', change_marks = 'null', "
            "begun_with = '{\"video_generation\": 7}'",
        )
        async with postgres_store.transaction() as transaction:
            record = await transaction.load_task(UID)
        assert (record.film, record.approved_gates, record.step_completion_metadata) == (None, {Gate.ASSETS}, {})
        assert record.redo_counts == {"video_generation": {"07": 1}}
        assert (record.honoured_takes, record.change_marks, record.begun_with) == ({}, {}, {})


class TestSessions:
    async def test_no_session_idles_in_a_transaction_between_transactions(self, postgres_store, database_url):
        async def work(number):
            async with postgres_store.transaction() as transaction:
                await transaction.save_task(a_record(uid=f"t{number}", name=f"t{number}"))

        await asyncio.gather(*(work(number) for number in range(10)))
        sessions = rows_of(
            database_url,
            "SELECT state, xact_start FROM pg_stat_activity WHERE application_name = %s "
            "AND datname = current_database() AND pid <> pg_backend_pid()",
            APPLICATION_NAME,
        )
        assert len(sessions) >= 2
        assert set(sessions) == {("idle", None)}

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("statement_timeout", "15s"),
            ("idle_in_transaction_session_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("TimeZone", "UTC"),
            ("application_name", APPLICATION_NAME),
        ],
    )
    async def test_sessions_never_wait_for_ever_and_are_named(self, postgres_store, setting, value):
        async with postgres_store.transaction() as transaction:
            result = await transaction._session.exec_driver_sql(f"SHOW {setting}")
            assert result.scalar_one() == value
