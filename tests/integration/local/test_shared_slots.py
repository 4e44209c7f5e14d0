"""Many channels on one key of each provider: no call too many, and no slot idle while a film waits for one."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from typing import Self

import pytest
from tests.integration.local.laptop import NightShift

from videotask_emulators.testing import EmulatorProcess

pytestmark = pytest.mark.timeout(3000)

IS_LONG = os.environ.get("VIDEOTASK_LONG") == "1"
HAND_OVER_SECONDS = 12.0
"""A slot is told free with the next report, a second later at most; then the film that waits opens its run.

Generous for a busy machine; a film that nobody told looks again by itself after 30 s.
"""
CLIP_SECONDS = 10
_SAMPLE_SECONDS = 0.2
_GRANTED = "SELECT account, sum(concurrency) AS slots FROM step_runs WHERE closed_at IS NULL GROUP BY account"
_WAITING = "SELECT step, count(*) AS films FROM tasks WHERE waiting_reason = 'WaitingForSlot' GROUP BY step"
_PROVIDER = {
    "asset_generation": "gemini",
    "video_generation": "kling",
    "narration_generation": "elevenlabs",
    "sfx_generation": "elevenlabs",
}


@dataclass(slots=True)
class SlotGuard:
    """Looks at granted slots and waiting films again and again."""

    night: NightShift
    limits: dict[str, int]
    samples: int = 0
    waiting: dict[str, int] = field(default_factory=dict)
    """Samples in which a film waited for the provider's account."""
    most: dict[str, int] = field(default_factory=dict)
    """The most slots that were granted at once."""
    longest_idle_seconds: dict[str, float] = field(default_factory=dict)
    """The longest time in which a film waited while slots of its account were granted to nobody."""
    _idle_since: dict[str, float] = field(default_factory=dict)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        with self.night.connect() as connection:
            while not self._ending.wait(_SAMPLE_SECONDS):
                with connection.transaction():
                    granted = connection.execute(_GRANTED).fetchall()
                    waiting = connection.execute(_WAITING).fetchall()
                slots = {
                    row["account"].split("/")[1].split("-")[0]: int(row["slots"]) for row in granted if row["account"]
                }
                self._note(slots, {_PROVIDER[row["step"]] for row in waiting if row["films"]})

    def _note(self, slots: dict[str, int], waited_for: set[str]) -> None:
        self.samples += 1
        now = time.monotonic()
        for provider, limit in self.limits.items():
            held = slots.get(provider, 0)
            self.most[provider] = max(self.most.get(provider, 0), held)
            if provider in waited_for:
                self.waiting[provider] = self.waiting.get(provider, 0) + 1
            if provider not in waited_for or held >= limit:
                self._idle_since.pop(provider, None)
                continue
            idle = now - self._idle_since.setdefault(provider, now)
            self.longest_idle_seconds[provider] = max(self.longest_idle_seconds.get(provider, 0.0), idle)

    def __str__(self) -> str:
        lines = [f"{'account':<12}{'limit':>6}{'most':>6}{'waited in':>12}{'longest idle':>14}"]
        for provider, limit in self.limits.items():
            share = self.waiting.get(provider, 0) / max(self.samples, 1)
            idle = self.longest_idle_seconds.get(provider, 0.0)
            lines.append(f"{provider:<12}{limit:>6}{self.most.get(provider, 0):>6}{share:>11.0%}{idle:>12.1f} s")
        return "\n".join(lines)


@pytest.mark.parametrize(
    ("films", "scenes", "limits"),
    [
        pytest.param(3, 3, {"kling": 3, "elevenlabs": 2}, id="3-films"),
        pytest.param(
            10,
            4,
            {"kling": 20, "elevenlabs": 5},
            id="10-films",
            marks=pytest.mark.skipif(not IS_LONG, reason="ten films on one key: VIDEOTASK_LONG=1 runs it (10 minutes)"),
        ),
    ],
)
def test_films_of_many_channels_share_one_keys_slots(tmp_path, tell, films, scenes, limits):
    options = ("--clip-fps", "12")
    with EmulatorProcess(latency="demo", options=options) as emulators:
        for provider, slots in limits.items():
            emulators.control.put_key(provider, name=f"{provider}-demo", concurrency=slots)
        # Long enough for all films to come to their clips before the first has all of its own.
        emulators.control.add_fault("slow_job", times=-1, seconds=CLIP_SECONDS)
        night = NightShift(tmp_path, emulators.url, {"FLEET_MAX_ACTIVE_TASKS": str(films)})
        for number in range(films):
            channel = night.channel(f"channel-{number}", concurrency=limits)
            night.film(f"film-{number}", channel=channel, scenes=scenes)
        # A speech takes no time here: all hang, and so keep their slots, until another film has come for the same key.
        held = emulators.control.add_fault("hold_call", match={"operation": "speech"}, times=-1)
        with night, SlotGuard(night, limits) as guard:
            night.wait("a film waits for a voice", lambda: guard.waiting.get("elevenlabs"), seconds=600)
            emulators.control.clear_faults(held)
            emulators.control.release()
            night.wait_for_films(seconds=2400)
        calls = emulators.control.calls()
        marks = emulators.control.in_flight()
    tell(f"{films} films of {scenes} scenes, {films} channels, one key of each provider", guard)
    assert not [call for call in calls if call["status"] == 429], (
        "a provider was asked for more than its account allows"
    )
    for provider, limit in limits.items():
        assert guard.waiting.get(provider), f"no film ever waited for {provider}: nothing was shown"
        assert guard.most[provider] == limit
        assert max(marks[f"{provider}/{provider}-demo"]["high_water"].values()) <= limit
        assert guard.longest_idle_seconds.get(provider, 0.0) <= HAND_OVER_SECONDS
