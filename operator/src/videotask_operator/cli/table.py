"""Films as a table like kubectl's: fitted to a terminal, whole lines elsewhere; drawn from resources alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from videotask_contract.phases import ERRORS, TABLE, Phase
from videotask_operator.cli.task import Task

_GAP: Final = 3
_HANG: Final = 4
_LEAST_WIDTHS: Final = {"PHASE": 15, "PROGRESS": 11, "COST": 6, "AGE": 3}
"""So that a table does not jump when a film goes on."""
_LEAST_MESSAGE: Final = 32
"""Characters below which a message gets a line of its own on a terminal."""


def film_lines(
    tasks: Sequence[Task], *, now: datetime, width: int | None, wide: bool = False, with_namespace: bool = False
) -> list[Text]:
    """Return header and rows; `width` is the terminal's in characters, None where lines may be of any length."""
    names = _columns(wide=wide, with_namespace=with_namespace)
    rows = [_cells(task, names, now=now) for task in tasks]
    widths = [
        max(_LEAST_WIDTHS.get(name, 0), len(name), *map(len, column))
        for name, *column in zip(names, *rows, strict=True)
    ]
    used = sum(widths) + _GAP * len(widths)
    is_apart = width is not None and width - used < _LEAST_MESSAGE
    header = _line(names, widths) if is_apart else Text.assemble(_line(names, widths), " " * _GAP, "MESSAGE")
    header.stylize("bold")
    lines = [header]
    for task, cells in zip(tasks, rows, strict=True):
        row = _line(cells, widths, phase=task.phase)
        message = task.message or TABLE[task.phase].meaning
        if is_apart:
            lines += [row, *_wrapped(message, width or used)]
        else:
            lines.append(Text.assemble(row, " " * _GAP, _cut(message, None if width is None else width - used)))
    for line in lines:
        line.rstrip()
    return lines


def print_lines(console: Console, lines: Sequence[Text]) -> None:
    """Print lines as they are: in colour on a terminal, whole and plain elsewhere."""
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def folded(lines: Sequence[Text], console: Console) -> list[Text]:
    """Return the lines folded to the terminal's width, what follows indented below its beginning."""
    found = []
    for line in lines:
        indent = len(line.plain) - len(line.plain.lstrip())
        first, *rest = line[indent:].wrap(console, max(console.width - indent - _HANG, _LEAST_MESSAGE)) or [Text()]
        found.append(Text.assemble(" " * indent, first))
        found += [Text.assemble(" " * (indent + _HANG), further) for further in rest]
    return found


def phase_style(phase: Phase) -> str:
    """Return the colour of a phase: red asks for a hand, yellow for a decision, green is done."""
    if phase in ERRORS | {Phase.FAILED, Phase.BUDGET_EXCEEDED}:
        return "red"
    if phase in {Phase.FINAL_REVIEW, Phase.SUSPENDED}:
        return "yellow"
    if phase in {Phase.APPROVED, Phase.COMPLETED}:
        return "green"
    return "dim" if phase in {Phase.QUEUED, Phase.CANCELLED} else "cyan"


def age_words(moment: datetime | None, now: datetime) -> str:
    """Return an age as kubectl does: 45s, 12m, 5h, 3d."""
    if moment is None:
        return ""
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit, least in ((86400, "d", 2), (3600, "h", 2), (60, "m", 2)):
        if seconds >= size * least:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _columns(*, wide: bool, with_namespace: bool) -> list[str]:
    front = ["NAMESPACE"] if with_namespace else []
    back = ["CHANNEL", "PRIORITY", "ATTEMPT", "FILM"] if wide else []
    return [*front, "NAME", "PHASE", "PROGRESS", "COST", "AGE", *back]


def _cells(task: Task, names: Sequence[str], *, now: datetime) -> list[str]:
    spec, status = task.spec, task.status
    values = {
        "NAMESPACE": task.namespace,
        "NAME": task.name,
        "PHASE": task.phase.resource,
        "PROGRESS": task.progress_words() or "-",
        "COST": f"${task.cost_usd:.2f}",
        "AGE": age_words(task.created_at, now) or "-",
        "CHANNEL": str((spec.get("channelRef") or {}).get("name", "")),
        "PRIORITY": str(spec.get("priority", "normal")),
        "ATTEMPT": str(status.get("attempt", "-")),
        "FILM": str((status.get("film") or {}).get("path", "-")),
    }
    return [values[name] for name in names]


def _line(cells: Sequence[str], widths: Sequence[int], *, phase: Phase | None = None) -> Text:
    line = Text()
    for position, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        style = phase_style(phase) if phase is not None and cell == phase.resource else ""
        line.append(" " * _GAP if position else "")
        line.append(cell.ljust(width), style=style)
    return line


def _wrapped(message: str, width: int) -> list[Text]:
    indent = 2
    return [Text(f"{' ' * indent}{_cut(message, width - indent)}", style="dim")]


def _cut(message: str, width: int | None) -> str:
    return message if width is None or len(message) <= width else f"{message[: width - 1].rstrip()}…"
