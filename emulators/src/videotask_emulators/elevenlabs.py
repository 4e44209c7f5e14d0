"""ElevenLabs' speech and sound effects; shapes, limits and headers from its public reference."""

import base64
import hashlib
from typing import Any

from aiohttp import web

from videotask_emulators.calls import Call
from videotask_emulators.exchange import CALL, Exchange, Refusal, open_exchange
from videotask_emulators.faults import Fault, FaultKind
from videotask_emulators.keys import Key
from videotask_emulators.media.effect import EffectOrder, make_effect
from videotask_emulators.media.soundfile import FORMATS, media_type
from videotask_emulators.media.speech import Speech, SpeechOrder, VoiceSound, speak
from videotask_emulators.prices import Charge
from videotask_emulators.world import WORLD, World

MAX_CHARACTERS = {"eleven_multilingual_v2": 10_000, "eleven_v3": 5_000, "eleven_flash_v2_5": 40_000}
MAX_EFFECT_CHARACTERS = 450
_SPEECH_FIELDS = {
    "text", "model_id", "voice_settings", "seed", "previous_text", "next_text", "language_code",
    "apply_text_normalization", "previous_request_ids", "next_request_ids", "pronunciation_dictionary_locators",
}  # fmt: skip
_VOICE_RANGES = {"stability": (0, 1), "similarity_boost": (0, 1), "style": (0, 1), "speed": (0.7, 1.2)}
_EFFECT_FIELDS = {"text", "loop", "duration_seconds", "prompt_influence", "model_id"}
_DEFAULT_FORMAT = "mp3_44100_128"
_SLOT = "voice"
_TYPE_OF = {400: "validation_error", 401: "authentication_error", 403: "authorization_error", 404: "not_found",
            429: "rate_limit_error", 500: "internal_error", 503: "service_unavailable"}  # fmt: skip


def add_routes(router: web.UrlDispatcher) -> None:
    """Add ElevenLabs' paths."""
    router.add_post("/v1/text-to-speech/{voice_id}", text_to_speech)
    router.add_post("/v1/text-to-speech/{voice_id}/with-timestamps", speech_with_timestamps)
    router.add_post("/v1/sound-generation", sound_generation)
    router.add_get("/v1/models", list_models)
    router.add_get("/v1/voices", list_voices)
    router.add_get("/v1/user/subscription", show_subscription)


def error(call: Call, status: int, code: str, message: str, *, param: str | None = None) -> web.Response:
    """Return ElevenLabs' error shape: the new `code` and the legacy `status` say the same."""
    detail = {
        "type": _TYPE_OF.get(status, "internal_error"), "code": code, "message": message, "status": code,
        "request_id": call.request_id, "param": param,
    }  # fmt: skip
    return web.json_response({"detail": detail}, status=status, headers={"request-id": call.request_id})


async def text_to_speech(request: web.Request) -> web.StreamResponse:
    """Answer the spoken text as raw bytes."""
    exchange, body, output_format, sound = await _open_speech(request)
    async with exchange.in_flight(_SLOT):
        spoken, charge = await _speak(exchange, body, output_format, sound)
        return await exchange.media(spoken.content, media_type(output_format), _headers(exchange, charge))


async def speech_with_timestamps(request: web.Request) -> web.StreamResponse:
    """Answer the spoken text as base64 with each character's times, for captions."""
    exchange, body, output_format, sound = await _open_speech(request)
    async with exchange.in_flight(_SLOT):
        spoken, charge = await _speak(exchange, body, output_format, sound)
        alignment = {
            "characters": list(body["text"]),
            "character_start_times_seconds": list(spoken.starts_seconds),
            "character_end_times_seconds": list(spoken.ends_seconds),
        }
        data = base64.b64encode(exchange.spoiled(spoken.content)).decode()
        document = {"audio_base64": data, "alignment": alignment, "normalized_alignment": alignment}
        return exchange.json(document, _headers(exchange, charge))


async def sound_generation(request: web.Request) -> web.StreamResponse:
    """Answer a sound effect as raw bytes."""
    call = request[CALL]
    call.operation = "sfx"
    key = _authenticate(request)
    output_format = _output_format(request)
    body = await _body(request, _EFFECT_FIELDS)
    _check_effect(body)
    call.model, call.prompt = str(body.get("model_id", "eleven_text_to_sound_v2")), body["text"]
    exchange = await _admit(request, key)
    async with exchange.in_flight(_SLOT):
        world = exchange.world
        digest = hashlib.sha256(body["text"].encode()).digest()
        charge = world.prices.sound_effect(exchange.price_factor())
        _check_credits(exchange, charge)
        seconds = body.get("duration_seconds")
        content = await world.studio.make(
            make_effect,
            EffectOrder(
                text=body["text"],
                duration_seconds=float(seconds) if seconds is not None else 3.0 + digest[6] % 5,
                loop=bool(body.get("loop", False)),
                seed=int.from_bytes(digest[:6], "big") + world.settings.seed,
                output_format=output_format,
                silent=exchange.has(FaultKind.SILENT_AUDIO),
            ),
        )
        await world.pace.fill("sfx", call.began)
        await _charge(exchange, charge, "sfx")
        return await exchange.media(content, media_type(output_format), _headers(exchange, charge))


async def list_models(request: web.Request) -> web.StreamResponse:
    """Answer the speech models."""
    exchange = await _open_account(request)
    return exchange.json([_model(exchange.world, name) for name in MAX_CHARACTERS])


async def list_voices(request: web.Request) -> web.StreamResponse:
    """Answer the voices."""
    exchange = await _open_account(request)
    voices = exchange.world.voices.all()
    return exchange.json(
        {"voices": [{"voice_id": key, "name": name, "category": "premade"} for key, name in voices.items()]}
    )


async def show_subscription(request: web.Request) -> web.StreamResponse:
    """Answer the plan and its credits: the free call that shows whether a key is good."""
    exchange = await _open_account(request)
    key = exchange.key
    used = sum(int(float(entry["units"])) for entry in exchange.world.bill.entries() if entry["key_id"] == key.name)
    left = key.credits_left if key.credits_left is not None else 1_000_000
    return exchange.json(
        {
            "tier": key.plan, "character_count": used, "character_limit": used + left,
            "max_character_limit_extension": None,
            "can_extend_character_limit": False, "allowed_to_extend_character_limit": False, "voice_slots_used": 0,
            "professional_voice_slots_used": 0, "voice_limit": 30, "voice_add_edit_counter": 0,
            "professional_voice_limit": 1, "can_extend_voice_limit": False, "can_use_instant_voice_cloning": True,
            "can_use_professional_voice_cloning": True, "currency": "usd", "status": "active",
            "billing_period": "monthly_period", "character_refresh_period": "monthly_period",
            "next_character_count_reset_unix": 1_798_761_600, "next_invoice": None, "open_invoices": [],
            "has_open_invoices": False,
        }
    )  # fmt: skip


async def _open_speech(request: web.Request) -> tuple[Exchange, dict[str, Any], str, VoiceSound]:
    """Return an admitted speech call with its checked body."""
    call, world = request[CALL], request.app[WORLD]
    call.operation = "speech"
    key = _authenticate(request)
    output_format = _output_format(request)
    body = await _body(request, _SPEECH_FIELDS)
    _check_speech(call, body)
    call.model, call.prompt = str(body.get("model_id", "eleven_multilingual_v2")), body["text"]
    sound = world.voices.find(request.match_info["voice_id"])
    if sound is None:
        raise Refusal(_voice_not_found(call, request.match_info["voice_id"]))
    return await _admit(request, key), body, output_format, sound


async def _speak(
    exchange: Exchange, body: dict[str, Any], output_format: str, sound: VoiceSound
) -> tuple[Speech, Charge]:
    """Speak and charge a text."""
    world = exchange.world
    charge = world.prices.speech(exchange.call.model, len(body["text"]), exchange.price_factor())
    _check_credits(exchange, charge)
    spoken = await world.studio.make(
        speak,
        SpeechOrder(
            text=body["text"],
            sound=sound,
            speed=float((body.get("voice_settings") or {}).get("speed") or 1.0),
            output_format=output_format,
            silent=exchange.has(FaultKind.SILENT_AUDIO),
        ),
    )
    await world.pace.fill("speech", exchange.call.began)
    await _charge(exchange, charge, "speech")
    return spoken, charge


async def _charge(exchange: Exchange, charge: Charge, kind: str) -> None:
    if exchange.key.credits_left is not None:
        exchange.key.credits_left -= int(charge.units)
    await exchange.charge(charge, kind)


def _check_credits(exchange: Exchange, charge: Charge) -> None:
    left = exchange.key.credits_left
    if left is not None and charge.units > left:
        raise Refusal(_quota_exceeded(exchange.call, left, int(charge.units)))


async def _admit(request: web.Request, key: Key) -> Exchange:
    """Return the exchange of a checked call, unless a fault or the plan's concurrency refuses it."""
    call = request[CALL]
    exchange = open_exchange(request, key)
    if key.trouble == "quota_exceeded":
        raise Refusal(_quota_exceeded(call, 0, len(call.prompt)))
    limit = key.limit()
    running = key.in_flight.get(_SLOT, 0)
    if limit is not None and running >= limit:
        message = f"Too many concurrent requests. Your current subscription allows {limit} concurrent requests."
        raise Refusal(error(call, 429, "concurrent_limit_exceeded", message))
    async with exchange.in_flight(_SLOT):
        await exchange.meet_fault(lambda fault: _refusal_for(call, fault))
    return exchange


async def _open_account(request: web.Request) -> Exchange:
    call = request[CALL]
    call.operation = "account"
    exchange = open_exchange(request, _authenticate(request))
    await exchange.meet_fault(lambda fault: _refusal_for(call, fault))
    return exchange


def _headers(exchange: Exchange, charge: Charge) -> dict[str, str]:
    return {
        "request-id": exchange.call.request_id,
        "character-cost": str(int(charge.units)),
        "current-concurrent-requests": str(exchange.key.in_flight.get(_SLOT, 0)),
        "maximum-concurrent-requests": str(exchange.key.limit()),
    }


def _refusal_for(call: Call, fault: Fault) -> web.Response | None:
    """Return the error answer that a fault is, in ElevenLabs' shape; None for one that acts later."""
    match fault.kind:
        case FaultKind.HTTP_429_RETRY_AFTER:
            code = str(fault.params.get("code", "rate_limit_exceeded"))
            response = error(call, 429, code, "Too many requests. Please slow down.")
            if "retry_after_seconds" in fault.params or code == "rate_limit_exceeded":
                response.headers["Retry-After"] = str(fault.params.get("retry_after_seconds", 5))
            return response
        case FaultKind.HTTP_5XX:
            return error(call, int(fault.params.get("code", 500)), "internal_server_error", "Something went wrong.")
        case FaultKind.AUTH_REVOKED:
            return _bad_key(call)
        case FaultKind.QUOTA_EXCEEDED:
            return _quota_exceeded(call, 0, len(call.prompt))
        case FaultKind.VOICE_NOT_FOUND:
            return _voice_not_found(call, call.path.split("/")[3])
        case _:
            return None


def _authenticate(request: web.Request) -> Key:
    call = request[CALL]
    shown = request.headers.get("xi-api-key", "")
    if not shown:
        raise Refusal(error(call, 401, "needs_authorization", "Neither authorization header nor xi-api-key received."))
    key = request.app[WORLD].keys.find("elevenlabs", shown)
    if key is None:
        raise Refusal(_bad_key(call))
    return key


def _bad_key(call: Call) -> web.Response:
    return error(call, 401, "invalid_api_key", "Invalid API key")


def _quota_exceeded(call: Call, left: int, needed: int) -> web.Response:
    message = (
        f"This request exceeds your quota. You have {left} credits remaining, while {needed} credits are required."
    )
    return error(call, 401, "quota_exceeded", message)


def _voice_not_found(call: Call, voice_id: str) -> web.Response:
    return error(call, 400, "voice_not_found", f"A voice with the voice_id {voice_id} was not found.", param="voice_id")


def _output_format(request: web.Request) -> str:
    unknown = set(request.query) - {"output_format", "enable_logging", "optimize_streaming_latency"}
    if unknown:
        raise _invalid("query", min(unknown), "Extra inputs are not permitted", "extra_forbidden")
    output_format = request.query.get("output_format", _DEFAULT_FORMAT)
    if output_format not in FORMATS:
        raise _invalid("query", "output_format", f"Input should be one of {', '.join(FORMATS)}", "enum")
    return output_format


async def _body(request: web.Request, known: set[str]) -> dict[str, Any]:
    try:
        body = await request.json()
    except (ValueError, UnicodeDecodeError) as complaint:
        raise _invalid("body", "0", "JSON decode error", "json_invalid") from complaint
    if not isinstance(body, dict):
        raise _invalid("body", "0", "Input should be a valid dictionary", "model_attributes_type")
    for name in body:
        if name not in known:
            raise _invalid("body", name, "Extra inputs are not permitted", "extra_forbidden")
    if "text" not in body:
        raise _invalid("body", "text", "Field required", "missing")
    if not isinstance(body["text"], str):
        raise _invalid("body", "text", "Input should be a valid string", "string_type")
    return body


def _invalid(where: str, name: str, message: str, kind: str) -> Refusal:
    """Return the 422 that the API's own validation gives."""
    return Refusal(web.json_response({"detail": [{"loc": [where, name], "msg": message, "type": kind}]}, status=422))


def _check_speech(call: Call, body: dict[str, Any]) -> None:
    model = body.get("model_id", "eleven_multilingual_v2")
    if model not in MAX_CHARACTERS:
        raise Refusal(
            error(call, 400, "model_not_found", f"A model with the id {model} was not found.", param="model_id")
        )
    if not body["text"].strip():
        raise Refusal(error(call, 400, "input_text_empty", "Input text is empty.", param="text"))
    limit = MAX_CHARACTERS[model]
    if len(body["text"]) > limit:
        message = f"A maximum request length of {limit} was exceeded by the text of {len(body['text'])} characters."
        raise Refusal(error(call, 400, "max_character_limit_exceeded", message, param="text"))
    seed = body.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= 4294967295):  # noqa: PLR2004
        raise _invalid("body", "seed", "Input should be between 0 and 4294967295", "less_than_equal")
    _check_voice_settings(body.get("voice_settings"))


def _check_voice_settings(settings: Any) -> None:
    if settings is None:
        return
    if not isinstance(settings, dict):
        raise _invalid("body", "voice_settings", "Input should be a valid dictionary", "model_attributes_type")
    for name, value in settings.items():
        if name == "use_speaker_boost":
            continue
        if name not in _VOICE_RANGES:
            raise _invalid("body", name, "Extra inputs are not permitted", "extra_forbidden")
        low, high = _VOICE_RANGES[name]
        if value is not None and (not isinstance(value, int | float) or not low <= value <= high):
            raise _invalid("body", name, f"Input should be between {low} and {high}", "less_than_equal")


def _check_effect(body: dict[str, Any]) -> None:
    if not 1 <= len(body["text"].strip()) <= MAX_EFFECT_CHARACTERS:
        raise _invalid("body", "text", f"String should have 1 to {MAX_EFFECT_CHARACTERS} characters", "string_too_long")
    if body.get("model_id", "eleven_text_to_sound_v2") != "eleven_text_to_sound_v2":
        raise _invalid("body", "model_id", "Input should be 'eleven_text_to_sound_v2'", "enum")
    for name, low, high in (("duration_seconds", 0.5, 30), ("prompt_influence", 0, 1)):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _invalid("body", name, f"Input should be between {low} and {high}", "less_than_equal")


def _model(world: World, name: str) -> dict[str, Any]:
    return {
        "model_id": name, "name": name, "can_do_text_to_speech": True, "can_do_voice_conversion": False,
        "maximum_text_length_per_request": MAX_CHARACTERS[name],
        "model_rates": {"character_cost_multiplier": float(world.prices.voice_models()[name])},
    }  # fmt: skip
