from __future__ import annotations

import socket

import pytest

from videotask_contract.errors import FailureClass
from videotask_operator.kube.api import ApiRefusedError, ApiUnavailableError
from videotask_operator.kube.paths import Kind, core, objects, one

FILMS = objects(Kind.TASK, "studio")
FILM = one(Kind.TASK, "studio", "film")


def test_paths_are_those_of_the_api() -> None:
    assert FILM == "/apis/videotask.dev/v1alpha1/namespaces/studio/videotasks/film"
    assert one(Kind.JOB, "studio", "a") == "/apis/batch/v1/namespaces/studio/jobs/a"
    assert one(Kind.POD, "studio", "a") == "/api/v1/namespaces/studio/pods/a"
    assert core("events", "studio") == "/api/v1/namespaces/studio/events"


def test_no_name_becomes_another_path() -> None:
    assert one(Kind.POD, "studio", "../secrets/x?y").endswith("/pods/..%2Fsecrets%2Fx%3Fy")


async def test_an_absent_object_is_none_only_by_the_servers_own_word(server, make_api) -> None:
    api = make_api()
    assert await api.fetch_or_none(FILM) is None
    server.refuse(f"GET {FILM}", 503)
    with pytest.raises(ApiUnavailableError):
        await api.fetch_or_none(FILM)


@pytest.mark.parametrize("status", [401, 408, 429, 500, 502, 503, 504])
async def test_what_time_may_heal_is_unavailable(server, make_api, status) -> None:
    server.refuse("POST", status)
    with pytest.raises(ApiUnavailableError, match=str(status)):
        await make_api().create(FILMS, {"metadata": {"name": "film"}})


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
async def test_a_no_is_a_refusal_with_its_status_and_the_servers_words(server, make_api, status) -> None:
    server.refuse("POST", status)
    with pytest.raises(ApiRefusedError, match=f"refused with {status}") as caught:
        await make_api().create(FILMS, {"metadata": {"name": "film"}})
    assert caught.value.status == status
    assert not caught.value.failure_class.is_transient


async def test_a_kept_connection_that_was_closed_is_opened_again_once(server, make_api) -> None:
    api = make_api()
    server.hang_ups = 1
    await api.create(FILMS, {"metadata": {"name": "film"}})
    assert [method for method, _ in server.requests] == ["POST", "POST"]


async def test_a_server_that_hangs_up_always_is_unavailable(server, make_api) -> None:
    server.hang_ups = 50
    with pytest.raises(ApiUnavailableError) as caught:
        await make_api().create(FILMS, {"metadata": {"name": "film"}})
    assert caught.value.failure_class is FailureClass.NETWORK
    assert len(server.requests) == 2


async def test_a_server_that_never_answers_is_unavailable_after_the_time_out(make_api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = make_api(host=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2)
        with pytest.raises(ApiUnavailableError, match="did not answer"):
            await api.fetch(FILM)


async def test_nobody_listening_is_unavailable(make_api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(ApiUnavailableError):
        await make_api(host=f"http://127.0.0.1:{port}").fetch(FILM)


async def test_a_long_list_is_read_to_its_end(server, make_api, bodies) -> None:
    for number in range(7):
        server.put(FILMS, bodies.task(name=f"film-{number}"))
    server.page_size = 3
    items, version = await make_api().fetch_list(FILMS)
    assert [body["metadata"]["name"] for body in items] == [f"film-{number}" for number in range(7)]
    assert version == str(server.version)


async def test_deleting_what_is_gone_or_replaced_is_success(server, make_api, bodies) -> None:
    api = make_api()
    await api.delete(FILM)
    server.put(FILMS, bodies.task(uid="new"))
    await api.delete(FILM, uid="old")
    assert FILM in server.objects
    await api.delete(FILM, uid="new")
    assert FILM not in server.objects


async def test_a_delete_that_is_forbidden_is_not_taken_for_success(server, make_api) -> None:
    server.refuse("DELETE", 403)
    with pytest.raises(ApiRefusedError):
        await make_api().delete(FILM)
