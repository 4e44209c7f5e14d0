"""The patches as data: one TOML file each, one promise broken by replacing a text that is found exactly once."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parents[3]
FOLDER: Final = REPOSITORY / "tests" / "sabotage"
DEADLINE_SECONDS: Final = 300
"""For each test of a patch, unless the patch says otherwise."""
_KNOWN: Final = frozenset({"promise", "file", "old", "new", "tests", "needs", "deadline_seconds"})


class PatchError(Exception):
    """A patch that cannot be used, with what to mend."""


class Need(StrEnum):
    """What a patch's tests need beyond the work tree."""

    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """One promise, how it is broken, and who is to notice."""

    name: str
    promise: str
    file: str
    """Below the repository."""
    old: str
    new: str
    tests: tuple[str, ...]
    """Node ids for pytest, without parameters."""
    needs: Need | None = None
    deadline_seconds: int = DEADLINE_SECONDS

    def apply_to(self, root: Path) -> str:
        """Return the file's patched text.

        PatchError where the old text is not found exactly once, or what comes out is no Python any more.
        """
        path = root / self.file
        if not path.is_file():
            raise PatchError(f"{self.file} is not there; name the file that keeps the promise now")
        text = path.read_text(encoding="utf-8")
        found = text.count(self.old)
        if found != 1:
            raise PatchError(f"its old text is found {found} times in {self.file}; it must be found once")
        patched = text.replace(self.old, self.new)
        if path.suffix == ".py":
            try:
                compile(patched, self.file, "exec")
            except SyntaxError as error:
                raise PatchError(f"{self.file} is no Python after the patch: {error}") from error
        return patched


def load_patches(folder: Path = FOLDER) -> tuple[Patch, ...]:
    """Return all patches by name; PatchError names a file that does not say what it must."""
    return tuple(_load(path) for path in sorted(folder.glob("*.toml")))


def _load(path: Path) -> Patch:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise PatchError(f"{path.name}: {error}") from error
    unknown = data.keys() - _KNOWN
    if unknown:
        raise PatchError(f"{path.name}: unknown words {', '.join(sorted(unknown))}; known are {', '.join(_KNOWN)}")
    patch = Patch(
        name=path.stem,
        promise=_text(path, data, "promise"),
        file=_text(path, data, "file"),
        old=_text(path, data, "old"),
        new=str(data.get("new", "")),
        tests=tuple(data.get("tests", ())),
        needs=Need(data["needs"]) if "needs" in data else None,
        deadline_seconds=int(data.get("deadline_seconds", DEADLINE_SECONDS)),
    )
    if not patch.tests or patch.old == patch.new:
        raise PatchError(f"{path.name}: give tests that notice, and a new text other than the old one")
    return patch


def _text(path: Path, data: dict[str, Any], word: str) -> str:
    value = data.get(word)
    if not isinstance(value, str) or not value:
        raise PatchError(f"{path.name}: {word} is missing")
    return value
