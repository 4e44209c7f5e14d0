"""Random histories of the loop over the ports in memory: what must hold whatever is lost, late, killed or edited."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import random
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
import structlog
from tests.support.builders import NOON, a_channel, a_resource, a_storyboard

from videotask_contract.errors import FailureClass
from videotask_contract.phases import ERRORS, TERMINAL, Phase, is_legal
from videotask_contract.report import Certainty, Directive, Failure, Film, FinalReport, Spend
from videotask_contract.steps import STEPS, Gate, Step
from videotask_operator.core.admission import PLACE_HOLDING
from videotask_operator.core.model import Caller, JobSeen, Observation, PodSeen, RunOrder, TaskKey, TaskRecord
from videotask_operator.reconciler import Reconciler
from videotask_operator.reports import ReportServer, _refuse_politely
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

EXAMPLES = 200
ROUNDS = 30
CALM_ROUNDS = 90
FLEET_CAP = 2
CHANNEL_CAP = 2
ITEMS = ("01", "02")
PRICE_USD = Decimal("0.01")
ALL_DONE = frozenset(ITEMS)
STEP_BEFORE = {after.step: before.step for before, after in itertools.pairwise(STEPS)}
SETTINGS = Settings(fleet_max_active_tasks=FLEET_CAP, namespaces=("studio",), log_level="error")
BOARD = a_storyboard(scenes=2)
FAILURES = tuple(failure for failure in FailureClass if failure is not FailureClass.OVER_BUDGET)
"""Every class but the one that only a step with no money left may report."""


class CrashError(BaseException):
    """The operator's process is gone: none of its error handling may run."""


# --- the world: what is true, whoever sees it ---------------------------------------------------------------------


@dataclass
class Ledger:
    """One step's ledger on one film's folder, with the provider's bill beside it."""

    done: set[str] = field(default_factory=set)
    calls: dict[str, Spend] = field(default_factory=dict)
    paid: Counter[str] = field(default_factory=Counter)


@dataclass
class Pod:
    """A step's pod that plays its program one act at a time."""

    order: RunOrder
    seen: PodSeen
    todo: list[str] | None = None
    under_way: str | None = None
    report: FinalReport | None = None
    has_heard_stop: bool = False

    @property
    def lives(self) -> bool:
        return not self.seen.finished


class World:
    """Resources, Jobs, pods, volumes and providers as they are; only `view`s of it may be wrong."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = NOON
        self.tasks = {}
        self.channels = {
            ("studio", name): replace(a_channel(limits={"maxActiveTasks": CHANNEL_CAP}), name=name)
            for name in ("tides", "dunes")
        }
        self.jobs: dict[str, tuple[RunOrder, JobSeen]] = {}
        self.pods: dict[str, Pod] = {}
        self.volume: dict[tuple[str, Step], Ledger] = {}
        self.specs: dict[TaskKey, dict] = {}
        self.store = MemoryStore()
        self.harm = 1.0
        """How ready the world is to do harm: 0 from the moment that calm sets in."""
        self.operator = Operator(self)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability * self.harm

    def ledger(self, uid: str, step: Step) -> Ledger:
        return self.volume.setdefault((uid, step), Ledger())

    def check_caps(self) -> None:
        """Hold the record to the caps, at any moment and with any number of operators in a row."""
        holding = [task for task in self.store._state.tasks.values() if task.phase in PLACE_HOLDING]
        assert len(holding) <= FLEET_CAP, [f"{task.name} {task.phase}" for task in holding]
        for name, count in Counter(task.channel for task in holding).items():
            assert count <= CHANNEL_CAP, f"{name} holds {count} places"

    def check_workers(self, pod: Pod) -> None:
        """Two pods that both have a start permit must never work for one film."""
        mine = [
            other.seen.name
            for other in self.pods.values()
            if other.order.task_uid == pod.order.task_uid and other.lives and other.todo is not None
        ]
        assert len(mine) == 1, f"at work for one film: {mine}"

    def check_stopped(self, before: dict[str, TaskRecord]) -> None:
        """A film that was suspended or cancelled has no pod at work any more."""
        for uid, task in self.store._state.tasks.items():
            if before.get(uid) is not task and task.phase in {Phase.SUSPENDED, Phase.CANCELLED}:
                left = [
                    pod.seen.name for pod in self.pods.values() if pod.order.task_uid == uid and pod.lives and pod.todo
                ]
                assert not left, f"at work for a film that was stopped: {left}"

    # --- Jobs -------------------------------------------------------------------------------------------------

    def make_job(self, order: RunOrder) -> None:
        if order.job_name in self.jobs:
            assert self.jobs[order.job_name][0].run_id == order.run_id, "another run's Job was taken for its own"
            return
        before = STEP_BEFORE.get(order.step)
        if before is not None:
            assert self.ledger(order.task_uid, before).done == ALL_DONE, f"{order.step} before {before} was done"
        job = JobSeen(
            name=order.job_name,
            uid=f"job-{order.run_id}",
            run_id=order.run_id,
            active=True,
            failed_reason=None,
            deleting=False,
            created_at=self.now,
        )
        self.jobs[order.job_name] = (order, job)
        self.make_pod(order)

    def make_pod(self, order: RunOrder) -> None:
        name = f"{order.job_name}-{uuid.UUID(int=self.random.getrandbits(128)).hex[:5]}"
        seen = PodSeen(
            name=name,
            uid=f"uid-{name}",
            run_id=order.run_id,
            job_name=order.job_name,
            created_at=self.now,
            running=False,
            finished=False,
            disrupted=False,
            exit_code=None,
            termination_message=None,
            waiting_reason=None,
            waiting_message=None,
            deleting=False,
        )
        self.pods[name] = Pod(order=order, seen=seen)

    def remove_job(self, name: str) -> None:
        if self.jobs.pop(name, None) is not None:
            for pod in self.pods_of(name):
                pod.seen = replace(pod.seen, deleting=True)

    def pods_of(self, job: str) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.seen.job_name == job]

    def end_pod(self, pod: Pod, code: int | None, *, message: str | None = None, disrupted: bool = False) -> None:
        pod.seen = replace(
            pod.seen,
            running=False,
            finished=True,
            disrupted=disrupted,
            exit_code=code,
            termination_message=message,
            waiting_reason=None,
        )

    def turn_job_controller(self) -> None:
        """Do what the Job controller and the garbage collector do, each sooner or later."""
        for name, (order, job) in list(self.jobs.items()):
            pods = self.pods_of(name)
            if not job.active or any(pod.lives for pod in pods) or self.chance(0.5):
                continue
            last = pods[-1].seen if pods else None
            if last is not None and last.disrupted:
                self.make_pod(order)
                continue
            failed = None if last is not None and last.exit_code == 0 else "BackoffLimitExceeded"
            self.jobs[name] = (order, replace(job, active=False, failed_reason=job.failed_reason or failed))
        for name, pod in list(self.pods.items()):
            if pod.seen.deleting and pod.seen.finished and not self.chance(0.5):
                del self.pods[name]

    def do_harm(self) -> None:
        """Kill, evict or delete something of a run, or let its deadline pass."""
        living = [pod for pod in self.pods.values() if pod.lives and not pod.seen.deleting]
        if not living:
            return
        pod = self.random.choice(living)
        match self.random.randrange(6):
            case 0:
                self.end_pod(pod, 137)
            case 1:
                self.end_pod(pod, self.random.choice([None, 17]), disrupted=True)
            case 2:
                pod.seen = replace(pod.seen, deleting=True)
            case 3:
                self.remove_job(pod.seen.job_name)
            case 4:
                self.end_pod(pod, 0)  # a SIGTERMed program that exits well with nothing said
            case 5:
                order, job = self.jobs[pod.seen.job_name]
                self.jobs[pod.seen.job_name] = (order, replace(job, active=False, failed_reason="DeadlineExceeded"))
                pod.seen = replace(pod.seen, deleting=True)

    # --- a step's program -------------------------------------------------------------------------------------

    async def act(self, pod: Pod) -> None:
        """One act of a pod: start, ask, pay, finish an item, report."""
        if not pod.lives:
            if pod.report is not None and pod.seen.name in self.pods and self.chance(0.1):
                await self.operator.post(pod, "final", pod.report)
        elif pod.seen.deleting and self.chance(0.8):
            return  # a call in flight may take most of the grace time
        elif pod.seen.deleting and (pod.todo is None or self.chance(0.3)):
            self.end_pod(pod, 137)
        elif not pod.seen.running:
            pod.seen = replace(pod.seen, running=True)
        elif pod.todo is None:
            await self._ask_permit(pod)
        else:
            await self._work(pod)

    async def _ask_permit(self, pod: Pod) -> None:
        status, answer = await self.operator.post(pod, "permit", None)
        if status != 200:
            return
        if answer["directive"] != Directive.CONTINUE:
            self.end_pod(pod, 16 if answer["directive"] == Directive.STOP else 17)
            return
        ledger = self.ledger(pod.order.task_uid, pod.order.step)
        pod.todo = [item for item in ITEMS if item not in ledger.done]
        self.check_workers(pod)

    async def _work(self, pod: Pod) -> None:
        ledger = self.ledger(pod.order.task_uid, pod.order.step)
        if pod.under_way is not None:
            ledger.done.add(pod.under_way)
            pod.under_way = None
        elif pod.seen.deleting or pod.has_heard_stop:
            await self._end_with_report(pod, FailureClass.INTERRUPTED)
        elif self.chance(0.08):
            await self._end_with_report(pod, self.random.choice(FAILURES))
        elif pod.todo:
            self._pay(pod, ledger, pod.todo.pop(0))
        else:
            await self._end_with_report(pod, None)
            return
        if pod.lives and not self.chance(0.5):
            body = {"runId": pod.order.run_id, "done": len(ledger.done), "total": len(ITEMS)}
            status, answer = await self.operator.post(pod, "progress", body)
            pod.has_heard_stop |= status == 200 and answer["directive"] != Directive.CONTINUE

    def _pay(self, pod: Pod, ledger: Ledger, item: str) -> None:
        pod.under_way = item
        if item in ledger.calls:
            return  # an earlier run paid it: looked up, not paid again
        ledger.paid[item] += 1
        ledger.calls[item] = Spend(
            call_id=f"{pod.order.task_uid}-{pod.order.step}-{item}",
            run_id=pod.order.run_id,
            item=item,
            model="any",
            amount_usd=PRICE_USD,
            certainty=Certainty.SETTLED,
            at=self.now,
        )

    async def _end_with_report(self, pod: Pod, failure_class: FailureClass | None) -> None:
        ledger = self.ledger(pod.order.task_uid, pod.order.step)
        failure = Failure(failure_class=failure_class, message=f"because of {failure_class}") if failure_class else None
        is_last = pod.order.step is Step.VIDEO_ASSEMBLY and failure is None
        pod.report = FinalReport(
            run_id=pod.order.run_id,
            step=pod.order.step.value,
            outcome="failed" if failure else "done",
            done=len(ledger.done),
            total=len(ITEMS),
            spent_usd=sum(
                (call.amount_usd for call in ledger.calls.values() if call.run_id == pod.order.run_id), Decimal(0)
            ),
            failure=failure,
            film=Film(path="film.mp4", duration_seconds=9, size_bytes=1, sha256="ab", loudness_lufs=-14)
            if is_last
            else None,
            spend=tuple(ledger.calls.values()),
        )
        code = failure_class.exit_code if failure_class else 0
        message = None if self.chance(0.3) else pod.report.model_dump_json(by_alias=True, exclude_none=True)
        if not self.chance(0.3) and failure_class is not FailureClass.NOT_PERMITTED:
            await self.operator.post(pod, "final", pod.report)
        self.end_pod(pod, int(code), message=message)

    # --- people -----------------------------------------------------------------------------------------------

    def apply(self, key: TaskKey, **spec) -> None:
        known = self.tasks.get(key)
        if known is None:
            uid = str(uuid.UUID(int=self.random.getrandbits(128)))
            self.specs[key] = {"channelRef": {"name": self.random.choice(["tides", "dunes"])}, "storyboard": BOARD}
        else:
            uid = known.uid
        self.specs[key] |= spec
        made = a_resource(name=key.name, uid=uid, **self.specs[key])
        status, generation = (known.status, known.generation + 1) if known else ({}, 1)
        self.tasks[key] = replace(made, status=status, generation=generation)

    def meddle(self) -> None:
        """Let a person change their mind about a film."""
        key = self.random.choice(list(self.tasks))
        spec = self.tasks[key].spec
        match self.random.randrange(8):
            case 0 | 1:
                self.apply(key, state="Suspended")
            case 2 | 3 | 4:
                self.apply(key, state="Running")
            case 5:
                self.apply(key, attempt=spec.attempt + 1)
            case 6:
                self.apply(key, priority=self.random.choice(["high", "normal", "low"]))
            case 7:
                self.decide(key, self.random.choice(["Approved", "Rejected"]), stale=self.random.random() < 0.5)
        if self.chance(0.03):
            self.apply(key, state="Cancelled")

    def decide(self, key: TaskKey, decision: str, *, stale: bool = False) -> None:
        shown = self.tasks[key].status.get("review")
        if shown:
            round_ = shown["round"] - int(stale)
            self.apply(key, approvals={Gate.FINAL.value: {"decision": decision, "by": "alice", "round": round_}})


# --- one life of the operator -------------------------------------------------------------------------------------


class Operator:
    """Reconciler and report endpoint between two crashes, with a view of the world that may lag behind it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.is_dead = False
        self.tasks = dict(world.tasks)
        self.jobs = dict(world.jobs)
        self.pods = {name: (pod.order, pod.seen) for name, pod in world.pods.items()}
        self.reconciler = Reconciler(cluster=self, store=self, settings=SETTINGS, clock=lambda: world.now)
        self.reports = ReportServer(self.reconciler)

    def deliver(self, *, everything: bool) -> None:
        """Bring the view up to date: a LIST brings all, watches bring this object now and that one later."""
        world = self.world
        truths = (
            (self.tasks, world.tasks),
            (self.jobs, world.jobs),
            (self.pods, {name: (pod.order, pod.seen) for name, pod in world.pods.items()}),
        )
        for view, truth in truths:
            for name in sorted(view.keys() | truth.keys()):
                if not everything and world.chance(0.5):
                    continue
                if name in truth:
                    view[name] = truth[name]
                else:
                    view.pop(name)

    async def point(self) -> None:
        """Between any two actions: the process may die here, and others get their turn."""
        if not self.is_dead and self.world.chance(0.01):
            self.is_dead = True
        if self.is_dead:
            raise CrashError
        await asyncio.sleep(0)

    async def turn(self, *keys: TaskKey) -> None:
        """Look at these tasks, several at once, and let admission look."""
        looks = [self.reconciler.reconcile(key) for key in keys]
        looks.insert(self.world.random.randrange(len(looks) + 1), self.reconciler._admit())
        await self._survive(*looks)

    async def post(self, pod: Pod, what: str, body) -> tuple[int, dict]:
        """Let a pod speak to the report endpoint; 503 where nobody listens."""
        if self.is_dead:
            return 503, {}
        text = _text({"runId": pod.order.run_id} if body is None else body)
        request = SimpleNamespace(
            match_info={"run_id": pod.order.run_id},
            headers={"Authorization": f"Bearer {pod.seen.uid}"},
            path=f"/{what}",
            text=lambda: _ready(text),
        )
        handler = {"permit": self.reports._permit, "progress": self.reports._progress, "final": self.reports._final}
        try:
            response = await _refuse_politely(request, handler[what])
        except CrashError:
            return 503, {}
        return response.status, json.loads(response.text)

    async def _survive(self, *works) -> None:
        for outcome in await asyncio.gather(*works, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, CrashError):
                raise outcome

    # --- the cluster port -------------------------------------------------------------------------------------

    is_synced = True
    is_leader = True

    def on_change(self, notify) -> None:
        pass

    def task_keys(self):
        return tuple(self.tasks)

    def channels(self):
        return tuple(self.world.channels.values())

    def observe(self, key: TaskKey) -> Observation:
        task = self.tasks.get(key)
        channel = self.world.channels.get((key.namespace, task.spec.channel_ref.name)) if task else None
        return Observation(
            task=task,
            channel=channel,
            jobs=tuple(job for order, job in self.jobs.values() if order.key == key),
            pods=tuple(seen for order, seen in self.pods.values() if order.key == key),
        )

    async def create_run(self, order: RunOrder) -> None:
        await self.point()
        self.world.make_job(order)
        await self.point()
        self.jobs[order.job_name] = self.world.jobs[order.job_name]

    async def delete_run(self, key: TaskKey, job_name: str) -> None:
        await self.point()
        self.world.remove_job(job_name)
        await self.point()

    async def save_status(self, key: TaskKey, *, uid: str, status: dict) -> None:
        await self.point()
        task = self.world.tasks.get(key)
        if task is not None and task.uid == uid:
            self.world.tasks[key] = replace(task, status=status)

    async def save_channel_status(self, channel, status) -> None:
        pass

    async def post_event(self, key, *, uid, event) -> None:
        await self.point()

    async def authenticate(self, token: str) -> Caller | None:
        await self.point()
        pod = next((pod for pod in self.world.pods.values() if pod.seen.uid == token), None)
        return Caller(namespace="studio", pod_name=pod.seen.name, pod_uid=pod.seen.uid) if pod else None

    async def owns_run(self, caller: Caller, run, key: TaskKey) -> bool:
        pod = self.world.pods.get(caller.pod_name)
        return pod is not None and pod.order.run_id == run.run_id

    async def is_pod_gone(self, key: TaskKey, pod_uid: str) -> bool:
        return all(pod.seen.uid != pod_uid or pod.seen.finished for pod in self.world.pods.values())

    # --- the store port ---------------------------------------------------------------------------------------

    @asynccontextmanager
    async def transaction(self):
        await self.point()
        before = self.world.store._state
        async with self.world.store.transaction() as transaction:
            yield transaction
            await self.point()
        _check_step(before, self.world.store._state)
        self.world.check_caps()
        self.world.check_stopped(before.tasks)
        for _ in range(self.world.random.randrange(6)):
            await self.point()  # an answer may be long on its way


def _check_step(before, after) -> None:
    """Hold what one or more transactions changed to the rules that know no exception."""
    for uid, task in before.tasks.items():
        if after.tasks[uid] is task:
            continue
        if task.phase in ERRORS and after.tasks[uid].phase in PLACE_HOLDING:
            assert after.tasks[uid].attempt > task.attempt, "went on after an error without a person's word"
        assert task.phase not in TERMINAL or after.tasks[uid].phase is task.phase, "left a phase that nothing leaves"
    for run_id, run in before.runs.items():
        now = after.runs[run_id]
        if now is not run and not run.is_open:
            assert (now.closed_at, now.outcome) == (run.closed_at, run.outcome), "a closed run was changed"
    open_runs = Counter(run.task_uid for run in after.runs.values() if run.is_open)
    assert all(count == 1 for count in open_runs.values()), "two open runs of one task"


def _text(body) -> str:
    if isinstance(body, FinalReport):
        return body.model_dump_json(by_alias=True, exclude_none=True)
    return json.dumps(body)


async def _ready(text: str) -> str:
    return text


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    """Thousands of looks would be told line by line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # a crash leaves tasks that nobody asks
    yield
    logging.getLogger("asyncio").setLevel(logging.NOTSET)
    structlog.reset_defaults()


# --- histories ----------------------------------------------------------------------------------------------------


async def live(world: World, *, rounds: int) -> None:
    """Let so many rounds pass in which anything may happen."""
    for _ in range(rounds):
        for pod in list(world.pods.values()) * (1 if world.harm else 6):
            if not world.chance(0.3):
                await world.act(pod)
        world.turn_job_controller()
        if world.chance(0.12):
            world.do_harm()
        if world.chance(0.15):
            world.meddle()
        world.operator.deliver(everything=not world.chance(0.85))
        keys = [key for key in world.tasks if not world.chance(0.4)]
        world.random.shuffle(keys)
        await world.operator.turn(*keys, *keys[: world.random.randrange(3)])
        if world.operator.is_dead and not world.chance(0.3):
            world.operator = Operator(world)
        world.now += timedelta(seconds=world.random.choice([0, 1, 1, 10, 60, 600]))


async def settle(world: World) -> None:
    """Let the world be calm until nothing moves any more: no harm, all views true, time goes on."""
    world.harm = 0
    if world.operator.is_dead:
        world.operator = Operator(world)
    still = 0
    for _ in range(CALM_ROUNDS):
        before = _moving(world)
        await live(world, rounds=1)
        world.now += timedelta(minutes=20)
        still = still + 1 if _moving(world) == before else 0
        if still == 3:
            return
    raise AssertionError([f"{task.phase} {task.message}" for task in world.store._state.tasks.values()])


def _moving(world: World) -> tuple[object, ...]:
    tasks = [(task.phase, task.message) for task in world.store._state.tasks.values()]
    pods = [(pod.seen, len(pod.todo or ()), pod.under_way) for pod in world.pods.values()]
    return tasks, pods, [job for _, job in world.jobs.values()]


def whom_it_waits_for(world: World, key: TaskKey) -> str | None:
    """Return what a settled task's status asks people for; None when it is over."""
    status, spec = world.tasks[key].status, world.tasks[key].spec
    [phase] = [phase for phase in Phase if phase.resource == status["phase"]]
    record = world.store._state.tasks[world.tasks[key].uid]
    assert phase is record.phase, "the status shows another phase than the record's"
    attention = next(line for line in status["conditions"] if line["type"] == "NeedsAttention")
    if phase in TERMINAL:
        return None
    if phase is Phase.SUSPENDED:
        assert spec.state.value == "Suspended"
        assert "spec.state" in status["message"]
        return "resume"
    if phase in ERRORS:
        assert attention["status"] == "True"
        assert (
            "because of" in status["message"]
            or "left no report" in status["message"]
            or "neither" in (status["message"])
        ), status["message"]
        return "attempt"
    if phase is Phase.BUDGET_EXCEEDED:
        assert attention["status"] == "True"
        return "budget"
    if phase is Phase.FINAL_REVIEW:
        assert attention["status"] == "True"
        assert f'"round":{status["review"]["round"]}' in status["review"]["command"]
        return "approval"
    raise AssertionError(f"{key} is stuck in {phase}: {status['message']}")


def help_on(world: World, key: TaskKey) -> None:
    """Do what the task asks for."""
    spec = world.tasks[key].spec
    match whom_it_waits_for(world, key):
        case "resume":
            world.apply(key, state="Running")
        case "attempt":
            world.apply(key, attempt=spec.attempt + 1)
        case "budget":
            world.apply(key, budgetUSD=f"{Decimal(spec.budget_usd) + 10:.2f}")
        case "approval":
            world.decide(key, "Approved")


def check_history(world: World) -> None:
    """Legal transitions without a gap, run numbers that rise, money that is the provider's bill."""
    state = world.store._state
    for uid, task in state.tasks.items():
        lines = state.history[uid]
        assert lines[0].before is None
        assert lines[-1].after is task.phase
        for before, after in itertools.pairwise(lines):
            assert after.before is before.after, "the history has a gap"
            assert is_legal(before.after, after.after), f"{before.after} -> {after.after}"
        runs = sorted((run for run in state.runs.values() if run.task_uid == uid), key=lambda run: run.number)
        assert [run.number for run in runs] == list(range(1, len(runs) + 1))
        assert all(earlier.closed_at <= later.opened_at for earlier, later in itertools.pairwise(runs))
    for (uid, step), ledger in world.volume.items():
        assert all(count == 1 for count in ledger.paid.values()), f"{step} of {uid} paid {ledger.paid}"


@pytest.mark.parametrize("seed", range(EXAMPLES))
async def test_whatever_happens_films_are_made_once_and_nothing_is_stuck(seed):
    world = World(seed)
    for number in range(world.random.randint(1, 4)):
        world.apply(TaskKey("studio", f"film-{number}"), priority=world.random.choice(["high", "normal", "low"]))
    await live(world, rounds=ROUNDS)
    await settle(world)
    check_history(world)
    for _ in range(12):
        waiting = [key for key in world.tasks if whom_it_waits_for(world, key) is not None]
        if not waiting:
            break
        for key in waiting:
            help_on(world, key)
        await settle(world)
    check_history(world)
    left = {key: whom_it_waits_for(world, key) for key in world.tasks}
    assert not any(left.values()), [(left[key], world.tasks[key].status["message"]) for key in left]
    assert not [pod for pod in world.pods.values() if pod.lives]
    for task in world.store._state.tasks.values():
        if task.phase is Phase.COMPLETED:
            bill = sum(call.amount_usd for step in Step for call in world.ledger(task.uid, step).calls.values())
            assert task.pipeline_cost_usd == bill
            assert all(world.ledger(task.uid, step).done == ALL_DONE for step in Step)
