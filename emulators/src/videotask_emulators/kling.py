"""Kling's image-to-video: create, poll and download; codes and shapes from its public reference."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import io
import json
import time
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from PIL import Image, UnidentifiedImageError

from videotask_emulators.calls import Call
from videotask_emulators.exchange import CALL, Refusal, open_exchange
from videotask_emulators.faults import Fault, FaultKind
from videotask_emulators.keys import Key
from videotask_emulators.kling_jobs import DESK, Job, Order
from videotask_emulators.world import WORLD

MAX_PROMPT_CHARACTERS = 2500
MAX_FRAME_BYTES = 50 * 1024 * 1024
MIN_FRAME_PIXELS = 300
_FIXED_DURATIONS = {"kling-2.5-turbo": (5, 10), "kling-2.6": (5, 10)}
_MIN_SECONDS, _MAX_SECONDS = 3, 15
_SHAPE_LIMIT = 2.5
_HTTP_OF = {
    1000: 401, 1001: 401, 1002: 401, 1003: 401, 1004: 401, 1100: 429, 1101: 429, 1102: 429, 1103: 403, 1200: 400,
    1201: 400, 1202: 404, 1203: 404, 1300: 400, 1301: 400, 1302: 429, 1303: 429, 1304: 429, 5000: 500, 5001: 503,
    5002: 504,
}  # fmt: skip
_MESSAGES = {
    1000: "Authentication failed", 1001: "Authorization is empty", 1002: "Authorization is invalid",
    1003: "Authorization is not yet valid", 1004: "Authorization has expired", 1100: "Account exception",
    1101: "Account in arrears (postpaid scenario)", 1102: "Resource pack depleted or expired (prepaid scenario)",
    1103: "Unauthorized access to the requested resource", 1202: "The requested method is invalid",
    1203: "The requested resource does not exist", 1300: "Trigger strategy of the platform",
    1301: "Trigger the content security policy of the platform",
    1302: "API request is too fast, and the rate limit of the platform is triggered",
    1303: "Concurrency or QPS exceeds the limit of the prepaid resource package",
    1304: "Trigger the IP whitelisting policy of the platform", 5000: "Server internal error",
    5001: "The server is temporarily unavailable", 5002: "Server internal timeout",
}  # fmt: skip

_FAULT_CODES = {
    FaultKind.HTTP_429_RETRY_AFTER: 1302, FaultKind.AUTH_REVOKED: 1002, FaultKind.ARREARS: 1101,
    FaultKind.PACK_EXHAUSTED: 1102, FaultKind.SAFETY: 1301,
}  # fmt: skip


def add_routes(router: web.UrlDispatcher) -> None:
    """Add Kling's paths and the address of its results."""
    router.add_post("/image-to-video/{model}", create)
    router.add_get("/tasks", poll)
    router.add_get("/kling-media/{video}.mp4", download)


def error(code: int, message: str = "", *, request_id: str = "") -> web.Response:
    """Return Kling's error shape at the HTTP status of its code."""
    document = {"code": code, "message": message or _MESSAGES.get(code, "Error"), "request_id": request_id}
    return web.json_response(document, status=_HTTP_OF[code])


async def create(request: web.Request) -> web.Response:
    """Take a job in: checked, charged, then rendered; a second create with the same external id is a second charge."""
    call, world = request[CALL], request.app[WORLD]
    call.operation = "create"
    key = _authenticate(request)
    model = call.model = request.match_info["model"]
    if model not in world.prices.video_models():
        raise _refusal(call, 1203, f"model {model} does not exist")
    order = await _check(request, model)
    call.prompt, call.external_id = order.prompt, order.external_task_id
    exchange = open_exchange(request, key)
    desk = request.app[DESK]
    await exchange.meet_fault(lambda fault: _refusal_for(call, fault))
    await world.pace.fill("create", call.began)
    limit = key.limit()  # asked right before the job is taken in, with no await between: creates come at once
    if limit is not None and desk.open_jobs(key.name, model) >= limit:
        raise _refusal(call, 1303)
    charge = world.prices.clip(model, order.resolution, order.seconds, exchange.price_factor())
    job = desk.take_in(order, key, charge, exchange.fault)
    await exchange.charge(charge, "video", external_task_id=order.external_task_id)
    data = {"id": job.id, "status": "submitted", "create_time": job.created_ms, "update_time": job.created_ms}
    return exchange.json(_success(call, data))


async def poll(request: web.Request) -> web.Response:
    """Answer the state of jobs, by their ids or by external ids, never both; an unknown id is left out."""
    call = request[CALL]
    call.operation = "poll"
    key = _authenticate(request)
    unknown = set(request.query) - {"task_ids", "external_task_ids"}
    if unknown:
        raise _refusal(call, 1201, f"unknown parameter {min(unknown)}")
    by_id, by_external = request.query.get("task_ids", ""), request.query.get("external_task_ids", "")
    if bool(by_id) == bool(by_external):
        raise _refusal(call, 1201, "exactly one of task_ids and external_task_ids is required")
    call.external_id = by_external
    desk = request.app[DESK]
    wanted = [part.strip() for part in (by_id or by_external).split(",") if part.strip()]
    jobs = desk.find(key.name, wanted, external=bool(by_external))
    if jobs:
        call.prompt, call.model = jobs[0].order.prompt, jobs[0].order.model
        call.external_id = call.external_id or ",".join(job.order.external_task_id for job in jobs)
    exchange = open_exchange(request, key)
    await exchange.meet_fault(lambda fault: _refusal_for(call, fault))
    base = exchange.world.settings.public_url or f"{request.scheme}://{request.host}"
    return exchange.json(_success(call, [_job_json(job, base) for job in jobs]))


async def download(request: web.Request) -> web.StreamResponse:
    """Answer a result's file; its address needs no key, as a signed one."""
    call = request[CALL]
    call.operation = "download"
    job = request.app[DESK].of_video(request.match_info["video"])
    if job is None or not job.path.exists():
        raise Refusal(web.Response(status=404, text="NoSuchKey", content_type="application/xml"))
    call.prompt, call.model, call.external_id = job.order.prompt, job.order.model, job.order.external_task_id
    key = request.app[WORLD].keys.named("kling", job.key_name) or Key(provider="kling", value="", name=job.key_name)
    exchange = open_exchange(request, key)
    await exchange.meet_fault(lambda fault: _refusal_for(call, fault))
    if exchange.has(FaultKind.TRUNCATED_MEDIA, FaultKind.EMPTY_MEDIA, FaultKind.HTML_AT_200):
        return await exchange.media(job.path.read_bytes(), "video/mp4", {})
    return web.FileResponse(job.path, headers={"Content-Type": "video/mp4"})


def _success(call: Call, data: Any) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": call.request_id, "data": data}


def _job_json(job: Job, base: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": job.id, "status": job.status, "message": job.message, "create_time": job.created_ms,
        "update_time": job.updated_ms, "external_id": job.order.external_task_id, "outputs": [], "billing": [],
    }  # fmt: skip
    if job.status == "succeeded":
        url = f"{base}/kling-media/{job.video_id}.mp4"
        duration = f"{int(job.duration_seconds * 1000) / 1000:.3f}"
        document["outputs"] = [
            {"type": "video", "id": job.video_id, "url": url, "watermark_url": "", "duration": duration}
        ]
    if job.charged_usd and job.status in {"succeeded", "failed"}:
        document["billing"] = [{"charge_type": "balance", "amount": job.charged_usd, "package_type": ""}]
    return document


def _refusal(call: Call, code: int, message: str = "") -> Refusal:
    return Refusal(error(code, message, request_id=call.request_id))


def _refusal_for(call: Call, fault: Fault) -> web.Response | None:
    """Return the error answer that a fault is, in Kling's shape; None for one that acts later."""
    params = fault.params
    if fault.kind is FaultKind.HTTP_5XX:
        return error({503: 5001, 504: 5002}.get(int(params.get("code", 500)), 5000), request_id=call.request_id)
    if fault.kind not in _FAULT_CODES or (fault.kind is FaultKind.SAFETY and params.get("at", "create") != "create"):
        return None
    response = error(int(params.get("code", _FAULT_CODES[fault.kind])), request_id=call.request_id)
    if fault.kind is FaultKind.HTTP_429_RETRY_AFTER:
        response.headers["Retry-After"] = str(params.get("retry_after_seconds", 5))
    return response


def _authenticate(request: web.Request) -> Key:
    """Return the key behind the Authorization header: a bearer API key, or a JWT signed with a legacy pair."""
    call = request[CALL]
    shown = request.headers.get("Authorization", "")
    if not shown:
        raise _refusal(call, 1001)
    scheme, _, token = shown.partition(" ")
    if scheme != "Bearer" or not token:
        raise _refusal(call, 1002)
    ring = request.app[WORLD].keys
    key = ring.find("kling", token)
    if key is not None and key.secret:
        key = None  # an access key alone opens nothing
    if key is None and token.count(".") == 2:  # noqa: PLR2004 - a JWT has three parts
        key = ring.find("kling", _jwt_issuer(call, token))
        if key is not None:
            _check_jwt(call, token, key)
    if key is None:
        raise _refusal(call, 1002)
    trouble = {"arrears": 1101, "pack_exhausted": 1102, "account_abnormal": 1100}.get(key.trouble)
    if trouble and call.operation == "create":
        raise _refusal(call, trouble)
    return key


def _jwt_issuer(call: Call, token: str) -> str:
    try:
        return str(_jwt_part(token, 1).get("iss", ""))
    except (ValueError, binascii.Error) as complaint:
        raise _refusal(call, 1002) from complaint


def _check_jwt(call: Call, token: str, key: Key) -> None:
    signed, _, signature = token.rpartition(".")
    expected = hmac.new(key.secret.encode(), signed.encode(), hashlib.sha256).digest()
    head, claims, now = _jwt_part(token, 0), _jwt_part(token, 1), time.time()
    if head.get("alg") != "HS256" or not hmac.compare_digest(_unpadded(signature), expected):
        raise _refusal(call, 1000, "signature is invalid")
    if now < float(claims.get("nbf", 0)):
        raise _refusal(call, 1003)
    if now >= float(claims.get("exp", 0)):
        raise _refusal(call, 1004)


def _jwt_part(token: str, index: int) -> dict[str, Any]:
    part = json.loads(_unpadded(token.split(".")[index]))
    if not isinstance(part, dict):
        raise ValueError("a JWT part must be an object")  # noqa: TRY004 - callers treat every bad token alike
    return part


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def _check(request: web.Request, model: str) -> Order:
    """Return the checked order; anything off the reference is 1201 with the field's name."""
    call = request[CALL]
    try:
        body = await request.json()
    except (ValueError, UnicodeDecodeError) as complaint:
        raise _refusal(call, 1200, "request body is not JSON") from complaint
    _expect(call, body, {"contents", "settings", "options"}, "request")
    settings, options = body.get("settings", {}), body.get("options", {})
    _expect(call, settings, {"resolution", "duration", "audio", "multi_shot"}, "settings")
    _expect(call, options, {"external_task_id", "callback_url"}, "options")
    prompt, frame = await _contents(call, body.get("contents"))
    resolution = settings.get("resolution", "720p")
    if resolution not in request.app[WORLD].prices.video_models()[model]:
        raise _refusal(call, 1201, f"settings.resolution {resolution!r} must be 720p or 1080p")
    seconds = settings.get("duration", 5)
    allowed = _FIXED_DURATIONS.get(model, range(_MIN_SECONDS, _MAX_SECONDS + 1))
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds not in allowed:
        raise _refusal(call, 1201, f"settings.duration {seconds!r} is not supported by {model}")
    audio = settings.get("audio", "off")
    if audio != "off":
        raise _refusal(call, 1201, f"settings.audio {audio!r} is not offered here: send off")
    multi_shot = settings.get("multi_shot", True)
    if not isinstance(multi_shot, bool):
        raise _refusal(call, 1201, "settings.multi_shot must be a boolean")
    external = options.get("external_task_id", "")
    if not isinstance(external, str) or "," in external:
        raise _refusal(call, 1201, "options.external_task_id must be a string without commas")
    return Order(
        model=model, prompt=prompt, frame=frame, resolution=resolution, seconds=seconds,
        multi_shot=multi_shot, external_task_id=external,
    )  # fmt: skip


def _expect(call: Call, document: Any, known: set[str], where: str) -> None:
    if not isinstance(document, dict):
        raise _refusal(call, 1201, f"{where} must be an object")
    for name in document:
        if name not in known:
            raise _refusal(call, 1201, f"{where}.{name} is not a known parameter")


async def _contents(call: Call, contents: Any) -> tuple[str, bytes]:
    """Return the prompt and the first frame's bytes."""
    if not isinstance(contents, list):
        raise _refusal(call, 1200, "contents is required")
    prompt, frame = "", b""
    for content in contents:
        _expect(call, content, {"type", "text", "url"}, "contents[]")
        match content.get("type"):
            case "prompt":
                prompt = str(content.get("text", ""))
            case "first_frame":
                frame = await _frame(call, content.get("url"))
            case other:
                raise _refusal(call, 1201, f"contents[].type {other!r} must be prompt or first_frame")
    if not frame:
        raise _refusal(call, 1200, "contents needs a first_frame")
    if not prompt.strip() or len(prompt) > MAX_PROMPT_CHARACTERS:
        raise _refusal(call, 1201, f"prompt must have 1 to {MAX_PROMPT_CHARACTERS} characters, got {len(prompt)}")
    await asyncio.to_thread(_check_frame, call, frame)
    return prompt, frame


async def _frame(call: Call, url: Any) -> bytes:
    if not isinstance(url, str) or not url:
        raise _refusal(call, 1201, "first_frame.url is required")
    if url.startswith("data:"):
        raise _refusal(call, 1201, "first_frame.url: base64 must come without a data: prefix")
    if url.startswith(("http://", "https://")):
        return await _fetch(call, url)
    try:
        return base64.b64decode(url, validate=True)
    except (binascii.Error, ValueError) as complaint:
        raise _refusal(call, 1201, "first_frame.url is neither a URL nor base64") from complaint


async def _fetch(call: Call, url: str) -> bytes:
    """Fetch a first frame from this machine; other hosts are out of an emulator's reach."""
    if urlsplit(url).hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise _refusal(call, 1201, "first_frame.url could not be fetched: the emulator reaches loopback alone")
    try:
        async with ClientSession(timeout=ClientTimeout(total=20)) as session, session.get(url) as response:
            response.raise_for_status()
            return await response.content.read(MAX_FRAME_BYTES + 1)
    except (ClientError, TimeoutError) as complaint:
        raise _refusal(call, 1201, "first_frame.url could not be fetched") from complaint


def _check_frame(call: Call, frame: bytes) -> None:
    if len(frame) > MAX_FRAME_BYTES:
        raise _refusal(call, 1201, "first_frame is over 50 MB")
    try:
        with Image.open(io.BytesIO(frame)) as image:
            image.load()
            kind, (width, height) = image.format, image.size
    except (UnidentifiedImageError, OSError, SyntaxError) as complaint:
        raise _refusal(call, 1201, "first_frame is not a readable image") from complaint
    if kind not in {"JPEG", "PNG"}:
        raise _refusal(call, 1201, f"first_frame must be jpg or png, got {kind}")
    if min(width, height) < MIN_FRAME_PIXELS:
        raise _refusal(
            call, 1201, f"first_frame must be at least {MIN_FRAME_PIXELS} px on each side, got {width}x{height}"
        )
    if not 1 / _SHAPE_LIMIT <= width / height <= _SHAPE_LIMIT:
        raise _refusal(call, 1201, f"first_frame's shape must be between 1:2.5 and 2.5:1, got {width}x{height}")
