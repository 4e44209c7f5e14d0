"""Lays a person's edits over the storyboard, given or generated; what comes out is checked as if it had been given."""

from __future__ import annotations

from pydantic import ValidationError

from videotask_contract.changes import apply_edits
from videotask_contract.errors import BadInputError
from videotask_contract.storyboard import Storyboard
from videotask_contract.task_file import TaskFile
from videotask_steps.narration_room import check_estimates


def edited_storyboard(task: TaskFile, base: Storyboard) -> Storyboard:
    """Return the storyboard that the steps work by.

    Raises BadInputError naming the field: an edit of something that is not there, a result that breaks the storyboard's
    own rules, a narration that its clip has no room for. The base itself need not have room: an edit may be its cure.
    """
    try:
        storyboard = apply_edits(base, task.edits)
    except ValidationError as error:
        raise BadInputError(f"spec.edits: {_problems(error)}") from error
    check_estimates(task, storyboard)
    return storyboard


def _problems(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(_problem(tuple(map(str, one["loc"])), one["msg"]) for one in problems[:10])


def _problem(place: tuple[str, ...], message: str) -> str:
    words = message.removeprefix("Value error, ")
    return f"{'.'.join(place)}: {words}" if place else words
