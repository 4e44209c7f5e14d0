from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from videotask_operator.handlers import watch
from videotask_operator.handlers.watch import Watch, build_settings
from videotask_operator.kube.paths import Kind


def test_kopf_scans_once_has_no_peers_and_posts_nothing() -> None:
    settings = build_settings()
    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert not settings.posting.enabled
    assert settings.watching.chunk_size == 100
    assert settings.queueing.idle_timeout <= 0.5, "it holds the whole of each film for so long"
    assert settings.process.ultimate_exiting_timeout is None
    backoffs = settings.networking.error_backoffs
    assert isinstance(backoffs, tuple)
    assert max(backoffs) <= 2


def test_only_our_own_jobs_and_pods_are_asked_for() -> None:
    selectors = build_settings().watching.label_selectors
    for kind in Kind:
        key = (kind.group, kind.version, kind.value)
        wanted = "app.kubernetes.io/managed-by=videotask-operator" if kind in {Kind.JOB, Kind.POD} else None
        assert selectors.get(key) == wanted


async def test_kopf_gets_event_handlers_alone_so_that_it_writes_nothing() -> None:
    registry = Watch(namespaces=lambda: ["studio"], on_event=lambda *_: None)._registry()
    assert len(registry._watching.get_all_handlers()) == len(Kind)
    for others in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert list(others.get_all_handlers()) == []


@pytest.mark.parametrize("is_under_way", [True, False])
async def test_it_stops_in_time_while_nobody_answers(tmp_path, unused_tcp_port, is_under_way) -> None:
    watching = watch.start(lambda: ["studio"], lambda *_: None, kubeconfig=a_kubeconfig(tmp_path, unused_tcp_port))
    if is_under_way:
        await _until_tried(watching)
    async with asyncio.timeout(5):
        assert await watching.stop()
    assert not watching.is_alive


@pytest.mark.parametrize(("readable", "watched"), [(["studio"], ["studio"]), ([], [watch._NOWHERE])])
async def test_only_what_may_be_read_is_watched_and_never_the_whole_cluster(monkeypatch, readable, watched) -> None:
    asked: list[list[str]] = []

    async def operator(*, namespaces: list[str], **_: object) -> None:
        asked.append(namespaces)

    monkeypatch.setattr(watch.kopf, "operator", operator)
    await Watch(namespaces=lambda: readable, on_event=lambda *_: None)._operator(asyncio.Event())
    assert asked == [watched]


async def _until_tried(watching: Watch) -> None:
    async with asyncio.timeout(20):
        while watching._current is None:
            await asyncio.sleep(0.01)


def a_kubeconfig(home: Path, port: int) -> Path:
    path = home / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "x", "user": {}}],
    }
    path.write_text(json.dumps(config))
    return path
