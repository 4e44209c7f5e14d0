"""What is known of the cluster; fed by watch events and replaced by each LIST, and never emptied by an error.

Absence is believed only when the API server said so: a DELETED event, or a LIST that is newer than the object.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from videotask_operator.core.last_wishes import LastWishes
from videotask_operator.core.model import ChannelResource, JobSeen, PodSeen, TaskKey, TaskResource
from videotask_operator.core.projection import is_shown_as_over
from videotask_operator.kube.parse import (
    Meta,
    parse_channel,
    parse_job,
    parse_meta,
    parse_pod,
    parse_task,
    parse_version,
)
from videotask_operator.kube.paths import TASK_KIND, Kind

Value = TaskResource | ChannelResource | JobSeen | PodSeen

_REMEMBERED_JOBS: Final = 10_000
"""Uids of Jobs kept beyond their deletion; a terminating pod still names its Job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object."""

    meta: Meta
    value: Value


@dataclass(slots=True)
class _Shelf:
    """All objects of one kind in one namespace, by name."""

    entries: dict[str, Entry] = field(default_factory=dict)
    deleted_at: dict[str, int] = field(default_factory=dict)
    """Version of a deletion, by name: an older sight of the object must not bring it back."""
    listed_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The pages of one LIST as they come; keeps of each object what the cache keeps, and nothing twice."""

    kind: Kind
    shelf: _Shelf
    entries: dict[str, Entry] = field(default_factory=dict)

    def extend(self, bodies: Iterable[Mapping[str, Any]], /) -> None:
        """Take the next page in."""
        for body in bodies:
            meta = parse_meta(body)
            known = self.shelf.entries.get(meta.name)
            entry = _parse(self.kind, meta, body, known)
            self.entries[meta.name] = known if known is not None and known == entry else entry

    def clear(self) -> None:
        """Forget all pages: the list begins anew."""
        self.entries.clear()


class Cache:
    """Objects by kind, namespace and name. Belongs to one event loop."""

    def __init__(self) -> None:
        self._shelves: dict[tuple[Kind, str], _Shelf] = {}
        self._names_of_task: dict[tuple[Kind, TaskKey], set[str]] = {}
        self._job_uids: OrderedDict[tuple[str, str], str] = OrderedDict()
        self.last_wishes = LastWishes()

    # --- reading ------------------------------------------------------------------------------------------------

    def task_keys(self) -> Iterator[TaskKey]:
        """Yield the keys of all VideoTasks."""
        for (kind, namespace), shelf in self._shelves.items():
            if kind is Kind.TASK:
                yield from (TaskKey(namespace, name) for name in shelf.entries)

    def task(self, key: TaskKey) -> TaskResource | None:
        """Return a VideoTask."""
        entry = self.entry(Kind.TASK, key.namespace, key.name)
        return entry.value if entry and isinstance(entry.value, TaskResource) else None

    def channels(self) -> Iterator[ChannelResource]:
        """Return all Channels."""
        for (kind, _), shelf in self._shelves.items():
            if kind is Kind.CHANNEL:
                yield from (e.value for e in shelf.entries.values() if isinstance(e.value, ChannelResource))

    def channel(self, namespace: str, name: str) -> ChannelResource | None:
        """Return a Channel."""
        entry = self.entry(Kind.CHANNEL, namespace, name)
        return entry.value if entry and isinstance(entry.value, ChannelResource) else None

    def jobs(self, key: TaskKey) -> tuple[JobSeen, ...]:
        """Return the Jobs that belong to a task, oldest first."""
        jobs = [entry.value for entry in self._entries_of(Kind.JOB, key) if isinstance(entry.value, JobSeen)]
        return tuple(sorted(jobs, key=lambda job: (job.created_at, job.name)))

    def pods(self, key: TaskKey) -> tuple[tuple[Meta, PodSeen], ...]:
        """Return the pods that say they belong to a task, oldest first."""
        pods = [
            (entry.meta, entry.value) for entry in self._entries_of(Kind.POD, key) if isinstance(entry.value, PodSeen)
        ]
        return tuple(sorted(pods, key=lambda pair: (pair[1].created_at, pair[1].name)))

    def all_pods(self, namespace: str) -> Iterator[tuple[Meta, PodSeen]]:
        """Yield all pods of a namespace."""
        for entry in self._shelf(Kind.POD, namespace).entries.values():
            if isinstance(entry.value, PodSeen):
                yield entry.meta, entry.value

    def entry(self, kind: Kind, namespace: str, name: str) -> Entry | None:
        """Return one object."""
        return self._shelf(kind, namespace).entries.get(name)

    def job_uid(self, namespace: str, name: str) -> str | None:
        """Return the uid of our Job of this name, also for some time after it is gone."""
        return self._job_uids.get((namespace, name))

    # --- writing ------------------------------------------------------------------------------------------------

    def put(self, kind: Kind, body: Mapping[str, Any]) -> frozenset[TaskKey]:
        """Take an object in, unless a newer sight of it is known; return the tasks for which something changed."""
        meta = parse_meta(body)
        shelf = self._shelf(kind, meta.namespace)
        if not _is_news(shelf, meta):
            return frozenset()
        return self._take_in(kind, shelf, _parse(kind, meta, body, shelf.entries.get(meta.name)))

    def _take_in(self, kind: Kind, shelf: _Shelf, after: Entry) -> frozenset[TaskKey]:
        before = shelf.entries.get(after.meta.name)
        self._store(kind, shelf, after)
        self._note_change(before, after)
        return self._affected(kind, before, after)

    def delete(self, kind: Kind, body: Mapping[str, Any]) -> frozenset[TaskKey]:
        """Forget an object that the API server said was deleted; return the tasks that this concerns."""
        meta = parse_meta(body)
        shelf = self._shelf(kind, meta.namespace)
        before = shelf.entries.get(meta.name)
        was_older = before is not None and _is_newer(before.meta.version, meta.version) and before.meta.uid != meta.uid
        if not was_older:
            self._note_change(before, None)
        if kind is Kind.TASK:
            # Its last change and its deletion may have come as one: the body has the last word.
            self._note_change(_parse(kind, meta, body, before), None)
        if was_older:
            return frozenset()
        if meta.version is not None:
            shelf.deleted_at[meta.name] = max(meta.version, shelf.deleted_at.get(meta.name, 0))
        if before is None:
            return frozenset()
        self._remove(kind, shelf, before)
        return self._affected(kind, before, None)

    def replace(
        self, kind: Kind, namespace: str, bodies: Iterable[Mapping[str, Any]], *, version: str
    ) -> frozenset[TaskKey]:
        """Make a whole LIST the truth that is there at once; see `end_list`."""
        listing = self.begin_list(kind, namespace)
        listing.extend(bodies)
        return self.end_list(listing, version=version)

    def begin_list(self, kind: Kind, namespace: str) -> Listing:
        """Return what takes in the pages of a LIST; nothing changes before its end."""
        return Listing(kind=kind, shelf=self._shelf(kind, namespace))

    def end_list(self, listing: Listing, *, version: str) -> frozenset[TaskKey]:
        """Make a whole LIST the truth, but for what was seen after it; return the tasks for which something changed.

        A list older than the one before means that the cluster's store was restored: then only the list counts.
        """
        kind, shelf = listing.kind, listing.shelf
        listed_at = parse_version(version)
        rewound = listed_at is None or (shelf.listed_at is not None and listed_at < shelf.listed_at)
        take = self._replace_all if rewound else self._merge
        changed = take(kind, shelf, listing.entries, listed_at)
        shelf.listed_at = listed_at
        shelf.deleted_at = (
            {}
            if rewound or listed_at is None
            else {name: deleted for name, deleted in shelf.deleted_at.items() if deleted > listed_at}
        )
        return changed

    def _merge(
        self, kind: Kind, shelf: _Shelf, listed: Mapping[str, Entry], listed_at: int | None
    ) -> frozenset[TaskKey]:
        changed: set[TaskKey] = set()
        for entry in listed.values():
            if _is_news(shelf, entry.meta):
                changed |= self._take_in(kind, shelf, entry)
        for name, entry in list(shelf.entries.items()):
            if name not in listed and not _is_newer(entry.meta.version, listed_at):
                self._remove(kind, shelf, entry)
                self._note_change(entry, None)
                changed |= self._affected(kind, entry, None)
        return frozenset(changed)

    def _replace_all(self, kind: Kind, shelf: _Shelf, listed: Mapping[str, Entry], _: int | None) -> frozenset[TaskKey]:
        changed: set[TaskKey] = set()
        before = dict(shelf.entries)
        for entry in before.values():
            self._remove(kind, shelf, entry)
        for name, after in listed.items():
            known = before.pop(name, None)
            self._store(kind, shelf, after)
            self._note_change(known, after)
            changed |= self._affected(kind, known, after)
        for entry in before.values():
            self._note_change(entry, None)
            changed |= self._affected(kind, entry, None)
        return frozenset(changed)

    def _store(self, kind: Kind, shelf: _Shelf, entry: Entry) -> None:
        meta = entry.meta
        before = shelf.entries.get(meta.name)
        if before is not None:
            self._remove(kind, shelf, before)
        shelf.entries[meta.name] = entry
        if kind in {Kind.JOB, Kind.POD} and meta.key:
            self._names_of_task.setdefault((kind, meta.key), set()).add(meta.name)
        if kind is Kind.JOB and meta.owner is not None and meta.owner.kind == TASK_KIND:
            self._remember_job(meta)

    def _remove(self, kind: Kind, shelf: _Shelf, entry: Entry) -> None:
        del shelf.entries[entry.meta.name]
        if entry.meta.key is None:
            return
        names = self._names_of_task.get((kind, entry.meta.key))
        if names is not None:
            names.discard(entry.meta.name)
            if not names:
                del self._names_of_task[kind, entry.meta.key]

    def _remember_job(self, meta: Meta) -> None:
        self._job_uids[meta.namespace, meta.name] = meta.uid
        self._job_uids.move_to_end((meta.namespace, meta.name))
        while len(self._job_uids) > _REMEMBERED_JOBS:
            self._job_uids.popitem(last=False)

    def _note_change(self, before: Entry | None, after: Entry | None) -> None:
        values = (entry.value if entry is not None else None for entry in (before, after))
        self.last_wishes.see_change(*(value if isinstance(value, TaskResource) else None for value in values))

    def _affected(self, kind: Kind, before: Entry | None, after: Entry | None) -> frozenset[TaskKey]:
        if before is not None and after is not None and before.value == after.value:
            return frozenset()
        entry = after or before
        if entry is None:
            return frozenset()
        meta = entry.meta
        if kind is Kind.TASK:
            return frozenset({TaskKey(meta.namespace, meta.name)})
        if kind is Kind.CHANNEL:
            if before is not None and after is not None and _means_the_same(before.value, after.value):
                return frozenset()
            return frozenset(self._tasks_of_channel(meta.namespace, meta.name))
        return frozenset({meta.key}) if meta.key else frozenset()

    def _tasks_of_channel(self, namespace: str, channel: str) -> Iterator[TaskKey]:
        for entry in self._shelf(Kind.TASK, namespace).entries.values():
            task = entry.value
            if not isinstance(task, TaskResource) or task.spec is None or is_shown_as_over(task):
                continue  # a film that is over has no use for its Channel
            if task.spec.channel_ref.name == channel:
                yield task.key

    def _entries_of(self, kind: Kind, key: TaskKey) -> list[Entry]:
        shelf = self._shelf(kind, key.namespace)
        return [shelf.entries[name] for name in self._names_of_task.get((kind, key), ())]

    def _shelf(self, kind: Kind, namespace: str) -> _Shelf:
        return self._shelves.setdefault((kind, namespace), _Shelf())


def _means_the_same(before: Value, after: Value) -> bool:
    """Tell whether only a Channel's status changed, which we write ourselves: it has no word on any film."""
    if not isinstance(before, ChannelResource) or not isinstance(after, ChannelResource):
        return False
    return replace(before, status=after.status) == after


def _is_news(shelf: _Shelf, meta: Meta) -> bool:
    """Tell whether an object was not known yet at this version, nor deleted since."""
    known = shelf.entries.get(meta.name)
    if known is not None and not _is_newer(meta.version, known.meta.version):
        return False
    return _is_newer(meta.version, shelf.deleted_at.get(meta.name))


def _is_newer(version: int | None, known: int | None) -> bool:
    """Tell whether `version` is later; where one cannot be compared the later arrival counts as later."""
    return version is None or known is None or version > known


def _parse(kind: Kind, meta: Meta, body: Mapping[str, Any], before: Entry | None) -> Entry:
    value: Value
    match kind:
        case Kind.TASK:
            known = before.value if before is not None and isinstance(before.value, TaskResource) else None
            value = parse_task(body, known=known)
        case Kind.CHANNEL:
            value = parse_channel(body)
        case Kind.JOB:
            value = parse_job(body)
        case Kind.POD:
            value = parse_pod(body)
    return Entry(meta=meta, value=value)
