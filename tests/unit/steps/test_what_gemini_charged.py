"""What an odd answer of Gemini's was charged: never nothing for an image, and never a crash after it is paid for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from videotask_contract.errors import FailureClass, VideoTaskError
from videotask_contract.steps import Provider
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.gemini import GeminiClient, Usage

IMAGE = {"finishReason": "STOP", "content": {"parts": [{"inlineData": {"mimeType": "image/jpeg", "data": "aGk="}}]}}


async def ask(answer: dict[str, Any], usages: list[Usage]) -> bytes:
    settings = ProviderSettings(provider=Provider.GEMINI, base_url="http://provider.invalid")
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json=answer))
    async with GeminiClient(settings, SecretStr("k3y"), transport=transport) as client:
        return await client.make_image(model="m", prompt="p", aspect_ratio="1:1", size="1K", on_usage=usages.append)


@pytest.mark.parametrize(
    ("usage", "output_tokens"),
    [
        ({"promptTokenCount": 40, "candidatesTokenCount": 1100, "thoughtsTokenCount": 20}, 1120),
        ({"promptTokenCount": 40, "totalTokenCount": 1160}, 1120),
        ({"promptTokenCount": 40, "totalTokenCount": 40}, None),
        ({"promptTokenCount": 40, "candidatesTokenCount": 0}, None),
        ({"candidatesTokenCount": "many"}, None),
        ({"candidatesTokenCount": -5}, None),
        ({}, None),
        (None, None),
        ("1120 tokens", None),
        ([1120], None),
    ],
    ids=str,
)
async def test_an_image_is_never_told_to_have_cost_nothing(usage: object, output_tokens: int | None) -> None:
    usages: list[Usage] = []
    assert await ask({"candidates": [IMAGE], "usageMetadata": usage}, usages) == b"hi"
    assert [told.output_tokens for told in usages] == ([] if output_tokens is None else [output_tokens])


async def test_a_blocked_prompt_costs_no_output() -> None:
    usages: list[Usage] = []
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}}
    with pytest.raises(VideoTaskError):
        await ask({**blocked, "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9}}, usages)
    assert usages == [Usage(input_tokens=9, output_tokens=0)]


@pytest.mark.parametrize(
    "answer",
    [
        {"candidates": [{"content": "x"}]},
        {"candidates": [{"content": {"parts": 7}}]},
        {"candidates": {"content": {}}},
        {"candidates": "x"},
        {"promptFeedback": "x"},
        {"promptFeedback": ["x"]},
    ],
    ids=str,
)
async def test_an_odd_answer_is_unusable_media_not_a_crash(answer: dict[str, Any]) -> None:
    with pytest.raises(VideoTaskError) as caught:
        await ask(answer, [])
    assert caught.value.failure_class is FailureClass.BAD_MEDIA
