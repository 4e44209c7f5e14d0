"""How addresses become connections, without a database."""

from __future__ import annotations

import pytest

from videotask_operator.store.connections import connect_arguments, libpq_arguments, psycopg_url, shown


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_usual_spelling_of_an_address_leads_to_psycopg_3(scheme):
    assert psycopg_url(f"{scheme}://u:p@h/d").drivername == "postgresql+psycopg"


def test_an_address_shown_has_no_password():
    assert shown("postgresql://u:hunter2@h:5433/d") == "postgresql+psycopg://u:***@h:5433/d"


def test_libpq_is_given_all_of_the_address():
    arguments = libpq_arguments("postgresql://u:p%40ss@h:5433/d?sslmode=require&sslrootcert=/ca.pem")
    expected = {"user": "u", "password": "p@ss", "host": "h", "port": 5433, "dbname": "d"}
    assert expected.items() <= arguments.items()
    assert {"sslmode": "require", "sslrootcert": "/ca.pem", "application_name": "videotask-operator"}.items() <= (
        arguments.items()
    )


def test_a_socket_folder_is_a_host():
    assert libpq_arguments("postgresql://u@/d?host=%2Frun%2Fpg")["host"] == "/run/pg"


def test_both_ends_notice_a_silent_partner_before_the_next_holder_gives_up():
    arguments = connect_arguments()
    idle, interval, count = (int(arguments[f"keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert idle + interval * count <= 15
    assert f"tcp_keepalives_idle={idle}" in str(arguments["options"])
