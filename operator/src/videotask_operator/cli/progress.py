"""A film's progress on a terminal, drawn from the resource's status alone; plain lines where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from videotask_contract.errors import BadInputError
from videotask_contract.phases import ERRORS, TABLE, Phase, phase_of_resource
from videotask_contract.steps import STEPS, TRAITS, Step

_PLAIN_SECONDS: Final = 5.0
"""Pause between two progress lines of the same step where nobody watches."""
_BAR_WIDTH: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step as a person wants to see it."""

    step: Step
    name: str
    state: str
    """Pending, Running, Done or Failed."""
    done: int
    total: int
    kept: int
    cost_usd: Decimal
    seconds: float | None
    """How long it has run, None before it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmView:
    """A whole status as a person wants to see it."""

    phase: Phase
    message: str
    cost_usd: Decimal
    steps: tuple[StepView, ...]
    next_attempt_at: datetime | None


def view_status(status: Mapping[str, Any], *, now: datetime) -> FilmView:
    """Return what a VideoTask's status says; an empty status is a queued task.

    BadInputError where its phase is one that this version does not know.
    """
    try:
        phase = phase_of_resource(status.get("phase", Phase.QUEUED.resource))
    except ValueError as error:
        raise BadInputError(f"{error}; this `videotask` is older than its operator") from error
    by_name = {entry["name"]: entry for entry in status.get("steps", ())}
    return FilmView(
        phase=phase,
        message=" ".join(status.get("message", "").split()),
        cost_usd=Decimal(status.get("costUSD", "0")),
        steps=tuple(_view_step(traits.step, by_name.get(traits.step.value, {}), now) for traits in STEPS),
        next_attempt_at=_time(status.get("nextAttemptAt")),
    )


def step_name(step: Step) -> str:
    """Return what a step makes, as people say it: images, clips, film."""
    return "film" if step is Step.VIDEO_ASSEMBLY else f"{TRAITS[step].item_name}s"


def format_seconds(seconds: float) -> str:
    """Return 4 s as 0:04 and an hour as 60:00."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class FilmProgress:
    """Shows one film's way: a live table on a terminal, else a line for each phase and now and then one between."""

    def __init__(
        self,
        console: Console,
        *,
        title: str,
        status: Mapping[str, Any] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._title = title
        self._clock = clock
        self._stopwatch = stopwatch
        self._started = stopwatch()
        self._status: Mapping[str, Any] = status or {}
        self._hints: Sequence[str] = ()
        self._hints_phase: str | None = None
        self._live = (
            Live(get_renderable=self._draw, console=console, refresh_per_second=8) if console.is_terminal else None
        )
        self._plain = _PlainLines(stopwatch=stopwatch, started=self._started)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        else:
            self._console.print(self._title, markup=False, highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, status: Mapping[str, Any]) -> None:
        """Take up a new status; showing the same one again is harmless."""
        self._status = status
        if self._live is None:
            for line in self._plain.lines(view_status(status, now=self._clock())):
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def tell(self, hints: Sequence[str]) -> None:
        """Show what a person can do now; it stays below the table until the phase is another one."""
        self._hints = hints
        self._hints_phase = self._status.get("phase")
        if self._live is None:
            for hint in hints:
                self._console.print(f"        {hint}", markup=False, highlight=False, soft_wrap=True)

    def _draw(self) -> RenderableType:
        view = view_status(self._status, now=self._clock())
        head = Text.assemble((self._title, "bold"), f"   {format_seconds(self._stopwatch() - self._started)}")
        hints = self._hints if self._hints_phase == self._status.get("phase") else ()
        return Group(head, _table(view), _phase_line(view), *(Text(f"  {hint}", style="cyan") for hint in hints))


class _PlainLines:
    """Decides which lines are worth printing when every line stays."""

    def __init__(self, *, stopwatch: Callable[[], float], started: float) -> None:
        self._stopwatch = stopwatch
        self._started = started
        self._phase: Phase | None = None
        self._message = ""
        self._counts: tuple[int, int] = (-1, -1)
        self._printed_at = started

    def lines(self, view: FilmView) -> list[str]:
        """Return the lines for this view that were not printed yet."""
        running = next((step for step in view.steps if step.state == "Running"), None)
        counts = (running.done, running.total) if running else (-1, -1)
        now = self._stopwatch()
        is_new_phase = view.phase is not self._phase
        is_news = view.message != self._message and view.next_attempt_at is not None
        is_progress = counts not in {self._counts, (-1, -1)} and now - self._printed_at >= _PLAIN_SECONDS
        if not (is_new_phase or is_news or is_progress):
            return []
        self._phase, self._message, self._counts, self._printed_at = view.phase, view.message, counts, now
        return [f"{format_seconds(now - self._started):>6}  {_words(view, running, tells=is_new_phase or is_news)}"]


def _words(view: FilmView, running: StepView | None, *, tells: bool) -> str:
    words = f"{view.phase.label:<22}"
    if running is not None and running.total and not tells:
        words += f" {running.done}/{running.total} {TRAITS[running.step].item_name}s"
    else:
        words += f" {view.message or TABLE[view.phase].meaning}"
    return f"{words}  ${view.cost_usd:.4f}" if view.cost_usd else words


def _view_step(step: Step, entry: Mapping[str, Any], now: datetime) -> StepView:
    started, completed = _time(entry.get("startedAt")), _time(entry.get("completedAt"))
    return StepView(
        step=step,
        name=step_name(step),
        state=entry.get("state", "Pending"),
        done=entry.get("done", 0),
        total=entry.get("total", 0),
        kept=entry.get("kept", 0),
        cost_usd=Decimal(entry.get("costUSD", "0")),
        seconds=((completed or now) - started).total_seconds() if started else None,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _table(view: FilmView) -> Table:
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "left", "left", "right", "right", "right"):
        table.add_column(justify=justify)
    for step in view.steps:
        table.add_row(
            _mark(step),
            Text(step.name, style="dim" if step.state == "Pending" else ""),
            _bar(step),
            f"{step.done}/{step.total}" if step.total else "",
            format_seconds(step.seconds) if step.seconds is not None else "",
            f"${step.cost_usd:.4f}" if step.cost_usd else "",
        )
    return table


def _mark(step: StepView) -> RenderableType:
    match step.state:
        case "Done":
            return Text("✔", style="green")
        case "Failed":
            return Text("✘", style="red")
        case "Running":
            return _SPINNER
        case _:
            return Text("·", style="dim")


_SPINNER = Spinner("dots", style="cyan")
"""One for all, so that it turns from frame to frame."""


def _bar(step: StepView) -> RenderableType:
    if step.state == "Pending":
        return Text("")
    done = step.total if step.state == "Done" else step.done
    return ProgressBar(total=max(step.total, 1), completed=done, width=_BAR_WIDTH, complete_style="cyan")


def _phase_line(view: FilmView) -> Text:
    style = "red" if view.phase in ERRORS | {Phase.FAILED, Phase.BUDGET_EXCEEDED} else "bold"
    message = view.message or TABLE[view.phase].meaning
    total = f"   ${view.cost_usd:.4f} so far" if view.cost_usd else ""
    return Text.assemble((view.phase.label, style), f"  {message}{total}")
