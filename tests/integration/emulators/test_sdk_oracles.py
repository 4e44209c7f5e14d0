"""The vendors' own SDKs understand the answers: an oracle for shapes that no reference page spells out."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from google import genai
from google.genai import errors, types
from PIL import Image

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning")

VOICE = "JBFqnCBsd6RMkjVDRZzb"


@pytest.fixture
def google(emulators: Any, control: Any) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=emulators.url, api_version="v1beta")
    client = genai.Client(api_key="gemini-demo-key", http_options=options)
    yield client
    client.close()


@pytest.fixture
def eleven(emulators: Any, http: httpx.Client) -> ElevenLabs:
    return ElevenLabs(api_key="elevenlabs-demo-key", base_url=emulators.url, httpx_client=http)


def test_google_genai_reads_an_image(google: genai.Client) -> None:
    answer = google.models.generate_content(
        model="gemini-nano-banana-2.1",
        contents="a harbour at dusk",
        config=types.GenerateContentConfig(
            response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9", image_size="1K")
        ),
    )
    [part] = answer.candidates[0].content.parts
    assert Image.open(io.BytesIO(part.inline_data.data)).size == (1376, 768)
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.candidates_token_count == 1120


def test_google_genai_reads_structured_text(google: genai.Client, story_schema: dict[str, Any]) -> None:
    answer = google.models.generate_content(
        model="gemini-3.8-flash",
        contents="Write 6 scenes. Topic: a clock",
        config=types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=story_schema),
    )
    assert len(json.loads(answer.text)["scenes"]) == 6


def test_google_genai_reads_models_blocks_and_errors(google: genai.Client, control: Any) -> None:
    assert "models/gemini-3.8-flash" in [model.name for model in google.models.list()]
    control.add_fault("block_prompt", provider="gemini", reason="PROHIBITED_CONTENT")
    blocked = google.models.generate_content(model="gemini-nano-banana-2.1", contents="x")
    assert blocked.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    control.add_fault("block_finish_reason", provider="gemini", reason="IMAGE_SAFETY")
    refused = google.models.generate_content(model="gemini-nano-banana-2.1", contents="x")
    assert refused.candidates[0].finish_reason == types.FinishReason.IMAGE_SAFETY
    control.add_fault("http_429_retry_info", provider="gemini")
    with pytest.raises(errors.ClientError) as caught:
        google.models.generate_content(model="gemini-nano-banana-2.1", contents="x")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")


def test_elevenlabs_reads_speech_and_effects(eleven: ElevenLabs) -> None:
    speech = b"".join(eleven.text_to_speech.convert(VOICE, text="Hello there.", model_id="eleven_multilingual_v2"))
    effect = b"".join(eleven.text_to_sound_effects.convert(text="rain", duration_seconds=1.0))
    assert min(len(speech), len(effect)) > 5_000


def test_elevenlabs_reads_timestamps(eleven: ElevenLabs) -> None:
    answer = eleven.text_to_speech.convert_with_timestamps(VOICE, text="Hello there.")
    assert "".join(answer.alignment.characters) == "Hello there."
    assert len(answer.alignment.character_end_times_seconds) == len("Hello there.")


def test_elevenlabs_reads_account_facts_and_errors(eleven: ElevenLabs, emulators: Any, http: httpx.Client) -> None:
    assert eleven.user.subscription.get().tier == "creator"
    assert "eleven_v3" in [model.model_id for model in eleven.models.list()]
    assert VOICE in [voice.voice_id for voice in eleven.voices.get_all().voices]
    with pytest.raises(ApiError) as caught:
        b"".join(
            ElevenLabs(api_key="wrong", base_url=emulators.url, httpx_client=http).text_to_speech.convert(
                VOICE, text="x"
            )
        )
    assert (caught.value.status_code, caught.value.body["detail"]["status"]) == (401, "invalid_api_key")
