"""The cluster port over Kubernetes: observe, create, delete, show; in the reconciler's loop and never blocking it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from videotask_contract.errors import PermanentError, VideoTaskError
from videotask_contract.resources import LABEL_MANAGED_BY, LABEL_RUN_ID, MANAGED_BY
from videotask_operator.core.last_wishes import LastWish
from videotask_operator.core.model import (
    Caller,
    ChannelResource,
    EventDraft,
    Observation,
    PodSeen,
    RunOrder,
    RunRecord,
    TaskKey,
)
from videotask_operator.core.ports import ForeignJobError
from videotask_operator.core.projection import shows_its_end
from videotask_operator.core.retention import CleanUpOrder, CleanUpState, Extent
from videotask_operator.kube.api import JSON_PATCH, METADATA_ONLY, Api, ApiRefusedError, ApiUnavailableError
from videotask_operator.kube.build_job import JobSettings, build_clean_up_job, build_config_map, build_job
from videotask_operator.kube.cache import Cache
from videotask_operator.kube.clean_up import clean_up_state
from videotask_operator.kube.connection import load_configuration
from videotask_operator.kube.events import EventPoster
from videotask_operator.kube.parse import Meta, parse_meta, parse_pod, parse_time
from videotask_operator.kube.paths import CHANNEL_KIND, OURS, TASK_KIND, Kind, core, objects, one
from videotask_operator.kube.status_patch import build_status_patch
from videotask_operator.kube.tokens import TokenReviewer

_log = structlog.get_logger()

_RETRY_RESYNC_SECONDS: Final = 2.0
_SWEEP_EVERY: Final = timedelta(minutes=10)
_FORBIDDEN: Final = 403
_CONFLICT: Final = 409
_UNPROCESSABLE: Final = 422
_NOT_FOUND: Final = 404


class KubeCluster:
    """Implements ClusterPort. Make it inside the running loop that uses it; `close` ends its connections."""

    def __init__(self, api: Api, *, namespaces: Iterable[str], jobs: JobSettings) -> None:
        self._api = api
        self._namespaces = tuple(dict.fromkeys(namespaces))
        self._jobs = jobs
        self._cache = Cache()
        self._notify: Callable[[TaskKey], None] = _ignore
        self._other_sight: Callable[[], None] = lambda: None
        self._was_unserved = False
        self._events = EventPoster(api, reporter=os.environ.get("HOSTNAME", "videotask-operator"), now=_now)
        self._tokens = TokenReviewer(
            api, namespaces=frozenset(self._namespaces), service_account=jobs.service_account, clock=time.time
        )
        self._unlisted = {(kind, namespace) for kind in Kind for namespace in self._namespaces}
        self._forbidden: set[tuple[Kind, str]] = set()
        """Lists that the API server refused for want of a right when they were last asked for."""
        self._swept_at: datetime | None = None
        self.last_resync_tried_at: datetime | None = None
        self.last_resync_ok_at: datetime | None = None

    @classmethod
    async def connect(
        cls,
        *,
        namespaces: Iterable[str],
        jobs: JobSettings,
        kubeconfig: Path | None = None,
        timeout_seconds: float = 10.0,
    ) -> KubeCluster:
        """Return the adaptor, connected as `load_configuration` says; nothing is listed yet."""
        configuration = await load_configuration(kubeconfig)
        return cls(Api(configuration, timeout_seconds=timeout_seconds), namespaces=namespaces, jobs=jobs)

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    # --- observing ----------------------------------------------------------------------------------------------

    def on_change(self, notify: Callable[[TaskKey], None]) -> None:
        """Call `notify` with each task that may have changed."""
        self._notify = notify

    def on_other_sight(self, call: Callable[[], None]) -> None:
        """Call this when the watches must begin anew.

        So it is when the custom resources are served again after they were not, and when a namespace can no longer be
        read, or can again.
        """
        self._other_sight = call

    def readable_namespaces(self) -> tuple[str, ...]:
        """Return the watched namespaces in which the API server refused no list for want of a right."""
        forbidden = {namespace for _, namespace in tuple(self._forbidden)}
        return tuple(namespace for namespace in self._namespaces if namespace not in forbidden)

    @property
    def is_synced(self) -> bool:
        """True once every kind was listed in every namespace, but for those where we may not read.

        A right that is missing in one namespace must not hold up the films of all others.
        """
        whole = [namespace for namespace in self._namespaces if self._is_listed(namespace)]
        return bool(whole) and all(pair in self._forbidden for pair in self._unlisted)

    def task_keys(self) -> Iterable[TaskKey]:
        """Return the keys of all VideoTasks in the cache."""
        return tuple(self._cache.task_keys())

    def channels(self) -> Iterable[ChannelResource]:
        """Return all Channels in the cache."""
        return tuple(self._cache.channels())

    def observe(self, key: TaskKey) -> Observation:
        """Return all that concerns one task, from the cache.

        A pod whose Job is not known to be ours counts as existing, but nothing it says of its end is passed on.
        """
        task = self._cache.task(key)
        channel = None
        if task is not None and task.spec is not None:
            channel = self._cache.channel(key.namespace, task.spec.channel_ref.name)
        return Observation(
            task=task,
            channel=channel,
            jobs=self._cache.jobs(key),
            pods=tuple(self._judge(meta, pod) for meta, pod in self._cache.pods(key)),
            in_sight=self._is_listed(key.namespace),
        )

    def last_wishes(self, key: TaskKey | None = None) -> Iterable[LastWish]:
        """Return what resources that are gone asked for their files last, of this name or of all."""
        return self._cache.last_wishes.of(key)

    def forget_last_wishes(self, wishes: Iterable[LastWish]) -> None:
        """Drop these: they are on record."""
        self._cache.last_wishes.forget(wishes)

    def take_event(self, kind: Kind, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Take a watch event in; `event_type` is None for objects of a watch's first list."""
        take = self._cache.delete if event_type == "DELETED" else self._cache.put
        self._tell(take(kind, body))

    async def resync(self) -> bool:
        """LIST everything, replace the cache by it, tell what changed; False where some list failed and was kept."""
        self.last_resync_tried_at = _now()
        pairs = [(kind, namespace) for kind in Kind for namespace in self._namespaces]
        readable = self.readable_namespaces()
        failures = [error for error in await asyncio.gather(*(self._relist(*pair) for pair in pairs)) if error]
        if self._is_served_again(failures) or self.readable_namespaces() != readable:
            self._other_sight()
        if failures:
            _log.warning("resync_failed", failed=len(failures), of=len(pairs), error=failures[0].message)
            return False
        self.last_resync_ok_at = _now()
        await self._sweep_config_maps()
        return True

    async def keep_synced(self, *, every_seconds: float, stop: asyncio.Event) -> None:
        """Resync now and then every so many seconds, sooner after a failure, until `stop` is set."""
        is_ok = True
        while not stop.is_set():
            was_ok, is_ok = is_ok, await self._try_resync()
            if is_ok and not was_ok:
                # What could not be done while the API server was away need not wait for its next try; a film that is
                # over and says so had nothing to be done.
                self._tell(key for key in self.task_keys() if not shows_its_end(self.observe(key)))
            pause = every_seconds if is_ok else min(_RETRY_RESYNC_SECONDS, every_seconds)
            try:
                await asyncio.wait_for(stop.wait(), timeout=pause)
            except TimeoutError:
                continue

    # --- acting -------------------------------------------------------------------------------------------------

    async def create_run(self, order: RunOrder) -> None:
        """Create ConfigMap and Job; both are there already under this run id is success.

        The ConfigMap comes first: whoever sees the Job takes the run as begun, and no later call would make good a
        ConfigMap that was refused or that we were stopped before. Raises ForeignJobError where one of the names is
        taken by another, ApiUnavailableError and ApiRefusedError as the API server says.
        """
        await self._create_or_adopt(core("configmaps", order.key.namespace), build_config_map(order), order)
        jobs = objects(Kind.JOB, order.key.namespace)
        self._cache.put(Kind.JOB, await self._create_or_adopt(jobs, build_job(order, self._jobs), order))

    async def delete_run(self, key: TaskKey, job_name: str) -> None:
        """Delete Job, pods and ConfigMap in the background; gone already is success, and a foreign one is left."""
        await asyncio.gather(
            self._delete_if_ours(one(Kind.JOB, key.namespace, job_name), key),
            self._delete_if_ours(core("configmaps", key.namespace, job_name), key),
        )

    async def run_clean_up(self, order: CleanUpOrder) -> CleanUpState:
        """Create the clean-up's Job unless it is there, and say how far it is.

        Its completion is proof: the program exits with 0 when every file is gone and with nothing else when told to
        stop. Raises ForeignJobError where the name is taken by a Job of something else, and PermanentError in a
        namespace that is not watched: a resource that cannot be seen there is no deleted one.
        """
        if order.key.namespace not in self._namespaces:
            raise PermanentError(f"namespace {order.key.namespace} is not watched: nothing is removed there")
        path = one(Kind.JOB, order.key.namespace, order.job_name)
        body = await self._api.fetch_or_none(path)
        if body is None:
            await self._require_gone(order)
            body = await self._api.create(objects(Kind.JOB, order.key.namespace), build_clean_up_job(order, self._jobs))
        return clean_up_state(body, order)

    async def _require_gone(self, order: CleanUpOrder) -> None:
        """Ask anew before the files of a deleted film go: a list that is refused or not served proves nothing."""
        if order.extent is not Extent.ALL:
            return
        # Of this name alone, but as a list: a film that is gone and films that are not served are then two answers.
        items, _ = await self._api.fetch_list(
            objects(Kind.TASK, order.key.namespace),
            field_selector=f"metadata.name={order.key.name}",
            accept=METADATA_ONLY,
        )
        if any(body["metadata"]["uid"] == order.task_uid for body in items):
            raise PermanentError(f"the VideoTask {order.key} is still there: none of its files is removed")

    async def save_status(self, key: TaskKey, *, uid: str, status: dict[str, Any]) -> None:
        """Make the resource's status this one; a resource gone or re-created is success."""
        for _ in range(2):
            task = self._cache.task(key)
            if task is None or task.uid != uid:
                return
            patch = build_status_patch(uid=uid, known=task.status, wanted=status)
            if not patch:
                return
            path = f"{one(Kind.TASK, key.namespace, key.name)}/status"
            try:
                self._cache.put(Kind.TASK, await self._api.patch(path, patch, content_type=JSON_PATCH))
            except ApiRefusedError as error:
                if error.status == _NOT_FOUND:
                    return
                if error.status not in {_CONFLICT, _UNPROCESSABLE}:
                    raise
                if not await self._refresh(key):
                    raise
            else:
                return
        raise ApiUnavailableError(f"the status of {key} changed under our hands twice; it is saved at the next look")

    async def save_channel_status(self, channel: ChannelResource, status: dict[str, Any]) -> None:
        """Make a Channel's status this one; what cannot be saved now is saved at the next look."""
        patch = build_status_patch(uid=channel.uid, known=channel.status, wanted=status)
        if not patch:
            return
        path = f"{one(Kind.CHANNEL, channel.namespace, channel.name)}/status"
        try:
            self._cache.put(Kind.CHANNEL, await self._api.patch(path, patch, content_type=JSON_PATCH))
        except ApiRefusedError as error:
            if error.status not in {_NOT_FOUND, _CONFLICT, _UNPROCESSABLE}:
                raise

    async def post_event(self, key: TaskKey, *, uid: str, event: EventDraft) -> None:
        """Post an Event on the VideoTask; failure to do so is logged and harmless."""
        await self._events.post(key, uid=uid, event=event)

    async def post_channel_event(self, channel: ChannelResource, event: EventDraft) -> None:
        """Post an Event on the Channel; failure to do so is logged and harmless."""
        key = TaskKey(channel.namespace, channel.name)
        await self._events.post(key, uid=channel.uid, event=event, kind=CHANNEL_KIND)

    # --- who speaks ---------------------------------------------------------------------------------------------

    async def authenticate(self, token: str) -> Caller | None:
        """Return who holds this report token, or None; ApiUnavailableError where nobody could be asked."""
        return await self._tokens.identify(token)

    async def owns_run(self, caller: Caller, run: RunRecord, key: TaskKey) -> bool:
        """Tell whether the caller is a pod of this run's Job: by its controller's uid, not by a label alone.

        A pod that once got the run's start permit was looked at then; it may report after its Job is gone.
        """
        if caller.namespace != key.namespace:
            return False
        if run.permitted_pod_uid == caller.pod_uid:
            return True
        meta = await self._find_pod(caller)
        if meta is None or meta.run_id != run.run_id or meta.owner is None:
            return False
        owner = meta.owner
        if owner.kind != "Job" or owner.name != run.job_name:
            return False
        return owner.uid == await self._find_job_uid(key, run)

    async def is_pod_gone(self, key: TaskKey, pod_uid: str) -> bool:
        """Tell whether the API server says now that this pod is gone or has ended; its silence is no proof."""
        for meta, _ in self._cache.all_pods(key.namespace):
            if meta.uid == pod_uid:
                body = await self._api.fetch_or_none(one(Kind.POD, key.namespace, meta.name))
                return body is None or _is_over(body, pod_uid)
        # Without a selector: a pod whose labels were changed runs all the same.
        items, _ = await self._api.fetch_list(objects(Kind.POD, key.namespace))
        return all(_is_over(body, pod_uid) for body in items)

    # --- parts --------------------------------------------------------------------------------------------------

    def _tell(self, keys: Iterable[TaskKey]) -> None:
        for key in keys:
            self._notify(key)

    def _judge(self, meta: Meta, pod: PodSeen) -> PodSeen:
        if self._is_of_our_job(meta):
            return pod
        return dataclasses.replace(pod, exit_code=None, termination_message=None)

    def _is_of_our_job(self, meta: Meta) -> bool:
        owner = meta.owner
        return (
            owner is not None and owner.kind == "Job" and owner.uid == self._cache.job_uid(meta.namespace, owner.name)
        )

    async def _try_resync(self) -> bool:
        try:
            return await self.resync()
        except Exception:  # noqa: BLE001  one object that nobody foresaw must not end the lists for all others
            _log.exception("resync_broke")
            return False

    async def _relist(self, kind: Kind, namespace: str) -> VideoTaskError | None:
        try:
            listing = self._cache.begin_list(kind, namespace)
            version = await self._api.read_list(objects(kind, namespace), listing, label_selector=kind.label_selector)
        except (ApiRefusedError, ApiUnavailableError) as error:
            if isinstance(error, ApiRefusedError) and error.status == _FORBIDDEN:
                self._forbidden.add((kind, namespace))
            return error
        self._forbidden.discard((kind, namespace))
        changed = self._cache.end_list(listing, version=version)
        was_listed = self._is_listed(namespace)
        self._unlisted.discard((kind, namespace))
        if not was_listed and self._is_listed(namespace):
            changed |= {key for key in self._cache.task_keys() if key.namespace == namespace}
        self._tell(changed)
        return None

    def _is_listed(self, namespace: str) -> bool:
        """Tell whether each kind was listed in this namespace, so that what is not in the cache is not there."""
        return namespace in self._namespaces and all((kind, namespace) not in self._unlisted for kind in Kind)

    def _is_served_again(self, failures: list[VideoTaskError]) -> bool:
        unserved = any(isinstance(error, ApiRefusedError) and error.status == _NOT_FOUND for error in failures)
        was_unserved, self._was_unserved = self._was_unserved, unserved
        return was_unserved and not unserved

    async def _create_or_adopt(self, path: str, body: dict[str, Any], order: RunOrder) -> dict[str, Any]:
        try:
            return await self._api.create(path, body)
        except ApiRefusedError as error:
            if error.status != _CONFLICT:
                raise
        existing = await self._api.fetch_or_none(f"{path}/{order.job_name}")
        if existing is None:
            raise ApiUnavailableError(f"{path}/{order.job_name} was there and is gone; it is created at the next look")
        if not _is_of_run(existing, order):
            raise ForeignJobError(
                f"{existing.get('kind', 'an object')} {order.job_name} exists and is not of run {order.run_id}; "
                "delete it, and the run starts"
            )
        return existing

    async def _delete_if_ours(self, path: str, key: TaskKey) -> None:
        body = await self._api.fetch_or_none(path)
        if body is None:
            return
        if not _is_of_task(body, key):
            _log.warning("foreign_object_left", path=path, task=str(key))
            return
        await self._api.delete(path, uid=body["metadata"]["uid"])

    async def _refresh(self, key: TaskKey) -> bool:
        """Read a VideoTask anew; False when what we had of it was right."""
        before = self._cache.task(key)
        body = await self._api.fetch_or_none(one(Kind.TASK, key.namespace, key.name))
        if body is None:
            return True
        self._cache.put(Kind.TASK, body)
        return self._cache.task(key) != before

    async def _find_pod(self, caller: Caller) -> Meta | None:
        entry = self._cache.entry(Kind.POD, caller.namespace, caller.pod_name)
        if entry is not None and entry.meta.uid == caller.pod_uid:
            return entry.meta
        body = await self._api.fetch_or_none(one(Kind.POD, caller.namespace, caller.pod_name))
        if body is None or body["metadata"]["uid"] != caller.pod_uid:
            return None
        return parse_meta(body)

    async def _find_job_uid(self, key: TaskKey, run: RunRecord) -> str | None:
        known = self._cache.job_uid(key.namespace, run.job_name)
        if known is not None:
            return known
        body = await self._api.fetch_or_none(one(Kind.JOB, key.namespace, run.job_name))
        if body is None:
            return None
        meta = parse_meta(body)
        is_ours = meta.run_id == run.run_id and meta.owner is not None and meta.owner.uid == run.task_uid
        return meta.uid if is_ours else None

    async def _sweep_config_maps(self) -> None:
        """Delete the ConfigMaps whose Job is gone for good, so that task.json files do not pile up."""
        now = _now()
        if self._swept_at is not None and now - self._swept_at < _SWEEP_EVERY:
            return
        self._swept_at = now
        for namespace in self._namespaces:
            try:
                await self._sweep(namespace, older_than=now - _SWEEP_EVERY)
            except VideoTaskError as error:
                _log.warning("config_maps_not_swept", namespace=namespace, error=error.message)

    async def _sweep(self, namespace: str, *, older_than: datetime) -> None:
        items, _ = await self._api.fetch_list(core("configmaps", namespace), label_selector=OURS, accept=METADATA_ONLY)
        for body in items:
            meta = parse_meta(body)
            is_old = parse_time(body["metadata"]["creationTimestamp"]) < older_than
            is_ours = meta.owner is not None and meta.owner.kind == TASK_KIND
            if is_old and is_ours and self._cache.entry(Kind.JOB, namespace, meta.name) is None:
                await self._api.delete(core("configmaps", namespace, meta.name), uid=meta.uid)


def _now() -> datetime:
    return datetime.now(UTC)


def _ignore(_: TaskKey) -> None:
    """Stand in until somebody wants to know."""


def _is_of_run(body: Mapping[str, Any], order: RunOrder) -> bool:
    meta = parse_meta(body)
    label = (body["metadata"].get("labels") or {}).get(LABEL_RUN_ID)
    return label == order.run_id and meta.owner is not None and meta.owner.uid == order.task_uid


def _is_of_task(body: Mapping[str, Any], key: TaskKey) -> bool:
    meta = parse_meta(body)
    # Without an owner it was orphaned by somebody's --cascade=orphan; with another one it is not ours.
    has_right_owner = meta.owner is None or (meta.owner.kind, meta.owner.name) == (TASK_KIND, key.name)
    is_managed = (body["metadata"].get("labels") or {}).get(LABEL_MANAGED_BY) == MANAGED_BY
    return has_right_owner and is_managed and meta.task_name == key.name and bool(meta.run_id)


def _is_over(body: Mapping[str, Any], pod_uid: str) -> bool:
    return body["metadata"]["uid"] != pod_uid or parse_pod(body).finished
