"""Media that is there and cannot be read just now is not media that is missing: nothing is paid for it again."""

from __future__ import annotations

import errno
import random
import sys
import wave
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import av
import pytest
from PIL import Image
from tests.support.step_context import a_context
from tests.support.step_program import a_task_file

from videotask_contract.errors import FailureClass, TransientError
from videotask_contract.steps import Step
from videotask_steps import durable
from videotask_steps.context import StepContext
from videotask_steps.items import Call, Wanted, make_items
from videotask_steps.ledger import Ledger
from videotask_steps.media.audio_probe import check_audio
from videotask_steps.media.bad_media import BadMediaError
from videotask_steps.media.clip_probe import probe_clip
from videotask_steps.media.image_probe import probe_image

PATH = "narration/narration_01.mp3"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE], ids=["denied", "broken", "stale"])
async def test_a_volume_that_fails_ends_the_run_before_anything_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    context = await a_context(tmp_path, a_task_file(Step.NARRATION_GENERATION))
    durable.save(tmp_path / PATH, b"sound")
    context.ledger.record_done("01", "key-01", path=PATH)

    def fail(_path: Path) -> str:
        raise OSError(number, "it failed")

    async def make(_call: Call) -> str:
        raise AssertionError("no call may be made")

    wanted = Wanted(
        item="01",
        label="scene 01",
        key="key-01",
        model="voice",
        price_usd=Decimal("0.01"),
        path=lambda take, suffix: f"narration/{take}{suffix}",
        suffixes=(".mp3",),
        make=make,
        probe=lambda _path: 1.0,
    )
    with monkeypatch.context() as failing:
        failing.setattr(durable, "sha256_of", fail)
        with pytest.raises(TransientError, match=rf"scene 01: the volume failed: {PATH} cannot be read .it failed"):
            await make_items(context, [wanted])
    assert context.ledger.calls() == []
    await make_items(context, [wanted])
    assert context.progress.kept == 1


@pytest.mark.parametrize("change", ["removed", "folder removed", "a file in the folder's place"])
async def test_what_is_gone_is_still_not_kept(tmp_path: Path, change: str) -> None:
    ledger = await Ledger.open(tmp_path, Step.NARRATION_GENERATION, run_id="run-1")
    durable.save(tmp_path / PATH, b"sound")
    ledger.record_done("01", "key-01", path=PATH)
    (tmp_path / PATH).unlink()
    if change != "removed":
        (tmp_path / PATH).parent.rmdir()
    if change == "a file in the folder's place":
        (tmp_path / PATH).parent.write_bytes(b"")
    assert ledger.kept("01", "key-01") is None


def _with_sound(path: Path) -> None:
    """Write two seconds of noise: a sound that every check takes."""
    noise = array("h", (random.Random(1).randrange(-9000, 9000) for _ in range(44_100 * 2)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 44_100, 0, "NONE", ""))
        file.writeframes(noise.tobytes())


def _sound_wanted(make: Callable[[Call], Awaitable[str]]) -> Wanted:
    return Wanted(
        item="01",
        label="scene 01",
        key="key-01",
        model="voice",
        price_usd=Decimal("0.01"),
        path=lambda take, suffix: f"narration/narration_01.take{take}{suffix}",
        suffixes=(".wav",),
        make=make,
        probe=lambda path: check_audio(path, item="01").duration_seconds,
    )


def _paid_sound(folder: Path, asked: list[str]) -> Callable[[Call], Awaitable[str]]:
    """Return a call that costs a cent, gives a good sound, and notes its id in `asked`."""
    _with_sound(folder / "sound.wav")

    async def make(call: Call) -> str:
        asked.append(call.paid.call_id)
        call.charged(Decimal("0.01"))
        return call.keep((folder / "sound.wav").read_bytes(), ".wav")

    return make


async def _narrations(volume: Path, run_id: str) -> StepContext:
    return await a_context(volume, a_task_file(Step.NARRATION_GENERATION, run_id=run_id))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE])
async def test_a_volume_that_fails_while_a_new_and_a_kept_file_is_looked_at_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    asked: list[str] = []
    make = _paid_sound(tmp_path, asked)

    def fail(*_: object, **__: object) -> NoReturn:
        av.error.err_check(-number)
        raise AssertionError

    wanted = _sound_wanted(make)
    for run, is_failing in enumerate([True, True, False, True, False], start=1):
        context = await _narrations(tmp_path, f"run-{run}")
        with monkeypatch.context() as failing:
            if is_failing:
                failing.setattr(av, "open", fail)
                with pytest.raises(TransientError, match=r"could not be read to be looked at") as caught:
                    await make_items(context, [wanted])
                assert caught.value.failure_class is FailureClass.TRANSIENT
            else:
                await make_items(context, [wanted])
        context.ledger.close()
    assert len(asked) == 1
    assert context.progress.kept == 1
    assert not list((tmp_path / "narration").glob("*.rejected"))


async def test_decoders_that_cannot_be_loaded_lose_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are loaded once calls are on their way, so that what has come by then must be made use of."""
    asked: list[str] = []
    make = _paid_sound(tmp_path, asked)

    def probe(path: Path) -> float:
        from videotask_steps.media.audio_probe import check_audio  # noqa: PLC0415

        return check_audio(path).duration_seconds

    wanted = replace(_sound_wanted(make), probe=probe)
    for run, is_broken in enumerate([True, True, False], start=1):
        context = await _narrations(tmp_path, f"run-{run}")
        with monkeypatch.context() as broken:
            if is_broken:
                broken.setitem(sys.modules, "videotask_steps.media.audio_probe", None)
                with pytest.raises(ImportError):
                    await make_items(context, [wanted])
            else:
                await make_items(context, [wanted])
        context.ledger.close()
    assert len(asked) == 1
    assert context.ledger.spent_usd("run-1") == Decimal("0.01")


@pytest.mark.parametrize(("probe", "opens"), [(probe_clip, av), (probe_image, Image)])
def test_clips_and_images_that_cannot_be_read_are_not_called_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: Callable[[Path], object], opens: object
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "file").write_bytes(b"whatever is in it")
    with monkeypatch.context() as failing:
        failing.setattr(opens, "open", fail)
        with pytest.raises(TransientError, match=r"could not be read.*Input/output error") as caught:
            probe(tmp_path / "file")
    assert caught.value.failure_class is FailureClass.TRANSIENT
    with pytest.raises(BadMediaError):
        probe(tmp_path / "file")
