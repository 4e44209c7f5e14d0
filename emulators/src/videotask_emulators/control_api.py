"""The control API: bill, call log, faults, keys, prices and mattes; for tests and people, no provider has it."""

import hashlib
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from videotask_emulators.faults import FaultKind
from videotask_emulators.keys import PLAN_CONCURRENCY, Key, key_id
from videotask_emulators.kling_jobs import DESK
from videotask_emulators.world import WORLD

_PROVIDERS = ("gemini", "kling", "elevenlabs")
_TROUBLES = ("", "revoked", "arrears", "pack_exhausted", "account_abnormal", "quota_exceeded")


def add_routes(router: web.UrlDispatcher) -> None:
    """Add the control paths."""
    router.add_get("/_control/bill", show_bill)
    router.add_post("/_control/bill/reset", reset_bill)
    router.add_get("/_control/prices", show_prices)
    router.add_post("/_control/prices", set_prices)
    router.add_get("/_control/calls", show_calls)
    router.add_get("/_control/faults", show_faults)
    router.add_post("/_control/faults", add_fault)
    router.add_delete("/_control/faults", clear_faults)
    router.add_get("/_control/held", show_held)
    router.add_post("/_control/release", release)
    router.add_get("/_control/keys", show_keys)
    router.add_post("/_control/keys", put_key)
    router.add_post("/_control/voices", add_voice)
    router.add_get("/_control/jobs", show_jobs)
    router.add_get("/_control/matte", show_matte)
    router.add_post("/_control/reset", reset)


async def show_bill(request: web.Request) -> web.Response:
    """Answer the bill since its last reset."""
    bill = request.app[WORLD].bill
    return web.json_response({"total_usd": f"{bill.total_usd():f}", "entries": bill.entries()})


async def reset_bill(request: web.Request) -> web.Response:
    """Start a new bill."""
    request.app[WORLD].bill.reset()
    return await show_bill(request)


async def show_prices(request: web.Request) -> web.Response:
    """Answer the price table and its factor."""
    prices = request.app[WORLD].prices
    return web.json_response({"factor": str(prices.factor), "prices": prices.table})


async def set_prices(request: web.Request) -> web.Response:
    """Set the factor on every price."""
    body = await _json(request)
    try:
        factor = Decimal(str(body.get("factor", 1)))
    except InvalidOperation as complaint:
        raise _bad(f"factor {body.get('factor')!r} is not a number") from complaint
    if not factor.is_finite() or factor < 0:
        raise _bad(f"factor {factor} must be 0 or more")
    request.app[WORLD].prices.factor = factor
    return await show_prices(request)


async def show_calls(request: web.Request) -> web.Response:
    """Answer the calls with a number above `since`, and each key's calls and jobs in flight."""
    world = request.app[WORLD]
    calls = world.calls.since(int(request.query.get("since", "0")))
    in_flight = {
        f"{key.provider}/{key.name}": {"in_flight": key.in_flight, "high_water": key.high_water}
        for key in world.keys.all()
    }
    return web.json_response({"calls": [call.as_json() for call in calls], "keys": in_flight})


async def show_faults(request: web.Request) -> web.Response:
    """Answer the faults that were set, with their hits."""
    return web.json_response({"faults": [fault.as_json() for fault in request.app[WORLD].faults.all()]})


async def add_fault(request: web.Request) -> web.Response:
    """Set a fault."""
    try:
        fault = request.app[WORLD].faults.add(await _json(request))
    except ValueError as complaint:
        raise _bad(str(complaint)) from complaint
    return web.json_response(fault.as_json(), status=201)


async def clear_faults(request: web.Request) -> web.Response:
    """Forget all faults, or the one named by `id`."""
    request.app[WORLD].faults.clear(request.query.get("id", ""))
    return await show_faults(request)


async def show_held(request: web.Request) -> web.Response:
    """Answer the calls that are held."""
    return web.json_response({"held": list(request.app[WORLD].held_calls.values())})


async def release(request: web.Request) -> web.Response:
    """Let held calls go on: all, or the one whose request id is posted; waiting hold faults are forgotten."""
    world = request.app[WORLD]
    body = await _json(request) if request.can_read_body else {}
    wanted = body.get("request_id", "")
    released = [name for name in world.held if not wanted or name == wanted]
    for name in released:
        world.held[name].set()
    if not wanted:
        for fault in world.faults.all():
            if fault.kind is FaultKind.HOLD_CALL:
                world.faults.clear(fault.id)
    return web.json_response({"released": released})


async def show_keys(request: web.Request) -> web.Response:
    """Answer the keys by name, without their values."""
    return web.json_response({"keys": [_key_json(key) for key in request.app[WORLD].keys.all()]})


async def put_key(request: web.Request) -> web.Response:
    """Add a key, or change the one with this value or name."""
    world, body = request.app[WORLD], await _json(request)
    try:
        key = apply_key(body, world.keys.named(str(body.get("provider", "")), str(body.get("name", ""))))
    except ValueError as complaint:
        raise _bad(str(complaint)) from complaint
    world.keys.put(key)
    return web.json_response(_key_json(key), status=201)


async def add_voice(request: web.Request) -> web.Response:
    """Make a voice exist for ElevenLabs."""
    body = await _json(request)
    voice_id = str(body.get("voice_id", ""))
    if not voice_id:
        raise _bad("voice_id is required")
    request.app[WORLD].voices.add(voice_id, str(body.get("name", "")))
    return web.json_response({"voices": request.app[WORLD].voices.all()}, status=201)


async def show_jobs(request: web.Request) -> web.Response:
    """Answer Kling's jobs."""
    jobs = [
        {
            "id": job.id, "status": job.status, "external_task_id": job.order.external_task_id,
            "model": job.order.model,
            "key_id": job.key_name, "seconds": job.order.seconds, "resolution": job.order.resolution,
            "multi_shot": job.order.multi_shot, "charged_usd": job.charged_usd, "fault": job.fault_kind,
        }
        for job in request.app[DESK].all()
    ]  # fmt: skip
    return web.json_response({"jobs": jobs})


async def show_matte(request: web.Request) -> web.StreamResponse:
    """Answer the true matte of a figure's or prop's image, by the SHA-256 of the image's bytes."""
    name = request.query.get("sha256", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", name):
        raise _bad("sha256 must be 64 hex digits")
    path = request.app[WORLD].settings.state_dir / "mattes" / f"{name}.png"
    if not path.exists():
        raise web.HTTPNotFound(text="no matte for that image: it is an environment, or not from here")
    return web.FileResponse(path, headers={"Content-Type": "image/png"})


async def reset(request: web.Request) -> web.Response:
    """Forget faults and calls, start a new bill, set the price factor to 1 and let held calls go."""
    world = request.app[WORLD]
    world.faults.clear()
    world.calls.clear()
    world.bill.reset()
    world.prices.factor = Decimal(1)
    for event in world.held.values():
        event.set()
    for key in world.keys.all():
        key.high_water.clear()
    return web.json_response({"status": "reset"})


def apply_key(body: dict[str, Any], known: Key | None) -> Key:
    """Return the key that a document describes, from a file or the control API; raises ValueError."""
    allowed = {"provider", "key", "secret", "name", "plan", "concurrency", "credits_left", "trouble"}
    if unknown := set(body) - allowed:
        raise ValueError(f"unknown fields {sorted(unknown)}: use {sorted(allowed)}")
    provider = body.get("provider")
    if provider not in _PROVIDERS:
        raise ValueError(f"provider {provider!r} must be one of {_PROVIDERS}")
    value = str(body.get("key") or (known.value if known else ""))
    if not value:
        raise ValueError("key is required for a name that is not known")
    if body.get("plan", "creator") not in PLAN_CONCURRENCY:
        raise ValueError(f"plan {body['plan']!r} must be one of {list(PLAN_CONCURRENCY)}")
    if body.get("trouble", "") not in _TROUBLES:
        raise ValueError(f"trouble {body['trouble']!r} must be one of {_TROUBLES}")
    key = known or Key(provider=provider, value=value, name=str(body.get("name") or key_id(value)))
    for name in ("secret", "plan", "concurrency", "credits_left", "trouble"):
        if name in body:
            setattr(key, name, body[name])
    return key


def _key_json(key: Key) -> dict[str, Any]:
    return {
        "provider": key.provider, "name": key.name, "key_sha256": hashlib.sha256(key.value.encode()).hexdigest(),
        "plan": key.plan, "concurrency": key.limit(), "credits_left": key.credits_left, "trouble": key.trouble,
        "in_flight": key.in_flight, "high_water": key.high_water,
    }  # fmt: skip


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError as complaint:
        raise _bad(f"the body is not JSON: {complaint}") from complaint
    if not isinstance(body, dict):
        raise _bad("the body must be a JSON object")
    return body


def _bad(message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=message)
