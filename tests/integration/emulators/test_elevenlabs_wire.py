"""ElevenLabs' answers, headers and errors, row by row of its public reference."""

from __future__ import annotations

import base64
import io
import threading
import time
from typing import Any

import av
import pytest

LINE = "Every night the old keeper climbed one hundred and twelve stairs."


def decoded_seconds(content: bytes) -> float:
    with av.open(io.BytesIO(content)) as sound:
        stream = sound.streams.audio[0]
        assert (stream.codec_context.name.startswith("mp3"), stream.rate) == (True, 44100)
        return sum(frame.samples for frame in sound.decode(audio=0)) / stream.rate


def test_speech_is_raw_mp3_of_an_ordinary_pace(voice: Any) -> None:
    response = voice.speak(LINE)
    assert response.headers["content-type"] == "audio/mpeg"
    assert 2.5 < decoded_seconds(response.content) < 4.5


def test_headers_tell_the_credits_and_the_places(voice: Any) -> None:
    headers = voice.speak(LINE).headers
    assert headers["character-cost"] == str(len(LINE))
    assert (headers["current-concurrent-requests"], headers["maximum-concurrent-requests"]) == ("1", "5")
    assert headers["request-id"]


def test_flash_costs_half_a_credit_a_character_and_an_effect_1200(voice: Any) -> None:
    assert voice.speak("abcdefgh", model_id="eleven_flash_v2_5").headers["character-cost"] == "4"
    assert voice.effect("rain on a roof", duration_seconds=1).headers["character-cost"] == "1200"


def test_timestamps_cover_every_character_in_order(voice: Any) -> None:
    answer = voice.speak(LINE, timestamps=True).json()
    alignment = answer["alignment"]
    starts, ends = alignment["character_start_times_seconds"], alignment["character_end_times_seconds"]
    assert "".join(alignment["characters"]) == LINE
    assert len(starts) == len(ends) == len(LINE)
    assert starts == sorted(starts)
    assert all(start <= end for start, end in zip(starts, ends, strict=True))
    assert ends[-1] == pytest.approx(decoded_seconds(base64.b64decode(answer["audio_base64"])), abs=0.06)
    assert set(answer) == {"audio_base64", "alignment", "normalized_alignment"}


@pytest.mark.parametrize("seconds", [0.5, 2.25, 7.0])
def test_an_effect_lasts_as_long_as_asked(voice: Any, seconds: float) -> None:
    response = voice.effect("wind over dunes", duration_seconds=seconds)
    assert decoded_seconds(response.content) == pytest.approx(seconds, abs=0.03)


def test_other_output_formats_are_what_they_say(voice: Any) -> None:
    pcm = voice.effect("a knock", fmt="pcm_22050", duration_seconds=1)
    assert (pcm.headers["content-type"], len(pcm.content)) == ("audio/pcm", 22050 * 2)


@pytest.mark.parametrize(("key", "code"), [("wrong", "invalid_api_key"), ("", "needs_authorization")])
def test_a_bad_key_is_401(voice: Any, key: str, code: str) -> None:
    response = type(voice)(voice.http, key).speak(LINE)
    detail = response.json()["detail"]
    assert (response.status_code, detail["code"], detail["status"]) == (401, code, code)
    assert set(detail) == {"type", "code", "message", "status", "request_id", "param"}


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"voice_id": "nobody"}, 400, "voice_not_found"),
        ({"text": "x" * 5001, "model_id": "eleven_v3"}, 400, "max_character_limit_exceeded"),
        ({"text": "x" * 10001}, 400, "max_character_limit_exceeded"),
        ({"model_id": "eleven_monolingual_v1"}, 400, "model_not_found"),
        ({"text": " "}, 400, "input_text_empty"),
    ],
)
def test_an_error_of_the_caller_has_its_code(
    voice: Any, control: Any, options: dict[str, Any], status: int, code: str
) -> None:
    response = voice.speak(options.pop("text", LINE), **options)
    assert (response.status_code, response.json()["detail"]["code"]) == (status, code)
    assert control.bill()["entries"] == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"voice_settings": {"speed": 1.3}}, "speed"),
        ({"voice_settings": {"stability": 2}}, "stability"),
        ({"voice_settings": {"loudness": 1}}, "loudness"),
        ({"seed": -1}, "seed"),
        ({"texts": "x"}, "texts"),
        ({"fmt": "mp3_48000_320"}, "output_format"),
    ],
)
def test_a_field_out_of_bounds_is_422_and_named(voice: Any, options: dict[str, Any], field: str) -> None:
    response = voice.speak(LINE, **options)
    assert response.status_code == 422
    [problem] = response.json()["detail"]
    assert (set(problem), problem["loc"][-1]) == ({"loc", "msg", "type"}, field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"duration_seconds": 0.4}, "duration_seconds"),
        ({"duration_seconds": 31}, "duration_seconds"),
        ({"prompt_influence": 1.5}, "prompt_influence"),
        ({"model_id": "eleven_v3"}, "model_id"),
        ({"length": 3}, "length"),
    ],
)
def test_an_effect_out_of_bounds_is_422_and_named(voice: Any, body: dict[str, Any], field: str) -> None:
    response = voice.effect("rain", **body)
    assert (response.status_code, response.json()["detail"][0]["loc"][-1]) == (422, field)


def test_calls_at_once_are_limited_by_the_plan(voice: Any, control: Any) -> None:
    control.put_key("elevenlabs", key="free-key", name="free", plan="free")
    control.add_fault("hold_call", provider="elevenlabs", match={"key_id": "free"}, times=2)
    free = type(voice)(voice.http, "free-key")
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(free.speak(LINE).status_code)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(control.held()) == 2)
    refused = free.speak(LINE)
    control.release()
    for thread in threads:
        thread.join(20)
    assert (refused.status_code, refused.json()["detail"]["code"]) == (429, "concurrent_limit_exceeded")
    assert answers == [200, 200]
    assert control.in_flight()["elevenlabs/free"]["high_water"] == {"voice": 2}


def test_a_key_without_credits_is_refused_before_anything_is_made(voice: Any, control: Any) -> None:
    control.put_key("elevenlabs", key="poor-key", name="poor", credits_left=70)
    poor = type(voice)(voice.http, "poor-key")
    first, second = poor.speak(LINE), poor.speak(LINE)
    assert (first.status_code, second.status_code) == (200, 401)
    assert second.json()["detail"]["code"] == "quota_exceeded"


def test_the_free_calls_show_whether_a_key_is_good(voice: Any, control: Any) -> None:
    for path in ("/v1/user/subscription", "/v1/models", "/v1/voices"):
        assert voice.http.get(path, headers={"xi-api-key": voice.key}).status_code == 200
        assert voice.http.get(path, headers={"xi-api-key": "wrong"}).status_code == 401
    assert control.bill()["entries"] == []


def wait_until(condition: Any) -> None:
    until = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < until, "the condition did not come true in time"
        time.sleep(0.02)
