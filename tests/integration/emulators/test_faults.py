"""Every fault on demand does what the README says, in the provider's own words, and charges what it says."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from videotask_emulators.control import ControlError
from videotask_emulators.faults import FaultKind

LINE = "A line of forty characters, give or take"


def samples(content: bytes) -> np.ndarray:
    with av.open(io.BytesIO(content)) as sound:
        return np.concatenate([frame.to_ndarray().mean(axis=0) for frame in sound.decode(audio=0)])


def frames(content: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(content)) as video:
        return [frame.to_ndarray(format="gray") for frame in video.decode(video=0)]


def test_an_unknown_fault_is_refused_with_the_kinds_that_exist(control: Any) -> None:
    with pytest.raises(ControlError, match="stuck_job"):
        control.add_fault("no_such_kind")
    with pytest.raises(ControlError, match="unknown provider"):
        control.add_fault("http_5xx", provider="notion")


def test_a_fault_hits_only_what_it_matches_and_only_so_often(voice: Any, control: Any) -> None:
    control.add_fault(
        "http_5xx", provider="elevenlabs", match={"operation": "speech", "prompt_contains": "storm"}, times=2
    )
    answers = [voice.speak(text).status_code for text in ("calm", "a storm", "a storm", "a storm")]
    assert answers == [200, 500, 500, 200]
    assert voice.effect("a storm", duration_seconds=1).status_code == 200
    [fault] = control.faults()
    assert (fault["hits"], fault["times"]) == (2, 0)


def test_probability_is_a_share(voice: Any, control: Any) -> None:
    control.add_fault("http_5xx", provider="elevenlabs", times=-1, probability=0.0)
    assert voice.speak(LINE).status_code == 200
    control.clear_faults()
    control.add_fault("http_5xx", provider="elevenlabs", times=-1, probability=1.0, code=503)
    assert voice.speak(LINE).status_code == 503


@pytest.mark.parametrize(
    "case",
    [
        ("http_429_retry_info", {"retry_delay_seconds": 7}, 429, "RESOURCE_EXHAUSTED"),
        ("http_429_per_day", {}, 429, "RESOURCE_EXHAUSTED"),
        ("http_5xx", {"code": 500}, 500, "INTERNAL"),
        ("http_5xx", {"code": 503}, 503, "UNAVAILABLE"),
        ("http_5xx", {"code": 504}, 504, "DEADLINE_EXCEEDED"),
        ("auth_revoked", {}, 400, "INVALID_ARGUMENT"),
    ],
)
def test_geminis_errors(gemini: Any, control: Any, case: tuple[str, dict[str, Any], int, str]) -> None:
    kind, params, status, name = case
    control.add_fault(kind, provider="gemini", **params)
    error = gemini.image("a harbour").json()["error"]
    assert (error["code"], error["status"]) == (status, name)
    details = json.dumps(error.get("details", []))
    assert ('"retryDelay": "7s"' in details) == (kind == "http_429_retry_info")
    assert ("PerDay" in details) == (kind == "http_429_per_day")
    assert control.bill()["entries"] == []


@pytest.mark.parametrize("reason", ["SAFETY", "PROHIBITED_CONTENT", "IMAGE_SAFETY"])
def test_a_blocked_prompt_is_200_without_candidates_and_free(gemini: Any, control: Any, reason: str) -> None:
    control.add_fault("block_prompt", provider="gemini", reason=reason)
    response = gemini.image("a harbour")
    assert (response.status_code, response.json()["promptFeedback"]) == (200, {"blockReason": reason})
    assert "candidates" not in response.json()
    assert control.bill()["entries"] == []


@pytest.mark.parametrize("reason", ["RECITATION", "IMAGE_PROHIBITED_CONTENT", "NO_IMAGE", "MALFORMED_RESPONSE"])
def test_a_blocked_answer_is_200_with_its_reason_and_free(gemini: Any, control: Any, reason: str) -> None:
    control.add_fault("block_finish_reason", provider="gemini", reason=reason)
    [candidate] = gemini.image("a harbour").json()["candidates"]
    assert (candidate["finishReason"], "content" in candidate) == (reason, False)
    assert control.bill()["entries"] == []


def test_a_stop_with_text_and_no_image(gemini: Any, control: Any) -> None:
    control.add_fault("text_no_image", provider="gemini")
    [candidate] = gemini.image("a harbour").json()["candidates"]
    assert (candidate["finishReason"], list(candidate["content"]["parts"][0])) == ("STOP", ["text"])


def test_truncated_json_of_a_storyboard_is_in_the_text_and_of_an_image_in_the_body(
    gemini: Any, control: Any, story_schema: dict[str, Any]
) -> None:
    control.add_fault("truncated_json", provider="gemini", times=2)
    [candidate] = gemini.text("Topic: a cut", story_schema).json()["candidates"]
    assert candidate["finishReason"] == "MAX_TOKENS"
    with pytest.raises(json.JSONDecodeError):
        gemini.image("a harbour").json()
    assert len(control.bill()["entries"]) == 2


def test_spoiled_images(gemini: Any, control: Any) -> None:
    control.add_fault("one_colour_image", provider="gemini")
    assert Image.open(io.BytesIO(gemini.picture("a harbour"))).getcolors(2) is not None
    control.add_fault("tiny_image", provider="gemini")
    assert Image.open(io.BytesIO(gemini.picture("a harbour"))).size == (1, 1)
    control.add_fault("wrong_aspect", provider="gemini")
    assert Image.open(io.BytesIO(gemini.picture("a harbour", ratio="16:9"))).size == (768, 1376)
    control.add_fault("empty_media", provider="gemini")
    assert gemini.picture("a harbour") == b""
    control.add_fault("truncated_media", provider="gemini")
    with pytest.raises((OSError, UnidentifiedImageError, SyntaxError)):
        Image.open(io.BytesIO(gemini.picture("a harbour"))).load()
    assert len(control.bill()["entries"]) == 5


@pytest.mark.parametrize(
    "case",
    [
        ("http_429_retry_after", {}, 429, 1302),
        ("http_429_retry_after", {"code": 1304}, 429, 1304),
        ("http_5xx", {"code": 500}, 500, 5000),
        ("http_5xx", {"code": 503}, 503, 5001),
        ("http_5xx", {"code": 504}, 504, 5002),
        ("safety", {}, 400, 1301),
        ("safety", {"code": 1300}, 400, 1300),
        ("auth_revoked", {}, 401, 1002),
        ("auth_revoked", {"code": 1103}, 403, 1103),
        ("arrears", {}, 429, 1101),
        ("pack_exhausted", {}, 429, 1102),
    ],
)
def test_klings_errors(kling: Any, control: Any, frame: str, case: tuple[str, dict[str, Any], int, int]) -> None:
    kind, params, status, code = case
    control.add_fault(kind, provider="kling", **params)
    response = kling.create(frame)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert (response.headers.get("Retry-After") == "5") == (kind == "http_429_retry_after")
    assert control.bill()["entries"] == []


def test_a_job_refused_while_it_runs_ends_failed_and_is_refunded(kling: Any, control: Any, frame: str) -> None:
    control.add_fault("safety", provider="kling", at="poll")
    task = kling.finished(kling.create(frame).json()["data"]["id"])
    assert (task["status"], task["outputs"], task["billing"]) == ("failed", [], [])
    assert "risk control" in task["message"]
    assert [entry["outcome"] for entry in control.bill()["entries"]] == ["answered", "refunded"]
    assert float(control.bill()["total_usd"]) == 0


def test_spoiled_clips_are_charged(kling: Any, control: Any, frame: str) -> None:
    for kind in ("black_clip", "frozen_clip", "short_clip", "wrong_aspect"):
        control.add_fault(kind, provider="kling", match={"prompt_contains": kind})
    ids = {
        kind: kling.create(frame, kind).json()["data"]["id"]
        for kind in ("black_clip", "frozen_clip", "short_clip", "wrong_aspect")
    }
    clips = {
        kind: frames(kling.http.get(kling.finished(task)["outputs"][0]["url"]).content) for kind, task in ids.items()
    }
    assert max(clips["black_clip"][60].ravel()) < 20
    assert np.abs(clips["frozen_clip"][0].astype(float) - clips["frozen_clip"][-1]).mean() < 1
    assert len(clips["short_clip"]) < 40
    assert clips["wrong_aspect"][0].shape == (1280, 720)
    assert float(control.bill()["total_usd"]) == pytest.approx(4 * 3 * 0.084)


def test_a_stuck_job_never_ends_and_a_slow_one_ends_late(kling: Any, control: Any, frame: str) -> None:
    control.add_fault("stuck_job", provider="kling", match={"prompt_contains": "stuck"})
    control.add_fault("slow_job", provider="kling", match={"prompt_contains": "slow"}, seconds=4)
    began = time.monotonic()
    stuck = kling.create(frame, "a stuck one").json()["data"]["id"]
    slow = kling.create(frame, "a slow one").json()["data"]["id"]
    assert kling.finished(slow)["status"] == "succeeded"
    assert time.monotonic() - began >= 4
    assert kling.poll(task_ids=stuck).json()["data"][0]["status"] == "processing"


def test_spoiled_downloads_heal_when_they_are_asked_for_again(kling: Any, control: Any, frame: str) -> None:
    url = kling.finished(kling.create(frame).json()["data"]["id"])["outputs"][0]["url"]
    whole = kling.http.get(url).content
    control.add_fault("truncated_media", provider="kling")
    assert len(kling.http.get(url).content) == len(whole) // 2
    control.add_fault("truncated_media", provider="kling", mode="connection")
    with pytest.raises(httpx.RemoteProtocolError):
        kling.http.get(url)
    control.add_fault("empty_media", provider="kling")
    assert kling.http.get(url).content == b""
    control.add_fault("html_at_200", provider="kling", match={"operation": "download"})
    assert kling.http.get(url).headers["content-type"].startswith("text/html")
    assert kling.http.get(url).content == whole


@pytest.mark.parametrize(
    "case",
    [
        ("http_429_retry_after", {}, 429, "rate_limit_exceeded"),
        ("http_429_retry_after", {"code": "system_busy"}, 429, "system_busy"),
        ("http_429_retry_after", {"code": "too_many_concurrent_requests"}, 429, "too_many_concurrent_requests"),
        ("quota_exceeded", {}, 401, "quota_exceeded"),
        ("auth_revoked", {}, 401, "invalid_api_key"),
        ("voice_not_found", {}, 400, "voice_not_found"),
    ],
)
def test_elevenlabs_errors(voice: Any, control: Any, case: tuple[str, dict[str, Any], int, str]) -> None:
    kind, params, status, code = case
    control.add_fault(kind, provider="elevenlabs", **params)
    response = voice.speak(LINE)
    assert (response.status_code, response.json()["detail"]["code"]) == (status, code)
    assert control.bill()["entries"] == []


def test_spoiled_sound(voice: Any, control: Any) -> None:
    whole = voice.speak(LINE).content
    control.add_fault("silent_audio", provider="elevenlabs")
    silent = samples(voice.speak(LINE).content)
    assert (silent.size, np.abs(silent).max() < 1e-3) == (samples(whole).size, True)
    control.add_fault("empty_media", provider="elevenlabs")
    assert voice.speak(LINE).content == b""
    control.add_fault("truncated_media", provider="elevenlabs", share=0.25)
    assert len(voice.speak(LINE).content) == len(whole) // 4
    control.add_fault("html_at_200", provider="elevenlabs")
    assert voice.effect("rain", duration_seconds=1).headers["content-type"].startswith("text/html")
    assert len(control.bill()["entries"]) == 5


@pytest.mark.parametrize("kind", ["timeout_after_charging", "disconnect_after_charging"])
def test_an_answer_lost_after_charging_is_on_the_bill(voice: Any, gemini: Any, control: Any, kind: str) -> None:
    outcome = {"timeout_after_charging": "timed_out_after_charging"}.get(kind, "disconnected_after_charging")
    control.add_fault(kind, times=2, hold_seconds=0.2)
    for call in (lambda: voice.speak(LINE), lambda: gemini.text("Topic: lost", {"type": "object", "properties": {}})):
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            call()
    assert [entry["outcome"] for entry in control.bill()["entries"]] == [outcome, outcome]


def test_a_create_lost_after_charging_is_found_by_its_external_id(kling: Any, control: Any, frame: str) -> None:
    control.add_fault("disconnect_after_charging", provider="kling", match={"external_id_contains": "lost"})
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        kling.create(frame, external_task_id="lost-1")
    [task] = kling.poll(external_task_ids="lost-1").json()["data"]
    assert kling.finished(task["id"])["status"] == "succeeded"


def test_a_timeout_before_charging_is_not_on_the_bill(kling: Any, control: Any, frame: str) -> None:
    control.add_fault("timeout_before_charging", provider="kling", hold_seconds=0.2)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        kling.create(frame, external_task_id="never")
    assert kling.poll(external_task_ids="never").json()["data"] == []
    assert control.bill()["entries"] == []


@pytest.mark.parametrize(("stage", "billed"), [("before_charging", 0), ("after_charging", 1)])
def test_a_held_call_goes_on_when_it_is_released(voice: Any, control: Any, stage: str, billed: int) -> None:
    control.add_fault("hold_call", provider="elevenlabs", stage=stage)
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(voice.speak(LINE).status_code))
    thread.start()
    until = time.monotonic() + 15
    while not control.held():
        assert time.monotonic() < until
        time.sleep(0.02)
    assert len(control.bill()["entries"]) == billed
    assert [call["status"] for call in control.calls()] == [None]
    control.release(control.held()[0]["request_id"])
    thread.join(20)
    assert answers == [200]
    assert len(control.bill()["entries"]) == 1


def test_a_key_can_be_revoked_and_given_back_without_touching_others(voice: Any, control: Any) -> None:
    control.put_key("elevenlabs", key="channel-a", name="a")
    first = type(voice)(voice.http, "channel-a")
    control.put_key("elevenlabs", name="a", trouble="revoked")
    assert (first.speak(LINE).status_code, voice.speak(LINE).status_code) == (401, 200)
    control.put_key("elevenlabs", name="a", trouble="")
    assert first.speak(LINE).status_code == 200


def test_every_kind_of_fault_is_tried_in_this_file_or_beside_it() -> None:
    words = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [kind.value for kind in FaultKind if f'"{kind.value}"' not in words] == []
