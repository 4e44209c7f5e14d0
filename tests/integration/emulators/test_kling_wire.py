"""Kling's answers and codes, row by row of its public reference."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import time
from collections.abc import Callable
from typing import Any

import av
import pytest


def signed(claims: dict[str, Any], secret: str = "kling-demo-secret") -> str:
    def part(document: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    text = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def claims(**changes: Any) -> dict[str, Any]:
    return {"iss": "kling-demo-access", "exp": int(time.time()) + 1800, "nbf": int(time.time()) - 5, **changes}


def test_a_job_goes_from_submitted_to_a_playable_clip_of_the_ordered_length(kling: Any, frame: str) -> None:
    created = kling.create(frame, model="kling-2.5-turbo", settings={"duration": 5}, external_task_id="task-1").json()
    assert (created["code"], created["message"], created["data"]["status"]) == (0, "SUCCEED", "submitted")
    assert created["request_id"]
    task = kling.finished(created["data"]["id"])
    [output] = task["outputs"]
    assert (task["status"], task["external_id"], output["type"], output["duration"]) == (
        "succeeded",
        "task-1",
        "video",
        "5.041",
    )
    [billing] = task["billing"]
    assert (set(billing), float(billing["amount"])) == ({"charge_type", "amount", "package_type"}, 0.21)
    clip = kling.http.get(output["url"])
    assert clip.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(clip.content)) as video:
        stream = video.streams.video[0]
        frames = sum(1 for _ in video.decode(video=0))
        assert (stream.codec_context.name, stream.width, stream.height, frames) == ("h264", 1280, 720, 121)


def test_a_1080p_clip_is_1080p(kling: Any, frame: str) -> None:
    with av.open(
        io.BytesIO(kling.clip(frame, model="kling-3.0", settings={"resolution": "1080p", "duration": 3}))
    ) as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (1920, 1080)


@pytest.mark.parametrize(("key", "code"), [("", 1001), ("wrong", 1002), ("kling-demo-access", 1002), ("a.b.c", 1002)])
def test_a_bad_key_is_401_with_its_code(kling: Any, frame: str, key: str, code: int) -> None:
    response = type(kling)(kling.http, key).create(frame)
    assert (response.status_code, response.json()["code"]) == (401, code)


@pytest.mark.parametrize(
    ("sign", "code"),
    [
        (lambda: signed(claims()), 0),
        (lambda: signed(claims(), secret="other"), 1000),
        (lambda: signed(claims(nbf=int(time.time()) + 600)), 1003),
        (lambda: signed(claims(exp=int(time.time()) - 5)), 1004),
        (lambda: signed(claims(iss="nobody")), 1002),
    ],
    ids=["good", "another secret", "not yet", "no longer", "another issuer"],
)
def test_a_legacy_pair_signs_its_calls(kling: Any, sign: Callable[[], str], code: int) -> None:
    assert type(kling)(kling.http, sign()).poll(task_ids="x").json()["code"] == code


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "kling-2.5-turbo", "settings": {"duration": 7}}, "duration"),
        ({"model": "kling-2.6", "settings": {"duration": 3}}, "duration"),
        ({"settings": {"duration": "5"}}, "duration"),
        ({"settings": {"resolution": "4k"}}, "resolution"),
        ({"settings": {"audio": "native"}}, "audio"),
        ({"settings": {"multi_shot": "no"}}, "multi_shot"),
        ({"settings": {"fps": 30}}, "settings.fps"),
        ({"prompt": "x" * 2501}, "2500"),
        ({"prompt": "  "}, "prompt"),
        ({"watermark": True}, "watermark"),
        ({"options": {"external_id": "x"}}, "options.external_id"),
        ({"contents": [{"type": "prompt", "text": "x"}]}, "first_frame"),
    ],
)
def test_a_bad_parameter_is_400_and_named(
    kling: Any, control: Any, frame: str, changes: dict[str, Any], words: str
) -> None:
    response = kling.create(frame, **changes)
    assert (response.status_code, response.json()["code"] in {1200, 1201}) == (400, True)
    assert words in response.json()["message"]
    assert control.bill()["entries"] == []


@pytest.mark.parametrize("model", ["kling-3.0", "kling-3.0-turbo"])
@pytest.mark.parametrize(("seconds", "status"), [(2, 400), (3, 200), (16, 400)])
def test_the_newer_models_take_3_to_15_seconds(kling: Any, frame: str, model: str, seconds: int, status: int) -> None:
    assert kling.create(frame, model=model, settings={"duration": seconds}).status_code == status


def test_a_shut_down_model_does_not_exist(kling: Any, frame: str) -> None:
    response = kling.create(frame, model="kling-v2-1")
    assert (response.status_code, response.json()["code"]) == (404, 1203)


def test_a_first_frame_must_be_bare_base64_of_a_large_enough_jpg_or_png(
    kling: Any, frame: str, make_frame: Any
) -> None:
    for bad in (
        "data:image/png;base64," + frame,
        "%%%",
        base64.b64encode(b"no image").decode(),
        make_frame(299, 640),
        make_frame(kind="WEBP"),
        make_frame(1600, 400),
    ):
        assert kling.create(bad).json()["code"] == 1201
    assert kling.create(make_frame(300, 300, kind="JPEG")).json()["code"] == 0


def test_polls_want_exactly_one_kind_of_id(kling: Any) -> None:
    for query in ({}, {"task_ids": "a", "external_task_ids": "b"}, {"ids": "a"}):
        response = kling.poll(**query)
        assert (response.status_code, response.json()["code"]) == (400, 1201)


def test_an_unknown_id_and_another_accounts_id_give_no_data(kling: Any, control: Any, frame: str) -> None:
    control.put_key("kling", key="second-key", name="second")
    task_id = kling.create(frame, external_task_id="mine").json()["data"]["id"]
    other = type(kling)(kling.http, "second-key")
    assert kling.poll(task_ids="nothing").json()["data"] == []
    assert other.poll(task_ids=task_id).json()["data"] == []
    assert other.poll(external_task_ids="mine").json()["data"] == []


def test_several_jobs_are_polled_at_once_by_either_id(kling: Any, frame: str) -> None:
    ids = [kling.create(frame, external_task_id=f"many-{number}").json()["data"]["id"] for number in range(3)]
    assert [task["id"] for task in kling.poll(task_ids=",".join(ids)).json()["data"]] == ids
    found = kling.poll(external_task_ids="many-0,many-2").json()["data"]
    assert sorted(task["external_id"] for task in found) == ["many-0", "many-2"]


def test_the_same_external_id_twice_is_two_jobs_and_two_charges(kling: Any, control: Any, frame: str) -> None:
    for _ in range(2):
        kling.create(frame, external_task_id="twice")
    assert len(kling.poll(external_task_ids="twice").json()["data"]) == 2
    assert [entry["external_task_id"] for entry in control.bill()["entries"]] == ["twice", "twice"]


def test_open_jobs_are_limited_for_each_key_and_model(kling: Any, control: Any, frame: str) -> None:
    control.put_key("kling", key="narrow-key", name="narrow", concurrency=2)
    control.add_fault("stuck_job", provider="kling", match={"key_id": "narrow"}, times=-1)
    narrow = type(kling)(kling.http, "narrow-key")
    assert [narrow.create(frame).json()["code"] for _ in range(3)] == [0, 0, 1303]
    assert narrow.create(frame, model="kling-3.0-turbo").json()["code"] == 0
    assert kling.create(frame).json()["code"] == 0
    assert control.in_flight()["kling/narrow"]["high_water"]["kling-3.0"] == 2
    assert len([entry for entry in control.bill()["entries"] if entry["key_id"] == "narrow"]) == 3


@pytest.mark.parametrize(("trouble", "code"), [("arrears", 1101), ("pack_exhausted", 1102), ("account_abnormal", 1100)])
def test_an_account_in_trouble_may_poll_but_not_create(
    kling: Any, control: Any, frame: str, trouble: str, code: int
) -> None:
    control.put_key("kling", key=f"{trouble}-key", name=trouble, trouble=trouble)
    troubled = type(kling)(kling.http, f"{trouble}-key")
    response = troubled.create(frame)
    assert (response.status_code, response.json()["code"]) == (429, code)
    assert troubled.poll(task_ids="x").json()["code"] == 0


def test_unknown_paths_answer_in_klings_shape(kling: Any) -> None:
    response = kling.http.delete("/tasks", headers=kling.headers())
    assert (response.status_code, response.json()["code"]) == (404, 1202)
