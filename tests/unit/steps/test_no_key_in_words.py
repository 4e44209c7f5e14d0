"""What a provider says goes into messages, statuses and logs: its key must not, even where the provider repeats it."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr
from tests.support.step_program import VOICE

from videotask_contract.errors import VideoTaskError
from videotask_contract.steps import Provider
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.elevenlabs import ElevenLabsClient
from videotask_steps.clients.gemini import GeminiClient
from videotask_steps.clients.kling import ClipRequest, KlingClient
from videotask_steps.clients.transport import Transport

KEY = "k3y-that-nobody-may-read"
CLIP = ClipRequest(
    model="kling-2.5-turbo", prompt="pan", first_frame="", resolution="720p", seconds=5, external_task_id="id"
)


def refuse(_request: httpx.Request) -> httpx.Response:
    quoted = f"the key {KEY} is not known; {KEY} was sent"
    return httpx.Response(401, json={"code": 1000, "message": quoted, "error": {"message": quoted}, "detail": quoted})


def break_off(_request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError(f"no route with Authorization: {KEY}")


def settings(provider: Provider) -> ProviderSettings:
    return ProviderSettings(provider=provider, base_url="http://provider.invalid")


async def ask(client: Transport) -> None:
    match client:
        case KlingClient():
            await client.create(CLIP)
        case ElevenLabsClient():
            await client.speak(text="words", voice=VOICE)
        case GeminiClient():
            await client.make_image(
                model="gemini-nano-banana-2.1", prompt="a boat", aspect_ratio="16:9", size="1K", on_usage=lambda _: None
            )


@pytest.mark.parametrize("answer", [refuse, break_off], ids=["refused", "unreachable"])
@pytest.mark.parametrize(
    ("kind", "provider"),
    [(KlingClient, Provider.KLING), (ElevenLabsClient, Provider.ELEVENLABS), (GeminiClient, Provider.GEMINI)],
    ids=["kling", "elevenlabs", "gemini"],
)
async def test_a_key_that_the_provider_quotes_is_not_repeated(kind, provider, answer):
    async with kind(settings(provider), SecretStr(KEY), transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(VideoTaskError) as caught:
            await ask(client)
    assert "[key]" in caught.value.message
    assert KEY not in caught.value.message
