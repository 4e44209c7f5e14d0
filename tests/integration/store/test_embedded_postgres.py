"""The embedded PostgreSQL: found again, stopped by its pid, safe after a crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from tests.support.postgres import rows_of

from videotask_contract.errors import PermanentError
from videotask_operator.local import postgres
from videotask_operator.local.postgres import find_postgres, start_postgres, stop_postgres


@pytest.fixture
def folder():
    # Not pytest's own folder: each session of pytest closes it to other users, and as root the server is another.
    with tempfile.TemporaryDirectory(prefix="videotask-test-'odd' ü-") as name:
        made = Path(name)
        yield made
        stop_postgres(made)


def test_what_was_written_is_there_after_a_stop_and_a_start(folder):
    server = start_postgres(folder, durable=False)
    rows_of(server.url("videotask"), "CREATE TABLE kept AS SELECT 7 AS value")
    assert stop_postgres(folder)
    assert find_postgres(folder) is None
    with pytest.raises(psycopg.OperationalError):
        rows_of(server.url("videotask"), "SELECT 1")
    assert rows_of(start_postgres(folder, durable=False).url("videotask"), "SELECT value FROM kept") == [(7,)]


def test_a_running_server_is_found_and_not_started_twice(folder):
    with ThreadPoolExecutor(3) as threads:
        servers = list(threads.map(lambda _: start_postgres(folder, durable=False), range(3)))
    assert len({server.pid for server in servers}) == 1
    assert find_postgres(folder) == servers[0]


def test_it_outlives_the_process_that_started_it(folder):
    program = (
        "import sys, pathlib; from videotask_operator.local.postgres import start_postgres; "
        "start_postgres(pathlib.Path(sys.argv[1]), durable=False)"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, capture_output=True, timeout=60)
    server = find_postgres(folder)
    assert server is not None
    assert rows_of(server.url("videotask"), "SELECT 1") == [(1,)]


def test_after_a_kill_the_stale_pid_file_fools_nobody(folder):
    server = start_postgres(folder, durable=False)
    os.kill(server.pid, signal.SIGKILL)
    assert postgres._wait_gone(server.pid, folder / "data", 10)
    assert find_postgres(folder) is None
    assert not stop_postgres(folder)
    again = start_postgres(folder, durable=False)
    assert again.pid != server.pid
    assert rows_of(again.url("videotask"), "SELECT 1") == [(1,)]


def test_nothing_listens_on_a_network_and_others_cannot_reach_its_socket(folder):
    server = start_postgres(folder, durable=False)
    assert rows_of(server.url("videotask"), "SHOW listen_addresses") == [("",)]
    assert server.socket_folder.stat().st_mode & 0o077 == 0


def test_stopping_a_folder_without_a_server_is_no_error(tmp_path):
    assert not stop_postgres(tmp_path / "nothing")


def test_a_missing_wheel_is_named_with_the_way_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(postgres, "_WHEEL", "no_such_wheel")
    with pytest.raises(PermanentError, match="pip install"):
        start_postgres(tmp_path)


def test_a_server_that_cannot_start_says_why(folder):
    start_postgres(folder, durable=False)
    stop_postgres(folder)
    (folder / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(PermanentError, match="no_such_setting"):
        start_postgres(folder, durable=False)
