"""What resuming costs and saves: `python -m tests.benchmarks.resume_table` prints the table, every row of it asserted.

Real step programs against the real emulators, no cluster: a step is killed right after its Nth item is down in the
ledger, or its files and ledger are spoiled after its end; then it runs again, and the emulators' bill of that second
run is held against what the final report says was kept.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from tests.integration.steps.film import Film
from tests.support.builders import a_storyboard
from tests.support.forked_steps import ForkServer, fork_server
from tests.support.report_server import ReportServer
from tests.support.step_program import Ended

from videotask_contract import layout
from videotask_contract.exits import ExitCode
from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_emulators.control import ControlClient
from videotask_emulators.testing import EmulatorProcess

ASSETS, SCENES = 22, 18
"""The house format."""
EMULATOR_OPTIONS = ("--clip-fps", "6", "--hold-seconds", "3")
IMAGES, CLIPS, VOICES, EFFECTS = (
    Step.ASSET_GENERATION,
    Step.VIDEO_GENERATION,
    Step.NARRATION_GENERATION,
    Step.SFX_GENERATION,
)


def lose_files(film: Film, step: Step) -> None:
    """Remove two of the files the ledger speaks of, empty one, cut one and change one byte of another."""
    paths = [film.volume / (record.path or "") for record in film.ledger(step).current_items().values()]
    for path in paths[:2]:
        path.unlink()
    paths[2].write_bytes(b"")
    content = paths[3].read_bytes()
    paths[3].write_bytes(content[: len(content) // 2])
    changed = bytearray(paths[4].read_bytes())
    changed[len(changed) // 2] ^= 0xFF
    paths[4].write_bytes(changed)


def spoil_done_lines(film: Film, step: Step) -> None:
    """Make three DONE lines unreadable: their files are found again by the lines that say they were paid."""
    _spoil(film, step, lambda kind, seen: kind == "done" and seen <= 3)


def lose_ledger(film: Film, step: Step) -> None:
    """Remove the ledger: no file is trusted any more."""
    (film.volume / layout.ledger(step)).unlink()


def _spoil(film: Film, step: Step, is_meant: Callable[[str, int], bool]) -> None:
    path = film.volume / layout.ledger(step)
    lines, seen = path.read_bytes().splitlines(keepends=True), 0
    for position, line in enumerate(lines):
        if b'"kind":"done"' in line:
            seen += 1
            if is_meant("done", seen):
                lines[position] = b"\xff\x00" + line[2:]
    path.write_bytes(b"".join(lines))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row: how far the first run came, what was spoiled then, and how many calls the second run must make."""

    step: Step
    done: int
    spoil: Callable[[Film, Step], None] | None = None
    calls: int
    what: str = ""

    @property
    def label(self) -> str:
        return f"{self.step.value.split('_', maxsplit=1)[0]} {self.what or f'{self.done} done'}"


def _after(step: Step, total: int, *done: int) -> Iterable[Case]:
    return (Case(step=step, done=count, calls=total - count) for count in done)


CASES = (
    *_after(IMAGES, ASSETS, 0, 1, 11, 21, 22),
    *_after(CLIPS, SCENES, 1, 6, 17),
    *_after(VOICES, SCENES, 12),
    *_after(EFFECTS, SCENES, 8),
    Case(step=IMAGES, done=ASSETS, spoil=lose_files, calls=5, what="5 of 22 files gone or damaged"),
    Case(step=VOICES, done=SCENES, spoil=lose_files, calls=5, what="5 of 18 files gone or damaged"),
    Case(step=VOICES, done=SCENES, spoil=spoil_done_lines, calls=0, what="3 ledger lines unreadable"),
    Case(step=VOICES, done=SCENES, spoil=lose_ledger, calls=SCENES, what="its ledger gone"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the second run did."""

    case: Case
    calls: int
    billed_usd: Decimal
    seconds: float
    kept: int
    kept_usd: Decimal
    total: int

    def line(self) -> str:
        return (
            f"{self.case.label:<40} {self.calls:>5} {self.billed_usd:>9.4f} {self.seconds:>8.1f} "
            f"{self.kept:>7} of {self.total} {self.kept_usd:>10.4f}"
        )


HEADER = f"{'before the second run':<40} {'calls':>5} {'dollars':>9} {'seconds':>8} {'kept':>7}       {'not paid':>10}"


def house_storyboard() -> Storyboard:
    """Return 22 assets and 18 scenes, each with one character."""
    board = a_storyboard(scenes=SCENES, characters=ASSETS - 1)
    for position, scene in enumerate(board["scenes"]):
        scene["characters"] = [f"hero-{1 + position}"]
    return Storyboard.model_validate(board)


@dataclass(kw_only=True)
class Bench:
    """Runs the cases, one folder each."""

    folder: Path
    forks: ForkServer
    reports: ReportServer
    control: ControlClient
    rows: list[Row] = field(default_factory=list)

    async def measure(self, case: Case) -> Row:
        film = Film(self.folder / f"{len(self.rows)}-{case.step.value}-{case.done}", self.reports, self.control)
        film.folder.mkdir()
        film.volume.mkdir()
        film.storyboard = house_storyboard()
        film.ready_for(case.step)
        if case.step is EFFECTS:
            assert (await self._run(film, VOICES, "narrations")).code == ExitCode.DONE
        self.control.reset()
        total = ASSETS if case.step is IMAGES else SCENES
        killed = await self._run(film, case.step, "run-1", concurrency=1, kill_when_done=case.done)
        assert killed.code == -9, killed.stderr[-2000:]
        first_usd = self.control.total_usd()
        assert len(self.control.bill()["entries"]) == case.done
        if case.spoil is not None:
            case.spoil(film, case.step)
        self.control.reset()
        begun = time.monotonic()
        ended = await self._run(film, case.step, "run-2")
        row = Row(
            case=case,
            calls=len(self.control.bill()["entries"]),
            billed_usd=self.control.total_usd(),
            seconds=time.monotonic() - begun,
            kept=ended.report.kept,
            kept_usd=self._kept_usd(film),
            total=total,
        )
        self._judge(row, film, ended, first_usd)
        self.rows.append(row)
        return row

    def _kept_usd(self, film: Film) -> Decimal:
        final = self.reports.finals[-1]
        assert final.run_id.endswith(film.uid[:8])
        return final.kept_usd

    def _judge(self, row: Row, film: Film, ended: Ended, first_usd: Decimal) -> None:
        case = row.case
        assert ended.code == ExitCode.DONE, f"{case.label}: {ended.stderr[-2000:]}"
        assert (ended.report.done, ended.report.total) == (row.total, row.total), case.label
        assert row.calls == case.calls, f"{case.label}: {row.calls} calls"
        assert ended.report.spent_usd == row.billed_usd, case.label
        assert row.billed_usd > 0 or case.calls == 0, case.label
        if case.spoil is None:
            assert (row.kept, row.kept_usd) == (case.done, first_usd), case.label
        if case.step is IMAGES:
            assert row.billed_usd == case.calls * Decimal("0.0336"), case.label
            assert row.kept_usd == row.kept * Decimal("0.0336"), case.label
        if case.step is CLIPS:
            assert row.billed_usd == case.calls * Decimal("0.21"), case.label
        if case.step is EFFECTS:
            assert row.billed_usd == case.calls * Decimal("0.12"), case.label
        if case.spoil is not lose_ledger:
            assert film.ledger_usd(case.step) == first_usd + row.billed_usd, case.label

    async def _run(self, film: Film, step: Step, name: str, *, concurrency: int = 4, **plan: object) -> Ended:
        program = film.program(step, run_id=f"{name}-{film.uid[:8]}", concurrency=concurrency)
        return await (await self.forks.start(program, **plan)).end(seconds=300)


def table(rows: Iterable[Row]) -> str:
    return "\n".join([HEADER, *(row.line() for row in rows)])


async def _print_table(labels: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        EmulatorProcess(options=EMULATOR_OPTIONS) as emulators,
    ):
        async with ReportServer() as reports, fork_server(Path(folder)) as forks:
            bench = Bench(folder=Path(folder), forks=forks, reports=reports, control=emulators.control)
            print(HEADER)
            for case in CASES:
                if not labels or any(label in case.label for label in labels):
                    print((await bench.measure(case)).line(), flush=True)


if __name__ == "__main__":
    asyncio.run(_print_table(sys.argv[1:]))
