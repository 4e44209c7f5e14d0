"""Removes a film's files and leaves its ledgers; a file must never go before its tombstone is on the disk.

Started as `python -m videotask_steps.clean_up --work` (or `--all`) with the task's own folder mounted. It needs no key,
calls nobody, may be killed at any moment and run again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import structlog

from videotask_contract import VERSION, layout
from videotask_contract.errors import BadInputError, TransientError, VideoTaskError
from videotask_contract.exits import ExitCode
from videotask_contract.ledger_record import LedgerRecord, RecordKind
from videotask_contract.steps import Step
from videotask_contract.task_file import VARIABLE_TERMINATION_LOG, VARIABLE_VOLUME
from videotask_steps import durable, received
from videotask_steps.ledger import LOCK_WAIT_SECONDS, Ledger, LedgerView, lock_ledgers
from videotask_steps.logs import configure_logs

_log: Final = structlog.stdlib.get_logger(__name__)

RUN_ID: Final = "clean-up"
"""Whose run the tombstones are."""
_DEFAULT_VOLUME: Final = "/volume"
_DEFAULT_TERMINATION_LOG: Final = "/dev/termination-log"
_WORK_FOLDERS: Final = frozenset({"assets", "composites", "clips", "narration", "sfx", "segments"})


class Extent(Enum):
    """How much goes."""

    WORK = "work"
    """What the film was made from: images, composites, clips, narrations, effects, segments, every take of them."""
    ALL = "all"
    """Everything but the ledgers."""

    def takes(self, name: str) -> bool:
        """Tell whether the entry of this name in the task's folder goes, with all below it."""
        if name == layout.LEDGER_FOLDER:
            return False
        return self is Extent.ALL or name in _WORK_FOLDERS or (name.startswith(".") and name.endswith(".part"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was done."""

    files: int = 0
    size_bytes: int = 0
    tombstones: int = 0
    """Written now; those of an earlier run stand already."""


async def clean_up(volume: Path, extent: Extent, *, wait_seconds: float = LOCK_WAIT_SECONDS) -> Removed:
    """Write a tombstone for every file that is about to go, then remove the files; doing it again changes nothing.

    Raises NOT_PERMITTED while a run holds the ledgers, and BadInputError for a folder whose files no ledger knows.
    """
    if not _entries(volume, extent):
        return Removed()
    _refuse_without_ledger(volume)
    lock = await lock_ledgers(volume, wait_seconds=wait_seconds)
    try:
        # All of them first: a film that lost some files without a word would be paid for again.
        tombstones = sum(_bury(volume, step, extent, lock) for step in Step)
        files, size_bytes = _remove_all(_entries(volume, extent))
        durable.sync_folder(volume)
    finally:
        os.close(lock)
    return Removed(files=files, size_bytes=size_bytes, tombstones=tombstones)


def to_bury(ledger: LedgerView, extent: Extent) -> list[LedgerRecord]:
    """Return a line for each file of this ledger that goes and has no tombstone: made ones, and paid ones half kept."""
    latest: dict[tuple[str, str, str], LedgerRecord] = {}
    for record in ledger.records:
        if record.path is not None and record.kind in {RecordKind.DONE, RecordKind.TOMBSTONE}:
            latest[record.item, record.key, record.path] = record
    for call in ledger.calls():
        # Its media may lie here under the name it waits with: a crash came between its price and its name.
        if call.closed is not None and call.closed.path is not None:
            latest.setdefault((call.closed.item, call.closed.key, call.closed.path), call.closed)
    return [
        record
        for record in latest.values()
        if record.kind is not RecordKind.TOMBSTONE and extent.takes((record.path or "").split("/")[0])
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Clean up as the arguments say; prints what was removed as JSON and returns the exit code."""
    given = _parser().parse_args(arguments)
    configure_logs()
    # As PID 1 it would not hear SIGTERM; it may stop anywhere, and the next one goes on.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(ExitCode.INTERRUPTED.value))
    try:
        removed = asyncio.run(clean_up(given.volume, given.extent, wait_seconds=given.wait_seconds))
    except VideoTaskError as error:
        return _end(error.failure_class.exit_code, failure=error.message)
    except OSError as error:
        problem = TransientError(f"the volume failed: {error}")
        return _end(problem.failure_class.exit_code, failure=problem.message)
    return _end(ExitCode.DONE, removed=removed.files, removedBytes=removed.size_bytes, tombstones=removed.tombstones)


def _entries(volume: Path, extent: Extent) -> list[os.DirEntry[str]]:
    if volume.is_symlink() or not volume.is_dir():
        raise BadInputError(f"{volume} is no folder; mount the task's own folder there")
    with os.scandir(volume) as entries:
        return sorted((entry for entry in entries if extent.takes(entry.name)), key=lambda entry: entry.name)


def _refuse_without_ledger(volume: Path) -> None:
    folder = volume / layout.LEDGER_FOLDER
    if folder.is_symlink() or not any((volume / layout.ledger(step)).is_file() for step in Step):
        raise BadInputError(
            f"{volume} holds files and no ledger that says what was paid for: restore {layout.LEDGER_FOLDER}/, "
            "or remove the files by hand"
        )


def _bury(volume: Path, step: Step, extent: Extent, lock: int) -> int:
    if not (volume / layout.ledger(step)).is_file():
        return 0
    ledger = Ledger(volume, step, run_id=RUN_ID, lock=os.dup(lock))
    try:
        _settle_received(ledger)
        going = to_bury(ledger, extent)
        for record in going:
            ledger.record_removed(record)
    finally:
        ledger.close()
    return len(going)


def _settle_received(ledger: Ledger) -> None:
    """Settle calls whose answers came whole and were not written down before a crash: they are paid and go as paid."""
    waiting = {
        answer.call_id: answer
        for folder, _, _ in os.walk(ledger.volume)  # follows no link
        for answer in received.received_in(Path(folder))
    }
    for call in ledger.calls():
        answer = waiting.get(call.call_id)
        if call.is_open and answer is not None and answer.answers(call) and answer.is_whole():
            path = str(answer.file.relative_to(ledger.volume))
            received.settle_answer(ledger, call, answer, path=path)


def _remove_all(entries: Iterable[os.DirEntry[str]]) -> tuple[int, int]:
    files = size_bytes = 0
    for entry in entries:
        sizes = list(_sizes(entry))
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)  # follows no link, also none that is planted meanwhile (fd-based on Linux)
        else:
            Path(entry.path).unlink(missing_ok=True)  # of a link the link alone
        files, size_bytes = files + len(sizes), size_bytes + sum(sizes)
        _log.info("removed", path=entry.name, files=len(sizes), size_bytes=sum(sizes))
    return files, size_bytes


def _sizes(entry: os.DirEntry[str]) -> Iterator[int]:
    if not entry.is_dir(follow_symlinks=False):
        yield entry.stat(follow_symlinks=False).st_size
        return
    with os.scandir(entry.path) as below:
        for one in below:
            yield from _sizes(one)


def _end(code: ExitCode, **facts: object) -> int:
    """Say it where Kubernetes keeps it and on stdout."""
    text = json.dumps(facts)
    sys.stdout.write(f"{text}\n")
    path = Path(os.environ.get(VARIABLE_TERMINATION_LOG, _DEFAULT_TERMINATION_LOG))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        _log.warning("termination_message_not_written", path=str(path), error=error.strerror)
    return code.value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="videotask_steps.clean_up",
        description="Removes a film's files and keeps its ledgers, so that nothing is ever paid again by itself.",
        epilog=(
            f"exit codes: {ExitCode.DONE.value} done; {ExitCode.NOT_PERMITTED.value} a run is at work; "
            f"{ExitCode.BAD_INPUT.value} no ledger; {ExitCode.TRANSIENT.value} the volume failed; "
            f"{ExitCode.INTERRUPTED.value} told to stop"
        ),
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--work",
        dest="extent",
        action="store_const",
        const=Extent.WORK,
        help="all that the film was made from; the film, its storyboards and the ledgers stay",
    )
    which.add_argument("--all", dest="extent", action="store_const", const=Extent.ALL, help="all files but the ledgers")
    parser.add_argument(
        "--volume",
        type=Path,
        default=Path(os.environ.get(VARIABLE_VOLUME, _DEFAULT_VOLUME)),
        help=f"the task's own folder (default: ${VARIABLE_VOLUME}, else {_DEFAULT_VOLUME})",
    )
    parser.add_argument(
        "--wait-seconds",
        type=float,
        default=LOCK_WAIT_SECONDS,
        help="how long a run that is just ending may still hold the ledgers (default %(default)s)",
    )
    parser.add_argument("--version", action="version", version=f"clean_up {VERSION}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
