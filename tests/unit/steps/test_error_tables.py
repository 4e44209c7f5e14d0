"""Each provider's table knows every documented code, and each answer becomes the error that decides a retry."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tests.support.step_program import VOICE

from videotask_contract.errors import FailureClass, OutcomeUnknownError, TransientError, VideoTaskError
from videotask_contract.steps import Provider, Step
from videotask_contract.task_file import ProviderSettings
from videotask_steps.clients import elevenlabs, gemini, kling
from videotask_steps.clients.elevenlabs import ElevenLabsClient
from videotask_steps.clients.gemini import GeminiClient, Usage, seconds_to_pacific_midnight
from videotask_steps.clients.kling import ClipRequest, KlingClient, ResultNotThereError
from videotask_steps.clients.transport import retry_after_seconds
from videotask_steps.ledger import Ledger, read_ledger

ACCOUNT, PERMANENT, TRANSIENT = FailureClass.ACCOUNT, FailureClass.PERMANENT, FailureClass.TRANSIENT
UNKNOWN = FailureClass.OUTCOME_UNKNOWN
REFUSED, BAD_MEDIA, RATE = FailureClass.REFUSED, FailureClass.BAD_MEDIA, FailureClass.RATE_LIMITED

GEMINI_STATUSES = {
    (400, "INVALID_ARGUMENT"): PERMANENT,
    (400, "FAILED_PRECONDITION"): ACCOUNT,
    (401, "UNAUTHENTICATED"): ACCOUNT,
    (403, "PERMISSION_DENIED"): ACCOUNT,
    (404, "NOT_FOUND"): PERMANENT,
    (429, "RESOURCE_EXHAUSTED"): RATE,
    (499, "CANCELLED"): TRANSIENT,
    (500, "INTERNAL"): TRANSIENT,
    (503, "UNAVAILABLE"): TRANSIENT,
    (504, "DEADLINE_EXCEEDED"): TRANSIENT,
}
GEMINI_BLOCK_REASONS = ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"]
GEMINI_FINISH_REASONS = {
    **dict.fromkeys(["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "OTHER"], REFUSED),
    **dict.fromkeys(["IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER"], REFUSED),
    **dict.fromkeys(["NO_IMAGE", "MALFORMED_RESPONSE", "MAX_TOKENS"], BAD_MEDIA),
}
KLING_CODES = {
    **dict.fromkeys([(401, code) for code in range(1000, 1005)], ACCOUNT),
    **dict.fromkeys([(429, code) for code in (1100, 1101, 1102, 1304)], ACCOUNT),
    (403, 1103): ACCOUNT,
    **dict.fromkeys([(400, 1200), (400, 1201), (404, 1202), (404, 1203)], PERMANENT),
    **dict.fromkeys([(400, 1300), (400, 1301)], REFUSED),
    **dict.fromkeys([(429, 1302), (429, 1303)], RATE),
    **dict.fromkeys([(500, 5000), (503, 5001), (504, 5002)], TRANSIENT),
}
ELEVENLABS_CODES = {
    (401, "invalid_api_key"): ACCOUNT,
    (401, "quota_exceeded"): ACCOUNT,
    (400, "voice_not_found"): PERMANENT,
    (400, "max_character_limit_exceeded"): FailureClass.BAD_INPUT,
    (429, "rate_limit_exceeded"): RATE,
    (429, "concurrent_limit_exceeded"): RATE,
    (429, "too_many_concurrent_requests"): RATE,
    (429, "system_busy"): RATE,
}
CLIP = ClipRequest(
    model="kling-2.6", prompt="waves", first_frame="aGk=", resolution="720p", seconds=5, external_task_id="ours"
)


class Answers:
    """A provider that answers one thing, over httpx's own transport seam."""

    def __init__(self) -> None:
        self.response: httpx.Response | Exception = httpx.Response(200)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.response, Exception):
            raise self.response
        return self.response


@pytest.fixture
def answers() -> Answers:
    return Answers()


def settings(provider: Provider) -> ProviderSettings:
    return ProviderSettings(provider=provider, base_url="http://provider.invalid")


@pytest.fixture
async def gemini_client(answers: Answers) -> AsyncIterator[GeminiClient]:
    transport = httpx.MockTransport(answers)
    async with GeminiClient(settings(Provider.GEMINI), SecretStr("k3y"), transport=transport) as client:
        yield client


@pytest.fixture
async def kling_client(answers: Answers) -> AsyncIterator[KlingClient]:
    transport = httpx.MockTransport(answers)
    async with KlingClient(settings(Provider.KLING), SecretStr("k3y"), transport=transport) as client:
        yield client


@pytest.fixture
async def elevenlabs_client(answers: Answers) -> AsyncIterator[ElevenLabsClient]:
    transport = httpx.MockTransport(answers)
    async with ElevenLabsClient(settings(Provider.ELEVENLABS), SecretStr("k3y"), transport=transport) as client:
        yield client


@pytest.fixture
def clients(
    gemini_client: GeminiClient, kling_client: KlingClient, elevenlabs_client: ElevenLabsClient
) -> tuple[GeminiClient, KlingClient, ElevenLabsClient]:
    return gemini_client, kling_client, elevenlabs_client


async def image(client: GeminiClient, usages: list[Usage] | None = None) -> bytes:
    keep = [] if usages is None else usages
    return await client.make_image(model="m", prompt="p", aspect_ratio="1:1", size="1K", on_usage=keep.append)


def test_the_tables_know_every_documented_code_and_none_that_is_not_tried_here() -> None:
    assert {*(code for _, code in GEMINI_STATUSES), "API_KEY_INVALID"} == set(gemini.ERRORS)
    assert {*GEMINI_BLOCK_REASONS, *GEMINI_FINISH_REASONS} == set(gemini.BLOCKS)
    assert {code for _, code in KLING_CODES} == set(kling.ERRORS)
    assert {*(code for _, code in ELEVENLABS_CODES), "validation_error"} == set(elevenlabs.ERRORS)


@pytest.mark.parametrize(("answer", "expected"), GEMINI_STATUSES.items(), ids=str)
async def test_gemini_errors(
    gemini_client: GeminiClient, answers: Answers, answer: tuple[int, str], expected: FailureClass
) -> None:
    status, name = answer
    answers.response = httpx.Response(status, json={"error": {"code": status, "message": "its words", "status": name}})
    with pytest.raises(VideoTaskError) as caught:
        await image(gemini_client)
    assert caught.value.failure_class is expected
    assert caught.value.provider_code == name
    assert "its words" in caught.value.message
    assert len(answers.requests) == 1


async def test_a_bad_gemini_key_is_an_account_failure_though_it_is_a_400(
    gemini_client: GeminiClient, answers: Answers
) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    error = {"code": 400, "message": "API key k3y not valid", "status": "INVALID_ARGUMENT", "details": details}
    answers.response = httpx.Response(400, json={"error": error})
    with pytest.raises(VideoTaskError) as caught:
        await image(gemini_client)
    assert caught.value.failure_class is ACCOUNT
    assert "k3y" not in caught.value.message


@pytest.mark.parametrize(
    ("details", "header", "seconds"),
    [
        ([{"retryDelay": "50s"}], None, 50.0),
        ([{"retryDelay": "1.5s"}], None, 1.5),
        ([{"violations": [{"quotaId": "RequestsPerMinutePerProject"}]}], "7", 7.0),
        ([], None, None),
        ([{"retryDelay": "soon"}], None, None),
    ],
)
async def test_gemini_says_how_long_to_wait(
    gemini_client: GeminiClient,
    answers: Answers,
    details: list[dict[str, Any]],
    header: str | None,
    seconds: float | None,
) -> None:
    error = {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED", "details": details}
    answers.response = httpx.Response(429, json={"error": error}, headers={"Retry-After": header} if header else {})
    with pytest.raises(TransientError) as caught:
        await image(gemini_client)
    assert (caught.value.failure_class, caught.value.retry_after_seconds) == (RATE, seconds)


async def test_a_daily_quota_waits_for_midnight_pacific(gemini_client: GeminiClient, answers: Answers) -> None:
    details = [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}, {"retryDelay": "50s"}]
    error = {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": details}
    answers.response = httpx.Response(429, json={"error": error})
    with pytest.raises(TransientError) as caught:
        await image(gemini_client)
    assert caught.value.failure_class is FailureClass.DAILY_QUOTA
    assert 0 < (caught.value.retry_after_seconds or 0) <= 25 * 3600


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (datetime(2026, 11, 21, 7, 0, tzinfo=UTC), 1.0),  # winter: midnight is 08:00 UTC
        (datetime(2026, 11, 21, 8, 0, tzinfo=UTC), 24.0),
        (datetime(2026, 7, 1, 6, 0, tzinfo=UTC), 1.0),  # summer: 07:00 UTC
        (datetime(2026, 11, 1, 7, 0, tzinfo=UTC), 25.0),  # the night the clocks go back
    ],
)
def test_midnight_pacific_knows_summer_and_winter(now: datetime, hours: float) -> None:
    assert seconds_to_pacific_midnight(now) == hours * 3600


@pytest.mark.parametrize("reason", GEMINI_BLOCK_REASONS)
async def test_gemini_blocks_a_prompt_at_200(gemini_client: GeminiClient, answers: Answers, reason: str) -> None:
    answers.response = httpx.Response(200, json={"promptFeedback": {"blockReason": reason}})
    with pytest.raises(VideoTaskError) as caught:
        await image(gemini_client)
    assert (caught.value.failure_class, caught.value.provider_code) == (REFUSED, reason)


@pytest.mark.parametrize(("reason", "expected"), GEMINI_FINISH_REASONS.items())
@pytest.mark.parametrize("content", [None, {"parts": [{"text": "I would rather not"}]}])
async def test_gemini_ends_without_an_image_at_200(
    gemini_client: GeminiClient, answers: Answers, reason: str, expected: FailureClass, content: object
) -> None:
    candidate = {"finishReason": reason, **({"content": content} if content else {})}
    answers.response = httpx.Response(200, json={"candidates": [candidate]})
    with pytest.raises(VideoTaskError) as caught:
        await image(gemini_client)
    assert (caught.value.failure_class, caught.value.provider_code) == (expected, reason)


async def test_an_answer_of_words_or_thoughts_alone_is_no_image_and_its_cost_is_told(
    gemini_client: GeminiClient, answers: Answers
) -> None:
    thought = {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thought": True}
    answers.response = httpx.Response(
        200,
        json={
            "candidates": [{"finishReason": "STOP", "content": {"parts": [thought, {"text": "Here is a heron."}]}}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 7},
        },
    )
    usages: list[Usage] = []
    with pytest.raises(TransientError) as caught:
        await image(gemini_client, usages)
    assert caught.value.failure_class is BAD_MEDIA
    assert "Here is a heron." in caught.value.message
    assert usages == [Usage(input_tokens=9, output_tokens=7)]


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg"])
async def test_an_image_of_either_kind_is_found_behind_thoughts_and_words(
    gemini_client: GeminiClient, answers: Answers, mime: str
) -> None:
    parts = [
        {"text": "a thought", "thought": True},
        {"text": "Sure."},
        {"inlineData": {"mimeType": mime, "data": "aGk="}},
    ]
    answers.response = httpx.Response(200, json={"candidates": [{"finishReason": "STOP", "content": {"parts": parts}}]})
    assert await image(gemini_client) == b"hi"


async def test_text_cut_off_by_its_limit_is_never_taken_for_whole(
    gemini_client: GeminiClient, answers: Answers
) -> None:
    content = {"parts": [{"text": '{"assets": []}'}]}
    answers.response = httpx.Response(200, json={"candidates": [{"finishReason": "MAX_TOKENS", "content": content}]})
    with pytest.raises(TransientError) as caught:
        await gemini_client.write_json(model="m", prompt="p", schema={}, max_output_tokens=9, on_usage=lambda _: None)
    assert caught.value.failure_class is BAD_MEDIA


@pytest.mark.parametrize(("answer", "expected"), KLING_CODES.items(), ids=str)
@pytest.mark.parametrize("is_200", [False, True])
async def test_kling_errors_count_by_their_code_also_on_200(
    kling_client: KlingClient, answers: Answers, answer: tuple[int, int], expected: FailureClass, *, is_200: bool
) -> None:
    status, code = answer
    answers.response = httpx.Response(200 if is_200 else status, json={"code": code, "message": "its words"})
    with pytest.raises(VideoTaskError) as caught:
        await kling_client.create(CLIP)
    assert (caught.value.failure_class, caught.value.provider_code) == (expected, str(code))


async def test_kling_is_never_asked_for_several_shots(kling_client: KlingClient, answers: Answers) -> None:
    answers.response = httpx.Response(200, json={"code": 0, "data": {"id": "7", "status": "submitted"}})
    job = await kling_client.create(CLIP)
    body = json.loads(answers.requests[0].content)
    assert body["settings"] == {"resolution": "720p", "duration": 5, "audio": "off", "multi_shot": False}
    assert body["options"] == {"external_task_id": "ours"}
    assert (job.job_id, answers.requests[0].headers["Authorization"]) == ("7", "Bearer k3y")


async def test_kling_tells_what_it_billed(kling_client: KlingClient, answers: Answers) -> None:
    billing = [{"charge_type": "balance", "amount": "0.21"}, {"charge_type": "balance", "amount": 0.05}]
    data = [{"id": "7", "status": "succeeded", "billing": billing, "outputs": [{"type": "video", "url": "http://x/y"}]}]
    answers.response = httpx.Response(200, json={"code": 0, "data": data})
    job = await kling_client.fetch("7")
    assert job is not None
    assert (job.billed_usd, job.url) == (Decimal("0.26"), "http://x/y")
    answers.response = httpx.Response(200, json={"code": 0, "data": []})
    assert await kling_client.find("ours") is None


@pytest.mark.parametrize(("status", "is_there"), [(403, False), (404, False), (410, False), (500, True)])
async def test_a_host_that_has_no_clip_is_told_from_one_in_trouble(
    kling_client: KlingClient, tmp_path: Path, status: int, *, is_there: bool
) -> None:
    await kling_client._downloads.aclose()
    kling_client._downloads = httpx.AsyncClient(transport=httpx.MockTransport(lambda _request: httpx.Response(status)))
    with pytest.raises(TransientError) as caught:
        await kling_client.download("http://clips.invalid/1", tmp_path / "part")
    assert isinstance(caught.value, ResultNotThereError) is not is_there


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data": {"id": 1}}'])
async def test_an_unreadable_acceptance_is_an_unknown_outcome(
    kling_client: KlingClient, answers: Answers, body: bytes
) -> None:
    answers.response = httpx.Response(200, content=body)
    with pytest.raises(OutcomeUnknownError):
        await kling_client.create(CLIP)


@pytest.mark.parametrize(("answer", "expected"), ELEVENLABS_CODES.items(), ids=str)
@pytest.mark.parametrize("field", ["code", "status"])
async def test_elevenlabs_errors_by_code_or_legacy_status(
    elevenlabs_client: ElevenLabsClient, answers: Answers, answer: tuple[int, str], expected: FailureClass, field: str
) -> None:
    status, code = answer
    answers.response = httpx.Response(status, json={"detail": {field: code, "message": "its words"}})
    with pytest.raises(VideoTaskError) as caught:
        await elevenlabs_client.speak(text="hello", voice=VOICE)
    assert (caught.value.failure_class, caught.value.provider_code) == (expected, code)
    assert "its words" in caught.value.message


async def test_elevenlabs_names_the_field_of_a_422(elevenlabs_client: ElevenLabsClient, answers: Answers) -> None:
    detail = [{"loc": ["body", "duration_seconds"], "msg": "must be at most 30", "type": "value_error"}]
    answers.response = httpx.Response(422, json={"detail": detail})
    with pytest.raises(VideoTaskError) as caught:
        await elevenlabs_client.make_effect(text="rain", seconds=31)
    assert caught.value.failure_class is PERMANENT
    assert "body.duration_seconds: must be at most 30" in caught.value.message


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, ACCOUNT),
        (403, ACCOUNT),
        (408, UNKNOWN),
        (418, PERMANENT),
        (429, RATE),
        (500, UNKNOWN),
        (502, UNKNOWN),
        (504, UNKNOWN),
    ],
)
async def test_codes_nobody_documented_are_taken_by_their_status(
    clients: tuple[GeminiClient, KlingClient, ElevenLabsClient], answers: Answers, status: int, expected: FailureClass
) -> None:
    answers.response = httpx.Response(status, content=b"<html>bad gateway</html>")
    gemini_client, kling_client, elevenlabs_client = clients
    for call in (image(gemini_client), kling_client.create(CLIP), elevenlabs_client.make_effect(text="x", seconds=1)):
        with pytest.raises(VideoTaskError) as caught:
            await call
        assert caught.value.failure_class is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError("refused"), FailureClass.NETWORK),
        (httpx.ConnectTimeout("slow"), FailureClass.NETWORK),
        (httpx.PoolTimeout("full"), FailureClass.NETWORK),
        (httpx.ReadTimeout("slow"), FailureClass.OUTCOME_UNKNOWN),
        (httpx.ReadError("reset"), FailureClass.OUTCOME_UNKNOWN),
        (httpx.WriteError("reset"), FailureClass.OUTCOME_UNKNOWN),
        (httpx.RemoteProtocolError("gone"), FailureClass.OUTCOME_UNKNOWN),
        (httpx.DecodingError("garbled gzip"), FailureClass.OUTCOME_UNKNOWN),
    ],
)
async def test_only_what_was_never_sent_is_a_network_failure(
    gemini_client: GeminiClient, answers: Answers, error: Exception, expected: FailureClass
) -> None:
    answers.response = error
    with pytest.raises(VideoTaskError) as caught:
        await image(gemini_client)
    assert caught.value.failure_class is expected


@pytest.mark.parametrize(("header", "expected"), [("12", 12.0), ("0.5", 0.5), ("-3", 0.0), ("", None), ("later", None)])
def test_retry_after_in_seconds(header: str, expected: float | None) -> None:
    assert retry_after_seconds(httpx.Response(429, headers={"Retry-After": header})) == expected


def test_retry_after_as_a_date() -> None:
    response = httpx.Response(429, headers={"Retry-After": "Fri, 21 Nov 2036 12:00:00 GMT"})
    assert (retry_after_seconds(response) or 0) > 3600
    past = httpx.Response(429, headers={"Retry-After": "Fri, 21 Nov 2014 12:00:00 GMT"})
    assert retry_after_seconds(past) == 0


GARBLED = {"content-encoding": "gzip"}
HALF_AN_EMOJI = "your prompt 'waves \ud83d' is refused"


async def test_an_answer_whose_packing_is_garbled_is_an_answer_that_did_not_come(tmp_path: Path) -> None:
    """httpx calls it no transport error; a paid call may have been charged, a free one is asked again."""

    def garbled(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, headers={**GARBLED, "content-type": "video/mp4"}, stream=httpx.ByteStream(b"no gzip")
        )

    transport = httpx.MockTransport(garbled)
    async with KlingClient(settings(Provider.KLING), SecretStr("k3y"), transport=transport) as client:
        with pytest.raises(OutcomeUnknownError):
            await client.create(CLIP)
        with pytest.raises(TransientError) as asked:
            await client.fetch("7")
        await client._downloads.aclose()
        client._downloads = httpx.AsyncClient(transport=transport)
        with pytest.raises(TransientError) as loaded:
            await client.download("http://clips.invalid/7.mp4", tmp_path / "clip")
    assert {asked.value.failure_class, loaded.value.failure_class} == {FailureClass.NETWORK}


async def test_half_a_character_in_a_providers_words_is_written_down_and_reported(
    clients: tuple[GeminiClient, KlingClient, ElevenLabsClient], answers: Answers, tmp_path: Path
) -> None:
    """JSON may hold one: a quoted prompt was cut inside an emoji. No file takes it."""
    gemini_client, kling_client, elevenlabs_client = clients
    ledger = await Ledger.open(tmp_path, Step.ASSET_GENERATION, run_id="run-1", wait_seconds=0)
    for answer, ask in (
        ({"error": {"message": HALF_AN_EMOJI, "status": "INVALID_ARGUMENT"}}, lambda: image(gemini_client)),
        ({"code": 1301, "message": HALF_AN_EMOJI}, lambda: kling_client.create(CLIP)),
        ({"detail": {"code": "\ud83d", "message": "x"}}, lambda: elevenlabs_client.make_effect(text="x", seconds=1)),
    ):
        answers.response = httpx.Response(400, content=json.dumps(answer).encode())
        with pytest.raises(VideoTaskError) as caught:
            await ask()
        ledger.record_failed("heron", "key", message=caught.value.message)
        (caught.value.provider_code or "").encode()
    ledger.close()
    assert len(read_ledger(tmp_path, Step.ASSET_GENERATION).records) == 3


async def test_half_a_character_in_what_was_paid_for_throws_nothing_away(
    gemini_client: GeminiClient, answers: Answers
) -> None:
    def says(part: dict[str, Any]) -> httpx.Response:
        body = {"candidates": [{"finishReason": "STOP", "content": {"parts": [part]}}]}
        return httpx.Response(200, content=json.dumps(body).encode())

    answers.response = says({"text": '"waves \ud83d"'})
    usages: list[Usage] = []
    text = await gemini_client.write_json(model="m", prompt="p", schema={}, max_output_tokens=9, on_usage=usages.append)
    assert text.encode() == b'"waves ?"'
    answers.response = says({"inlineData": {"mimeType": "image/png", "data": "\ud83d"}})
    with pytest.raises(TransientError) as caught:
        await image(gemini_client)
    assert caught.value.failure_class is BAD_MEDIA
