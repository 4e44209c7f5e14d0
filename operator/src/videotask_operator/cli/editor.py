"""Words edited in a person's own editor; what was typed is never lost and never taken when it breaks the contract."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from videotask_contract.errors import BadInputError, PermanentError

Edit = Callable[[str], str]
"""From the text before to the text after."""
_WIDTH: Final = 100


def edit_fields(
    words: Mapping[str, Any],
    *,
    about: str,
    fields: tuple[str, ...],
    check: Callable[[Mapping[str, Any]], object],
    edit: Edit,
) -> dict[str, Any]:
    """Return the fields that a person changed, empty when none; the editor opens again on what `check` refuses.

    `check` gets the changed fields and raises BadInputError. Saving the same refused text twice raises it.
    """
    head = _head(about, fields)
    text = head + _dump(words)
    refused: str | None = None
    while True:
        text = edit(text)
        body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
        if not body.strip():
            return {}
        try:
            changed = _changed(words, body, fields)
            if changed:
                check(changed)
        except BadInputError as error:
            if body == refused:
                raise
            refused = body
            text = f"# Not taken: {_comment(error.message)}\n{head}{body}"
        else:
            return changed


class Editor:
    """A person's own editor, and what was typed in it last."""

    def __init__(self) -> None:
        self._typed: str | None = None

    def __call__(self, text: str) -> str:
        """Open the editor on the text and return what was saved. PermanentError when it fails."""
        self._typed = _run_editor(text)
        return self._typed

    def keep(self) -> str:
        """Save what was typed where it stays, and say where; nothing where no editor was open."""
        if self._typed is None:
            return ""
        descriptor, path = tempfile.mkstemp(prefix="videotask-edit-", suffix=".yaml")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self._typed)
        return f"; what was typed is kept in {path}"


def _run_editor(text: str) -> str:
    """Open $VISUAL or $EDITOR, else vi, on the text and return what was saved. PermanentError when it fails."""
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory(prefix="videotask-edit-") as folder:
        path = Path(folder) / "words.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([*command, str(path)], check=False)
        except OSError as error:
            raise PermanentError(
                f"{command[0]} does not start: {error.strerror}; set EDITOR, or give fields"
            ) from error
        if done.returncode != 0:
            raise PermanentError(f"{command[0]} ended with {done.returncode}; nothing was changed")
        return path.read_text(encoding="utf-8")


def _changed(words: Mapping[str, Any], body: str, fields: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = yaml.safe_load(body)
    except yaml.YAMLError as error:
        raise BadInputError(f"this is no YAML: {error}") from error
    if not isinstance(found, dict):
        raise BadInputError("write fields as `name: words`")
    if unknown := [str(field) for field in found if field not in fields]:
        raise BadInputError(f"{', '.join(unknown)}: no such field; there are {', '.join(fields)}")
    trimmed = {field: _trimmed(value, words.get(field)) for field, value in found.items()}
    return {field: value for field, value in trimmed.items() if value is not None and value != words.get(field)}


def _trimmed(value: Any, before: Any) -> Any:
    """Return the value without blanks around it; a field that was emptied (YAML says null) is empty, not left out."""
    if value is None and isinstance(before, str | list):
        return type(before)()
    return value.strip() if isinstance(value, str) else value


def _head(about: str, fields: tuple[str, ...]) -> str:
    return (
        f"# {about}\n# Change the words, save and close. What is left as it is is not edited; an empty file changes "
        f"nothing.\n# Fields: {', '.join(fields)}\n"
    )


def _dump(words: Mapping[str, Any]) -> str:
    if not words:
        return ""
    text: str = yaml.safe_dump(dict(words), sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text


def _comment(message: str) -> str:
    return message.replace("\n", "\n# ")
