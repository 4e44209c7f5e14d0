"""All that is known of one film on a page, and first of all what to do next; it must never hide what it cost."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from videotask_contract.phases import ERRORS, TABLE, TERMINAL, Phase
from videotask_contract.resources import DEFAULT_BUDGET_USD
from videotask_contract.steps import TRAITS, Gate, Step
from videotask_operator.cli.place import Event
from videotask_operator.cli.progress import StepView, format_seconds, view_status
from videotask_operator.cli.references import item_words
from videotask_operator.cli.table import age_words, phase_style
from videotask_operator.cli.task import Task, parse_time

_EVENTS: Final = 8
_HISTORY: Final = 12
_INDENT: Final = "  "
_DAY_CAP: Final = "perDayUSD"
"""In a message: it is the channel's day that has no room."""


def describe_task(task: Task, *, events: Sequence[Event], flags: str, now: datetime) -> list[Text]:
    """Return the page, line by line; `flags` are what further commands need to mean the same place."""
    parts: Sequence[Iterator[Text]] = (
        _head(task, now),
        _section("Next", _next_lines(task, flags)),
        _section("Steps", _step_lines(task, now)),
        _section("Money", _money_lines(task)),
        _section("Changes", _change_lines(task)),
        _section("Film", _film_lines(task)),
        _section("History", _history_lines(task)),
        _section("Events", _event_lines(events, now)),
    )
    return [line for part in parts for line in part]


def next_commands(task: Task, *, flags: str) -> list[tuple[str, str]]:
    """Return the commands that help now, each with what it does; none where nobody is waited for."""
    name = f"{task.name}{flags}"
    if task.review is not None and not task.is_over:
        return _deciding(task, name)
    found = _in_phase(task, name, flags)
    if "spec.attempt" in task.message and task.phase not in ERRORS:
        found = [(f"videotask retry {name}", "gives the word that its message asks for"), *found]
    elif task.waits_for_attempt:
        found = [(f"videotask retry {name}", "tries at once, without waiting for its time"), *found]
    return found


def _deciding(task: Task, name: str) -> list[tuple[str, str]]:
    review = task.review or {}
    gate, shown = review["gate"], review["round"]
    looks = [(f"videotask fetch {name}", "copies the film, to look at it")] if gate == Gate.FINAL.value else []
    return [
        *looks,
        (f"videotask approve {name} --round {shown}", "lets it go on"),
        (f"videotask reject {name} --round {shown} --reason '…'", "says what is to be better; then redo or edit"),
        *_changing(task, name, gate),
    ]


def _changing(task: Task, name: str, gate: str) -> list[tuple[str, str]]:
    """Return how to have what is on show otherwise: nothing is offered anew that was never made."""
    if gate == Gate.STORYBOARD.value:
        return [(f"videotask edit {name} --scene 1 --narration '…'", "gives scene 1 other words")]
    step, item = _SHOWN.get(gate, (Step.VIDEO_GENERATION, "1"))
    made = next((entry.get("done", 0) for entry in task.status.get("steps", ()) if entry["name"] == step.value), 0)
    what = TRAITS[step].item_name
    return [(f"videotask redo {name} {what}s:{item}", f"a new take of {what} {item}, paid again")] if made else []


_SHOWN: Final = {
    Gate.ASSETS.value: (Step.ASSET_GENERATION, "NAME"),
    Gate.NARRATION.value: (Step.NARRATION_GENERATION, "1"),
}
"""What is looked at, where it is not the clips."""


def _in_phase(task: Task, name: str, flags: str) -> list[tuple[str, str]]:
    match task.phase:
        case phase if phase in ERRORS:
            return [
                (f"videotask logs {name}", "what the step said"),
                (f"videotask retry {name}", "goes on where it stopped, once the cause is mended"),
            ]
        case Phase.BUDGET_EXCEEDED:
            own = (f"videotask set {name} budget=USD", "raises the cap; it goes on by itself")
            return [_raising_day(task, flags) if _DAY_CAP in task.message else own]
        case Phase.SUSPENDED:
            return [(f"videotask resume {name}", "goes on where it stopped")]
        case Phase.COMPLETED:
            return [(f"videotask fetch {name}", "copies the film to this machine")]
        case phase if phase in TERMINAL:
            return []
        case _:
            return [(f"videotask get {name} -w", "watches it")]


def _raising_day(task: Task, flags: str) -> tuple[str, str]:
    """Return how to raise the cap that stopped it where it is not its own: its channel's, of a day."""
    channel = str((task.spec.get("channelRef") or {}).get("name", "CHANNEL"))
    words = shlex.split(flags)
    if words[:1] == ["--folder"]:
        file = Path(words[1]) / "resources" / "channels" / f"{channel}.yaml"
        return f"$EDITOR {shlex.quote(str(file))}", f"raises spec.budget.{_DAY_CAP}; else it goes on with the next day"
    asked = re.search(rf'"{_DAY_CAP}": *"([0-9.]+)"', task.message)
    patch = f'{{"spec":{{"budget":{{"{_DAY_CAP}":"{asked[1] if asked else "USD"}"}}}}}}'
    command = f"kubectl patch channels.videotask.dev {channel}{flags} --type=merge -p '{patch}'"
    return command, "raises what its channel may spend in a day; else it goes on with the next day"


def _head(task: Task, now: datetime) -> Iterator[Text]:
    spec = task.spec
    yield Text.assemble((task.name, "bold"), f"  {spec.get('title', '')}")
    facts = [
        f"namespace {task.namespace}",
        f"channel {(spec.get('channelRef') or {}).get('name', '')}",
        f"priority {spec.get('priority', 'normal')}",
        f"created {age_words(task.created_at, now)} ago" if task.created_at else "not seen by an operator yet",
    ]
    yield Text(" · ".join(facts), style="dim")
    yield Text()
    yield Text.assemble((task.phase.label, f"bold {phase_style(task.phase)}"), f"  {task.progress_words()}".rstrip())
    yield Text(f"{_INDENT}{task.message or TABLE[task.phase].meaning}")
    waits = parse_time(task.status.get("nextAttemptAt"))
    if waits is not None:
        yield Text(
            f"{_INDENT}next attempt at {_clock(waits)}, in {format_seconds(max(0.0, (waits - now).total_seconds()))}"
        )


def _section(title: str, lines: Iterator[Text]) -> Iterator[Text]:
    found = list(lines)
    if found:
        yield Text()
        yield Text(title, style="bold")
        for line in found:
            line.rstrip()
            yield Text.assemble(_INDENT, line)


def _next_lines(task: Task, flags: str) -> Iterator[Text]:
    commands = next_commands(task, flags=flags)
    widest = max((len(command) for command, _ in commands), default=0)
    for command, purpose in commands:
        yield Text.assemble((command.ljust(widest), "cyan"), _INDENT, (purpose, "dim"))


def _step_lines(task: Task, now: datetime) -> Iterator[Text]:
    for step in view_status(task.status, now=now).steps:
        mark, style = _MARKS[step.state]
        yield Text.assemble(
            (mark, style),
            f" {step.name:<12}",
            f"{_count(step):>7}",
            f"{format_seconds(step.seconds) if step.seconds is not None else '':>8}",
            f"{f'${step.cost_usd:.4f}' if step.cost_usd else '':>10}",
            f"   {step.kept} kept, not paid again" if step.kept else "",
        )


_MARKS: Final = {"Done": ("✔", "green"), "Failed": ("✘", "red"), "Running": ("▸", "cyan"), "Pending": ("·", "dim")}


def _count(step: StepView) -> str:
    return f"{step.done}/{step.total}" if step.total else ""


def _money_lines(task: Task) -> Iterator[Text]:
    status = task.status
    rows = (
        ("spent", status.get("costUSD", "0"), ""),
        ("possibly paid", status.get("possiblyPaidUSD"), "of it, for calls that died unanswered"),
        ("kept", status.get("keptUSD"), "found made already, not paid again"),
        ("estimate", status.get("estimatedCostUSD"), "for the whole film"),
        ("budget", task.spec.get("budgetUSD", str(DEFAULT_BUDGET_USD)), "spec.budgetUSD"),
    )
    for name, value, meaning in rows:
        dollars = _dollars(value)
        if dollars is None and value is not None:
            yield Text.assemble(f"{name:<14}", f"{value!s:>9}", (f"   {meaning}: these are no dollars", "yellow"))
        elif dollars is not None and (dollars or name in {"spent", "budget"}):
            yield Text.assemble(f"{name:<14}", f"{f'${dollars:.2f}':>9}", (f"   {meaning}", "dim"))


def _dollars(value: object) -> Decimal | None:
    """Return an amount; None where there is none, or where a person wrote something else."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _change_lines(task: Task) -> Iterator[Text]:
    for asset in task.edits.assets:
        yield Text(f"edit   {asset.name}: prompt")
    for scene in task.edits.scenes:
        fields = ", ".join(field for field in scene.model_dump(exclude_none=True) if field != "scene")
        yield Text(f"edit   scene {scene.scene}: {fields.replace('_', ' ')}")
    redo = task.redo
    if redo is not None:
        items = " and ".join(item_words(one.step, one.items) for one in redo.steps)
        state = "taken up" if task.is_redo_honoured else "not taken up yet"
        yield Text(f"redo   {items} ({redo.request}: {state})")
    for choice in task.takes:
        yield Text(f"take   {item_words(choice.step, [choice.item])}: take {choice.take}")
    for gate, approval in (task.spec.get("approvals") or {}).items():
        reason = f": {approval['reason']}" if approval.get("reason") else ""
        decided = f"{approval.get('decision')} by {approval.get('by', 'nobody named')}"
        yield Text(f"gate   {gate}, round {approval.get('round', '?')}: {decided}{reason}")


def _film_lines(task: Task) -> Iterator[Text]:
    film: Mapping[str, Any] | None = task.status.get("film")
    if film:
        yield Text(f"{film['durationSeconds']} s, {film['sizeBytes'] / 1e6:.1f} MB, {film['path']}")
        yield Text(f"sha256 {film['sha256']}", style="dim")


def _history_lines(task: Task) -> Iterator[Text]:
    history = task.status.get("history", ())
    if len(history) > _HISTORY:
        yield Text(f"… {len(history) - _HISTORY} earlier", style="dim")
    for entry in history[-_HISTORY:]:
        moment = parse_time(entry["at"])
        yield Text(f"{_clock(moment)}  {entry['phase']:<21} {entry.get('message', '')}".rstrip())


def _event_lines(events: Sequence[Event], now: datetime) -> Iterator[Text]:
    for event in events[-_EVENTS:]:
        style = "yellow" if event.type == "Warning" else ""
        yield Text.assemble(
            f"{age_words(event.at, now):>4}  ", (f"{event.type:<8}{event.reason:<18}", style), f" {event.message}"
        )


def _clock(moment: datetime | None) -> str:
    """Return a time as the clock on this wall shows it."""
    return "" if moment is None else moment.astimezone().strftime("%H:%M:%S")
