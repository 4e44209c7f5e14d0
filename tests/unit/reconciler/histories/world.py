"""The world as it is: resources, Jobs, pods, volumes and the provider's bill; only views of it may be wrong."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tests.support.builders import NOON, a_channel, a_spec, a_storyboard
from tests.unit.reconciler.histories.laws import Law, hold
from tests.unit.reconciler.histories.reached import Fault, Reached

from videotask_contract.changes import ALL_ITEMS, Edits, Redo
from videotask_contract.phases import TERMINAL, Phase
from videotask_contract.prices import PriceTable
from videotask_contract.report import Certainty, FinalReport, Spend
from videotask_contract.resources import VideoTaskSpec
from videotask_contract.steps import TRAITS, Step
from videotask_operator.core.estimate import estimate_by_step
from videotask_operator.core.model import ChannelResource, JobSeen, PodSeen, RunOrder, TaskKey, TaskResource
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

if TYPE_CHECKING:
    from tests.unit.reconciler.histories.operator_life import OperatorLife

FLEET_CAP = 2
CHANNEL_CAP = 2
SETTINGS = Settings(fleet_max_active_tasks=FLEET_CAP, namespaces=("studio",), log_level="error")
PRICES = PriceTable()
STEP_ORDER = tuple(TRAITS)
ZERO = Decimal(0)
LOOKED_UP = frozenset({Step.VIDEO_GENERATION})
"""Steps whose provider can be asked what became of a call."""


@cache
def base_spec(*, words: str = "") -> VideoTaskSpec:
    """Return a valid spec with two scenes; with `words` its first narration is those."""
    board = a_storyboard(scenes=2)
    if words:
        board["scenes"][0]["narration"] = words
    return VideoTaskSpec.model_validate(a_spec(storyboard=board))


@cache
def price_usd(step: Step) -> Decimal:
    """Return the table price of the dearest call of a step."""
    return estimate_by_step(base_spec(), a_channel().spec, PRICES)[step].largest_call_usd


def items_of(step: Step) -> tuple[str, ...]:
    match step:
        case Step.ASSET_GENERATION:
            return ("harbour", "hero-1")
        case Step.VIDEO_ASSEMBLY:
            return ("film",)
        case _:
            return ("01", "02")


def lasting_name(step: Step, item: str) -> str:
    """Return by what a new take of this item is counted: a scene's name, whatever number it has."""
    is_scene = step not in {Step.ASSET_GENERATION, Step.VIDEO_ASSEMBLY} and item != ALL_ITEMS
    return f"scene-{int(item)}" if is_scene else item


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@cache
def _channels() -> dict[tuple[str, str, str], ChannelResource]:
    """Return the channels by name and budget; "dunes" has accounts with few slots, far from UTC."""
    limits = {"maxActiveTasks": CHANNEL_CAP}
    accounts = {
        name: {"secretRef": {"name": f"{name}-key"}, "concurrency": 2} for name in ("gemini", "kling", "elevenlabs")
    }
    found = {}
    for budget in ("100.00", "1.60"):
        tides = a_channel(limits=limits, budget={"perDayUSD": budget})
        dunes = a_channel(
            limits=limits, budget={"perDayUSD": budget, "timeZone": "Pacific/Auckland"}, credentials=accounts
        )
        found["studio", "tides", budget] = tides
        found["studio", "dunes", budget] = replace(dunes, name="dunes")
    return found


def was_under_way(status: dict[str, Any]) -> bool:
    """Tell whether a status without a record is of a film that must wait for a person's word."""
    return status.get("phase") not in {None, Phase.QUEUED.resource, *(phase.resource for phase in TERMINAL)}


@dataclass
class Ledger:
    """One step's ledger on one film's folder; an item's key stands for all that made it."""

    takes: dict[str, list[int]] = field(default_factory=dict)
    """Keys of what was made, by item, in the order of their takes."""
    current: dict[str, int] = field(default_factory=dict)
    """Keys of the takes that count."""
    redo: dict[str, int] = field(default_factory=dict)
    chosen: dict[str, int] = field(default_factory=dict)
    """What the last run was told of new and chosen takes."""
    calls: dict[str, Spend] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    """The key that each call was for."""
    under_way: dict[str, str] = field(default_factory=dict)
    """Calls whose end was not written down yet, by item."""

    def has(self, item: str, key: int) -> bool:
        return key in self.takes.get(item, ())

    def keep(self, item: str, key: int) -> None:
        """Write a new file down."""
        self.takes.setdefault(item, []).append(key)
        self.current[item] = key


@dataclass
class Pod:
    """A step's pod that plays its program one act at a time."""

    order: RunOrder
    seen: PodSeen
    ledger: Ledger
    todo: list[str] | None = None
    """None until it has the start permit."""
    reservation_usd: Decimal = ZERO
    keys: dict[str, int] = field(default_factory=dict)
    """What it was asked to make, by item."""
    item: str | None = None
    """The item whose call is in flight."""
    report: FinalReport | None = None
    told: dict[str, Any] | None = None
    """Its last progress report."""
    has_heard_stop: bool = False

    @property
    def lives(self) -> bool:
        return not self.seen.finished

    @property
    def works(self) -> bool:
        return self.todo is not None and self.report is None and not self.seen.finished


class World:
    """Resources, Jobs, pods, volumes and providers as they are."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = NOON
        self.temper = self.random.choice([0.4, 0.7, 1.0, 1.5])
        """How ready this world is to do harm."""
        self.harm = 0.0
        """How ready it is now: its temper, or 0 in a calm."""
        self.reached = Reached(examples=1)
        self.tasks: dict[TaskKey, TaskResource] = {}
        self.wanted: dict[TaskKey, VideoTaskSpec] = {}
        """What people wrote, also where the resource shows something broken."""
        self.day_budget = {name: self.random.choice(["100.00", "100.00", "1.60"]) for name in ("tides", "dunes")}
        self.channels = {
            ("studio", name): _channels()["studio", name, budget] for name, budget in self.day_budget.items()
        }
        self.jobs: dict[str, tuple[RunOrder, JobSeen]] = {}
        self.pods: dict[str, Pod] = {}
        self.volume: dict[tuple[str, Step], Ledger] = {}
        self.boards: dict[str, Edits | None] = {}
        """What step 1 laid over the storyboard, by task."""
        self.key_of: dict[tuple[object, ...], int] = {}
        self.bill: dict[str, Decimal] = {}
        """What the provider charged, by call."""
        self.excess: Counter[object] = Counter()
        """What calls cost above their upper bounds, by task and by channel-day: nobody could know."""
        self.channel_of: dict[str, str] = {}
        self.keys: dict[str, TaskKey] = {}
        self.words: set[tuple[str, str, int | None, str]] = set()
        """Every stamped decision a person ever gave: task, gate, round, decision."""
        self.asked_attempt: Counter[str] = Counter()
        """The highest attempt people asked for, by task."""
        self.attempt_at_loss: dict[str, int] = {}
        """The attempt of tasks whose record was lost while they were under way."""
        self.not_before: dict[str, datetime] = {}
        self.redo_asked: dict[tuple[str, str], Redo] = {}
        """Every request for new takes, by task and request id."""
        self.redo_honoured: set[tuple[str, str]] = set()
        self.fleet_paused = False
        self.imported: set[str] = set()
        """Tasks that began with a status from elsewhere."""
        self.has_lost_database = False
        self.store = MemoryStore()
        self.generation = 1
        self.operator: OperatorLife

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability * self.harm

    def strikes(self, fault: Fault, probability: float) -> bool:
        """Tell whether this fault happens now, and count it."""
        happens = self.random.random() < probability * self.harm
        if happens:
            self.reached.faults[fault] += 1
        return happens

    def fresh_hex(self, length: int) -> str:
        return f"{self.random.getrandbits(128):032x}"[:length]

    # --- resources --------------------------------------------------------------------------------------------

    def create(self, key: TaskKey, *, status: dict[str, Any] | None = None, **spec: Any) -> None:
        uid = str(uuid.UUID(int=self.random.getrandbits(128)))
        words = "one word after another " * 12 if spec.pop("is_long", False) else ""
        self.wanted[key] = base_spec(words=words).model_copy(update=spec)
        self.tasks[key] = TaskResource(
            key=key,
            uid=uid,
            generation=1,
            created_at=self.now,
            deleting=False,
            spec=self.wanted[key],
            spec_error=None,
            status=status or {},
        )
        self.channel_of[uid] = self.wanted[key].channel_ref.name
        self.keys[uid] = key
        if status:
            self.imported.add(uid)
            if was_under_way(status):
                self.attempt_at_loss[uid] = self.wanted[key].attempt

    def patch(self, key: TaskKey, **update: Any) -> None:
        """Change the spec as people wrote it."""
        task = self.tasks[key]
        self.wanted[key] = self.wanted[key].model_copy(update=update)
        self.asked_attempt[task.uid] = max(self.asked_attempt[task.uid], self.wanted[key].attempt)
        self.tasks[key] = replace(task, spec=self.wanted[key], spec_error=None, generation=task.generation + 1)

    def set_channel(self, name: str) -> None:
        """Bring a channel back as people wrote it."""
        self.generation += 1
        channel = _channels()["studio", name, self.day_budget[name]]
        self.channels["studio", name] = replace(channel, generation=self.generation)

    # --- money ------------------------------------------------------------------------------------------------

    def ledger(self, uid: str, step: Step) -> Ledger:
        return self.volume.setdefault((uid, step), Ledger())

    def keys_wanted(self, uid: str, step: Step) -> dict[str, int]:
        """Return the keys of all items of a step, by what stands before it and what its last run was told."""
        ledger = self.ledger(uid, step)
        found = {}
        for item in items_of(step):
            number = ledger.redo.get(ALL_ITEMS, 0) + ledger.redo.get(lasting_name(step, item), 0)
            made_of = (step, item, number, self._ingredients(uid, step, item))
            found[item] = self.key_of.setdefault(made_of, len(self.key_of))
            take = ledger.chosen.get(item)
            if take is not None and take <= len(ledger.takes.get(item, ())):
                found[item] = ledger.takes[item][take - 1]
        return found

    def _ingredients(self, uid: str, step: Step, item: str) -> tuple[object, ...]:
        edits = self.boards.get(uid) or Edits()
        scene = next((edit for edit in edits.scenes if edit.scene == item), None)
        match step:
            case Step.ASSET_GENERATION:
                return tuple(edit.prompt for edit in edits.assets if edit.name == item)
            case Step.COMPOSITE_CREATION:
                return tuple(self.ledger(uid, Step.ASSET_GENERATION).current.items())
            case Step.VIDEO_GENERATION:
                composite = self.ledger(uid, Step.COMPOSITE_CREATION).current.get(item)
                return (composite, scene.motion if scene else None)
            case Step.NARRATION_GENERATION:
                return (scene.narration if scene else None,)
            case Step.SFX_GENERATION:
                return (scene.sound_effect if scene else None,)
            case Step.VIDEO_ASSEMBLY:
                return tuple(tuple(self.ledger(uid, before).current.items()) for before in STEP_ORDER[2:5])

    def is_made(self, uid: str, step: Step) -> bool:
        """Tell whether each item that counts is what was asked for last."""
        ledger = self.ledger(uid, step)
        return self.keys_wanted(uid, step) == ledger.current

    def is_as_recorded(self, uid: str, step: Step) -> bool:
        """Tell whether the step's last run knew of all new and chosen takes that the record has honoured."""
        record, ledger = self.store._state.tasks[uid], self.ledger(uid, step)
        told = (record.redo_counts.get(step.value, {}), record.honoured_takes.get(step, {}))
        return told == (ledger.redo, ledger.chosen)

    def calls_of(self, uid: str) -> Iterable[Spend]:
        return (
            call for step in STEP_ORDER if (uid, step) in self.volume for call in self.volume[uid, step].calls.values()
        )

    def day_of(self, channel: str, moment: datetime) -> tuple[str, date]:
        return channel, self.own_day(channel, moment)

    def own_day(self, channel: str, moment: datetime) -> date:
        """Return the day that it is where the channel is."""
        zone = _channels()["studio", channel, "100.00"].spec.budget.time_zone
        return moment.astimezone(_zone(zone)).date()

    def begin_call(self, pod: Pod, item: str) -> bool:
        """Write an intent down and send it; False where the reservation does not hold it."""
        ledger, order = pod.ledger, pod.order
        upper = price_usd(order.step) * PRICES.reservation_margin
        spent = sum((call.amount_usd for call in ledger.calls.values() if call.run_id == order.run_id), ZERO)
        if spent + upper > pod.reservation_usd:
            return False
        key = pod.keys[item]
        hold(Law.ONCE, not ledger.has(item, key), lambda: f"{order.step} {item} of {order.key} is made already")
        hold(Law.ONCE, item not in ledger.under_way, lambda: f"{order.step} {item} of {order.key} is under way already")
        call_id = f"{order.task_uid}-{order.step}-{item}-{len(ledger.calls) + 1}"
        ledger.keys[call_id] = key
        ledger.calls[call_id] = Spend(
            call_id=call_id,
            run_id=order.run_id,
            item=item,
            model="any",
            amount_usd=upper,
            certainty=Certainty.POSSIBLY,
            at=self.now,
        )
        ledger.under_way[item] = call_id
        pod.item = item
        self._check_caps(order)
        return True

    def end_call(self, ledger: Ledger, order: RunOrder, item: str) -> None:
        """Charge the call, and write it and its file down."""
        call_id = ledger.under_way.pop(item)
        self.charge(ledger, order, call_id)
        ledger.keep(item, ledger.keys[call_id])

    def charge(self, ledger: Ledger, order: RunOrder, call_id: str) -> None:
        call = ledger.calls[call_id]
        amount = price_usd(order.step) * self.random.choice([Decimal("0.8"), Decimal(1), Decimal("1.25")])
        if self.strikes(Fault.DEAR_CALL, 0.02):
            amount = call.amount_usd * 2
            self.excess[order.task_uid] += amount - call.amount_usd
            self.excess[self.day_of(self.channel_of[order.task_uid], call.at)] += amount - call.amount_usd
        self.bill[call_id] = amount
        ledger.calls[call_id] = call.model_copy(update={"amount_usd": amount, "certainty": Certainty.SETTLED})

    def take_up(self, ledger: Ledger, order: RunOrder) -> None:
        """Open the ledger of a killed run: look its calls up where that can be, else leave them as possibly paid."""
        for item, call_id in list(ledger.under_way.items()):
            del ledger.under_way[item]
            was_charged = self.random.random() < 0.5
            if order.step in LOOKED_UP:
                if was_charged:
                    ledger.under_way[item] = call_id
                    self.end_call(ledger, order, item)
                else:
                    none = {"amount_usd": ZERO, "certainty": Certainty.SETTLED}
                    ledger.calls[call_id] = ledger.calls[call_id].model_copy(update=none)
            elif was_charged:
                self.bill[call_id] = price_usd(order.step)

    def _check_caps(self, order: RunOrder) -> None:
        if self.has_lost_database:
            return  # what was spent is known again only once each step's ledger was read
        uid = order.task_uid
        key = self.keys[uid]
        total = sum((call.amount_usd for call in self.calls_of(uid)), ZERO) - self.excess[uid]
        if key in self.tasks and self.tasks[key].uid == uid:
            cap = self.wanted[key].budget
            hold(Law.TASK_CAP, total <= cap, lambda: f"{key} may have cost {total} of {cap} in {order.step}")
        channel = self.channel_of[uid]
        day = self.day_of(channel, self.now)
        mine = [other for other, name in self.channel_of.items() if name == channel]
        spent = sum(
            (
                call.amount_usd
                for other in mine
                for call in self.calls_of(other)
                if self.day_of(channel, call.at) == day
            ),
            ZERO,
        )
        cap = Decimal(self.day_budget[channel])
        hold(Law.DAY_CAP, spent - self.excess[day] <= cap, lambda: f"{day} may have cost {spent} of {cap}")

    # --- Jobs and pods ----------------------------------------------------------------------------------------

    def make_job(self, order: RunOrder) -> bool:
        """Make the Job and its pod; False where another run's Job has the name."""
        if order.job_name in self.jobs:
            return self.jobs[order.job_name][0].run_id == order.run_id
        for before in STEP_ORDER[: STEP_ORDER.index(order.step)]:
            is_done = self.is_made(order.task_uid, before) and self.is_as_recorded(order.task_uid, before)
            hold(Law.ORDER, is_done, lambda before=before: f"{order.step} of {order.key} before {before} was done")
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
        return True

    def make_pod(self, order: RunOrder) -> None:
        name = f"{order.job_name}-{self.fresh_hex(5)}"
        held_up = self.strikes(Fault.POD_HELD_UP, 0.06)
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
            waiting_reason="ImagePullBackOff" if held_up else None,
            waiting_message="no such image" if held_up else None,
            deleting=False,
        )
        self.pods[name] = Pod(order=order, seen=seen, ledger=self.ledger(order.task_uid, order.step))

    def remove_job(self, name: str) -> None:
        if self.jobs.pop(name, None) is not None:
            for pod in self.pods_of(name):
                self.delete_pod(pod)

    def delete_pod(self, pod: Pod) -> None:
        """Ask the kubelet to end a pod, with the grace it has."""
        if not pod.seen.deleting:
            at = self.now + timedelta(seconds=pod.order.grace_seconds)
            pod.seen = replace(pod.seen, deleting=True, deletion_at=at)

    def pods_of(self, job: str) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.seen.job_name == job]

    def pods_at_work(self, uid: str) -> list[str]:
        return [pod.seen.name for pod in self.pods.values() if pod.works and pod.order.task_uid == uid]

    def end_pod(self, pod: Pod, code: int | None, *, message: str | None = None, disrupted: bool = False) -> None:
        if pod.item is not None and pod.works:
            self.reached.faults[Fault.CALL_CUT] += 1
        pod.item = None
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
        uids = {task.uid for task in self.tasks.values()}
        for name, (order, job) in list(self.jobs.items()):
            if order.task_uid not in uids and not self.chance(0.5):
                self.remove_job(name)
                continue
            pods = self.pods_of(name)
            if job.active and any(pod.seen.deleting and pod.lives for pod in pods):
                if self.strikes(Fault.POD_DOUBLED, 0.4):
                    self.make_pod(order)
                continue
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
        fault = self.random.choice(_HARM)
        if fault is Fault.EXIT_0_UNSAID and not pod.seen.running:
            return
        self.reached.faults[fault] += 1
        match fault:
            case Fault.POD_KILLED:
                self.end_pod(pod, 137)
            case Fault.POD_EVICTED:
                self.end_pod(pod, self.random.choice([None, 17]), disrupted=True)
            case Fault.POD_DELETED:
                self.delete_pod(pod)
            case Fault.JOB_DELETED:
                self.remove_job(pod.seen.job_name)
            case Fault.EXIT_0_UNSAID:  # a SIGTERMed program that exits well with nothing said
                self.end_pod(pod, 0)
            case Fault.DEADLINE if pod.seen.job_name in self.jobs:
                order, job = self.jobs[pod.seen.job_name]
                self.jobs[pod.seen.job_name] = (order, replace(job, active=False, failed_reason="DeadlineExceeded"))
                for other in self.pods_of(pod.seen.job_name):
                    self.delete_pod(other)


_HARM = (
    Fault.POD_KILLED,
    Fault.POD_EVICTED,
    Fault.POD_DELETED,
    Fault.JOB_DELETED,
    Fault.EXIT_0_UNSAID,
    Fault.DEADLINE,
)
