"""A film that disk or machine did not let FFmpeg make is tried again by itself: the next run may well succeed."""

from __future__ import annotations

import stat
from pathlib import Path

import imageio_ffmpeg
import pytest

from videotask_contract.errors import FailureClass, PermanentError, TransientError
from videotask_steps.media.ffmpeg import run_ffmpeg
from videotask_steps.stop_sign import StopSign

TONE = ("-v", "error", "-f", "lavfi", "-i", "sine=d=20", "-c:a", "aac", "-b:a", "384k", "-f", "adts")


async def run(*arguments: str) -> str:
    return await run_ffmpeg(arguments, what="encoding the sound", timeout_seconds=60, stopping=StopSign(), item="01")


async def test_a_full_disk_is_named_and_may_have_room_later() -> None:
    with pytest.raises(TransientError, match=r"encoding the sound: .*No space left on device") as caught:
        await run(*TONE, "/dev/full")
    assert (caught.value.failure_class, caught.value.item) == (FailureClass.TRANSIENT, "01")


async def test_an_encoder_that_was_killed_says_what_a_person_may_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "ffmpeg"
    killed.write_text("#!/bin/sh\nkill -KILL $$\n")
    killed.chmod(killed.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(killed))
    with pytest.raises(TransientError, match=r"encoding the sound: .* signal 9.* memory"):
        await run()


async def test_what_it_cannot_decode_stays_a_failure_that_no_time_heals(tmp_path: Path) -> None:
    (tmp_path / "no-sound").write_bytes(b"no sound" * 100)
    with pytest.raises(PermanentError, match="FFmpeg ended with"):
        await run("-v", "error", "-i", str(tmp_path / "no-sound"), "-f", "null", "-")
