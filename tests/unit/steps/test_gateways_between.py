"""A gateway's error is no word of the provider's: what a paid call came to is unknown until the provider says it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from tests.support.step_context import a_context
from tests.support.step_program import VOICE, a_task_file

from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.steps import Provider, Step
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients.elevenlabs import ElevenLabsClient
from videotask_steps.clients.kling import KlingClient
from videotask_steps.items import Call, Wanted, make_items

GATEWAY = httpx.Response(504, html="<html><h1>504 Gateway Time-out</h1></html>")


def settings(provider: Provider) -> ProviderSettings:
    return ProviderSettings(provider=provider, base_url="http://provider.invalid")


async def test_a_gateways_time_out_leaves_the_call_open_and_posts_nothing_more(tmp_path: Path) -> None:
    posted: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        posted.append(request)
        return GATEWAY

    context = await a_context(tmp_path, a_task_file(Step.NARRATION_GENERATION))
    transport = httpx.MockTransport(answer)
    async with ElevenLabsClient(settings(Provider.ELEVENLABS), SecretStr("k3y"), transport=transport) as client:

        async def make(call: Call) -> str:
            return call.keep((await client.speak(text="words", voice=VOICE)).content, ".mp3")

        wanted = Wanted(
            item="01",
            label="scene 01",
            key="key-01",
            model="voice",
            price_usd=Decimal("0.01"),
            path=lambda take, suffix: f"narration/{take}{suffix}",
            suffixes=(".mp3",),
            make=make,
            probe=lambda _path: 1.0,
        )
        with pytest.raises(VideoTaskError, match="504 without a code of its own") as caught:
            await make_items(context, [wanted])
    assert caught.value.failure_class is FailureClass.OUTCOME_UNKNOWN
    assert len(posted) == 1
    assert context.ledger.possibly_usd("run-1") >= Decimal("0.01")


@pytest.mark.parametrize("status", [408, 500, 502, 504])
async def test_a_question_that_costs_nothing_is_merely_asked_again(status: int) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, html="<html>"))
    async with KlingClient(settings(Provider.KLING), SecretStr("k3y"), transport=transport) as client:
        with pytest.raises(TransientError) as caught:
            await client.find("ours")
    assert caught.value.failure_class is FailureClass.TRANSIENT
