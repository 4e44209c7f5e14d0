"""Runs FFmpeg as a child that never outlives its time, its step or a wish to stop; arguments are lists, never shell."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Sequence
from typing import Final

import imageio_ffmpeg

from videotask_contract.errors import PermanentError, TransientError, VideoTaskError
from videotask_steps.stop_sign import StopSign

MAX_ERROR_CHARACTERS: Final = 500
_OF_THE_MACHINE: Final = frozenset(
    {
        errno.EAGAIN,
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EROFS,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""FFmpeg ends with the low byte of the negated error number; those of its own errors are others (libavutil/error.h)."""
_QUIET: Final = ("-nostdin", "-hide_banner", "-y")


async def run_ffmpeg(
    arguments: Sequence[str], *, what: str, timeout_seconds: float, stopping: StopSign, item: str | None = None
) -> str:
    """Run FFmpeg with these arguments and return what it wrote on its error stream.

    `what` says in errors what was being made. Raises INTERRUPTED when the stop sign is set meanwhile, TransientError
    after `timeout_seconds` and where disk or machine failed it, PermanentError where its input did, with the end of
    FFmpeg's own words; the child is dead in every case.
    """
    stopping.raise_if_set()
    process = await asyncio.create_subprocess_exec(
        imageio_ffmpeg.get_ffmpeg_exe(),
        *_QUIET,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    output = asyncio.create_task(process.communicate())
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({output, stop}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        stopping.raise_if_set()
        if not output.done():
            raise TransientError(f"{what}: not done after {timeout_seconds:.0f} s", item=item)
        words = output.result()[1].decode(errors="replace")
    finally:
        stop.cancel()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        output.cancel()
    if process.returncode != 0:
        raise _failure(process.returncode or 0, words.strip()[-MAX_ERROR_CHARACTERS:], what=what, item=item)
    return words


def _failure(code: int, words: str, *, what: str, item: str | None) -> VideoTaskError:
    if code < 0:
        return TransientError(
            f"{what}: FFmpeg was killed by signal {-code}: the step's pod may need more memory. {words}".strip(),
            item=item,
        )
    message = f"{what}: FFmpeg ended with {code}: {words}"
    return TransientError(message, item=item) if 256 - code in _OF_THE_MACHINE else PermanentError(message, item=item)
