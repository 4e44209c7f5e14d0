"""The cluster port in memory: Jobs are entries and a test plays the steps; for fast tests of the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.support.builders import NOON

from videotask_contract.errors import PermanentError
from videotask_operator.core.last_wishes import LastWish, LastWishes
from videotask_operator.core.model import (
    Caller,
    ChannelResource,
    EventDraft,
    JobSeen,
    Observation,
    PodSeen,
    RunOrder,
    RunRecord,
    TaskKey,
    TaskResource,
)
from videotask_operator.core.ports import ForeignJobError
from videotask_operator.core.retention import CleanUpOrder, CleanUpState


class MemoryCluster:
    """Tasks, channels, Jobs and pods as dictionaries; `crash_before` names actions that raise once."""

    def __init__(self) -> None:
        self.tasks: dict[TaskKey, TaskResource] = {}
        self.channels_by_name: dict[tuple[str, str], ChannelResource] = {}
        self.jobs: dict[str, tuple[RunOrder, JobSeen]] = {}
        self.pods: dict[str, PodSeen] = {}
        self.orders: list[RunOrder] = []
        """Every Job that was ever made, in order."""
        self.events: list[tuple[TaskKey, EventDraft]] = []
        self.channel_events: list[tuple[str, EventDraft]] = []
        self.shown: list[tuple[TaskKey, dict[str, Any]]] = []
        self.crash_before: set[str] = set()
        self.clean_ups: list[CleanUpOrder] = []
        """Every clean-up that was asked for, once a look."""
        self.clean_up_state = CleanUpState.RUNNING
        self.now: Callable[[], datetime] = lambda: NOON
        self._last_wishes = LastWishes()
        self._shown: dict[TaskKey, TaskResource] = {}
        """What was applied last, for a test takes resources away without a word."""
        self._notify: Callable[[TaskKey], None] = lambda _key: None

    # --- what a test does ---------------------------------------------------------------------------------------

    def apply(self, task: TaskResource) -> None:
        self._last_wishes.see_change(self.tasks.get(task.key), task)
        self._shown[task.key] = task
        self.tasks[task.key] = task
        self._notify(task.key)

    def apply_channel(self, channel: ChannelResource) -> None:
        self.channels_by_name[channel.namespace, channel.name] = channel

    def finish_pod(self, job_name: str, *, exit_code: int, message: str | None = None) -> None:
        order, job = self.jobs[job_name]
        self.jobs[job_name] = (order, replace(job, active=False))
        pod = self.pods[job_name]
        self.pods[job_name] = replace(
            pod, running=False, finished=True, exit_code=exit_code, termination_message=message
        )
        self._notify(order.key)

    def drop_job(self, job_name: str) -> None:
        order, _ = self.jobs.pop(job_name)
        self.pods.pop(job_name, None)
        self._notify(order.key)

    def caller_of(self, order: RunOrder) -> Caller:
        return Caller(namespace=order.key.namespace, pod_name=order.job_name, pod_uid=f"pod-{order.run_id}")

    # --- the port -----------------------------------------------------------------------------------------------

    def on_change(self, notify: Callable[[TaskKey], None]) -> None:
        self._notify = notify

    @property
    def is_synced(self) -> bool:
        return True

    def task_keys(self) -> Iterable[TaskKey]:
        return tuple(self.tasks)

    def channels(self) -> Iterable[ChannelResource]:
        return tuple(self.channels_by_name.values())

    async def save_channel_status(self, channel: ChannelResource, status: dict[str, Any]) -> None:
        self.channels_by_name[channel.namespace, channel.name] = replace(channel, status=status)

    def observe(self, key: TaskKey) -> Observation:
        task = self.tasks.get(key)
        channel = self.channels_by_name.get((key.namespace, task.spec.channel_ref.name)) if task and task.spec else None
        mine = {name for name, (order, _) in self.jobs.items() if order.key == key}
        return Observation(
            task=task,
            channel=channel,
            jobs=tuple(self.jobs[name][1] for name in mine),
            pods=tuple(pod for pod in self.pods.values() if pod.job_name in mine),
        )

    def last_wishes(self, key: TaskKey | None = None) -> Iterable[LastWish]:
        for gone in self._shown.keys() - self.tasks.keys():
            self._last_wishes.see_change(self._shown.pop(gone), None)
        return self._last_wishes.of(key)

    def forget_last_wishes(self, wishes: Iterable[LastWish]) -> None:
        self._last_wishes.forget(wishes)

    async def create_run(self, order: RunOrder) -> None:
        self._maybe_crash("create_run")
        known = self.jobs.get(order.job_name)
        if known is not None:
            if known[1].run_id != order.run_id:
                raise ForeignJobError(order.job_name)
            return
        self.orders.append(order)
        job = JobSeen(
            name=order.job_name,
            uid=f"job-{order.run_id}",
            run_id=order.run_id,
            active=True,
            failed_reason=None,
            deleting=False,
            created_at=self.now(),
        )
        self.jobs[order.job_name] = (order, job)
        self.pods[order.job_name] = PodSeen(
            name=order.job_name,
            uid=f"pod-{order.run_id}",
            run_id=order.run_id,
            job_name=order.job_name,
            created_at=self.now(),
            running=True,
            finished=False,
            disrupted=False,
            exit_code=None,
            termination_message=None,
            waiting_reason=None,
            waiting_message=None,
            deleting=False,
        )
        self._maybe_crash("after_create_run")
        self._notify(order.key)

    async def delete_run(self, key: TaskKey, job_name: str) -> None:
        self._maybe_crash("delete_run")
        if self.jobs.pop(job_name, None) is not None:
            self.pods.pop(job_name, None)
            self._notify(key)

    async def run_clean_up(self, order: CleanUpOrder) -> CleanUpState:
        crash = f"run_clean_up {order.task_uid}"
        if crash in self.crash_before:
            self.crash_before.discard(crash)
            raise PermanentError("the API server refused the Job")
        self.clean_ups.append(order)
        return self.clean_up_state

    async def save_status(self, key: TaskKey, *, uid: str, status: dict[str, Any]) -> None:
        self._maybe_crash("save_status")
        task = self.tasks.get(key)
        if task is not None and task.uid == uid and task.status != status:
            self.shown.append((key, status))
            self.tasks[key] = replace(task, status=status)

    async def post_event(self, key: TaskKey, *, uid: str, event: EventDraft) -> None:
        self.events.append((key, event))

    async def post_channel_event(self, channel: ChannelResource, event: EventDraft) -> None:
        self.channel_events.append((channel.name, event))

    async def authenticate(self, token: str) -> Caller | None:
        order = next((order for order, _ in self.jobs.values() if token == f"token-{order.run_id}"), None)
        return self.caller_of(order) if order else None

    async def owns_run(self, caller: Caller, run: RunRecord, key: TaskKey) -> bool:
        return caller.pod_name == run.job_name and caller.namespace == key.namespace

    async def is_pod_gone(self, key: TaskKey, pod_uid: str) -> bool:
        return all(pod.uid != pod_uid or pod.finished for pod in self.pods.values())

    def _maybe_crash(self, action: str) -> None:
        if action in self.crash_before:
            self.crash_before.discard(action)
            raise ConnectionError(f"crashed at {action}")
