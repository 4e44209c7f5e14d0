"""Builds and runs the server: three providers by their own paths on one port, and the control API beside them."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from videotask_emulators import __version__, control_api, elevenlabs, gemini, kling
from videotask_emulators.exchange import CALL, NoAnswer, Refusal
from videotask_emulators.kling_jobs import DESK, open_desk
from videotask_emulators.settings import Settings
from videotask_emulators.world import WORLD, World, build_world

_MAX_BODY_BYTES = 96 * 1024 * 1024
_log = logging.getLogger("videotask_emulators")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(world: World) -> web.Application:
    """Return the application around a world."""
    app = web.Application(middlewares=[_witness], client_max_size=_MAX_BODY_BYTES)
    app[WORLD] = world
    app.cleanup_ctx.append(_with_desk)
    app.router.add_get("/healthz", _health)
    for room in (gemini, kling, elevenlabs, control_api):
        room.add_routes(app.router)
    app.on_shutdown.append(_release_all)
    app.on_cleanup.append(_close_studio)
    return app


async def serve(settings: Settings, *, pid_file: Path | None, url_file: Path | None) -> None:
    """Run until SIGTERM or SIGINT; the URL is printed and written once the port listens."""
    world = build_world(settings)
    runner = web.AppRunner(build_app(world), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        host, port = runner.addresses[0][:2]
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
        url = f"http://{shown}:{port}"
        if pid_file:
            _publish(pid_file, str(os.getpid()))
        if url_file:
            _publish(url_file, url)
        print(url, flush=True)  # noqa: T201 - the caller reads the port from here
        log_line("emulators_listening", url=url, latency=settings.latency.value, version=__version__)
        await stop.wait()
    finally:
        world.closing.set()
        await runner.cleanup()
        if pid_file:
            _withdraw(pid_file)
    log_line("emulators_stopped")


def log_line(event: str, **facts: object) -> None:
    """Log one JSON line to stderr."""
    line = {"event": event, "at": datetime.now(UTC).isoformat(), **facts}
    sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stderr.flush()


def _publish(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".tmp")
    fresh.write_text(text + "\n", "utf-8")
    fresh.replace(path)


def _withdraw(path: Path) -> None:
    path.unlink(missing_ok=True)


@web.middleware
async def _witness(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write every provider call into the log, and turn refusals and cut connections into their endings."""
    provider = _provider_of(request.path)
    if not provider:
        return await handler(request)
    world = request.app[WORLD]
    request_id = uuid.uuid4().hex
    call = world.calls.open(provider, request.method, request.path, _query(request), request_id)
    request[CALL] = call
    status = 0
    try:
        response = await handler(request)
        status = response.status
    except Refusal as refusal:
        response = refusal.response
        status = response.status
    except NoAnswer:
        response = web.Response(status=500)
    except web.HTTPException as exception:
        response = _no_such_path(provider, exception, request_id)
        status = response.status
    except Exception:
        status = 500
        _log.exception("call_failed")
        raise
    finally:
        world.calls.close(call, status)
        log_line(
            "call", provider=provider, operation=call.operation, method=call.method, path=call.path, status=status,
            seconds=call.took_seconds, key_id=call.key_name, fault=call.fault, request_id=request_id,
        )  # fmt: skip
    return response


def _query(request: web.Request) -> str:
    """Return the query without a key in it."""
    return "&".join(f"{name}={value}" for name, value in request.query.items() if name != "key")


def _provider_of(path: str) -> str:
    if path.startswith("/v1beta/"):
        return "gemini"
    if path.startswith(("/image-to-video/", "/tasks", "/kling-media/")):
        return "kling"
    return "elevenlabs" if path.startswith("/v1/") else ""


def _no_such_path(provider: str, exception: web.HTTPException, request_id: str) -> web.Response:
    """Answer a path or method that does not exist, in the provider's shape."""
    match provider:
        case "gemini":
            return gemini.error(404, "Requested entity was not found.")
        case "kling":
            return kling.error(1202, request_id=request_id)
        case _:
            return web.json_response({"detail": exception.reason}, status=exception.status)


async def _health(request: web.Request) -> web.Response:
    return web.json_response(
        {"status": "ok", "version": __version__, "latency": request.app[WORLD].settings.latency.value}
    )


async def _with_desk(app: web.Application) -> AsyncIterator[None]:
    async with open_desk(app[WORLD]) as desk:
        app[DESK] = desk
        yield


async def _release_all(app: web.Application) -> None:
    app[WORLD].closing.set()


async def _close_studio(app: web.Application) -> None:
    with contextlib.suppress(OSError):
        await asyncio.to_thread(app[WORLD].studio.close)
