"""The cluster port over files and local processes, for one namespace; it must never look at what PostgreSQL knows."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from videotask_operator.core.last_wishes import LastWish, LastWishes
from videotask_operator.core.model import (
    Caller,
    ChannelResource,
    EventDraft,
    Observation,
    RunOrder,
    RunRecord,
    TaskKey,
    TaskResource,
)
from videotask_operator.core.retention import CleanUpOrder, CleanUpState
from videotask_operator.local import resources
from videotask_operator.local.clean_up import advance_clean_up
from videotask_operator.local.folder import LocalFolder, visible_files
from videotask_operator.local.runs import (
    LocalRun,
    StepCommand,
    advance,
    create_run,
    hash_token,
    is_gone,
    load_run,
    look_at,
    request_deletion,
    step_program,
)

Signature = tuple[int, int, int, int]
"""Inode, size, and when its words and its rights were changed: when these stay, a file is not read again."""

GONE_SECONDS: Final = 2.0
"""How long a file is missing before it counts as deleted; one that is back by then is the same resource."""

_log = structlog.get_logger(__name__)


class LocalCluster:
    """A folder that behaves like a namespace, and its run folders like Jobs with one pod each.

    Everything is on disk: an operator that is killed and started again finds its resources, its runs and how they
    ended. Runs go on while it is away. One operator process for each folder; the record's fence keeps it so.
    """

    def __init__(
        self,
        root: Path,
        *,
        namespace: str = "default",
        step_command: StepCommand = step_program,
        poll_seconds: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = LocalFolder(root)
        self._namespace = namespace
        self._step_command = step_command
        self._poll_seconds = poll_seconds
        self._notify: Callable[[TaskKey], None] = lambda _key: None
        self._clock = clock
        self._signatures: dict[Path, Signature] = {}
        self._missing_since: dict[Path, float] = {}
        self._tasks: dict[str, TaskResource] = {}
        self._last_wishes = LastWishes()
        self._channels: dict[str, ChannelResource] = {}
        self._runs: dict[str, LocalRun] = {}
        self._clean_ups: dict[str, subprocess.Popen[bytes]] = {}
        self._claimed: set[str] = set()
        """Channels whose volume was known at the start."""
        self._unsure: set[str] | None = None
        """VideoTasks of which nobody can say what they want, or whether they are there; None before the first look.

        Their file could not be read, or it was not seen since the start and is not missing for long enough.
        """
        self._is_synced = False

    async def run(self, stop: asyncio.Event) -> None:
        """Look at the folder again and again until told to stop; runs go on after it."""
        while not stop.is_set():
            try:
                self.refresh()
            except OSError as error:
                # As with a cluster that does not answer: nothing is concluded, the cache stands.
                _log.warning("local_folder_unreadable", error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await stop.wait()

    def refresh(self) -> None:
        """Read what changed, move every run on, and notify of each task that this may concern."""
        self._folder.prepare()
        changed = self._refresh_channels() | self._refresh_tasks() | self._refresh_runs()
        # What is missing at a start may be back in a moment, as at any other time.
        self._is_synced = self._is_synced or not self._missing_since
        for name in sorted(changed):
            self._notify(self._key(name))

    def on_change(self, notify: Callable[[TaskKey], None]) -> None:
        """Call `notify` with each task that may have changed."""
        self._notify = notify

    @property
    def is_synced(self) -> bool:
        """True once the folder was read."""
        return self._is_synced

    def task_keys(self) -> Iterable[TaskKey]:
        """Return the keys of all VideoTasks in the cache."""
        return [self._key(name) for name in self._tasks]

    def channels(self) -> Iterable[ChannelResource]:
        """Return all Channels."""
        return tuple(self._channels.values())

    def observe(self, key: TaskKey) -> Observation:
        """Return all that concerns one task: its runs by name and by uid, so that none is overlooked."""
        task = self._tasks.get(key.name) if key.namespace == self._namespace else None
        channel = self._channels.get(task.spec.channel_ref.name) if task is not None and task.spec else None
        seen = [
            look_at(run)
            for run in self._runs.values()
            if run.job.task_name == key.name and self._namespace == key.namespace
        ]
        return Observation(
            task=task,
            channel=channel,
            jobs=tuple(job for job, _ in seen),
            pods=tuple(pod for _, pod in seen if pod is not None),
            in_sight=key.namespace == self._namespace and key.name not in (self._unsure or ()),
        )

    def last_wishes(self, key: TaskKey | None = None) -> Iterable[LastWish]:
        """Return what resources that are gone asked for their files last, of this name or of all."""
        return self._last_wishes.of(key)

    def forget_last_wishes(self, wishes: Iterable[LastWish]) -> None:
        """Drop these: they are on record."""
        self._last_wishes.forget(wishes)

    async def create_run(self, order: RunOrder) -> None:
        """Write the run's record and start it; done already under this run id is success."""
        run = self._runs.get(order.job_name)
        if run is None or run.job.run_id != order.run_id:
            run = create_run(self._folder, order, step_command=self._step_command)
            self._runs[order.job_name] = run
        advance(run, self._folder)

    async def delete_run(self, key: TaskKey, job_name: str) -> None:
        """Ask a run to end (SIGTERM, its grace, SIGKILL) and forget it when it is gone; gone already is success."""
        run = self._runs.get(job_name)
        if run is not None and run.job.task_name == key.name:
            request_deletion(run)
            self._advance(run)

    async def run_clean_up(self, order: CleanUpOrder) -> CleanUpState:
        """Start the clean-up's program unless it runs, and say how far it is; an operator that ends leaves it be."""
        return advance_clean_up(self._clean_ups, order, self._folder)

    async def save_status(self, key: TaskKey, *, uid: str, status: dict[str, Any]) -> None:
        """Replace the status file's status if it differs."""
        task = self._tasks.get(key.name)
        if task is None or task.uid != uid or task.status == status:
            return
        resources.save_status(self._folder, name=key.name, uid=uid, status=status)
        self._tasks[key.name] = resources.load_task(self._folder, namespace=self._namespace, name=key.name)

    async def save_channel_status(self, channel: ChannelResource, status: dict[str, Any]) -> None:
        """Do nothing: on a laptop nobody lists channels."""

    async def post_channel_event(self, channel: ChannelResource, event: EventDraft) -> None:
        """Append the event to the folder's events."""
        self._write_event({"channel": channel.name, "uid": channel.uid}, event)

    async def post_event(self, key: TaskKey, *, uid: str, event: EventDraft) -> None:
        """Append the event to the folder's events."""
        self._write_event({"task": key.name, "uid": uid}, event)

    def _write_event(self, about: dict[str, str], event: EventDraft) -> None:
        line = {
            "at": datetime.now(UTC).isoformat(),
            **about,
            "type": event.type.value,
            "reason": event.reason,
            "message": event.message,
        }
        try:
            self._append_event(json.dumps(line, ensure_ascii=False))
        except OSError as error:
            _log.warning("event_not_written", error=str(error), reason=event.reason)

    async def authenticate(self, token: str) -> Caller | None:
        """Return the pod whose token this is."""
        digest = hash_token(token)
        for run in self._runs.values():
            if run.job.token_sha256 == digest:
                return Caller(namespace=self._namespace, pod_name=run.job.pod_name, pod_uid=run.job.pod_uid)
        return None

    async def owns_run(self, caller: Caller, run: RunRecord, key: TaskKey) -> bool:
        """Tell whether the caller is the pod of this run."""
        known = self._runs.get(run.job_name)
        return (
            known is not None
            and known.job.run_id == run.run_id
            and known.job.task_name == key.name
            and (self._namespace, known.job.pod_uid) == (caller.namespace, caller.pod_uid)
        )

    async def is_pod_gone(self, key: TaskKey, pod_uid: str) -> bool:  # noqa: ARG002  the uid says it all here
        """Tell whether nothing of this pod lives; a record is only ever removed after its processes."""
        return all(is_gone(run) for run in self._runs.values() if run.job.pod_uid == pod_uid)

    async def end_all_runs(self, *, timeout_seconds: float) -> bool:
        """Delete every run, for a person who stops the whole thing; False when some still live at the deadline."""
        for run in self._runs.values():
            request_deletion(run)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while self._runs and asyncio.get_running_loop().time() < deadline:
            self._refresh_runs()
            await asyncio.sleep(self._poll_seconds)
        return not self._runs

    def _key(self, name: str) -> TaskKey:
        return TaskKey(self._namespace, name)

    def _append_event(self, line: str) -> None:
        with self._folder.events.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _refresh_channels(self) -> set[str]:
        if not self._is_synced:
            self._claimed |= resources.channels_with_claim(self._folder)
        changed, gone = self._changes(self._folder.channels, self._channels.keys() | self._claimed)
        self._claimed -= gone
        for name in changed:
            self._load_channel(name)
        for name in gone:
            self._channels.pop(name, None)
            resources.forget_claim(self._folder, name)
        touched = changed | gone
        return {
            name
            for name, task in self._tasks.items()
            if task.spec is not None and task.spec.channel_ref.name in touched
        }

    def _load_channel(self, name: str) -> None:
        try:
            self._channels[name] = resources.load_channel(self._folder, namespace=self._namespace, name=name)
        except OSError as error:
            _log.warning("channel_unreadable", channel=name, error=str(error))
            self._signatures.pop(self._folder.channels / f"{name}.yaml", None)  # what was known stands until then

    def _refresh_tasks(self) -> set[str]:
        if self._unsure is None:
            self._unsure = self._folder.names_with_status()
        changed, gone = self._changes(self._folder.videotasks, self._tasks.keys() | self._unsure)
        for name in gone:
            self._last_wishes.see_change(self._tasks.pop(name, None), None)
            self._folder.status(name).unlink(missing_ok=True)  # its uid goes with it
        for name in changed:
            self._load_task(name)
        self._unsure -= gone
        return changed | gone

    def _load_task(self, name: str) -> None:
        unsure = self._unsure if self._unsure is not None else set()
        try:
            task = resources.load_task(self._folder, namespace=self._namespace, name=name)
        except OSError as error:
            # A full disk, say: it holds up no other film, is no proof of anything, and is tried again at the next look.
            if name not in unsure:
                _log.warning("film_unreadable", task=str(self._key(name)), error=str(error))
            unsure.add(name)
            self._signatures.pop(self._folder.videotasks / f"{name}.yaml", None)
            return
        unsure.discard(name)
        self._last_wishes.see_change(self._tasks.get(name), task)
        self._tasks[name] = task

    def _refresh_runs(self) -> set[str]:
        for path in self._folder.runs.iterdir():
            if not path.name.startswith(".") and path.name not in self._runs and (run := load_run(path)) is not None:
                self._runs[path.name] = run
        owners = {task.uid for task in self._tasks.values()}
        changed = set()
        for run in list(self._runs.values()):
            try:
                if run.job.task_uid not in owners and run.job.task_name not in (self._unsure or ()):
                    request_deletion(run)  # as the garbage collector does with what lost its owner
                if self._advance(run):
                    changed.add(run.job.task_name)
            except OSError as error:
                # It holds up no other run, and is moved on at the next look.
                if run.trouble != str(error):
                    _log.warning("run_not_moved_on", job=run.job.job_name, error=str(error))
                run.trouble = str(error)
        return changed

    def _advance(self, run: LocalRun) -> bool:
        """Move a run on; True when what can be seen of it changed."""
        if not advance(run, self._folder):
            del self._runs[run.job.job_name]
            return True
        before, run.seen = run.seen, look_at(run)
        return before != run.seen

    def _changes(self, folder: Path, known: Iterable[str]) -> tuple[set[str], set[str]]:
        """Return the names whose file is new or changed, and those whose file is gone."""
        present = {path.stem: path for path in visible_files(folder, ".yaml")}
        changed = set()
        for name, path in present.items():
            signature = _signature(path)
            if signature is not None and self._signatures.get(path) != signature:
                self._signatures[path] = signature
                changed.add(name)
        gone = self._believe_gone({folder / f"{name}.yaml" for name in known}, present.values())
        return changed, {path.stem for path in gone}

    def _believe_gone(self, known: set[Path], present: Iterable[Path]) -> set[Path]:
        """Return the files that have been missing for long enough: an editor that saves one takes it away for a moment.

        A folder that was not mounted or is being replaced looks empty in just this way.
        """
        now = self._clock()
        missing = known - set(present)
        for path in known - missing:
            self._missing_since.pop(path, None)
        gone = {path for path in missing if now - self._missing_since.setdefault(path, now) >= GONE_SECONDS}
        for path in gone:
            del self._missing_since[path]
            self._signatures.pop(path, None)
        return gone


def _signature(path: Path) -> Signature | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
