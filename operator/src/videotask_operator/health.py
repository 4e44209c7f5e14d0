"""Liveness and readiness; liveness never asks the database, so that its outage does not restart the operator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What the probes look at."""

    now: Callable[[], datetime]
    loop_turned_at: Callable[[], datetime]
    resync_tried_at: Callable[[], datetime | None]
    is_synced: Callable[[], bool]
    is_leader: Callable[[], bool]
    is_watching: Callable[[], bool]
    """False while the watches keep ending: films then move on by the periodic LIST alone."""
    stale_after_seconds: float
    films_out_of_sight: Callable[[], int] = lambda: 0
    """Films on record in namespaces that are not watched or cannot be read: told, and no reason to be unready."""


class HealthServer:
    """Serves /healthz and /readyz."""

    def __init__(self, vitals: Vitals) -> None:
        self.vitals = vitals
        self._runner: web.AppRunner | None = None

    async def start(self, *, host: str, port: int) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_get("/healthz", self._live)
        app.router.add_get("/readyz", self._ready)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    async def stop(self) -> None:
        """Close."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        now = self.vitals.now()
        loop_age = (now - self.vitals.loop_turned_at()).total_seconds()
        tried = self.vitals.resync_tried_at()
        resync_age = (now - tried).total_seconds() if tried else None
        stale = self.vitals.stale_after_seconds
        alive = loop_age < stale and (resync_age is None or resync_age < stale)
        return _verdict(ok=alive, facts={"loopAgeSeconds": loop_age, "resyncAgeSeconds": resync_age})

    async def _ready(self, _request: web.Request) -> web.Response:
        synced, leader, watching = self.vitals.is_synced(), self.vitals.is_leader(), self.vitals.is_watching()
        facts: dict[str, object] = {"synced": synced, "leader": leader, "watching": watching}
        facts["filmsOutOfSight"] = self.vitals.films_out_of_sight()
        return _verdict(ok=synced and leader and watching, facts=facts)


def _verdict(*, ok: bool, facts: dict[str, object]) -> web.Response:
    return web.Response(
        status=200 if ok else 503,
        text=json.dumps({"ok": ok, **facts}),
        content_type="application/json",
    )
