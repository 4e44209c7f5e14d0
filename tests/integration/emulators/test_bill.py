"""The bill and the figures that the providers tell: both say the same, and the bill survives a crash."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from videotask_emulators.testing import EmulatorProcess

LINE = "A line of forty characters, give or take"


def told_usd(voice: Any, gemini: Any, kling: Any, frame: str) -> dict[str, Decimal]:
    """Make one call of each kind and return what each provider told of its price, in dollars."""
    image = gemini.image("a harbour", ratio="16:9").json()["usageMetadata"]["candidatesTokenCount"]
    text = gemini.text("Topic: x", {"type": "object", "properties": {"title": {"type": "string"}}}).json()[
        "usageMetadata"
    ]
    task = kling.finished(kling.create(frame, external_task_id="told").json()["data"]["id"])
    million = Decimal(1_000_000)
    return {
        "image": image * Decimal(30) / million,
        "text": (text["promptTokenCount"] * Decimal("0.75") + text["candidatesTokenCount"] * Decimal("3.75")) / million,
        "video": Decimal(task["billing"][0]["amount"]),
        "speech": Decimal(voice.speak(LINE).headers["character-cost"]) * Decimal("0.0001"),
        "sfx": Decimal(voice.effect("rain", duration_seconds=1).headers["character-cost"]) * Decimal("0.0001"),
    }


def test_what_the_providers_tell_is_what_is_billed(
    voice: Any, gemini: Any, kling: Any, control: Any, frame: str
) -> None:
    told = told_usd(voice, gemini, kling, frame)
    bill = control.bill()
    assert {entry["kind"]: Decimal(entry["amount_usd"]) for entry in bill["entries"]} == told
    assert Decimal(bill["total_usd"]) == sum(told.values())
    assert told["image"] == Decimal("0.0336")
    assert told["video"] == Decimal("0.252")
    assert told["sfx"] == Decimal("0.12")
    assert told["speech"] == Decimal("0.004")


def test_a_price_factor_moves_what_is_told_and_what_is_billed_alike(
    voice: Any, gemini: Any, kling: Any, control: Any, frame: str
) -> None:
    control.set_price_factor("1.2")
    told = told_usd(voice, gemini, kling, frame)
    assert {entry["kind"]: Decimal(entry["amount_usd"]) for entry in control.bill()["entries"]} == told
    assert told["image"] == Decimal("0.04032")
    assert told["video"] == Decimal("0.3024")
    assert told["sfx"] == Decimal("0.144")
    assert told["speech"] == Decimal("0.0048")


def test_a_price_fault_moves_one_call_alone(voice: Any, control: Any) -> None:
    control.add_fault("price", provider="elevenlabs", match={"prompt_contains": "dear"}, factor=3)
    costs = [voice.speak(text).headers["character-cost"] for text in ("cheap text", "dear text!", "dear again")]
    assert costs == ["10", "30", "10"]


def test_an_entry_names_the_call_but_never_the_key(voice: Any, control: Any) -> None:
    control.put_key("elevenlabs", key="a-very-secret-key")
    response = type(voice)(voice.http, "a-very-secret-key").speak(LINE)
    [entry] = control.bill()["entries"]
    assert entry["request_id"] == response.headers["request-id"]
    assert (entry["provider"], entry["model"], entry["kind"], entry["text"]) == (
        "elevenlabs",
        "eleven_multilingual_v2",
        "speech",
        LINE,
    )
    assert (entry["unit"], entry["units"], entry["outcome"]) == ("credits", "40", "answered")
    assert entry["key_id"].startswith("sha256:")
    assert "a-very-secret-key" not in str(control.bill()) + str(control.calls()) + str(control.keys())


def test_the_call_log_tells_each_call_with_its_status(voice: Any, control: Any) -> None:
    since = max((call["seq"] for call in control.calls()), default=0)
    voice.speak(LINE)
    voice.speak(LINE, voice_id="nobody")
    calls = control.calls(since)
    assert [(call["operation"], call["status"]) for call in calls] == [("speech", 200), ("speech", 400)]
    assert len({call["prompt_sha256"] for call in calls}) == 1


def test_bill_and_jobs_survive_a_crash_and_unfinished_jobs_go_on(tmp_path: Path, kling: Any, frame: str) -> None:
    with EmulatorProcess(state_dir=tmp_path) as first:
        with httpx.Client(base_url=first.url, timeout=30) as http:
            created = type(kling)(http).create(frame, external_task_id="over-the-crash").json()["data"]["id"]
        billed = first.control.bill()
        first.kill()
    with EmulatorProcess(state_dir=tmp_path) as second:
        assert second.control.bill() == billed
        with httpx.Client(base_url=second.url, timeout=30) as http:
            again = type(kling)(http)
            [task] = again.poll(external_task_ids="over-the-crash").json()["data"]
            assert task["id"] == created
            assert again.finished(created)["status"] == "succeeded"
        second.control.reset_bill()
        assert second.control.bill() == {"total_usd": "0", "entries": []}
    assert len((tmp_path / "bill.jsonl").read_text("utf-8").splitlines()) == 2
