"""Where films are made: a cluster or a folder on a laptop; the commands know this port alone and treat both alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

from videotask_contract.steps import Step
from videotask_contract.storyboard import Storyboard
from videotask_operator.cli.change import Change
from videotask_operator.cli.exits import NoSuchTaskError
from videotask_operator.cli.task import Task

BuildChange = Callable[[Task], Change]
"""From the task as read to what is to be changed; called again when somebody else was faster."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a watched task."""

    task: Task
    is_gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened to a task, as its events tell."""

    at: datetime
    type: str
    reason: str
    message: str


class Place(Protocol):
    """A namespace of a cluster, or a laptop's folder, with the rights of the person at the keyboard."""

    @property
    def flags(self) -> str:
        """What a further command needs to mean the same place: " -n films"."""

    def list_tasks(self, *, all_namespaces: bool = False) -> list[Task]:
        """Return all VideoTasks, by namespace and name."""

    def get_task(self, name: str) -> Task:
        """Return one VideoTask. Raises NoSuchTaskError with names that are near."""

    def change_task(self, name: str, build: BuildChange, *, dry_run: bool = False) -> tuple[Task, Change]:
        """Build the change from the task as it is, make it, and return both; built anew when it met another version."""

    def watch(self, name: str | None = None, *, all_namespaces: bool = False) -> Iterator[list[Seen]]:
        """Yield all tasks as they are now, then those that change, until the caller has seen enough."""

    def events(self, task: Task) -> list[Event]:
        """Return the task's events, oldest first; none where the person may not read them."""

    def load_storyboard(self, task: Task) -> Storyboard | None:
        """Return the storyboard, given or generated; None where a generated one is out of reach."""

    def user(self) -> str | None:
        """Return the name that a decision is given in; None when only the cluster knows it."""

    def show_log(self, task: Task, step: Step | None, *, follow: bool) -> int:
        """Print what the newest run said, of this step or of any; return the exit code."""

    def show_costs(self, words: Sequence[str]) -> int:
        """Have the operator's own program print the costs; return its exit code."""

    def fetch(self, task: Task, target: Path, *, parts: Sequence[str] = (), image: str | None = None) -> Path:
        """Copy the film into the folder `target`, proved to be the one of the status, and further parts beside it."""

    def fetch_parts(self, task: Task, target: Path, parts: Sequence[str]) -> None:
        """Copy parts of the film's folder ("storyboard.json") into the folder `target`; they need no film."""


def no_such_task(name: str, names: Sequence[str], *, where: str) -> NoSuchTaskError:
    """Return the error for a name that is not there, with what may have been meant."""
    near = get_close_matches(name, names, n=3, cutoff=0.5) or [one for one in names if one.startswith(name[:4])][:3]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"there are {', '.join(sorted(names)[:5])}{' and others' if len(names) > 5 else ''}"  # noqa: PLR2004
    else:
        hint = "there are no VideoTasks at all"
    return NoSuchTaskError(f"no VideoTask {name!r} in {where}; {hint}")
