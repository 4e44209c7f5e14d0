"""Providers at their worst, all at once: films finish, and nothing is paid twice but calls that nobody can look up."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

import pytest
from tests.integration.local.laptop import NightShift

from videotask_emulators.control import ControlClient
from videotask_emulators.testing import EmulatorProcess

pytestmark = pytest.mark.timeout(3000)

IS_LONG = os.environ.get("VIDEOTASK_LONG") == "1"
SEED = "20"
RETRIES = {
    "RETRY_MINUTES": "[0.01, 0.02, 0.05, 0.1]",
    "RATE_LIMIT_WAIT_MINUTES": "0.02",
    "NETWORK_WAIT_MINUTES": "0.02",
}
"""Retry pauses of a second to six, where the product waits for minutes: the schedule itself is tried elsewhere."""

_IN_DOUBT = (
    "SELECT tasks.name, spend.step, item, amount_usd FROM spend JOIN tasks ON tasks.id = spend.task_uid "
    "WHERE certainty = 'possibly' ORDER BY 1, 2, 3"
)


def begin_storm(control: ControlClient) -> None:
    """30 % of all calls meet a 429, 20 % a 5xx, 5 % of the paid ones die after they were charged.

    A call meets at most one fault, and each fault sees only what those before it let through. One of each rare fault is
    sure to come, also over a small film: a clip's job in doubt, an image blocked at 200, a clip refused.
    """
    control.add_fault("timeout_after_charging", match={"operation": "create"}, times=1, hold_seconds=2)
    control.add_fault("timeout_after_charging", match={"operation": "speech"}, times=1, hold_seconds=2)
    control.add_fault("block_finish_reason", provider="gemini", times=1, reason="IMAGE_SAFETY")
    control.add_fault("safety", provider="kling", times=1, at="poll")
    control.add_fault("http_429_retry_after", times=-1, probability=0.30, retry_after_seconds=1)
    control.add_fault("http_5xx", times=-1, probability=0.20 / 0.70, code=503)
    control.add_fault("timeout_after_charging", times=-1, probability=0.05 / 0.50, hold_seconds=2)
    control.add_fault("block_finish_reason", provider="gemini", times=-1, probability=0.10, reason="IMAGE_SAFETY")
    control.add_fault("safety", provider="kling", times=-1, probability=0.10, at="poll")
    control.add_fault("slow_job", provider="kling", times=-1, probability=0.30, seconds=8)


@pytest.mark.parametrize(
    ("films", "scenes"),
    [
        pytest.param(1, 2, id="1-film"),
        pytest.param(
            3,
            6,
            id="3-films",
            marks=pytest.mark.skipif(
                not IS_LONG, reason="three films in a storm: VIDEOTASK_LONG=1 runs it (6 minutes)"
            ),
        ),
    ],
)
def test_films_come_through_a_storm(tmp_path, tell, films, scenes):
    words: Counter[str] = Counter()
    with EmulatorProcess(latency="none", options=("--clip-fps", "12", "--seed", SEED)) as emulators:
        begin_storm(emulators.control)
        night = NightShift(tmp_path, emulators.url, RETRIES)
        names = [f"storm-{number}" for number in range(films)]
        for name in names:
            night.film(name, channel=night.channel(f"{name}-channel"), scenes=scenes)

        def a_person_says_again(name: str) -> None:
            words[name] += 1
            assert words[name] <= 25, f"{name} does not come through: {night.status(name)}"
            night.raise_attempt(name)

        with night:
            night.wait_for_films(seconds=2400, on_error=a_person_says_again)
            statuses = {name: night.status(name) for name in names}
            in_doubt = night.sql(_IN_DOUBT)
        bill = emulators.control.bill()["entries"]
        faults = emulators.control.faults()
        calls = emulators.control.calls()
    lines = [Line(name, statuses[name], [entry for entry in bill if entry["text"].startswith(name)]) for name in names]
    doubts = "\n".join(
        f"possibly paid: {row['name']} {row['step']} {row['item']} {row['amount_usd']}" for row in in_doubt
    )
    tell(f"{films} film(s) in a storm", f"{table_of(lines, words)}\n{doubts}\n{weather_of(calls, faults)}")
    for kind in ("http_429_retry_after", "http_5xx", "timeout_after_charging", "block_finish_reason", "safety"):
        assert sum(fault["hits"] for fault in faults if fault["kind"] == kind), f"the storm had no {kind}"
    for line in lines:
        line.assert_honest()
    # A clip's job can be looked up by our own id, so that no doubt about one outlives the step.
    assert not [row for row in in_doubt if row["step"] == "video_generation"], in_doubt


class Line:
    """One film's money: planned, billed, recorded."""

    def __init__(self, name: str, status: dict[str, Any], bill: list[dict[str, Any]]) -> None:
        self.name = name
        self.bill = bill
        self.planned_usd = Decimal(status["estimatedCostUSD"])
        self.recorded_usd = Decimal(status["costUSD"])
        self.billed_usd = sum((Decimal(entry["amount_usd"]) for entry in bill), Decimal(0))

    @property
    def wasted_usd(self) -> Decimal:
        """What was billed beyond the plan."""
        return self.billed_usd - self.planned_usd

    def assert_honest(self) -> None:
        """Clips are never paid twice; elsewhere a call is paid again only after one that died without an answer."""
        clips: defaultdict[str, list[Decimal]] = defaultdict(list)
        for entry in self.bill:
            if entry["kind"] == "video":
                clips[entry["prompt_sha256"]].append(Decimal(entry["amount_usd"]))
        # A job that the provider refused is given back by a negative line.
        assert len({sum(amounts) for amounts in clips.values()}) == 1, f"{self.name}: a clip was paid twice: {clips}"
        answered = Counter(
            (entry["kind"], entry["prompt_sha256"])
            for entry in self.bill
            if entry["kind"] != "video" and entry["outcome"] == "answered"
        )
        assert set(answered.values()) <= {1}, f"{self.name}: what was answered was bought again: {answered}"
        assert self.recorded_usd >= self.billed_usd, f"{self.name}: the record knows less than was paid"


def table_of(lines: list[Line], words: Counter[str]) -> str:
    """Return dollars by film: planned, billed, wasted, what the record holds as paid or possibly paid."""
    rows = [f"{'film':<10}{'planned':>10}{'billed':>10}{'wasted':>10}{'recorded':>10}{'attempts raised':>17}"]
    for line in lines:
        money = (line.planned_usd, line.billed_usd, line.wasted_usd, line.recorded_usd)
        rows.append(f"{line.name:<10}" + "".join(f"{usd:>10.4f}" for usd in money) + f"{words[line.name]:>17}")
    return "\n".join(rows)


def weather_of(calls: list[dict[str, Any]], faults: list[dict[str, Any]]) -> str:
    """Return how bad it was."""
    hits = ", ".join(f"{fault['kind']} {fault['hits']}" for fault in faults)
    return f"{len(calls)} calls met {hits}"
