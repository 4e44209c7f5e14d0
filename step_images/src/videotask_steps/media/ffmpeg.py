"""Runs FFmpeg as a child that never outlives its time, its step or a wish to stop; arguments are lists, never shell."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import imageio_ffmpeg

from videotask_contract.errors import PermanentError, TransientError
from videotask_steps.stop_sign import StopSign

MAX_ERROR_CHARACTERS: Final = 500
_QUIET: Final = ("-nostdin", "-hide_banner", "-y")


async def run_ffmpeg(
    arguments: Sequence[str], *, what: str, timeout_seconds: float, stopping: StopSign, item: str | None = None
) -> str:
    """Run FFmpeg with these arguments and return what it wrote on its error stream.

    `what` says in errors what was being made. Raises INTERRUPTED when the stop sign is set meanwhile, TransientError
    after `timeout_seconds`, PermanentError with the end of FFmpeg's own words when it fails; the child is dead in
    every case.
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
        raise PermanentError(
            f"{what}: FFmpeg ended with {process.returncode}: {words.strip()[-MAX_ERROR_CHARACTERS:]}", item=item
        )
    return words
