"""The error of media that was delivered and cannot be used; never raised for a file that is merely missing."""

from __future__ import annotations

from pathlib import Path

from videotask_contract.errors import FailureClass, PermanentError, TransientError


class BadMediaError(TransientError):
    """The file is no usable media; says what was seen and what was asked for."""

    failure_class = FailureClass.BAD_MEDIA


def check_file(path: Path, *, item: str | None) -> None:
    """Raise PermanentError when the file is missing and BadMediaError when it is empty."""
    if not path.is_file():
        raise PermanentError(f"{path.name} is missing: run the step that makes it again", item=item)
    if path.stat().st_size == 0:
        raise BadMediaError(f"{path.name} is empty (0 bytes)", item=item)
