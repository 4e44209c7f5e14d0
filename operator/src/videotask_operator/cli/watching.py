"""`videotask get -w`: films as they go, drawn anew on a terminal, told line by line elsewhere; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from videotask_contract.phases import ERRORS, TERMINAL, Phase
from videotask_operator.cli.describe import next_commands
from videotask_operator.cli.exits import CommandExit
from videotask_operator.cli.place import Seen
from videotask_operator.cli.progress import FilmProgress
from videotask_operator.cli.table import film_lines, print_lines
from videotask_operator.cli.task import Task

Clock = Callable[[], datetime]


def watch_film(console: Console, seen: Iterable[Seen], *, title: str, flags: str, until: Phase | None) -> CommandExit:
    """Show one film's way until `until`, or until nothing leaves its phase; NOT_NOW when that is not where it ended."""
    asked: tuple[Phase, int] | None = None
    last: Task | None = None
    with FilmProgress(console, title=title) as progress:
        for look in seen:
            if look.is_gone:
                break
            last = look.task
            progress.show(last.status)
            if last.phase is until or last.is_over:
                break
            shown = (last.phase, int((last.review or {}).get("round", 0)))
            if (last.review is not None or last.phase in ERRORS) and shown != asked:
                asked = shown
                progress.tell(_hint(last, flags))
    if last is None or (until is not None and last.phase is not until):
        return CommandExit.NOT_NOW
    return CommandExit.DONE if until is not None or last.phase in {Phase.COMPLETED} | TERMINAL else CommandExit.NOT_NOW


def watch_films(console: Console, seen: Iterable[Seen], *, clock: Clock, wide: bool, with_namespace: bool) -> None:
    """Show all films until interrupted: one table on a terminal, else a line for each change."""
    board = _Board(console, clock=clock, wide=wide, with_namespace=with_namespace)
    if not console.is_terminal:
        for look in seen:
            print_lines(console, board.lines_of(look))
        return
    with Live(get_renderable=board.draw, console=console, refresh_per_second=4):
        for look in seen:
            board.take(look)


class _Board:
    """The films as last seen."""

    def __init__(self, console: Console, *, clock: Clock, wide: bool, with_namespace: bool) -> None:
        self._console = console
        self._clock = clock
        self._wide = wide
        self._with_namespace = with_namespace
        self._tasks: dict[tuple[str, str], Task] = {}
        self._printed_header = False

    def take(self, look: Seen) -> bool:
        """Take up what was seen; False when it is nothing new."""
        key = (look.task.namespace, look.task.name)
        if look.is_gone:
            return self._tasks.pop(key, None) is not None
        known = self._tasks.get(key)
        self._tasks = dict(sorted((self._tasks | {key: look.task}).items()))
        return known is None or known.resource != look.task.resource

    def lines_of(self, look: Seen) -> list[Text]:
        """Return the lines that tell of this look, the header before the first one."""
        if not self.take(look):
            return []
        # All are laid out, so that columns stand below each other; only the one that changed is printed.
        key = (look.task.namespace, look.task.name)
        tasks = dict(sorted((self._tasks | {key: look.task}).items()))
        lines = self._lines(list(tasks.values()), width=None)
        row = lines[1 + list(tasks).index(key)]
        if look.is_gone:
            row.append("   (deleted)")
        header = [] if self._printed_header else lines[:1]
        self._printed_header = True
        return [*header, row]

    def draw(self) -> RenderableType:
        """Return the table of all films."""
        if not self._tasks:
            return Text("no VideoTasks yet", style="dim")
        return Group(*self._lines(list(self._tasks.values()), width=self._console.width))

    def _lines(self, tasks: list[Task], *, width: int | None) -> list[Text]:
        return film_lines(tasks, now=self._clock(), width=width, wide=self._wide, with_namespace=self._with_namespace)


def _hint(task: Task, flags: str) -> list[str]:
    return [command for command, _ in next_commands(task, flags=flags)]
