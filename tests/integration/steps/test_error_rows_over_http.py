"""Each row of the providers' error tables, as the emulators speak it over real HTTP; none costs anything."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio
from PIL import Image
from pydantic import SecretStr
from tests.support.step_program import KEYS, VOICE
from tests.unit.steps.test_error_tables import (
    CLIP,
    ELEVENLABS_CODES,
    GEMINI_BLOCK_REASONS,
    GEMINI_FINISH_REASONS,
    GEMINI_STATUSES,
    KLING_CODES,
)

from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.steps import Provider
from videotask_contract.task_file import ProviderSettings
from videotask_emulators.control import ControlClient
from videotask_emulators.testing import EmulatorProcess
from videotask_steps.clients import gemini
from videotask_steps.clients.elevenlabs import ElevenLabsClient
from videotask_steps.clients.gemini import GeminiClient
from videotask_steps.clients.kling import ClipRequest, KlingClient

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONGEST_TEXT = 10_000
"""Characters that eleven_multilingual_v2 takes."""
TRIED_ELSEWHERE = {"FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}


def a_clip() -> ClipRequest:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((640, 360)).save(buffer, "PNG")
    return replace(CLIP, first_frame=base64.b64encode(buffer.getvalue()).decode())


@dataclass
class Clients:
    gemini: GeminiClient
    kling: KlingClient
    elevenlabs: ElevenLabsClient

    async def image(self) -> bytes:
        return await self.gemini.make_image(
            model="gemini-nano-banana-2.1", prompt="a heron", aspect_ratio="1:1", size="1K", on_usage=lambda _: None
        )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def clients(emulators: EmulatorProcess) -> AsyncIterator[Clients]:
    def settings(provider: Provider) -> ProviderSettings:
        return ProviderSettings(provider=provider, base_url=emulators.url)

    def key(provider: Provider) -> SecretStr:
        return SecretStr(KEYS[provider])

    async with (
        GeminiClient(settings(Provider.GEMINI), key(Provider.GEMINI)) as images,
        KlingClient(settings(Provider.KLING), key(Provider.KLING)) as clips,
        ElevenLabsClient(settings(Provider.ELEVENLABS), key(Provider.ELEVENLABS)) as voices,
    ):
        yield Clients(images, clips, voices)


def assert_free(control: ControlClient) -> None:
    assert control.bill()["entries"] == []
    assert len(control.calls()) == 1, "no client sends anything twice by itself"


@pytest.mark.parametrize(("row", "expected"), KLING_CODES.items(), ids=str)
async def test_kling(control: ControlClient, clients: Clients, row: tuple[int, int], expected: FailureClass) -> None:
    status, code = row
    # A fault of this kind answers with whatever code it is given, at the HTTP status of that code.
    control.add_fault("arrears", match={"operation": "create"}, code=code)
    with pytest.raises(VideoTaskError) as caught:
        await clients.kling.create(a_clip())
    assert (caught.value.failure_class, caught.value.provider_code) == (expected, str(code))
    assert str(status) in caught.value.message
    assert_free(control)


@pytest.mark.parametrize("code", [1302, 1303])
async def test_kling_says_how_long_to_wait(control: ControlClient, clients: Clients, code: int) -> None:
    control.add_fault("http_429_retry_after", match={"operation": "create"}, code=code, retry_after_seconds=42)
    with pytest.raises(TransientError) as caught:
        await clients.kling.create(a_clip())
    assert (caught.value.failure_class, caught.value.retry_after_seconds) == (FailureClass.RATE_LIMITED, 42.0)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (row, kind)
        for row, kind in GEMINI_STATUSES.items()
        if row[1] not in {"FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}
    ],
    ids=str,
)
async def test_gemini(control: ControlClient, clients: Clients, row: tuple[int, str], expected: FailureClass) -> None:
    """By HTTP status; FAILED_PRECONDITION shares its 400 and is tried against the client alone."""
    status, name = row
    control.add_fault("http_5xx", match={"operation": "image"}, code=status)
    with pytest.raises(VideoTaskError) as caught:
        await clients.image()
    assert (caught.value.failure_class, caught.value.provider_code) == (expected, name)
    assert_free(control)


async def test_geminis_bad_key(control: ControlClient, clients: Clients) -> None:
    control.add_fault("auth_revoked", match={"operation": "image"})
    with pytest.raises(VideoTaskError) as caught:
        await clients.image()
    assert caught.value.failure_class is FailureClass.ACCOUNT
    assert KEYS[Provider.GEMINI] not in caught.value.message


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("http_429_retry_info", FailureClass.RATE_LIMITED),
        ("http_429_retry_after", FailureClass.RATE_LIMITED),
        ("http_429_per_day", FailureClass.DAILY_QUOTA),
    ],
)
async def test_geminis_three_ways_to_say_wait(
    control: ControlClient, clients: Clients, kind: str, expected: FailureClass
) -> None:
    control.add_fault(kind, match={"operation": "image"}, retry_delay_seconds=42, retry_after_seconds=42)
    with pytest.raises(TransientError) as caught:
        await clients.image()
    assert caught.value.failure_class is expected
    waits = caught.value.retry_after_seconds
    assert waits is not None
    assert waits == 42.0 or (expected is FailureClass.DAILY_QUOTA and 0 < waits <= 25 * 3600)
    assert_free(control)


@pytest.mark.parametrize("reason", GEMINI_BLOCK_REASONS)
async def test_gemini_blocks_a_prompt(control: ControlClient, clients: Clients, reason: str) -> None:
    control.add_fault("block_prompt", match={"operation": "image"}, reason=reason)
    with pytest.raises(VideoTaskError) as caught:
        await clients.image()
    assert (caught.value.failure_class, caught.value.provider_code) == (FailureClass.REFUSED, reason)
    assert_free(control)


@pytest.mark.parametrize("reason", [reason for reason in GEMINI_FINISH_REASONS if reason != "MAX_TOKENS"])
@pytest.mark.parametrize("with_text", [False, True])
async def test_gemini_ends_without_an_image(
    control: ControlClient, clients: Clients, reason: str, *, with_text: bool
) -> None:
    control.add_fault("block_finish_reason", match={"operation": "image"}, reason=reason, with_text=with_text)
    with pytest.raises(VideoTaskError) as caught:
        await clients.image()
    assert caught.value.failure_class is gemini.BLOCKS[reason].failure_class
    assert caught.value.provider_code == reason
    assert_free(control)


@pytest.mark.parametrize(("row", "expected"), ELEVENLABS_CODES.items(), ids=str)
async def test_elevenlabs(
    control: ControlClient, clients: Clients, row: tuple[int, str], expected: FailureClass
) -> None:
    status, code = row
    text = "hello"
    match code:
        case "invalid_api_key":
            control.add_fault("auth_revoked", match={"operation": "speech"})
        case "quota_exceeded" | "voice_not_found":
            control.add_fault(code, match={"operation": "speech"})
        case "max_character_limit_exceeded":
            text = "a" * (LONGEST_TEXT + 1)
        case _:
            control.add_fault("http_429_retry_after", match={"operation": "speech"}, code=code)
    with pytest.raises(VideoTaskError) as caught:
        await clients.elevenlabs.speak(text=text, voice=VOICE)
    assert (caught.value.failure_class, caught.value.provider_code) == (expected, code)
    assert str(status) in caught.value.message
    assert_free(control)


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_elevenlabs_has_no_code_of_its_own_for_its_own_failures(
    control: ControlClient, clients: Clients, status: int
) -> None:
    control.add_fault("http_5xx", match={"operation": "sfx"}, code=status)
    with pytest.raises(TransientError) as caught:
        await clients.elevenlabs.make_effect(text="rain", seconds=1.0)
    assert caught.value.failure_class is FailureClass.TRANSIENT
    assert_free(control)


async def test_elevenlabs_names_the_field_of_a_422(control: ControlClient, clients: Clients) -> None:
    with pytest.raises(VideoTaskError, match="duration_seconds") as caught:
        await clients.elevenlabs.make_effect(text="rain", seconds=31.0)
    assert caught.value.failure_class is FailureClass.PERMANENT
    assert_free(control)
