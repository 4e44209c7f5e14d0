"""Kubernetes Events on VideoTasks; the same words within ten minutes are counted, not repeated."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from videotask_contract.errors import VideoTaskError
from videotask_contract.resources import MANAGED_BY
from videotask_operator.core.model import EventDraft, TaskKey
from videotask_operator.kube.api import Api, ApiRefusedError
from videotask_operator.kube.paths import TASK_API_VERSION, TASK_KIND, core

_log = structlog.get_logger()

_SERIES: Final = timedelta(minutes=10)
_MAX_SERIES: Final = 2_000
_MAX_MESSAGE: Final = 1024
"""core/v1 Event: "the message must be at most 1024 characters" (apiserver validation)."""
_MAX_NAME: Final = 230
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    name: str
    count: int
    first_at: datetime
    last_at: datetime


class EventPoster:
    """Posts core/v1 Events, which `kubectl describe` shows."""

    def __init__(self, api: Api, *, reporter: str, now: Callable[[], datetime]) -> None:
        self._api = api
        self._reporter = reporter
        self._now = now
        self._series: OrderedDict[tuple[str, str, str], _Series] = OrderedDict()

    async def post(self, key: TaskKey, *, uid: str, event: EventDraft, kind: str = TASK_KIND) -> None:
        """Post an Event on an object of this kind or count it up; failure to do so is logged and harmless."""
        identity = (uid, event.reason, event.message)
        now = self._now()
        known = self._series.get(identity)
        try:
            if known is not None and now - known.last_at < _SERIES and await self._count_up(key, known, now):
                series = _Series(name=known.name, count=known.count + 1, first_at=known.first_at, last_at=now)
            else:
                series = await self._create(key, uid, event, now, kind)
        except VideoTaskError as error:
            _log.warning("event_not_posted", task=str(key), reason=event.reason, error=error.message)
            return
        self._series[identity] = series
        self._series.move_to_end(identity)
        while len(self._series) > _MAX_SERIES:
            self._series.popitem(last=False)

    async def _count_up(self, key: TaskKey, series: _Series, now: datetime) -> bool:
        try:
            await self._api.patch(
                core("events", key.namespace, series.name),
                {"count": series.count + 1, "lastTimestamp": _stamp(now)},
            )
        except ApiRefusedError as error:
            if error.status != _NOT_FOUND:
                raise
            return False
        return True

    async def _create(self, key: TaskKey, uid: str, event: EventDraft, now: datetime, kind: str) -> _Series:
        name = f"{key.name[:_MAX_NAME].rstrip('-.')}.{secrets.token_hex(8)}"
        await self._api.create(core("events", key.namespace), self._body(name, key, uid, event, now, kind))
        return _Series(name=name, count=1, first_at=now, last_at=now)

    def _body(  # noqa: PLR0917  the parts of one object
        self, name: str, key: TaskKey, uid: str, event: EventDraft, now: datetime, kind: str
    ) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": key.namespace},
            "involvedObject": {
                "apiVersion": TASK_API_VERSION,
                "kind": kind,
                "namespace": key.namespace,
                "name": key.name,
                "uid": uid,
            },
            "type": event.type.value,
            "reason": event.reason,
            "message": event.message[:_MAX_MESSAGE],
            "count": 1,
            "firstTimestamp": _stamp(now),
            "lastTimestamp": _stamp(now),
            "source": {"component": MANAGED_BY},
            "reportingComponent": MANAGED_BY,
            "reportingInstance": self._reporter,
        }


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
