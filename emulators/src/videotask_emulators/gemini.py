"""Gemini's generateContent for images and structured text, and its list of models; shapes from its public reference."""

import base64
import binascii
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web

from videotask_emulators.exchange import CALL, Exchange, Refusal, open_exchange
from videotask_emulators.faults import Fault, FaultKind
from videotask_emulators.keys import Key
from videotask_emulators.media.picture import PictureOrder, Spoil, make_picture
from videotask_emulators.storyteller import SchemaTooComplexError, tell
from videotask_emulators.world import WORLD, World

SIZES_1K: dict[str, tuple[int, int]] = {
    "1:1": (1024, 1024), "1:4": (512, 2048), "1:8": (384, 3072), "2:3": (848, 1264), "3:2": (1264, 848),
    "3:4": (896, 1200), "4:1": (2048, 512), "4:3": (1200, 896), "4:5": (928, 1152), "5:4": (1152, 928),
    "8:1": (3072, 384), "9:16": (768, 1376), "16:9": (1376, 768), "21:9": (1584, 672),
}  # fmt: skip
"""Width and height in pixels by ratio at 1K; 2K is twice, 4K four times that."""

_SCALES = {"1K": 1, "2K": 2, "4K": 4}
_MAX_REFERENCES = 14
_TOKENS_PER_IMAGE = 258
_CHARACTERS_PER_TOKEN = 4
_TOP_FIELDS = {
    "contents", "generationConfig", "safetySettings", "systemInstruction", "tools", "toolConfig", "cachedContent",
    "labels",
}  # fmt: skip
_CONFIG_FIELDS = {
    "responseModalities", "imageConfig", "responseMimeType", "responseJsonSchema", "responseSchema", "temperature",
    "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "seed", "presencePenalty",
    "frequencyPenalty", "thinkingConfig", "mediaResolution",
}  # fmt: skip
_STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
_IMAGE_SPOILS = {
    FaultKind.ONE_COLOUR_IMAGE, FaultKind.TINY_IMAGE, FaultKind.BUSY_BACKGROUND, FaultKind.WRONG_ASPECT,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A checked request: its texts joined, its reference images, and its generationConfig."""

    prompt: str
    references: tuple[bytes, ...]
    config: dict[str, Any] = field(default_factory=dict)

    def prompt_tokens(self) -> int:
        """Return how many tokens the prompt counts."""
        return max(1, math.ceil(len(self.prompt) / _CHARACTERS_PER_TOKEN)) + _TOKENS_PER_IMAGE * len(self.references)


def add_routes(router: web.UrlDispatcher) -> None:
    """Add Gemini's paths."""
    router.add_get("/v1beta/models", list_models)
    router.add_get("/v1beta/models/{model}", show_model)
    router.add_post("/v1beta/models/{model}:{method}", generate)


def error(code: int, message: str, *, status: str = "", details: list[dict[str, Any]] | None = None) -> web.Response:
    """Return Google's error shape."""
    body: dict[str, Any] = {"code": code, "message": message, "status": status or _STATUS[code]}
    if details:
        body["details"] = details
    return web.json_response({"error": body}, status=code)


async def list_models(request: web.Request) -> web.Response:
    """Answer the list of models: the free call that shows whether a key is good."""
    exchange = await _open(request, "account")
    names = [*exchange.world.prices.image_models(), *exchange.world.prices.text_models()]
    return exchange.json({"models": [_model(name) for name in names]})


async def show_model(request: web.Request) -> web.Response:
    """Answer one model's facts."""
    exchange = await _open(request, "account")
    name = request.match_info["model"]
    if name not in {**exchange.world.prices.image_models(), **exchange.world.prices.text_models()}:
        raise Refusal(_unknown_model(name))
    return exchange.json(_model(name))


async def generate(request: web.Request) -> web.Response:
    """Answer generateContent with an image or a text, by the model."""
    world, model = request.app[WORLD], request.match_info["model"]
    request[CALL].model = model
    key = _authenticate(request)
    if request.match_info["method"] != "generateContent":
        raise Refusal(error(404, f"Method {request.match_info['method']} is not offered here."))
    is_image = model in world.prices.image_models()
    if not is_image and model not in world.prices.text_models():
        raise Refusal(_unknown_model(model))
    asked = _check(await _body(request))
    request[CALL].prompt = asked.prompt
    request[CALL].operation = "image" if is_image else "text"
    exchange = open_exchange(request, key)
    async with exchange.in_flight(request[CALL].operation):
        _check_image_config(world, model, asked) if is_image else _check_text_config(asked)
        await exchange.meet_fault(_refusal_for)
        if exchange.has(FaultKind.BLOCK_PROMPT, FaultKind.BLOCK_FINISH_REASON):
            return _blocked(exchange, asked)
        return await (_image if is_image else _text)(exchange, asked)


async def _image(exchange: Exchange, asked: Asked) -> web.Response:
    """Paint, charge and answer an image; a repeated prompt gives another take."""
    world, call = exchange.world, exchange.call
    config = asked.config.get("imageConfig", {})
    image_size = config.get("imageSize", "1K")
    width, height = SIZES_1K[config.get("aspectRatio", "1:1")]
    scale = _SCALES[image_size]
    if exchange.has(FaultKind.TEXT_NO_IMAGE):
        await world.pace.fill("image", call.began)
        text = "I can describe that picture for you, but I did not make an image this time."
        return exchange.json(_answer(exchange, [{"text": text}], asked.prompt_tokens(), 0))
    base = hashlib.sha256(b"".join([asked.prompt.encode(), *asked.references])).digest()
    take = world.bill.times_billed(call.prompt_sha256)
    spoil = exchange.fault.kind.value if exchange.fault and exchange.fault.kind in _IMAGE_SPOILS else ""
    picture = await world.studio.make(
        make_picture,
        PictureOrder(
            prompt=asked.prompt,
            width=width * scale,
            height=height * scale,
            look_seed=int.from_bytes(base[:6], "big") + world.settings.seed,
            take_seed=int.from_bytes(base[6:12], "big") + take,
            spoil=cast("Spoil", spoil),
        ),
    )
    content = exchange.spoiled(picture.content)
    if picture.matte_png is not None:
        name = hashlib.sha256(content).hexdigest()
        (world.settings.state_dir / "mattes" / f"{name}.png").write_bytes(picture.matte_png)
    await world.pace.fill("image", call.began)
    charge = world.prices.image(call.model, image_size, exchange.price_factor())
    await exchange.charge(charge, "image")
    data = base64.b64encode(content).decode()
    parts: list[dict[str, Any]] = [{"inlineData": {"mimeType": picture.mime_type, "data": data}}]
    if call.model == "gemini-3-pro-image":
        parts.insert(0, {"text": "Composing the picture from the prompt.", "thought": True})
    return exchange.json(_answer(exchange, parts, asked.prompt_tokens(), int(charge.units)))


async def _text(exchange: Exchange, asked: Asked) -> web.Response:
    """Write, charge and answer a text; JSON after the posted schema where one was posted."""
    world, call = exchange.world, exchange.call
    schema = asked.config.get("responseJsonSchema", asked.config.get("responseSchema"))
    takes = world.bill.times_billed(call.prompt_sha256)
    seed = int.from_bytes(hashlib.sha256(asked.prompt.encode()).digest()[:6], "big") + takes + world.settings.seed
    try:
        told = tell(asked.prompt, schema, seed)
    except SchemaTooComplexError as complaint:
        raise Refusal(error(400, str(complaint))) from complaint
    text = told if isinstance(told, str) and schema is None else json.dumps(told, ensure_ascii=False)
    limit = asked.config.get("maxOutputTokens")
    finish = "STOP"
    if exchange.has(FaultKind.TRUNCATED_JSON):
        text, finish = text[: len(text) * 3 // 5], "MAX_TOKENS"
    if limit is not None and math.ceil(len(text) / _CHARACTERS_PER_TOKEN) > limit:
        text, finish = text[: limit * _CHARACTERS_PER_TOKEN], "MAX_TOKENS"
    await world.pace.fill("text", call.began)
    output_tokens = max(1, math.ceil(len(text) / _CHARACTERS_PER_TOKEN))
    told_in, told_out, charge = world.prices.text(
        call.model, asked.prompt_tokens(), output_tokens, exchange.price_factor()
    )
    await exchange.charge(charge, "text")
    return exchange.json(_answer(exchange, [{"text": text}], told_in, told_out, finish=finish))


def _answer(
    exchange: Exchange, parts: list[dict[str, Any]], told_in: int, told_out: int, *, finish: str = "STOP"
) -> dict[str, Any]:
    return {
        "candidates": [
            {
                "content": {"role": "model", "parts": parts},
                "finishReason": finish,
                "index": 0,
                "safetyRatings": [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "NEGLIGIBLE"}],
            }
        ],
        "usageMetadata": _usage(told_in, told_out),
        "modelVersion": exchange.call.model,
        "responseId": exchange.call.request_id,
    }


def _usage(told_in: int, told_out: int) -> dict[str, int]:
    return {"promptTokenCount": told_in, "candidatesTokenCount": told_out, "totalTokenCount": told_in + told_out}


def _blocked(exchange: Exchange, asked: Asked) -> web.Response:
    """Answer a block at HTTP 200; nothing is charged."""
    document: dict[str, Any] = {
        "usageMetadata": {"promptTokenCount": asked.prompt_tokens(), "totalTokenCount": asked.prompt_tokens()},
        "modelVersion": exchange.call.model,
        "responseId": exchange.call.request_id,
    }
    reason = exchange.param("reason", "SAFETY" if exchange.has(FaultKind.BLOCK_PROMPT) else "IMAGE_SAFETY")
    if exchange.has(FaultKind.BLOCK_PROMPT):
        document["promptFeedback"] = {"blockReason": reason}
        return exchange.json(document)
    candidate: dict[str, Any] = {"finishReason": reason, "index": 0}
    if exchange.param("with_text", default=False):
        candidate["content"] = {"role": "model", "parts": [{"text": "I can't help with that picture."}]}
    else:
        candidate["finishMessage"] = "Unable to show the generated image."
    document["candidates"] = [candidate]
    return exchange.json(document)


def _refusal_for(fault: Fault) -> web.Response | None:
    """Return the error answer that a fault is, in Google's shape; None for one that acts later."""
    match fault.kind:
        case FaultKind.HTTP_429_RETRY_INFO:
            seconds = fault.params.get("retry_delay_seconds", 50)
            retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds}s"}
            return error(429, f"Resource exhausted. Please retry in {seconds}s.", details=[_quota("PerMinute"), retry])
        case FaultKind.HTTP_429_PER_DAY:
            return error(429, "You exceeded your current quota.", details=[_quota("PerDay")])
        case FaultKind.HTTP_429_RETRY_AFTER:
            response = error(429, "Resource has been exhausted (e.g. check quota).")
            response.headers["Retry-After"] = str(fault.params.get("retry_after_seconds", 5))
            return response
        case FaultKind.HTTP_5XX:
            code = int(fault.params.get("code", 503))
            return error(code, "The model is overloaded. Please try again later.", status=_STATUS.get(code, "INTERNAL"))
        case FaultKind.AUTH_REVOKED:
            return _bad_key()
        case _:
            return None


def _quota(period: str) -> dict[str, Any]:
    quota_id = f"GenerateRequests{period}PerProjectPerModel"
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [
            {"quotaMetric": "generativelanguage.googleapis.com/generate_content_requests", "quotaId": quota_id}
        ],
    }


async def _open(request: web.Request, operation: str) -> Exchange:
    key = _authenticate(request)
    request[CALL].operation = operation  # type: ignore[assignment]
    exchange = open_exchange(request, key)
    await exchange.meet_fault(_refusal_for)
    return exchange


def _authenticate(request: web.Request) -> Key:
    shown = request.headers.get("x-goog-api-key") or request.query.get("key", "")
    if not shown:
        raise Refusal(error(403, "Method doesn't allow unregistered callers (callers without established identity)."))
    key = request.app[WORLD].keys.find("gemini", shown)
    if key is None:
        raise Refusal(_bad_key())
    return key


def _bad_key() -> web.Response:
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
    return error(400, "API key not valid. Please pass a valid API key.", details=[info])


def _unknown_model(name: str) -> web.Response:
    return error(404, f"models/{name} is not found for API version v1beta, or is not supported for generateContent.")


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (ValueError, UnicodeDecodeError) as complaint:
        raise Refusal(error(400, f"Invalid JSON payload received. {complaint}")) from complaint
    if not isinstance(body, dict):
        raise Refusal(error(400, "Invalid JSON payload received. Expected an object."))
    return body


def _check(body: dict[str, Any]) -> Asked:
    """Return the checked request; unknown names and bad parts are refused as the real one does."""
    _refuse_unknown(body, _TOP_FIELDS, "")
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise Refusal(error(400, "* GenerateContentRequest.contents: contents is not specified"))
    texts: list[str] = []
    references: list[bytes] = []
    instruction = body.get("systemInstruction")
    for content in [*([instruction] if isinstance(instruction, dict) else []), *contents]:
        _refuse_unknown(content, {"role", "parts"}, "contents")
        for part in content.get("parts", []):
            _refuse_unknown(part, {"text", "inlineData", "thought", "thoughtSignature", "fileData"}, "contents.parts")
            if "text" in part:
                texts.append(str(part["text"]))
            elif "inlineData" in part:
                references.append(_reference(part["inlineData"]))
    if not "".join(texts).strip():
        raise Refusal(error(400, "* GenerateContentRequest.contents: at least one part must have text."))
    if len(references) > _MAX_REFERENCES:
        raise Refusal(error(400, f"At most {_MAX_REFERENCES} input images are supported, got {len(references)}."))
    config = body.get("generationConfig", {})
    _refuse_unknown(config, _CONFIG_FIELDS, "generation_config")
    return Asked(prompt="\n".join(texts), references=tuple(references), config=config)


def _reference(inline: Any) -> bytes:
    _refuse_unknown(inline, {"mimeType", "data", "displayName"}, "inline_data")
    if inline.get("mimeType") not in {"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"}:
        raise Refusal(error(400, f"Unsupported MIME type: {inline.get('mimeType')}"))
    try:
        return base64.b64decode(inline.get("data", ""), validate=True)
    except (binascii.Error, TypeError) as complaint:
        raise Refusal(error(400, "Invalid value at 'inline_data.data': Base64 decoding failed.")) from complaint


def _refuse_unknown(document: Any, known: set[str], where: str) -> None:
    if not isinstance(document, dict):
        raise Refusal(error(400, f"Invalid value at '{where or 'request'}': expected an object."))
    for name in document:
        if name not in known:
            place = f" at '{where}'" if where else ""
            message = f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'
            violation = {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": where, "description": message}],
            }
            raise Refusal(error(400, message, details=[violation]))


def _check_image_config(world: World, model: str, asked: Asked) -> None:
    modalities = asked.config.get("responseModalities", ["TEXT", "IMAGE"])
    if "IMAGE" not in modalities or not set(modalities) <= {"TEXT", "IMAGE"}:
        raise Refusal(error(400, f"The requested combination of response modalities ({modalities}) is not supported."))
    if "responseJsonSchema" in asked.config or asked.config.get("responseMimeType", "text/plain") != "text/plain":
        raise Refusal(error(400, "JSON mode is not enabled for this model."))
    config = asked.config.get("imageConfig", {})
    _refuse_unknown(config, {"aspectRatio", "imageSize"}, "generation_config.image_config")
    ratio = config.get("aspectRatio", "1:1")
    if ratio not in SIZES_1K:
        raise Refusal(error(400, f"aspect_ratio must be one of {', '.join(map(repr, SIZES_1K))}; got {ratio!r}."))
    sizes = world.prices.image_models()[model]["tokens"]
    size = config.get("imageSize", "1K")
    if size not in sizes:
        raise Refusal(error(400, f"image_size must be one of {', '.join(map(repr, sizes))}; got {size!r}."))


def _check_text_config(asked: Asked) -> None:
    if "IMAGE" in asked.config.get("responseModalities", []):
        raise Refusal(error(400, "This model only supports text output."))
    if "imageConfig" in asked.config:
        raise Refusal(error(400, "Image generation is not enabled for this model."))
    schema = asked.config.get("responseJsonSchema")
    if schema is not None and asked.config.get("responseMimeType") != "application/json":
        raise Refusal(error(400, "Function calling with a response schema needs response_mime_type application/json."))
    if schema is not None and not isinstance(schema, dict):
        raise Refusal(error(400, "Invalid value at 'generation_config.response_json_schema': expected an object."))


def _model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}", "version": "001", "displayName": name, "description": f"The model {name}.",
        "inputTokenLimit": 65536, "outputTokenLimit": 65536, "supportedGenerationMethods": ["generateContent"],
    }  # fmt: skip
