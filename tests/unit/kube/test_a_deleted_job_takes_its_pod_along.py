"""A Job that is deleted takes its pods along: left to the API server's own default they would live on and spend."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from videotask_operator.kube.api import Api
from videotask_operator.kube.paths import Kind, one


@pytest.fixture
async def deletions() -> AsyncIterator[tuple[str, list[dict]]]:
    """An API server's address, and the options of every deletion it was asked for."""
    asked: list[dict] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append({"path": request.path, **json.loads(await request.text() or "{}")})
        return web.json_response({"status": "Success"})

    app = web.Application()
    app.router.add_delete("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


@pytest.mark.parametrize("uid", [None, "job-uid"], ids=["by name", "by uid"])
async def test_every_deletion_asks_for_the_dependants_too(deletions, uid):
    """Source: batch/v1 Jobs are orphaning by default over the old API, "Background" deletes their pods."""
    host, asked = deletions
    async with Api(Configuration(host=host)) as api:
        await api.delete(one(Kind.JOB, "films", "film-1"), uid=uid)
    (deletion,) = asked
    assert deletion["kind"] == "DeleteOptions"
    assert deletion["propagationPolicy"] == "Background"
    assert deletion.get("preconditions") == (None if uid is None else {"uid": uid})
