"""`videotask get -w`: films as they go, drawn anew on a terminal, told line by line elsewhere; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain
from operator import itemgetter

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from videotask_contract.phases import ERRORS, Phase
from videotask_operator.cli.describe import next_commands
from videotask_operator.cli.exits import CommandExit
from videotask_operator.cli.place import Seen
from videotask_operator.cli.progress import FilmProgress
from videotask_operator.cli.table import film_lines, print_lines
from videotask_operator.cli.task import Task

Clock = Callable[[], datetime]
_Key = tuple[str, str]


def watch_film(
    console: Console, seen: Iterable[Sequence[Seen]], *, title: str, flags: str, until: Phase | None
) -> CommandExit:
    """Show one film's way until `until`, or until nothing leaves its phase; NOT_NOW when that is not where it ended."""
    asked: tuple[Phase, int] | None = None
    last: Task | None = None
    stream = iter(seen)
    first = next(stream, [])  # looked at before anything is drawn, so that nothing wrong is drawn first
    status = first[-1].task.status if first else None
    with FilmProgress(console, title=title, status=status) as progress:
        for looks in chain([first], stream):
            if not looks or looks[-1].is_gone:
                break
            last = looks[-1].task
            phase = last.phase  # looked at before another thread draws it: it may be one of a later release
            progress.show(last.status)
            if phase is until or last.is_over:
                break
            shown = (phase, int((last.review or {}).get("round", 0)))
            if (last.review is not None or phase in ERRORS) and shown != asked:
                asked = shown
                progress.tell(_hint(last, flags))
    if last is None or (until is not None and last.phase is not until):
        return CommandExit.NOT_NOW
    return CommandExit.DONE if until is not None or last.is_over else CommandExit.NOT_NOW


def watch_films(
    console: Console, seen: Iterable[Sequence[Seen]], *, clock: Clock, wide: bool, with_namespace: bool
) -> None:
    """Show all films until interrupted: one table on a terminal, else a line for each change."""
    board = _Board(console, clock=clock, wide=wide, with_namespace=with_namespace)
    if not console.is_terminal:
        for looks in seen:
            print_lines(console, board.lines_of(looks))
        return
    stream = iter(seen)
    board.take(next(stream, []))
    with Live(get_renderable=board.draw, console=console, refresh_per_second=4):
        for looks in stream:
            board.take(looks)


class _Board:
    """The films as last seen."""

    def __init__(self, console: Console, *, clock: Clock, wide: bool, with_namespace: bool) -> None:
        self._console = console
        self._clock = clock
        self._wide = wide
        self._with_namespace = with_namespace
        self._tasks: dict[_Key, Task] = {}
        self._shown: dict[_Key, tuple[object, ...]] = {}
        self._printed_header = False

    def take(self, looks: Sequence[Seen]) -> None:
        """Take up what was seen."""
        tasks = self._tasks | {_key(look): look.task for look in looks}
        gone = {_key(look) for look in looks if look.is_gone}
        # Replaced whole: the table is drawn by another thread.
        self._tasks = {key: task for key, task in sorted(tasks.items(), key=itemgetter(0)) if key not in gone}

    def lines_of(self, looks: Sequence[Seen]) -> list[Text]:
        """Return the lines that tell the news, the header before the first one."""
        self.take(looks)
        news = {_key(look): look for look in looks if self._shown.get(_key(look)) != _shown(look)}
        self._shown |= {key: _shown(look) for key, look in news.items()}
        if not news:
            return []
        # All are laid out, so that columns stand below each other; only what changed is printed.
        tasks = self._tasks | {key: look.task for key, look in news.items()}
        header, *rows = self._lines(list(tasks.values()), width=None)
        for key, row in zip(tasks, rows, strict=True):
            if key in news and news[key].is_gone:
                row.append("   (deleted)")
        told = [row for key, row in zip(tasks, rows, strict=True) if key in news]
        is_first, self._printed_header = not self._printed_header, True
        return [header, *told] if is_first else told

    def draw(self) -> RenderableType:
        """Return the table of all films."""
        if not self._tasks:
            return Text("no VideoTasks yet", style="dim")
        return Group(*self._lines(list(self._tasks.values()), width=self._console.width))

    def _lines(self, tasks: list[Task], *, width: int | None) -> list[Text]:
        return film_lines(tasks, now=self._clock(), width=width, wide=self._wide, with_namespace=self._with_namespace)


def _key(look: Seen) -> _Key:
    return look.task.namespace, look.task.name


def _shown(look: Seen) -> tuple[object, ...]:
    """Return what of a film stands in its line, but for its age."""
    task = look.task
    return look.is_gone, task.phase, task.progress_words(), task.cost_usd, task.message


def _hint(task: Task, flags: str) -> list[str]:
    return [command for command, _ in next_commands(task, flags=flags)]
