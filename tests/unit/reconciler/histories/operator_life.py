"""One life of the operator: reconciler and report endpoint between two crashes, over ports that see the world late."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

from tests.unit.reconciler.histories.checks import check_transaction
from tests.unit.reconciler.histories.laws import BrokenLawError, Law
from tests.unit.reconciler.histories.reached import Fault
from tests.unit.reconciler.histories.world import SETTINGS, Pod, World

from videotask_contract.errors import PermanentError
from videotask_contract.phases import STOPPED, TERMINAL
from videotask_contract.report import FinalReport
from videotask_operator.core.model import Caller, JobSeen, Observation, PodSeen, RunOrder, TaskKey, TaskRecord
from videotask_operator.core.ports import ForeignJobError, NotLeaderError, RecordConflictError, StoreUnavailableError
from videotask_operator.reconciler import Reconciler
from videotask_operator.reports import ReportServer, _refuse_politely
from videotask_operator.store.memory import MemoryTransaction


class CrashError(BaseException):
    """The operator's process is gone: none of its error handling may run."""


class ApiAwayError(Exception):
    """The API server gave no answer."""


_TURNS = {"WaitingForTurn", "WaitingForSlot"}
"""What others may end."""
_EXPECTED = (ApiAwayError, StoreUnavailableError, NotLeaderError)
"""Errors after which the loop looks again."""


class OperatorLife:
    """Reconciler and report endpoint between two crashes, with a view of the world that may lag behind it."""

    is_synced = True
    is_leader = True

    def __init__(self, world: World) -> None:
        self.world = world
        self.is_dead = False
        self.leads = True
        self.deaf_to: int | None = None
        """The kind of object whose watch is broken until the next LIST."""
        self.tasks = dict(world.tasks)
        self.channels_seen = dict(world.channels)
        self.channels_known: set[str] = set()
        """Names of the channels that it saw with a valid spec at some look, whatever became of them."""
        self.jobs = dict(world.jobs)
        self.pods = {name: (pod.order, pod.seen) for name, pod in world.pods.items()}
        self.reconciler = Reconciler(cluster=self, store=self, settings=SETTINGS, clock=lambda: world.now)
        self._of_films: dict[TaskKey, tuple[list[JobSeen], list[PodSeen]]] | None = None
        """The Jobs and pods of the view, film by film, until it changes."""
        self.failed: set[TaskKey] = set()
        """Tasks whose last look came to no end."""
        self.fleet_paused = world.fleet_paused
        self.reconciler.rules = replace(self.reconciler.rules, fleet_paused=self.fleet_paused)
        self.reports = ReportServer(self.reconciler)

    # --- what the world does with it --------------------------------------------------------------------------

    def deliver(self, *, everything: bool) -> None:
        """Bring the view up to date: a LIST brings all, watches bring this object now and that one later."""
        world = self.world
        pods = {name: (pod.order, pod.seen) for name, pod in world.pods.items()}
        self._of_films = None
        if everything:
            if self.pods != pods or self.jobs != world.jobs:
                world.reached.faults[Fault.VIEW_LOST] += bool(world.harm)
            self.tasks, self.jobs, self.pods = dict(world.tasks), dict(world.jobs), pods
            self.channels_seen = dict(world.channels)
            self.deaf_to = None
            return
        late: Counter[bool] = Counter()
        views = (
            (self.tasks, world.tasks),
            (self.channels_seen, world.channels),
            (self.jobs, world.jobs),
            (self.pods, pods),
        )
        if self.deaf_to is None and world.strikes(Fault.WATCH_BROKEN, 0.04):
            self.deaf_to = world.random.randrange(len(views))
        for number, (view, truth) in enumerate(views):
            if number != self.deaf_to:
                self._deliver_some(view, truth, late)
        world.reached.faults[Fault.VIEW_LATE] += late[True]
        if late[True] and late[False]:
            world.reached.faults[Fault.VIEW_REORDERED] += 1

    def _know_channels(self) -> None:
        self.channels_known |= {name for (_, name), seen in self.channels_seen.items() if seen.spec is not None}

    def _deliver_some(self, view: dict, truth: dict, late: Counter[bool]) -> None:
        for name in sorted(view.keys() | truth.keys()):
            shown, true = view.get(name), truth.get(name)
            if shown is true or shown == true:
                continue
            is_late = self.world.chance(0.5)
            late[is_late] += 1
            if is_late:
                continue
            if true is None:
                del view[name]
            else:
                view[name] = true

    async def turn(self, *keys: TaskKey) -> None:
        """Look at these tasks, several at once, and let admission look."""
        if keys:
            self._know_channels()
        looks = [self._look(key) for key in keys]
        # In a calm who is given a place is looked at after that, as the real loop wakes it.
        place = self.world.random.randrange(len(looks) + 1)
        looks.insert(place if self.world.harm else 0, self.reconciler._admit())
        if self.world.harm == 0:
            for look in looks:
                await look
            return
        for outcome in await asyncio.gather(*looks, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, (CrashError, *_EXPECTED)):
                raise outcome

    async def _look(self, key: TaskKey) -> None:
        """Look at a task; a look that failed is taken again, whatever became of the film."""
        self.failed.add(key)
        await self.reconciler.reconcile(key)
        self.failed.discard(key)

    def unfinished(self, *, everything: bool = True) -> list[TaskKey]:
        """Return what a look at everything would wake; in a calm less the films that are over and show it.

        Less `everything`, without those that wait for people and show it.
        """
        keys = dict.fromkeys((*self.tasks, *sorted(self.failed)))
        state = self.world.store._state
        open_runs = {run.task_uid for run in state.runs.values() if run.is_open}
        for task in state.tasks.values():
            shown = self.tasks.get(task.key)
            if shown is None or shown.uid != task.uid:
                if not task.resource_gone:
                    keys[task.key] = None
            elif not self.world.harm and _needs_no_look(task, everything=everything) and task.uid not in open_runs:
                told = (shown.status.get("phase"), shown.status.get("message"))
                is_seen = shown.status.get("observedGeneration") == shown.generation or task.phase in TERMINAL
                if task.key not in self.failed and is_seen and told == (task.phase.resource, task.message[:500]):
                    keys.pop(task.key, None)
        return list(keys)

    async def post(self, pod: Pod, what: str, body) -> tuple[int, dict]:
        """Let a pod speak to the report endpoint; 503 where nobody listens."""
        world = self.world
        if self.is_dead:
            return 503, {}
        text = _text({"runId": pod.order.run_id} if body is None else body)
        request = SimpleNamespace(
            match_info={"run_id": pod.order.run_id},
            headers={"Authorization": f"Bearer {pod.seen.name}"},
            path=f"/{what}",
            text=lambda: _ready(text),
        )
        handler = {"permit": self.reports._permit, "progress": self.reports._progress, "final": self.reports._final}
        try:
            response = await _refuse_politely(request, handler[what])
        except CrashError:
            return 503, {}
        if self.broken is not None:
            raise self.broken
        if response.status == 200 and world.strikes(Fault.REPORT_ANSWER_LOST, 0.05):
            return 503, {}
        return response.status, json.loads(response.text)

    broken: AssertionError | None = None
    """A law that broke within a request, whose handler turns every error into an answer."""

    async def point(self) -> None:
        """Between any two actions: the process may die here, and others get their turn."""
        if self.world.harm == 0:
            return
        if not self.is_dead and self.world.strikes(Fault.OPERATOR_CRASHED, 0.006):
            self.is_dead = True
        if self.is_dead:
            raise CrashError
        if self.world.random.random() < 0.5:
            await asyncio.sleep(0)

    async def call_api(self, action=lambda: None) -> None:
        """Do something at the API server, which may be away before or after it."""
        await self.point()
        if self.world.strikes(Fault.API_AWAY, 0.01):
            raise ApiAwayError
        action()
        if self.world.strikes(Fault.API_UNHEARD, 0.01):
            raise ApiAwayError
        await self.point()

    # --- the cluster port -------------------------------------------------------------------------------------

    def on_change(self, notify) -> None:
        pass

    def task_keys(self):
        return tuple(self.tasks)

    def channels(self):
        return tuple(self.channels_seen.values())

    def observe(self, key: TaskKey) -> Observation:
        task = self.tasks.get(key)
        spec = task.spec if task else None
        if self._of_films is None:
            self._of_films = self._group_by_film()
        jobs, pods = self._of_films.get(key, ((), ()))
        return Observation(
            task=task,
            channel=self.channels_seen.get((key.namespace, spec.channel_ref.name)) if spec else None,
            jobs=tuple(jobs),
            pods=tuple(pods),
        )

    def _group_by_film(self) -> dict[TaskKey, tuple[list[JobSeen], list[PodSeen]]]:
        found: dict[TaskKey, tuple[list[JobSeen], list[PodSeen]]] = {}
        for order, job in self.jobs.values():
            found.setdefault(order.key, ([], []))[0].append(job)
        for order, pod in self.pods.values():
            found.setdefault(order.key, ([], []))[1].append(pod)
        return found

    async def create_run(self, order: RunOrder) -> None:
        if self.world.strikes(Fault.JOB_REFUSED, 0.02):
            raise PermanentError("exceeded quota")
        if self.world.strikes(Fault.JOB_NAME_TAKEN, 0.02):
            raise ForeignJobError(order.job_name)
        is_ours = True

        def make() -> None:
            nonlocal is_ours
            is_ours = self.world.make_job(order)

        await self.call_api(make)
        if not is_ours:
            raise ForeignJobError(order.job_name)
        if order.job_name in self.world.jobs:
            self.jobs[order.job_name] = self.world.jobs[order.job_name]
            self._of_films = None

    async def delete_run(self, key: TaskKey, job_name: str) -> None:
        await self.call_api(lambda: self.world.remove_job(job_name))

    async def save_status(self, key: TaskKey, *, uid: str, status: dict) -> None:
        def save() -> None:
            task = self.world.tasks.get(key)
            if task is not None and task.uid == uid:
                self.world.tasks[key] = replace(task, status=status)

        await self.call_api(save)

    def last_wishes(self, key=None) -> tuple:
        return ()

    def forget_last_wishes(self, wishes) -> None:
        pass

    async def save_channel_status(self, channel, status) -> None:
        pass

    async def post_event(self, key, *, uid, event) -> None:
        await self.point()

    async def post_channel_event(self, channel, event) -> None:
        await self.point()

    async def authenticate(self, token: str) -> Caller | None:
        await self.point()
        pod = self.world.pods.get(token)
        return Caller(namespace="studio", pod_name=pod.seen.name, pod_uid=pod.seen.uid) if pod else None

    async def owns_run(self, caller: Caller, run, key: TaskKey) -> bool:
        pod = self.world.pods.get(caller.pod_name)
        return pod is not None and pod.order.run_id == run.run_id

    async def is_pod_gone(self, key: TaskKey, pod_uid: str) -> bool:
        return all(pod.seen.uid != pod_uid or pod.seen.finished for pod in self.world.pods.values())

    # --- the store port ---------------------------------------------------------------------------------------

    def transaction(self) -> _Transaction:
        return _Transaction(self)


class _Transaction:
    """One transaction: it may not begin, its answer may be lost, and what it changed is held to the laws."""

    __slots__ = ("before", "inner", "life")

    def __init__(self, life: OperatorLife) -> None:
        self.life = life

    async def __aenter__(self) -> MemoryTransaction:
        life = self.life
        await life.point()
        if not life.leads:
            raise NotLeaderError
        if life.world.strikes(Fault.DATABASE_AWAY, 0.004):
            raise StoreUnavailableError
        self.inner = life.world.store.transaction()
        transaction = await self.inner.__aenter__()
        self.before = life.world.store._state
        return transaction

    async def __aexit__(self, kind, error, trace) -> None:
        life = self.life
        if error is None:
            error = await self._last_point()
        await self.inner.__aexit__(type(error) if error else None, error, trace)
        if isinstance(error, RecordConflictError):
            life.broken = BrokenLawError(Law.ONE_RUN, str(error))
            raise life.broken from error
        if error is not None:
            raise error
        try:
            check_transaction(life.world, self.before, life.world.store._state)
        except BrokenLawError as broken:
            life.broken = broken
            raise
        await self._answer()

    async def _last_point(self) -> CrashError | None:
        try:
            await self.life.point()
        except CrashError as error:
            return error
        return None

    async def _answer(self) -> None:
        world = self.life.world
        if world.strikes(Fault.COMMIT_UNHEARD, 0.004):
            raise StoreUnavailableError
        if world.chance(0.3):
            for _ in range(world.random.randrange(8)):
                await self.life.point()  # an answer may be long on its way


def _needs_no_look(task: TaskRecord, *, everything: bool) -> bool:
    waits_for_people = task.phase in STOPPED or task.review_gate is not None
    return task.phase in TERMINAL or (not everything and waits_for_people and task.waiting_reason not in _TURNS)


def _text(body) -> str:
    if isinstance(body, FinalReport):
        return body.model_dump_json(by_alias=True, exclude_none=True)
    return json.dumps(body)


async def _ready(text: str) -> str:
    return text
