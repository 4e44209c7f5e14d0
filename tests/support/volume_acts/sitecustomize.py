"""Watches what a step under test does to its volume: kills it at its Nth act, fills the disk, turns the clock back.

Only ever on the PYTHONPATH of a child of the tests; the product knows nothing of it. An act is what makes something
last: a file created, a write (two acts: before it, and with half of it written), a sync, a rename. What is written
through C code of a library is not seen; the paid steps write by Python alone.
"""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import shutil
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any


@dataclass(kw_only=True)
class Plan:
    """What is to happen to one run of a step."""

    volume: str = ""
    """Only acts below this folder count; nothing is watched without it."""
    kill_at: int = 0
    """SIGKILL in place of this act."""
    kill_when_done: int = -1
    """SIGKILL as soon as so many DONE lines are synced in a ledger by this run; 0 before its first act."""
    full_from: int = 0
    """From this act on the disk is full: what creates or writes fails with ENOSPC."""
    is_read_only: bool = False
    """Whatever changes the volume fails with EROFS."""
    clock_shift_seconds: float = 0.0
    shadow: str = ""
    """Keep here what a power cut would leave: contents as of each file's last sync, names as of each folder's."""
    count_file: str = ""
    """Write the number of acts here at the end."""


@dataclass
class _State:
    plan: Plan = field(default_factory=Plan)
    acts: int = 0
    done_lines: int = 0
    pid: int = 0


_state = _State()
_open, _os_open, _os_write, _os_fsync = io.open, os.open, os.write, os.fsync
_os_replace, _os_rename, _os_mkdir, _time = os.replace, os.rename, os.mkdir, time.time


def arm(plan: Plan) -> None:
    """Begin to watch this process."""
    _state.plan, _state.acts, _state.done_lines, _state.pid = plan, 0, 0, os.getpid()
    if plan.clock_shift_seconds:
        _turn_clock(plan.clock_shift_seconds)
    if plan.kill_when_done == 0:
        _state.plan.kill_at = 1


def finish() -> None:
    """Write down how many acts there were."""
    if _state.plan.count_file:
        with _open(_state.plan.count_file, "w") as file:
            file.write(str(_state.acts))


def remember_as_durable(volume: Path, shadow: Path) -> None:
    """Take the whole volume as it is for what a power cut leaves; called before a run."""
    shutil.rmtree(shadow, ignore_errors=True)
    for name in ("files", "folders"):
        (shadow / name).mkdir(parents=True)
    for path in (volume, *volume.rglob("*")):
        _keep(shadow, path)


def volume_after_power_cut(volume: Path, shadow: Path, into: Path) -> None:
    """Build in `into` what is left of the volume: no byte and no name that was not synced."""
    into.mkdir()
    listing = shadow / "folders" / str(volume.stat().st_ino)
    _rebuild(shadow, listing, into)


def _rebuild(shadow: Path, listing: Path, into: Path) -> None:
    if not listing.exists():
        return  # a folder whose names were never synced is empty
    for name, (inode, is_folder) in json.loads(listing.read_text()).items():
        if is_folder:
            (into / name).mkdir()
            _rebuild(shadow, shadow / "folders" / str(inode), into / name)
        elif (content := shadow / "files" / str(inode)).exists():
            shutil.copyfile(content, into / name)
        else:
            (into / name).write_bytes(b"")  # the name was synced, its bytes never were


def _keep(shadow: Path, path: Path) -> None:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        names = {entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(path)}
        with _open(shadow / "folders" / str(status.st_ino), "w") as file:
            file.write(json.dumps(names))
    else:
        shutil.copyfile(path, shadow / "files" / str(status.st_ino))


def _forget(path: object) -> None:
    """Forget what an earlier bearer of a new file's inode number held."""
    if _state.plan.shadow:
        inode = str(os.stat(path).st_ino)  # type: ignore[call-overload]  # noqa: PTH116
        for kind in ("files", "folders"):
            (Path(_state.plan.shadow) / kind / inode).unlink(missing_ok=True)


def _is_watched(path: object) -> bool:
    if not _state.plan.volume or os.getpid() != _state.pid or isinstance(path, int):
        return False
    return os.fspath(path).startswith(_state.plan.volume)  # type: ignore[call-overload,no-any-return]


def _path_of(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    except OSError:
        return ""


def _act(*, changes: bool = True) -> None:
    plan = _state.plan
    _state.acts += 1
    if _state.acts == plan.kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    if changes and plan.is_read_only:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if changes and plan.full_from and _state.acts >= plan.full_from:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write(write: Callable[[Any], int], data: Any, path: str) -> int:
    _act()
    whole = memoryview(data).cast("B")
    if _state.acts + 1 in {_state.plan.kill_at, _state.plan.full_from}:
        write(whole[: len(whole) // 2])
    _act()
    written = write(data)
    if "/ledger/" in path and b'"kind":"done"' in bytes(whole):
        _state.done_lines += 1
    return written


class _Raw(io.FileIO):
    def write(self, data: Any) -> int:
        return _write(super().write, data, str(self.name))


def _watched_open(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
    if not any(letter in mode for letter in "wax+") or not _is_watched(file):
        return _open(file, mode, buffering, *rest, **named)
    is_new = not os.path.lexists(file)
    if is_new or "w" in mode:
        _act()
    raw = _Raw(file, mode.replace("b", "").replace("t", ""))
    if is_new:
        _forget(file)
    if "b" in mode:
        if buffering == 0:
            return raw
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    return io.TextIOWrapper(io.BufferedWriter(raw), *rest, **named)


def _watched_os_open(path: Any, flags: int, *rest: Any, **named: Any) -> int:
    if not flags & os.O_CREAT or not _is_watched(path) or os.path.lexists(path):
        return _os_open(path, flags, *rest, **named)
    _act()
    descriptor = _os_open(path, flags, *rest, **named)
    _forget(path)
    return descriptor


def _watched_os_write(descriptor: int, data: Any) -> int:
    path = _path_of(descriptor) if _state.plan.volume else ""
    if not _is_watched(path):
        return _os_write(descriptor, data)
    return _write(lambda part: _os_write(descriptor, part), data, path)


def _watched_fsync(descriptor: int) -> None:
    path = _path_of(descriptor) if _state.plan.volume else ""
    if not _is_watched(path):
        _os_fsync(descriptor)
        return
    _act(changes=False)
    _os_fsync(descriptor)
    if _state.plan.shadow:
        _keep(Path(_state.plan.shadow), Path(path))
    if "/ledger/" in path and _state.done_lines == _state.plan.kill_when_done:
        os.kill(os.getpid(), signal.SIGKILL)


def _watched_rename(rename: Callable[..., None]) -> Callable[..., None]:
    def renamed(source: Any, target: Any, **named: Any) -> None:
        if _is_watched(target):
            _act()
        rename(source, target, **named)

    return renamed


def _watched_mkdir(path: Any, *rest: Any, **named: Any) -> None:
    is_watched = _is_watched(path)
    if is_watched and _state.plan.is_read_only and not os.path.lexists(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(path))
    _os_mkdir(path, *rest, **named)
    if is_watched:
        _forget(path)


def _turn_clock(shift_seconds: float) -> None:
    """Set the clocks that a step reads: time.time, and datetime.now where a module of ours took it in."""
    import videotask_steps.clients.transport  # noqa: PLC0415  not before the run is known
    import videotask_steps.ledger  # noqa: PLC0415

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=shift_seconds)

    time.time = lambda: _time() + shift_seconds
    for module in (videotask_steps.ledger, videotask_steps.clients.transport):
        module.datetime = Shifted  # type: ignore[attr-defined]


def _install() -> None:
    io.open = builtins.open = _watched_open  # type: ignore[assignment]
    os.open = _watched_os_open
    os.write = _watched_os_write
    os.fsync = _watched_fsync  # type: ignore[assignment]
    os.replace = _watched_rename(_os_replace)
    os.rename = _watched_rename(_os_rename)
    os.mkdir = _watched_mkdir


if __name__ == "sitecustomize":  # in the child; the tests import it by its long name and stay as they are
    _install()
