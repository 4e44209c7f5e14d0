"""One paid step of a two-scene film, broken at a point and run to its end, with the emulators' bill as the witness."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from tests.integration.steps.film import Film
from tests.support.forked_steps import ForkServer
from tests.support.report_server import ReportServer
from tests.support.step_program import Ended
from tests.support.whole_media import ends_whole

from videotask_contract.exits import ExitCode
from videotask_contract.report import Certainty
from videotask_contract.steps import TRAITS, Step
from videotask_emulators.control import ControlClient
from videotask_steps import durable

IS_LONG = os.environ.get("VIDEOTASK_LONG") == "1"
POINTS_SECONDS = 3600 if IS_LONG else 600
"""Deadline of a test that breaks one step at its points."""
CONCURRENCY = 2


@dataclass(kw_only=True)
class Tally:
    """What happened at the points of one step."""

    points: int = 0
    kills: int = 0
    not_arrived: int = 0
    """Calls under way at the break whose answers were not whole on the volume."""
    double_charges: int = 0
    possibly_paid: int = 0
    billed_usd: Decimal = Decimal(0)
    planned_usd: Decimal = Decimal(0)
    recorded_usd: Decimal = Decimal(0)

    def line(self, kind: str, step: Step) -> str:
        provider = TRAITS[step].provider
        assert provider is not None
        return (
            f"{kind:<12} {provider.value:<11} {step.value:<21} points {self.points:>3}  kills {self.kills:>3}  "
            f"not arrived {self.not_arrived:>2}  double charges {self.double_charges:>2}  "
            f"possibly paid {self.possibly_paid:>2}  "
            f"bill {self.billed_usd:.4f} of planned {self.planned_usd:.4f}, recorded {self.recorded_usd:.4f}"
        )


@dataclass(kw_only=True)
class Site:
    """One step of one two-scene film, laid out anew for each point."""

    step: Step
    folder: Path
    forks: ForkServer
    reports: ReportServer
    control: ControlClient
    items: int = 0
    acts: int = 0
    plan_usd: Decimal = Decimal(0)
    tally: Tally = field(default_factory=Tally)

    async def prepare(self) -> Site:
        """Lay out what the steps before made, and run the step once undisturbed: its acts and its bill are the plan."""
        template = self.film("template")
        template.folder.mkdir()
        template.ready_for(self.step)
        if self.step is Step.SFX_GENERATION:
            assert (await self.run(template, "narrations", step=Step.NARRATION_GENERATION)).code == ExitCode.DONE
        film = self.fresh("undisturbed")
        count_file = film.folder / "acts"
        ended = await self.run(film, "run-1", count_file=str(count_file))
        assert ended.code == ExitCode.DONE, ended.stderr
        self.acts, self.items = int(count_file.read_text()), ended.report.total
        self.plan_usd = self.control.total_usd()
        assert len(self.control.bill()["entries"]) == self.items
        return self

    def film(self, name: str) -> Film:
        return Film(self.folder / name, self.reports, self.control)

    def fresh(self, name: str) -> Film:
        self.control.reset()
        film = self.film(name)
        film.folder.mkdir()
        template = self.folder / "template" / "volume"
        if template.exists():
            shutil.copytree(template, film.volume)
        else:
            film.volume.mkdir()
        return film

    async def run(self, film: Film, run_id: str, *, step: Step | None = None, **plan: object) -> Ended:
        # Run ids are the report server's keys, and it serves all points.
        run = f"{run_id}-{film.uid[:8]}"
        program = film.program(step or self.step, run_id=run, concurrency=CONCURRENCY)
        return await self.forks.run(program, **plan)

    def points(self, *, start: int = 1, stride: int) -> range:
        """Return the acts to break at: every one under VIDEOTASK_LONG=1, else every so many from `start`."""
        return range(1, self.acts + 1) if IS_LONG else range(start, self.acts + 1, stride)

    async def until_all_is_answered(self) -> None:
        """Wait until the emulators have ended the calls of a killed step: they may be charged after its death."""
        async with asyncio.timeout(30):
            while any(call["status"] is None for call in self.control.calls()):
                await asyncio.sleep(0.01)

    async def go_on_and_judge(self, film: Film, first: Ended, point: str, **plan: object) -> None:
        """Run the step again to its end, and hold what is there then against the bill."""
        not_arrived = self.not_arrived(film)
        again = await self.run(film, "run-2", **plan)
        assert again.code == ExitCode.DONE, f"{point}: {again.stderr[-3000:]}"
        assert (again.report.done, again.report.total) == (self.items, self.items), point
        await self.until_all_is_answered()
        self.judge(film, point, not_arrived=not_arrived)
        self.tally.points += 1
        self.tally.kills += first.code == -9

    def not_arrived(self, film: Film) -> int:
        """Return how many calls are open and have no whole answer on the volume, by the media format's own end."""
        under_way = [call for call in film.ledger(self.step).calls() if call.is_open]
        names = {path for path in film.volume.rglob(".*") if path.is_file()}
        return sum(1 for call in under_way if not any(call.call_id in path.name and ends_whole(path) for path in names))

    def judge(self, film: Film, point: str, *, not_arrived: int = 0) -> None:
        """Hold ledger and files against the bill; of calls under way, only so many may be paid again."""
        entries = self.control.bill()["entries"]
        billed_usd, recorded_usd = self.control.total_usd(), film.ledger_usd(self.step)
        possibly = film.possibly(self.step)
        double = len(entries) - self.items
        assert double >= 0, f"{point}: {len(entries)} charges for {self.items} items"
        if self.step is Step.VIDEO_GENERATION:
            assert (double, possibly) == (0, 0), f"{point}: {entries}"
            assert recorded_usd == billed_usd == self.plan_usd, point
        else:
            assert double <= possibly == not_arrived, f"{point}: {double} paid twice, {possibly} recorded as possibly"
            assert possibly <= CONCURRENCY, point
            assert not list(film.volume.rglob(".*.part")), f"{point}: what was adopted or lost is left"
            assert recorded_usd >= billed_usd, point
        ledger = film.ledger(self.step)
        made = [item for item in ledger.current_items().values() if item.path]
        assert len(made) == self.items, point
        for record in made:
            file = film.volume / (record.path or "")
            assert (file.stat().st_size, durable.sha256_of(file)) == (record.size_bytes, record.sha256), point
        sure = [spend for spend in ledger.spend() if spend.certainty is Certainty.SETTLED]
        assert len(sure) >= self.items, point
        self.tally.not_arrived += not_arrived
        self.tally.double_charges += double
        self.tally.possibly_paid += possibly
        self.tally.billed_usd += billed_usd
        self.tally.planned_usd += self.plan_usd
        self.tally.recorded_usd += recorded_usd


SiteOf = Callable[[Step], Awaitable[Site]]
"""Lays out a site in the test's own folder."""
