"""Speaks ElevenLabs' wire format for speech and sound effects; it must never send a request twice by itself."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any, Final

import httpx
from pydantic import SecretStr

from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.resources import Voice
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.transport import (
    ErrorRule,
    Transport,
    json_object,
    retry_after_seconds,
    rule_of_status,
)

OUTPUT_FORMAT: Final = "mp3_44100_128"
EFFECT_MODEL: Final = "eleven_text_to_sound_v2"
MIN_EFFECT_SECONDS: Final = 0.5
MAX_EFFECT_SECONDS: Final = 30.0

_ACCOUNT: Final = ErrorRule(
    failure_class=FailureClass.ACCOUNT,
    advice="check the key in the Secret of the channel's spec.credentials.elevenlabs, and the account's credits",
)
_RATE_LIMITED: Final = ErrorRule(failure_class=FailureClass.RATE_LIMITED)

ERRORS: Final[dict[str, ErrorRule]] = {
    "invalid_api_key": _ACCOUNT,
    "quota_exceeded": _ACCOUNT,
    "voice_not_found": ErrorRule(
        failure_class=FailureClass.PERMANENT,
        advice="correct the channel's spec.voice.voiceID",
    ),
    "max_character_limit_exceeded": ErrorRule(failure_class=FailureClass.BAD_INPUT, advice="shorten the text"),
    "rate_limit_exceeded": _RATE_LIMITED,
    "concurrent_limit_exceeded": _RATE_LIMITED,
    "too_many_concurrent_requests": _RATE_LIMITED,
    "system_busy": _RATE_LIMITED,
    "validation_error": ErrorRule(failure_class=FailureClass.PERMANENT),  # our name for a 422, which has none
}
"""By `detail.code` or the legacy `detail.status`. Source: the vendor's page of errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """One answer: MP3 bytes and what they cost."""

    content: bytes
    credits: Decimal | None
    """From the character-cost header; None when it is missing."""


class ElevenLabsClient(Transport):
    """Text to speech and sound generation, each one POST that answers with the sound itself."""

    def __init__(
        self,
        settings: ProviderSettings,
        key: SecretStr,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(settings, key, header="xi-api-key", transport=transport)

    async def speak(self, *, text: str, voice: Voice) -> Sound:
        """Return the text spoken by the voice, as MP3 of 44.1 kHz and 128 kb/s."""
        body = {"text": text, "model_id": voice.model, "voice_settings": voice_settings(voice)}
        return await self._sound(f"/v1/text-to-speech/{voice.voice_id}", body)

    async def make_effect(self, *, text: str, seconds: float) -> Sound:
        """Return a sound effect of this length (0.5 to 30 s), as MP3 of 44.1 kHz and 128 kb/s."""
        body = {"text": text, "duration_seconds": seconds, "model_id": EFFECT_MODEL}
        return await self._sound("/v1/sound-generation", body)

    async def _sound(self, path: str, body: dict[str, Any]) -> Sound:
        response = await self.post_paid(path, body=body, query={"output_format": OUTPUT_FORMAT})
        if response.status_code != HTTPStatus.OK:
            raise self._error_of(response)
        kind = response.headers.get("content-type", "").split(";")[0]
        if not kind.startswith(("audio/", "application/octet-stream")):
            raise TransientError(
                f"elevenlabs answered 200 with {kind or 'no content type'} instead of sound: "
                f"{self.words(response.text)[:200]}",
                failure_class=FailureClass.BAD_MEDIA,
            )
        return Sound(content=response.content, credits=_credits(response))

    def _error_of(self, response: httpx.Response) -> VideoTaskError:
        detail = json_object(response).get("detail")
        code, message = _code_and_message(detail, response)
        self.require_its_own_word(response, is_its_own=not code.startswith("HTTP_"))
        # The newer `code` is preferred, the legacy `status` is understood.
        rule = ERRORS.get(code) or rule_of_status(response.status_code)
        return self.error(
            rule,
            message,
            code=code,
            status=response.status_code,
            retry_after_seconds=retry_after_seconds(response),
        )


def voice_settings(voice: Voice) -> dict[str, float | bool]:
    """Return the voice's settings on the provider's scale: 0 to 1, speed 0.7 to 1.2."""
    return {
        "stability": voice.stability_percent / 100,
        "similarity_boost": voice.similarity_percent / 100,
        "style": voice.style_percent / 100,
        "speed": voice.speed_percent / 100,
        "use_speaker_boost": True,
    }


def _code_and_message(detail: object, response: httpx.Response) -> tuple[str, str]:
    match detail:
        case dict():
            known = [str(detail[name]) for name in ("code", "status") if detail.get(name)]
            code = next((name for name in known if name in ERRORS), known[0] if known else "")
            return code or f"HTTP_{response.status_code}", str(detail.get("message") or "")
        case list():
            problems = [
                f"{'.'.join(map(str, problem.get('loc', [])))}: {problem.get('msg', '')}"
                for problem in detail
                if isinstance(problem, dict)
            ]
            return "validation_error", "; ".join(problems)
        case str():
            return f"HTTP_{response.status_code}", detail
        case _:
            return f"HTTP_{response.status_code}", response.text


def _credits(response: httpx.Response) -> Decimal | None:
    try:
        amount = Decimal(response.headers["character-cost"])
    except (KeyError, InvalidOperation):
        return None
    return amount if amount.is_finite() and amount >= 0 else None
