"""What a person sees of a film's way follows from the resource's status alone."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rich.console import Console

from videotask_contract.prices import PriceTable
from videotask_contract.resources import ChannelSpec, Quality, VideoTaskSpec
from videotask_operator.cli.prices import price_table
from videotask_operator.cli.progress import FilmProgress, format_seconds, view_status
from videotask_operator.core.estimate import estimate_by_step

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def a_status(*, done=7, message="run 3: 18 clips", **changes):
    return {
        "phase": "GeneratingVideo",
        "message": message,
        "costUSD": "1.5792",
        "steps": [
            {
                "name": "asset_generation",
                "state": "Done",
                "done": 22,
                "total": 22,
                "costUSD": "0.7392",
                "startedAt": (NOW - timedelta(seconds=90)).isoformat(),
                "completedAt": (NOW - timedelta(seconds=60)).isoformat(),
            },
            {
                "name": "video_generation",
                "state": "Running",
                "done": done,
                "total": 18,
                "costUSD": "0.8400",
                "startedAt": (NOW - timedelta(seconds=65)).isoformat().replace("+00:00", "Z"),
            },
        ],
    } | changes


class Watch:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def shown(*statuses, pause_seconds=10.0, terminal=False):
    """Return what the terminal holds after these statuses, each so long after the one before."""
    out, watch = io.StringIO(), Watch()
    console = Console(file=out, width=100, force_terminal=terminal)
    with FilmProgress(console, title="The heron", clock=lambda: NOW, stopwatch=watch) as progress:
        for status in statuses:
            progress.show(status)
            watch.seconds += pause_seconds
    return out.getvalue()


def test_a_step_shows_its_own_time_and_a_step_not_begun_shows_none():
    steps = {step.name: step for step in view_status(a_status(), now=NOW).steps}
    assert (steps["images"].seconds, steps["clips"].seconds, steps["film"].seconds) == (30, 65, None)
    assert steps["images"].cost_usd == Decimal("0.7392")


def test_an_empty_status_is_a_queued_film():
    assert shown({}).splitlines()[1].split() == ["0:00", "Queued", "waits", "for", "its", "turn"]


def test_where_nobody_watches_a_phase_is_one_line_and_progress_another():
    lines = shown(a_status(done=0), a_status(done=0), a_status(done=7), a_status(done=7)).splitlines()
    assert len(lines) == 3
    assert "Generating Video" in lines[1]
    assert "7/18 clips" in lines[2]
    assert "$1.5792" in lines[2]


def test_progress_within_five_seconds_adds_no_line():
    assert len(shown(*(a_status(done=done) for done in range(10)), pause_seconds=0.1).splitlines()) == 2


def test_a_retry_is_told_at_once():
    retry = a_status(
        message="clips: 503; next attempt in 1 min", nextAttemptAt=(NOW + timedelta(minutes=1)).isoformat()
    )
    assert "next attempt in 1 min" in shown(a_status(), retry, pause_seconds=0.1)


def test_a_terminal_shows_every_step_in_one_table():
    text = shown(a_status(), terminal=True)
    for word in ("The heron", "images", "22/22", "0:30", "7/18", "1:05", "narrations", "effects", "film", "so far"):
        assert word in text, word


def test_messages_are_never_taken_for_markup():
    assert "[bold]x[/]" in shown(a_status(message="[bold]x[/]"))


def test_seconds_read_as_minutes():
    assert [format_seconds(value) for value in (4, 59.6, 3600)] == ["0:04", "1:00", "60:00"]


def test_the_price_table_names_every_paid_step_and_the_sum():
    account = {"secretRef": {"name": "keys"}}
    channel = ChannelSpec.model_validate(
        {
            "voice": {"voiceID": "abc"},
            "credentials": dict.fromkeys(("gemini", "kling", "elevenlabs"), account),
            "volume": {"claimName": "films"},
        }
    )
    spec = VideoTaskSpec.model_validate({"channelRef": {"name": "river"}, "title": "T", "topic": "t"})
    estimates = estimate_by_step(spec, channel, PriceTable())
    out = io.StringIO()
    Console(file=out, width=100).print(price_table(estimates, quality=Quality(), title="It costs"))
    text = out.getvalue()
    for word in ("images", "clips", "narrations", "effects", "kling-2.5-turbo, 720p, 10 s", "in all", "$7.56"):
        assert word in text, word
