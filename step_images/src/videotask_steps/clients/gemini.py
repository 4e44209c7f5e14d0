"""Speaks Gemini's wire format for images and structured text; it must never send a request twice by itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPStatus
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
from pydantic import SecretStr

from videotask_contract.errors import FailureClass, OutcomeUnknownError, TransientError, VideoTaskError, writable
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.transport import (
    ErrorRule,
    Transport,
    json_object,
    retry_after_seconds,
    rule_of_status,
    utc_now,
)

_RATE_LIMITED: Final = ErrorRule(failure_class=FailureClass.RATE_LIMITED)
_DAILY_QUOTA: Final = ErrorRule(failure_class=FailureClass.DAILY_QUOTA, advice="it is renewed at midnight Pacific time")
_ACCOUNT: Final = ErrorRule(
    failure_class=FailureClass.ACCOUNT,
    advice="check the key in the Secret of the channel's spec.credentials.gemini, and the account's billing",
)
_PERMANENT: Final = ErrorRule(failure_class=FailureClass.PERMANENT)
_TRANSIENT: Final = ErrorRule(failure_class=FailureClass.TRANSIENT)
_REFUSED: Final = ErrorRule(failure_class=FailureClass.REFUSED, advice="change the prompt")
_BAD_MEDIA: Final = ErrorRule(failure_class=FailureClass.BAD_MEDIA)

ERRORS: Final[dict[str, ErrorRule]] = {
    "INVALID_ARGUMENT": _PERMANENT,
    "API_KEY_INVALID": _ACCOUNT,  # a reason inside a 400 INVALID_ARGUMENT
    "FAILED_PRECONDITION": _ACCOUNT,
    "UNAUTHENTICATED": _ACCOUNT,
    "PERMISSION_DENIED": _ACCOUNT,
    "NOT_FOUND": ErrorRule(failure_class=FailureClass.PERMANENT, advice="check the model names in spec.quality"),
    "RESOURCE_EXHAUSTED": _RATE_LIMITED,
    "CANCELLED": _TRANSIENT,
    "INTERNAL": _TRANSIENT,
    "UNAVAILABLE": _TRANSIENT,
    "DEADLINE_EXCEEDED": _TRANSIENT,
}
"""By `error.status`. Source: the vendor's page of error codes."""

BLOCKS: Final[dict[str, ErrorRule]] = {
    "SAFETY": _REFUSED,
    "OTHER": _REFUSED,
    "BLOCKLIST": _REFUSED,
    "PROHIBITED_CONTENT": _REFUSED,
    "IMAGE_SAFETY": _REFUSED,
    "RECITATION": _REFUSED,
    "SPII": _REFUSED,
    "LANGUAGE": _REFUSED,
    "IMAGE_PROHIBITED_CONTENT": _REFUSED,
    "IMAGE_RECITATION": _REFUSED,
    "IMAGE_OTHER": _REFUSED,
    "NO_IMAGE": _BAD_MEDIA,
    "MALFORMED_RESPONSE": _BAD_MEDIA,
    "MAX_TOKENS": _BAD_MEDIA,
}
"""By `promptFeedback.blockReason` or `finishReason`: how a 200 says no. Source: the SDK's enumerations."""

_MIME_TYPES: Final = frozenset({"image/png", "image/jpeg"})
_PACIFIC_WINTER: Final = timezone(timedelta(hours=-8))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens a call was charged for."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: the parts that are not thoughts."""

    parts: tuple[dict[str, Any], ...]
    finish_reason: str
    block_reason: str


OnUsage = Callable[[Usage], None]
"""Told as soon as the answer says what is charged, also when the answer cannot be used."""


class GeminiClient(Transport):
    """`POST /v1beta/models/{model}:generateContent`, for images and for text under a JSON schema."""

    def __init__(
        self,
        settings: ProviderSettings,
        key: SecretStr,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(settings, key, header="x-goog-api-key", transport=transport)

    async def make_image(
        self,
        *,
        model: str,
        prompt: str,
        aspect_ratio: str,
        size: str,
        on_usage: OnUsage,
    ) -> bytes:
        """Return one image's bytes, PNG or JPEG.

        Raises REFUSED for every kind of block, BAD_MEDIA when the answer holds no image.
        """
        answer = await self._generate(
            model,
            prompt,
            {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": aspect_ratio, "imageSize": size}},
            on_usage,
        )
        for part in answer.parts:
            inline = part.get("inlineData")
            if isinstance(inline, dict):
                return _decode_image(inline)
        raise self._nothing_usable(answer, wanted="image")

    async def write_json(
        self,
        *,
        model: str,
        prompt: str,
        schema: dict[str, Any],
        max_output_tokens: int,
        on_usage: OnUsage,
    ) -> str:
        """Return the JSON text the model wrote under the schema; BAD_MEDIA when it is cut off or missing."""
        answer = await self._generate(
            model,
            prompt,
            {
                "responseMimeType": "application/json",
                "responseJsonSchema": schema,
                "maxOutputTokens": max_output_tokens,
            },
            on_usage,
        )
        text = writable("".join(str(part.get("text", "")) for part in answer.parts))
        if answer.finish_reason not in {"STOP", ""} or not text:
            raise self._nothing_usable(answer, wanted="text")
        try:
            json.loads(text)
        except ValueError as error:
            raise TransientError(
                f"gemini's text is no JSON: {error}",
                failure_class=FailureClass.BAD_MEDIA,
            ) from error
        return text

    async def _generate(self, model: str, prompt: str, config: dict[str, Any], on_usage: OnUsage) -> Answer:
        body = {"contents": [{"role": "user", "parts": [{"text": prompt}]}], "generationConfig": config}
        response = await self.post_paid(f"/v1beta/models/{model}:generateContent", body=body)
        if response.status_code != HTTPStatus.OK:
            raise self._error_of(response)
        content = json_object(response)
        if not content:
            raise OutcomeUnknownError("gemini answered 200 and its words cannot be read; it may be charged")
        answer = _answer_of(content)
        usage = _usage_of(content.get("usageMetadata"))
        # An answer that holds something was charged for: no output tokens beside it is no word on the price.
        if usage is not None and (usage.output_tokens > 0 or not answer.parts):
            on_usage(usage)
        return answer

    def _error_of(self, response: httpx.Response) -> VideoTaskError:
        error = _object(json_object(response).get("error"))
        details = _objects(error.get("details"))
        self.require_its_own_word(response, is_its_own=bool(error.get("status")))
        status = str(error.get("status") or f"HTTP_{response.status_code}")
        code = next((reason for detail in details if (reason := str(detail.get("reason"))) in ERRORS), status)
        rule = ERRORS.get(code) or rule_of_status(response.status_code)
        wait_seconds = _retry_delay_seconds(details) or retry_after_seconds(response)
        if rule is _RATE_LIMITED and _is_daily(details):
            rule, wait_seconds = _DAILY_QUOTA, seconds_to_pacific_midnight(utc_now())
        return self.error(
            rule,
            error.get("message") or response.text,
            code=code,
            status=response.status_code,
            retry_after_seconds=wait_seconds,
        )

    def _nothing_usable(self, answer: Answer, *, wanted: str) -> VideoTaskError:
        reason = answer.block_reason or answer.finish_reason
        rule = BLOCKS.get(reason, _BAD_MEDIA)
        said = " ".join(str(part["text"]) for part in answer.parts if part.get("text"))
        message = f"no {wanted} in the answer" + (f', it says "{self.words(said)[:200]}"' if said else "")
        return self.error(rule, message, code=reason or "NO_REASON", status=HTTPStatus.OK)


def seconds_to_pacific_midnight(now: datetime) -> float:
    """Return the seconds until the provider's day ends. Source: the vendor's page of rate limits."""
    try:
        zone: ZoneInfo | timezone = ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:
        zone = _PACIFIC_WINTER  # an image without time zones waits an hour too long in summer, never too short
    local = now.astimezone(zone)
    midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), tzinfo=zone)
    return (midnight.astimezone(UTC) - now.astimezone(UTC)).total_seconds()


def _decode_image(inline: dict[str, Any]) -> bytes:
    mime = str(inline.get("mimeType", ""))
    if mime not in _MIME_TYPES:
        raise TransientError(
            f"gemini sent {mime or 'media without a type'}; a PNG or JPEG was asked for",
            failure_class=FailureClass.BAD_MEDIA,
        )
    try:
        return base64.b64decode(str(inline.get("data", "")), validate=True)
    except ValueError as error:
        raise TransientError(
            f"gemini's image data is no base64: {error}",
            failure_class=FailureClass.BAD_MEDIA,
        ) from error


def _answer_of(content: dict[str, Any]) -> Answer:
    first = next(iter(_objects(content.get("candidates"))), {})
    parts = _objects(_object(first.get("content")).get("parts"))
    return Answer(
        parts=tuple(part for part in parts if not part.get("thought")),
        finish_reason=str(first.get("finishReason") or ""),
        block_reason=str(_object(content.get("promptFeedback")).get("blockReason") or ""),
    )


def _usage_of(usage: object) -> Usage | None:
    """Return what the answer was charged for; None where it does not tell."""
    told = _object(usage)
    prompt, total = _count(told, "promptTokenCount"), _count(told, "totalTokenCount")
    candidates, thoughts = _count(told, "candidatesTokenCount"), _count(told, "thoughtsTokenCount")  # both are output
    if candidates is not None:
        output = candidates + (thoughts or 0)
    elif total is not None and prompt is not None:
        output = max(0, total - prompt)
    else:
        return None
    return Usage(input_tokens=prompt or 0, output_tokens=output)


def _count(told: dict[str, Any], name: str) -> int | None:
    value = told.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def _object(value: object) -> dict[str, Any]:
    """Return a JSON object; an empty one for anything else, so that no odd answer stops a run that has paid for it."""
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _retry_delay_seconds(details: list[dict[str, Any]]) -> float | None:
    for detail in details:
        delay = str(detail.get("retryDelay", ""))
        if delay.endswith("s"):
            try:
                return float(delay[:-1])
            except ValueError:
                return None
    return None


def _is_daily(details: list[dict[str, Any]]) -> bool:
    violations = [violation for detail in details for violation in _objects(detail.get("violations"))]
    return any("PerDay" in str(violation.get("quotaId", "")) for violation in violations)
