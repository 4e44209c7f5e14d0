"""A provider refuses a channel's key through real HTTP: the channel stops once, others go on, one film tries again."""

from __future__ import annotations

import json

import pytest
from tests.integration.local.laptop import NightShift
from tests.support.builders import a_channel_spec

from videotask_contract.phases import Phase

pytestmark = pytest.mark.timeout(1200)
WAIT_SECONDS = 500


def billed_twice(control):
    seen = [(entry["provider"], entry["kind"], entry["prompt_sha256"]) for entry in control.bill()["entries"]]
    return {entry for entry in seen if seen.count(entry) > 1}


def test_a_dead_key_stops_its_channel_once_and_one_film_tries_it_when_a_person_says_so(tmp_path, emulators, control):
    control.put_key("kling", key="harbour-key", name="harbour")
    control.put_key("kling", name="harbour", trouble="arrears")
    night = NightShift(tmp_path, emulators.url, {"FLEET_MAX_ACTIVE_TASKS": "4", "RESYNC_SECONDS": "1"})
    night.channel("tides")
    night.channel("harbour")
    night.folder.save_secret("harbour-kling", {"api-key": "harbour-key"})
    accounts = {name: {"secretRef": {"name": f"{name}-key"}} for name in ("gemini", "elevenlabs")}
    own = a_channel_spec(
        credentials={**accounts, "kling": {"secretRef": {"name": "harbour-kling"}}},
        volume={"claimName": "harbour-films"},
    )
    night.folder.apply(
        {"apiVersion": "videotask.dev/v1alpha1", "kind": "Channel", "metadata": {"name": "harbour"}, "spec": own}
    )

    def events(reason):
        lines = night.folder.events.read_text().splitlines() if night.folder.events.exists() else []
        return [line for line in map(json.loads, lines) if line["reason"] == reason]

    def tries():
        return sum((call["provider"], call["status"]) == ("kling", 429) for call in control.calls())

    def has_clips(name):
        return {step["name"]: step["state"] for step in night.status(name).get("steps", ())}.get(
            "video_generation"
        ) == "Done"

    night.film("first", channel="harbour", scenes=1)
    with night:
        night.wait("it is refused", lambda: night.phase("first") is Phase.VIDEO_ERROR, seconds=WAIT_SECONDS)
        tried = tries()
        assert tried > 0
        night.film("second", channel="harbour", scenes=1)
        night.film("other", channel="tides", scenes=1)
        night.wait("another channel's clips are made", lambda: has_clips("other"), seconds=WAIT_SECONDS)
        held = night.status("second")
        assert held["phase"] == Phase.QUEUED.resource
        assert "default/harbour-kling/api-key" in held["message"]
        assert "1101" in held["message"], "in the provider's words"
        assert tries() == tried

        night.raise_attempt("first")
        night.wait("it is refused anew", lambda: tries() > tried, seconds=WAIT_SECONDS)
        night.wait("it stops again", lambda: night.phase("first") is Phase.VIDEO_ERROR, seconds=60)
        assert night.phase("second") is Phase.QUEUED

        control.put_key("kling", name="harbour", trouble="")
        night.raise_attempt("first")
        night.wait("its clip is made", lambda: has_clips("first"), seconds=WAIT_SECONDS)
        night.wait("the next film has its turn", lambda: night.phase("second") is not Phase.QUEUED, seconds=60)
        # The channel is shown apart from its films: its event may follow the turn that it tells of.
        night.wait("the channel says so", lambda: events("AccountWorks"), seconds=60)
        assert [event["channel"] for event in events("AccountRefused")] == ["harbour"]
        assert [event["channel"] for event in events("AccountWorks")] == ["harbour"]
        assert billed_twice(control) == set()
        assert night.sql("SELECT * FROM account_blocks") == []
