"""What resources asked for their files when they were last seen, kept until it is on record; never guessed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from videotask_contract.resources import Retention
from videotask_operator.core.model import TaskKey, TaskResource


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWish:
    """The spec.retention of a resource that is gone, or whose spec can no longer be read."""

    key: TaskKey
    uid: str
    channel: str
    retention: Retention


@dataclass(slots=True)
class LastWishes:
    """Belongs to an adaptor of the cluster, which tells it of each change of a VideoTask."""

    _by_uid: dict[str, LastWish] = field(default_factory=dict)

    def see_change(self, before: TaskResource | None, after: TaskResource | None) -> None:
        """Take in what is shown under one name now, and what was before; None where there is nothing."""
        if before is not None and before.spec is not None:
            self._by_uid[before.uid] = LastWish(
                key=before.key,
                uid=before.uid,
                channel=before.spec.channel_ref.name,
                retention=before.spec.retention,
            )
        if after is not None and after.spec is not None:
            self._by_uid.pop(after.uid, None)  # it speaks for itself

    def of(self, key: TaskKey | None) -> tuple[LastWish, ...]:
        """Return those of the resources that had this name; of all without one."""
        return tuple(wish for wish in self._by_uid.values() if key in {None, wish.key})

    def forget(self, wishes: Iterable[LastWish]) -> None:
        """Drop these, unless another came since."""
        for wish in wishes:
            if self._by_uid.get(wish.uid) is wish:
                del self._by_uid[wish.uid]
