"""Measures a night at realistic latencies without a cluster: one whole film by step, then ten films at once.

The emulators take as long as the providers do (images 15-40 s, clips 1-4 min); everything else is the product itself.
It prints two tables and asserts nothing:
- one house film (22 images, 18 scenes): minutes by step, and how they divide into waiting for providers, media work,
  polling and checking, and our own overhead: the rest. The promise is an overhead of 1 % at most.
- ten short films in one night, ten channels on one key of each provider: the 90th percentile of their minutes against
  120, scaled by their scenes. Nobody is waited for: a film is done when it is on show.
Usage: python -m tests.benchmarks.real_night [--scenes 18] [--films 10] [--film-scenes 4] [--fleet 10] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.integration.local.laptop import NightShift

from videotask_contract.steps import STEPS, TRAITS, Step
from videotask_emulators.control import ControlClient
from videotask_emulators.testing import EmulatorProcess

HOUSE_FILM = Path(__file__).resolve().parents[2] / "samples" / "videotask.yaml"
LIMIT_MINUTES = 120
HOUSE_SCENES = 18
SLOTS = {"kling": 20, "elevenlabs": 5}
_DEADLINE_SECONDS = 3 * 3600

Span = tuple[datetime, datetime]


def main() -> None:
    """Run both parts and print their tables."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if options.scenes:
            print(one_film(Path(folder) / "one", scenes=options.scenes), flush=True)
        if options.films:
            print(one_night(Path(folder) / "night", options), flush=True)


def _parser() -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks.real_night", description=__doc__, formatter_class=style
    )
    parser.add_argument("--scenes", type=int, default=HOUSE_SCENES, help="of the house film; 0 leaves it out")
    parser.add_argument("--films", type=int, default=10, help="in the night; 0 leaves it out")
    parser.add_argument("--film-scenes", type=int, default=4, help="of each film of the night")
    parser.add_argument("--fleet", type=int, default=10, help="films under way at once")
    parser.add_argument("--folder", type=Path, help="where the work lies meanwhile (several GB)")
    return parser


# --- one film -----------------------------------------------------------------------------------------------------


def one_film(folder: Path, *, scenes: int) -> str:
    """Make the house film, or its first scenes, and return its table."""
    with EmulatorProcess(latency="realistic") as emulators:
        night = NightShift(folder, emulators.url, {"POLL_INTERVAL_SECONDS": "5"})
        channel = night.channel("night-stories", concurrency=SLOTS)
        spec = yaml.safe_load(HOUSE_FILM.read_text())["spec"]
        night.film("reedwater", channel=channel, scenes=scenes, **_cut(spec, scenes))
        with night:
            night.wait_for_films(seconds=_DEADLINE_SECONDS)
            runs = night.sql("SELECT * FROM step_runs ORDER BY number")
            [span] = night.sql(_SPAN)
        return _film_table(runs, span, _provider_spans(emulators.control), _Logs(night.folder.logs))


_SPAN = (
    "SELECT (SELECT min(at) FROM task_history WHERE status_after = 'claimed') AS begun, "
    "(SELECT max(at) FROM task_history WHERE status_after = 'final_review') AS ended"
)


def _cut(spec: dict[str, Any], scenes: int) -> dict[str, Any]:
    board = spec["storyboard"]
    kept = board["scenes"][:scenes]
    used = {scene["environment"] for scene in kept}
    used |= {name for scene in kept for kind in ("characters", "props") for name in scene.get(kind, ())}
    # The whole film has all of its images, also those that no scene shows.
    assets = board["assets"] if scenes >= HOUSE_SCENES else [one for one in board["assets"] if one["name"] in used]
    return {"title": spec["title"], "storyboard": {"assets": assets, "scenes": kept}, "quality": None}


def _provider_spans(control: ControlClient) -> dict[Step, list[Span]]:
    """Return when a provider was at work for each step: its calls, and Kling's jobs from order to result."""
    operations = {
        "image": Step.ASSET_GENERATION,
        "text": Step.ASSET_GENERATION,
        "create": Step.VIDEO_GENERATION,
        "download": Step.VIDEO_GENERATION,
        "speech": Step.NARRATION_GENERATION,
        "sfx": Step.SFX_GENERATION,
    }
    spans: dict[Step, list[Span]] = {step: [] for step in Step}
    for call in control.calls():
        if call["operation"] in operations and call["took_seconds"] is not None:
            begun = datetime.fromisoformat(call["at"])
            spans[operations[call["operation"]]].append((begun, begun + timedelta(seconds=call["took_seconds"])))
    for job in _jobs(control):
        begun, ended = (datetime.fromtimestamp(job[name] / 1000, UTC) for name in ("create_time", "update_time"))
        spans[Step.VIDEO_GENERATION].append((begun, ended))
    return spans


def _jobs(control: ControlClient) -> list[dict[str, Any]]:
    ids = ",".join(job["id"] for job in control.jobs())
    answer = httpx.get(
        f"{control.base_url}/tasks", params={"task_ids": ids}, headers={"Authorization": "Bearer kling-demo-key"}
    )
    return list(answer.raise_for_status().json()["data"])


class _Logs:
    """What the steps said, by step."""

    def __init__(self, folder: Path) -> None:
        self._lines: dict[str, list[dict[str, Any]]] = {}
        for path in folder.iterdir():
            for line in path.read_text(errors="replace").splitlines():
                if line.startswith("{"):
                    said = json.loads(line)
                    self._lines.setdefault(said.get("step", ""), []).append(said)

    def moments(self, step: Step, *events: str) -> list[datetime]:
        """Return when the step said one of these things."""
        lines = self._lines.get(step.value, [])
        return sorted(datetime.fromisoformat(line["timestamp"]) for line in lines if line.get("event") in events)


@dataclass(frozen=True, slots=True, kw_only=True)
class _StepTime:
    """One step's seconds, and what they went into."""

    step: Step
    total: float
    provider: float
    media: float
    checking: float

    @property
    def ours(self) -> float:
        return self.total - self.provider - self.media - self.checking


def _film_table(runs: list[dict[str, Any]], span: dict[str, Any], provider: dict[Step, list[Span]], logs: _Logs) -> str:
    times = []
    # A step's time runs until the next one's begins, so that nothing between two steps is left out.
    begins = {Step(run["step"]): run["opened_at"] for run in reversed(runs)}
    edges = [begins[traits.step] for traits in STEPS] + [span["ended"]]
    edges[0] = span["begun"]
    for traits, begun, ended in zip(STEPS, edges, edges[1:], strict=False):
        times.append(_step_time(traits.step, (begun, ended), provider[traits.step], logs))
    rows = [("step", "minutes", "provider", "media work", "polls, checks", "ours")]
    rows += [(time.step.value, *_minutes(time)) for time in times]
    whole = [sum(getattr(time, name) for time in times) for name in ("total", "provider", "media", "checking", "ours")]
    rows.append(("the film", *(f"{seconds / 60:.2f}" for seconds in whole)))
    share, wide = whole[4] / whole[0], (whole[3] + whole[4]) / whole[0]
    verdict = (
        f"our overhead: {share:.2%} of {whole[0] / 60:.1f} minutes (1 % is meant); with polls and checks {wide:.2%}"
    )
    return f"{_table(rows)}\n{verdict}\n"


def _step_time(step: Step, span: Span, provider: list[Span], logs: _Logs) -> _StepTime:
    total = (span[1] - span[0]).total_seconds()
    if TRAITS[step].provider is None:
        started, done = logs.moments(step, "step_started"), logs.moments(step, "step_done")
        return _StepTime(step=step, total=total, provider=0, media=covered([(started[0], done[-1])], span), checking=0)
    waiting = covered(provider, span)
    ends = [end for _, end in provider] + logs.moments(step, "item_done")
    # From the first call to the last item: what no call covers is polling, probing and syncing media.
    busy = covered([(min(begin for begin, _ in provider), max(ends))], span)
    return _StepTime(step=step, total=total, provider=waiting, media=0, checking=busy - waiting)


def covered(spans: Iterable[Span], within: Span) -> float:
    """Return the seconds of `within` that at least one span covers."""
    seconds, reached = 0.0, within[0]
    for span in sorted(spans):
        begun, ended = max(span[0], reached), min(span[1], within[1])
        if ended > begun:
            seconds += (ended - begun).total_seconds()
            reached = ended
    return seconds


def _minutes(time: _StepTime) -> list[str]:
    return [f"{seconds / 60:.2f}" for seconds in (time.total, time.provider, time.media, time.checking, time.ours)]


# --- a night ------------------------------------------------------------------------------------------------------


def one_night(folder: Path, options: argparse.Namespace) -> str:
    """Make so many films at once and return the table of their minutes."""
    with EmulatorProcess(latency="realistic", options=("--clip-fps", "12")) as emulators:
        night = NightShift(
            folder, emulators.url, {"POLL_INTERVAL_SECONDS": "5", "FLEET_MAX_ACTIVE_TASKS": str(options.fleet)}
        )
        for number in range(options.films):
            channel = night.channel(f"channel-{number}", concurrency=SLOTS)
            night.film(f"film-{number}", channel=channel, scenes=options.film_scenes)
        began = time.monotonic()
        with night:
            night.wait_for_films(seconds=_DEADLINE_SECONDS)
            spans = night.sql(_SPANS)
        refused = sum(call["status"] == 429 for call in emulators.control.calls())
    minutes = sorted((row["ended"] - row["begun"]).total_seconds() / 60 for row in spans)
    limit = LIMIT_MINUTES * options.film_scenes / HOUSE_SCENES
    rows = [("film", "minutes"), *((row["name"], f"{m:.1f}") for row, m in _by_film(spans))]
    p90 = statistics.quantiles(minutes, n=10, method="inclusive")[-1] if len(minutes) > 1 else minutes[0]
    lasted = (time.monotonic() - began) / 60
    words = (
        f"{len(minutes)} films of {options.film_scenes} scenes, {options.fleet} at once: p90 {p90:.1f} minutes of "
        f"{limit:.1f} ({LIMIT_MINUTES} for {HOUSE_SCENES} scenes), the night {lasted:.1f} minutes, "
        f"{refused} calls refused with 429"
    )
    return f"{_table(rows)}\n{words}\n"


_SPANS = (
    "SELECT tasks.name, min(at) FILTER (WHERE status_after = 'claimed') AS begun, "
    "max(at) FILTER (WHERE status_after = 'final_review') AS ended "
    "FROM task_history JOIN tasks ON tasks.id = task_history.task_uid GROUP BY tasks.name ORDER BY tasks.name"
)


def _by_film(spans: list[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    return [(row, (row["ended"] - row["begun"]).total_seconds() / 60) for row in spans]


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
