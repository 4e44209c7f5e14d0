"""Spares the histories work of the interpreter's: pure functions remember their answers, and none answers otherwise."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from operator import attrgetter
from typing import Any

import pytest

from videotask_contract.phases import Phase
from videotask_operator.core import changes, decide, order, projection

_ROOMS = ("videotask_operator.", "tests.unit.reconciler.histories.")
_REMEMBERED = 20_000


@contextmanager
def quickened() -> Iterator[None]:
    """Play histories within; what they play is the same, which a test holds them to."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        spellings = {phase: phase.resource for phase in Phase}
        monkeypatch.setattr(Phase, "resource", property(spellings.__getitem__))
        number_of_job = lru_cache(_REMEMBERED)(order.number_of_job)
        for room in (order, decide):
            monkeypatch.setattr(room, "number_of_job", number_of_job)
        monkeypatch.setattr(changes, "_sha256", _remembered_by_identity(changes._sha256))
        for kind in ("HistoryEntry", "StepStatus"):
            monkeypatch.setattr(projection, kind, lru_cache(_REMEMBERED)(getattr(projection, kind)))
        for name, room in list(sys.modules.items()):
            if name.startswith(_ROOMS) and getattr(room, "replace", None) is dataclasses.replace:
                monkeypatch.setattr(room, "replace", _replace)
        yield


def _remembered_by_identity(function: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return the function, remembering its answers for models, which are frozen but cannot be hashed."""
    known: dict[int, tuple[Any, str]] = {}

    def remember(model: Any) -> str:
        found = known.get(id(model))
        if found is None or found[0] is not model:
            found = known[id(model)] = (model, function(model))
        return found[1]

    return remember


def _replace(old: Any, /, **changed: Any) -> Any:
    """Return what dataclasses.replace would, which calls `__init__` with every field by its name."""
    fields = _fields_of(type(old))
    if fields is None or not fields.setters.keys() >= changed.keys():
        return dataclasses.replace(old, **changed)
    new = object.__new__(type(old))
    for put, value in zip(fields.setters.values(), fields.read(old), strict=True):
        put(new, value)
    for name, value in changed.items():
        fields.setters[name](new, value)
    return new


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    """How all fields of a class are read at once, and how each is set."""

    read: Callable[[Any], tuple[Any, ...]]
    setters: dict[str, Callable[[Any, Any], None]]


@lru_cache
def _fields_of(kind: type) -> _Fields | None:
    """Return None for a class that may do more than keep its fields."""
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    is_plain = 1 < len(names) == len(dataclasses.fields(kind)) and not hasattr(kind, "__post_init__")
    slots = [kind.__dict__.get(name) for name in names]
    if not is_plain or not all(hasattr(slot, "__set__") for slot in slots):
        return None
    return _Fields(read=attrgetter(*names), setters={slot.__name__: slot.__set__ for slot in slots})
