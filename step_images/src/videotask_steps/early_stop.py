"""Hears SIGTERM from the first moment of a program; it must never import anything slow."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class _Heard:
    """Whether a stop was asked for before anybody could act on it."""

    requested = False


def install() -> None:
    """Note SIGTERM and SIGINT instead of dying (or, as PID 1, instead of never hearing them)."""
    for number in SIGNALS:
        signal.signal(number, _note)


def requested() -> bool:
    """Tell whether a stop was asked for since install()."""
    return _Heard.requested


def _note(_number: int, _frame: FrameType | None) -> None:
    _Heard.requested = True
