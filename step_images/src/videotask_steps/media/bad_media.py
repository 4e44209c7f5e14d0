"""The error of media that was delivered and cannot be used; never raised for a file that is merely missing."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from videotask_contract.errors import FailureClass, PermanentError, TransientError

_OF_THE_MACHINE: Final = frozenset(
    {
        errno.EACCES,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""They tell of a volume, or of a process, that is in trouble; what is in the file nobody has seen."""


class BadMediaError(TransientError):
    """The file is no usable media; says what was seen and what was asked for."""

    failure_class = FailureClass.BAD_MEDIA


def undecodable(path: Path, error: Exception, *, kind: str, item: str | None) -> TransientError:
    """Return the error of a file that could not be decoded: bad media, or trouble of the volume or the machine."""
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return TransientError(
            f"{path.name} could not be read to be looked at ({error.strerror or error}); nothing is paid for it again: "
            "mend the volume, the file's permissions or the limits of the machine",
            item=item,
        )
    return BadMediaError(f"{path.name} cannot be decoded as {kind}: {error}"[:500], item=item)


def check_file(path: Path, *, item: str | None) -> None:
    """Raise PermanentError when the file is missing and BadMediaError when it is empty."""
    if not path.is_file():
        raise PermanentError(f"{path.name} is missing: run the step that makes it again", item=item)
    if path.stat().st_size == 0:
        raise BadMediaError(f"{path.name} is empty (0 bytes)", item=item)
