"""What the clients put on the wire, word for word, and what they make of answers that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tests.support.step_program import VOICE

from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.steps import Provider
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.elevenlabs import EFFECT_MODEL, ElevenLabsClient, voice_settings
from videotask_steps.clients.gemini import GeminiClient, Usage
from videotask_steps.clients.kling import KlingClient

MP3 = httpx.Response(200, content=b"mp3", headers={"content-type": "audio/mpeg"})


class Answers:
    """A provider that answers one thing and remembers what it was asked."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.response

    @property
    def asked(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.requests[-1].content)
        return body


def settings(provider: Provider) -> ProviderSettings:
    return ProviderSettings(provider=provider, base_url="http://provider.invalid")


def gemini(answers: Answers) -> GeminiClient:
    return GeminiClient(settings(Provider.GEMINI), SecretStr("k3y"), transport=httpx.MockTransport(answers))


def elevenlabs(answers: Answers) -> ElevenLabsClient:
    return ElevenLabsClient(settings(Provider.ELEVENLABS), SecretStr("k3y"), transport=httpx.MockTransport(answers))


def an_answer(*parts: dict[str, Any], reason: str | None = "STOP", **usage: int) -> httpx.Response:
    candidate = {"content": {"parts": list(parts)}, **({"finishReason": reason} if reason is not None else {})}
    return httpx.Response(200, json={"candidates": [candidate], "usageMetadata": usage})


async def image_of(answers: Answers, usages: list[Usage]) -> bytes:
    async with gemini(answers) as client:
        return await client.make_image(
            model="painter", prompt="a heron", aspect_ratio="16:9", size="2K", on_usage=usages.append
        )


async def test_an_image_is_asked_for_in_geminis_own_words() -> None:
    answers = Answers(an_answer({"inlineData": {"mimeType": "image/png", "data": "aGk="}}))
    assert await image_of(answers, []) == b"hi"
    assert answers.asked == {
        "contents": [{"role": "user", "parts": [{"text": "a heron"}]}],
        "generationConfig": {
            "responseModalities": ["IMAGE"],
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
        },
    }


async def test_thoughts_are_billed_as_output_and_what_is_not_said_is_nothing() -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    usages: list[Usage] = []
    await image_of(Answers(an_answer(part, candidatesTokenCount=7, thoughtsTokenCount=5)), usages)
    assert usages == [Usage(input_tokens=0, output_tokens=12)]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"inlineData": {"data": "aGk="}}, "gemini sent media without a type"),
        ({"inlineData": {"mimeType": "image/gif", "data": "aGk="}}, "gemini sent image/gif"),
        ({"inlineData": {"mimeType": "image/png", "data": "%"}}, "no base64"),
        ({"text": "x" * 300}, f'no image in the answer, it says "{"x" * 200}"'),
    ],
)
async def test_an_answer_without_a_good_image_is_bad_media(part: dict[str, Any], words: str) -> None:
    with pytest.raises(TransientError) as caught:
        await image_of(Answers(an_answer(part)), [])
    assert caught.value.failure_class is FailureClass.BAD_MEDIA
    assert words in caught.value.message


async def test_text_whose_end_has_no_reason_counts_when_it_is_whole() -> None:
    answers = Answers(an_answer({"text": '{"a":'}, {"text": "1}"}, reason=None))
    async with gemini(answers) as client:
        text = await client.write_json(model="m", prompt="p", schema={}, max_output_tokens=9, on_usage=lambda _: None)
    assert text == '{"a":1}'


async def test_speech_is_asked_for_in_elevenlabs_own_words() -> None:
    answers = Answers(MP3)
    async with elevenlabs(answers) as client:
        sound = await client.speak(text="The tide.", voice=VOICE)
    assert sound.content == b"mp3"
    assert answers.requests[0].url.path == f"/v1/text-to-speech/{VOICE.voice_id}"
    assert answers.asked == {"text": "The tide.", "model_id": VOICE.model, "voice_settings": voice_settings(VOICE)}


async def test_an_effect_is_asked_for_in_elevenlabs_own_words() -> None:
    answers = Answers(MP3)
    async with elevenlabs(answers) as client:
        await client.make_effect(text="gulls", seconds=4.5)
    assert answers.requests[0].url.path == "/v1/sound-generation"
    assert answers.asked == {"text": "gulls", "duration_seconds": 4.5, "model_id": EFFECT_MODEL}


@pytest.mark.parametrize(
    ("response", "failure_class", "code", "words"),
    [
        (httpx.Response(200, content=b"{}"), FailureClass.BAD_MEDIA, None, "200 with no content type"),
        (httpx.Response(401, json={"detail": {"message": "no"}}), FailureClass.ACCOUNT, "HTTP_401", "no"),
    ],
)
async def test_what_is_no_sound_is_told_with_what_came(
    response: httpx.Response, failure_class: FailureClass, code: str | None, words: str
) -> None:
    async with elevenlabs(Answers(response)) as client:
        with pytest.raises(VideoTaskError) as caught:
            await client.make_effect(text="gulls", seconds=4.5)
    assert (caught.value.failure_class, caught.value.provider_code) == (failure_class, code)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("ask", "ids"),
    [
        (lambda client: client.fetch("7"), {"task_ids": "7"}),
        (lambda client: client.find("ours"), {"external_task_ids": "ours"}),
        (lambda client: client.find_all(["ours", "another"]), {"external_task_ids": "ours,another"}),
    ],
    ids=["by its own id", "by ours", "by ours, several at once"],
)
async def test_kling_is_asked_for_jobs_by_ids_of_one_kind_since_it_refuses_both_and_neither(
    ask: Callable[[KlingClient], Awaitable[object]], ids: dict[str, str]
) -> None:
    answers = Answers(httpx.Response(200, json={"code": 0, "data": []}))
    transport = httpx.MockTransport(answers)
    async with KlingClient(settings(Provider.KLING), SecretStr("k3y"), transport=transport) as client:
        assert not await ask(client)
    assert (answers.requests[0].url.path, dict(answers.requests[0].url.params)) == ("/tasks", ids)


async def test_klings_rate_limit_waits_as_long_as_its_header_says() -> None:
    response = httpx.Response(429, json={"code": 1302, "message": "slow down"}, headers={"Retry-After": "42"})
    transport = httpx.MockTransport(Answers(response))
    async with KlingClient(settings(Provider.KLING), SecretStr("k3y"), transport=transport) as client:
        with pytest.raises(TransientError) as caught:
            await client.find("ours")
    assert (caught.value.failure_class, caught.value.retry_after_seconds) == (FailureClass.RATE_LIMITED, 42.0)


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, content=b"", headers={"content-type": "video/mp4"}),
        httpx.Response(200, json={"error": "try again later"}),
        httpx.Response(200, content=b"<Error/>", headers={"content-type": "application/xml"}),
        httpx.Response(200, text="back soon"),
        httpx.Response(503),
    ],
    ids=["nothing", "json", "xml", "text", "error"],
)
async def test_an_answer_that_is_no_clip_says_nothing_about_the_clip(tmp_path: Path, response: httpx.Response) -> None:
    async with KlingClient(settings(Provider.KLING), SecretStr("k3y")) as client:
        await client._downloads.aclose()
        client._downloads = httpx.AsyncClient(transport=httpx.MockTransport(Answers(response)))
        with pytest.raises(TransientError) as caught:
            await client.download("http://clips.invalid/1", tmp_path / "clip")
    assert caught.value.failure_class is FailureClass.NETWORK
