"""Objects as the API server would give them, and a small API server on loopback that can be told to misbehave."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration
from tests.support.builders import UID, a_channel_spec, a_spec

from videotask_operator.kube.api import Api

STAMP = "2026-11-21T12:00:00Z"
LABELS = {
    "app.kubernetes.io/managed-by": "videotask-operator",
    "videotask.dev/task-uid": UID,
    "videotask.dev/task": "film",
    "videotask.dev/run-id": "run1",
}
TASK_OWNER = {
    "apiVersion": "videotask.dev/v1alpha1",
    "kind": "VideoTask",
    "name": "film",
    "uid": UID,
    "controller": True,
}


class Bodies:
    """`bodies.task()`, `.channel()`, `.job()`, `.pod()`: valid by default, changed by keyword."""

    def task(self, *, version: int = 1, uid: str = UID, name: str = "film", **parts: Any) -> dict[str, Any]:
        metadata = {"generation": 1, **parts.pop("metadata", {})}
        return self._object("VideoTask", name, uid, version, metadata, spec=parts.pop("spec", a_spec()), **parts)

    def channel(self, *, version: int = 1, uid: str = "channel-uid", **parts: Any) -> dict[str, Any]:
        spec = parts.pop("spec", a_channel_spec())
        return self._object("Channel", "tides", uid, version, {}, spec=spec, **parts)

    def job(self, *, version: int = 1, uid: str = "job-uid", name: str = "film-job-1", **parts: Any) -> dict[str, Any]:
        metadata = {"labels": LABELS, "ownerReferences": [TASK_OWNER], **parts.pop("metadata", {})}
        return self._object("Job", name, uid, version, metadata, **parts)

    def pod(self, *, version: int = 1, uid: str = "pod-uid", job_uid: str = "job-uid", **parts: Any) -> dict[str, Any]:
        owner = {"kind": "Job", "name": "film-job-1", "uid": job_uid, "controller": True}
        metadata = {"labels": LABELS, "ownerReferences": [owner], **parts.pop("metadata", {})}
        name = parts.pop("name", "film-job-1-abcde")
        return self._object("Pod", name, uid, version, metadata, **parts)

    def _object(
        self, kind: str, name: str, uid: str, version: int, metadata: dict[str, Any], **parts: Any
    ) -> dict[str, Any]:
        named = {"name": name, "namespace": "studio", "uid": uid, "resourceVersion": str(version)}
        return {"kind": kind, "metadata": {**named, "creationTimestamp": STAMP, **metadata}, **parts}


class SmallApiServer:
    """Keeps objects by path, with versions that grow; `refuse` and `hang_up` make it misbehave for some requests."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.requests: list[tuple[str, str]] = []
        self.refusals: list[tuple[str, int]] = []
        self.hang_ups = 0
        self.review: dict[str, Any] = {"authenticated": False}
        self.page_size: int | None = None
        self.listed = 0
        """Objects that were sent in answers to lists."""

    def put(self, path: str, body: dict[str, Any]) -> None:
        self.version += 1
        body = copy.deepcopy(body)
        body["metadata"]["resourceVersion"] = str(self.version)
        body["metadata"].setdefault("uid", f"uid-{self.version}")
        body["metadata"].setdefault("creationTimestamp", STAMP)
        self.objects[f"{path}/{body['metadata']['name']}"] = body

    def refuse(self, method_and_path: str, status: int) -> None:
        """Answer every request that begins so with this status."""
        self.refusals.append((method_and_path, status))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        if self.hang_ups:
            self.hang_ups -= 1
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        for start, status in self.refusals:
            if f"{request.method} {request.path}".startswith(start):
                return self._failure(status)
        body = json.loads(await request.text() or "null")
        answer: web.StreamResponse = getattr(self, f"_{request.method.lower()}")(request, body)
        return answer

    def _get(self, request: web.Request, _: Any) -> web.StreamResponse:
        if request.path in self.objects:
            return web.json_response(self.objects[request.path])
        plural = request.path.rsplit("/", 1)[1]
        if plural not in {"videotasks", "channels", "jobs", "pods", "configmaps"}:
            return self._failure(404)
        items = [body for path, body in sorted(self.objects.items()) if path.rsplit("/", 1)[0] == request.path]
        if name := request.query.get("fieldSelector", "").removeprefix("metadata.name="):
            items = [body for body in items if body["metadata"]["name"] == name]
        self.listed += len(items)
        metadata = {"resourceVersion": str(self.version)}
        if self.page_size is not None:
            start = int(request.query.get("continue", "0"))
            if start + self.page_size < len(items):
                metadata["continue"] = str(start + self.page_size)
            items = items[start : start + self.page_size]
        return web.json_response({"metadata": metadata, "items": items})

    def _post(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if request.path.endswith("/tokenreviews"):
            return web.json_response({"status": self.review}, status=201)
        path = f"{request.path}/{body['metadata']['name']}"
        if path in self.objects:
            return self._failure(409)
        self.put(request.path, body)
        return web.json_response(self.objects[path], status=201)

    def _delete(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        known = self.objects.get(request.path)
        if known is None:
            return self._failure(404)
        if body.get("preconditions", {}).get("uid", known["metadata"]["uid"]) != known["metadata"]["uid"]:
            return self._failure(409)
        del self.objects[request.path]
        return web.json_response({"status": "Success"})

    def _patch(self, request: web.Request, body: Any) -> web.StreamResponse:
        known = self.objects.get(request.path)
        if known is None:
            return self._failure(404)
        known.update(body)
        return web.json_response(known)

    def _failure(self, status: int) -> web.StreamResponse:
        return web.json_response({"kind": "Status", "message": f"refused with {status}"}, status=status)


@pytest.fixture(scope="session")
def bodies() -> Bodies:
    return Bodies()


@pytest.fixture
async def api_server() -> AsyncIterator[tuple[SmallApiServer, str]]:
    server = SmallApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield server, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
    await asyncio.sleep(0)


@pytest.fixture
def server(api_server: tuple[SmallApiServer, str]) -> SmallApiServer:
    return api_server[0]


@pytest.fixture
async def make_api(api_server: tuple[SmallApiServer, str]) -> AsyncIterator[Callable[..., Api]]:
    made: list[Api] = []

    def make(**options: Any) -> Api:
        api = Api(Configuration(host=options.pop("host", api_server[1])), **options)
        made.append(api)
        return api

    yield make
    for api in made:
        await api.close()
