"""Retry, suspend, resume, cancel and single settings as patches of plain fields; each is safe to give twice."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from videotask_contract.errors import BadInputError
from videotask_contract.phases import ERRORS, Phase
from videotask_contract.resources import DesiredState, Priority, VideoTaskSpec
from videotask_contract.steps import STEPS
from videotask_operator.cli.change import Change, change_spec, merge, refuse_when_over
from videotask_operator.cli.exits import NotNowError
from videotask_operator.cli.references import parse_step
from videotask_operator.cli.task import Task, parse

_CENT_PLACES: Final = 2
SETTINGS: Final = ("budget=USD", "priority=high|normal|low", "timeout.STEP=SECONDS")


def wish_retry(task: Task) -> Change:
    """Return the raised spec.attempt of a film that waits for it. Raises NotNowError when it does not."""
    refuse_when_over(task, "tried again")
    if task.phase is Phase.BUDGET_EXCEEDED:
        is_own = "perDayUSD" not in task.message  # else the message says how to raise the channel's
        how = f"raise it (videotask set {task.name} budget=USD), and it" if is_own else "it"
        raise NotNowError(f"{task.name} has reached a cap: {task.message}; {how} goes on by itself")
    # The operator asks for a raised attempt in other phases too: after a lost record, or an earlier film of this name.
    if task.phase not in ERRORS and "spec.attempt" not in task.message and not task.waits_for_attempt:
        raise NotNowError(f"{task.name} is not in error: it is {task.where_it_stands()}, {task.message or 'not begun'}")
    attempt = int(task.spec.get("attempt", 1)) + 1
    return change_spec(f"asked for attempt {attempt}; {kept_words(task)}", attempt=attempt)


def kept_words(task: Task) -> str:
    """Return what a retry finds made already: "kept and not paid again: 22 images, 11 of 18 clips ($5.36 so far)"."""
    steps = {entry["name"]: entry for entry in task.status.get("steps", ())}
    kept = []
    for traits in STEPS:
        entry = steps.get(traits.step.value, {})
        done, total = entry.get("done", 0), entry.get("total", 0)
        if traits.provider is not None and done:
            count = f"{done}" if done == total else f"{done} of {total}"
            kept.append(f"{count} {traits.item_name}{'s' if total != 1 else ''}")
    if not kept:
        return "nothing was finished yet"
    return f"kept and not paid again: {', '.join(kept)} (${task.cost_usd:.2f} so far)"


def wish_suspend(task: Task) -> Change:
    """Return spec.state Suspended."""
    refuse_when_over(task, "suspended")
    return _wish_state(task, DesiredState.SUSPENDED, "asked to stop; calls in flight finish, all is kept")


def wish_resume(task: Task) -> Change:
    """Return spec.state Running."""
    refuse_when_over(task, "resumed")
    return _wish_state(task, DesiredState.RUNNING, "asked to go on where it stopped")


def wish_cancel(task: Task) -> Change:
    """Return spec.state Cancelled; nothing leaves the phase it leads to."""
    if task.phase is Phase.CANCELLED:
        return Change(patch=None, words="is cancelled already")
    refuse_when_over(task, "cancelled")
    return _wish_state(task, DesiredState.CANCELLED, "asked to end for good")


def wish_settings(task: Task, words: Sequence[str]) -> Change:
    """Return the settings of "budget=12", "priority=high", "timeout.video_generation=900". Raises BadInputError."""
    refuse_when_over(task, "set otherwise")
    fields: dict[str, Any] = {}
    for word in words:
        setting = _setting(word)
        if "timeouts" in setting:
            setting = {"timeouts": fields.get("timeouts", {}) | setting["timeouts"]}
        fields |= setting
    spec = {key: value for key, value in task.spec.items() if key != "storyboard"}
    parse(VideoTaskSpec, merge({"topic": "-", **spec}, fields), root="spec")
    return change_spec(f"set {', '.join(words)}", **fields)


def _setting(word: str) -> dict[str, Any]:
    name, _, value = word.partition("=")
    match name.split("."):
        case ["budget"] if value:
            return {"budgetUSD": _money(value)}
        case ["priority"] if value in set(Priority):
            return {"priority": value}
        case ["timeout", step] if value.isdecimal():
            return {"timeouts": {parse_step(step).value: int(value)}}
        case ["timeout", step] if value == "default":
            return {"timeouts": {parse_step(step).value: None}}
    raise BadInputError(f"{word!r} is no setting; give {', '.join(SETTINGS)}; further fields by `kubectl edit`")


def _money(value: str) -> str:
    text = value.removeprefix("$")
    if not text.replace(".", "", 1).isdecimal():
        raise BadInputError(f"budget: {value!r} are no dollars; write budget=12 or budget=12.50")
    # As given, with cents at least: what has more places than a budget holds is refused with the spec.
    return text if len(text.partition(".")[2]) > _CENT_PLACES else f"{Decimal(text):.2f}"


def _wish_state(task: Task, state: DesiredState, words: str) -> Change:
    if task.spec.get("state", DesiredState.RUNNING.value) == state.value:
        return Change(patch=None, words=f"spec.state is {state.value} already; it is {task.where_it_stands()}")
    return change_spec(words, state=state.value)
