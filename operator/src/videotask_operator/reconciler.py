"""The only loop: observe, decide, record, act, project; level-based, so that doing it twice changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import structlog

from videotask_contract.errors import PermanentError, TransientError
from videotask_contract.phases import TERMINAL, Phase
from videotask_contract.report import LUMP_PREFIX, Certainty, FinalReport, Spend
from videotask_contract.steps import Step
from videotask_operator.account_blocks import load_blocks, record_blocks
from videotask_operator.core.admission import PLACE_HOLDING, decide_admission, holds_place
from videotask_operator.core.channel_projection import channel_event, project_channel_status
from videotask_operator.core.decide import decide, warn_of_long_film
from videotask_operator.core.estimate import estimate_by_step
from videotask_operator.core.model import (
    AccountBlock,
    ActiveTask,
    ChannelResource,
    Claim,
    CreateRun,
    DeleteRun,
    EarlierFilms,
    EventDraft,
    EventType,
    Money,
    Observation,
    Plan,
    RunOrder,
    RunRecord,
    TaskKey,
    TaskRecord,
    TaskResource,
)
from videotask_operator.core.order import account_name, most_at_once
from videotask_operator.core.ports import (
    ClusterPort,
    ForeignJobError,
    NotLeaderError,
    StorePort,
    StoreUnavailableError,
    Transaction,
)
from videotask_operator.core.projection import HISTORY_LENGTH, project_status, shows_its_end
from videotask_operator.core.retry import RetryRules
from videotask_operator.core.situation import Rules, Situation
from videotask_operator.core.slots import claim_of_run, gave_slots_back
from videotask_operator.retention import RetentionKeeper
from videotask_operator.settings import Settings
from videotask_operator.store.days import is_known_zone

log = structlog.get_logger()

_WORKERS = 8
_ERROR_PAUSE_SECONDS = (0.5, 1, 2, 5, 10)
_MAX_TURNS = 20
"""Decisions in a row for one task before others get their turn."""
_LAST_TURN_SECONDS = 2.0
"""For turns under way when a stop is asked; the program ends 4.5 s after it whatever happens."""
_MAX_SLEEP_SECONDS = 3600.0
_FIRST_LOOK_SECONDS = 0.2
"""Between tries of the first look, until the cluster's lists are there."""
_OUTAGE_OVER_SECONDS = 60
"""Twice the longest time between two tries of one thing, ten seconds for a film and a resync for all, and more."""
_LISTED = PLACE_HOLDING | {Phase.QUEUED}
"""Phases whose films the record lists for admission, with a place or without."""
_UNSEEN_POD_SECONDS = 5
_REFUSED_JOB_SECONDS = 30
"""Until a Job that the cluster refused is tried again."""


def rules_of(settings: Settings) -> Rules:
    """Return the part of the settings that decisions depend on."""
    return Rules(
        retry=RetryRules(
            minutes=settings.retry_minutes,
            rate_limit_minutes=settings.rate_limit_wait_minutes,
            network_minutes=settings.network_wait_minutes,
            max_lost_runs=settings.max_lost_runs,
        ),
        prices=settings.prices,
        base_urls=settings.base_urls(),
        report_url=settings.report_url,
        poll_interval_seconds=settings.poll_interval_seconds,
        step_concurrency=settings.step_concurrency,
        never_starting_seconds=settings.never_starting_seconds,
        long_film_minutes=settings.long_film_minutes,
        paid_step_grace_seconds=settings.paid_step_grace_seconds,
        free_step_grace_seconds=settings.free_step_grace_seconds,
        fleet_paused=settings.fleet_paused,
    )


@dataclass(slots=True)
class _Seat:
    """A key's place in the queue: at most one worker turns a key at a time."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    again: bool = False
    """Asked for while a worker turns it: it is looked at anew after that, and no other worker waits for it."""
    errors: int = 0
    timer: asyncio.TimerHandle | None = None


class Reconciler:
    """Turns keys into work. All of its methods belong to one asyncio loop."""

    def __init__(
        self,
        *,
        cluster: ClusterPort,
        store: StorePort,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.cluster = cluster
        self.store = store
        self.settings = settings
        self.rules = rules_of(settings)
        self.clock = clock
        self.turned_at = clock()
        """When the loop last turned: the liveness probe's witness."""
        self._queue: asyncio.Queue[TaskKey] = asyncio.Queue()
        self._queued: set[TaskKey] = set()
        self._seats: dict[TaskKey, _Seat] = {}
        self._turning: set[asyncio.Task[Any]] = set()
        """Workers that turn a key now: on a stop they finish it."""
        self._admissible: dict[str, TaskRecord] = {}
        """Tasks that wait for nothing but a place, by uid: queued ones, and stopped ones that are to go on."""
        self._admitted: set[str] = set()
        self._admission_wanted = asyncio.Event()
        self._unseen: set[TaskKey] | None = None
        """Tasks of the first list that were not looked at yet; None before it. Until it is empty nobody gets a turn: a
        queued film that is not known yet may come before all that are."""
        self._sole: set[str] = set()
        """Uids with no earlier resource of their name left to end."""
        self._pending: dict[TaskKey, list[Plan]] = {}
        self._retention = RetentionKeeper(cluster=cluster, store=store, clock=clock, wake=self.wake)
        self._doubts: dict[TaskKey, str] = {}
        """Pods with a start permit that were never seen, and whose run would be closed without their word."""
        self._gone_pods: set[str] = set()
        self._podless: dict[TaskKey, tuple[str, datetime]] = {}
        """Open runs of which no living pod is seen, by id, and since when."""
        self.out_of_sight: set[TaskKey] = set()
        """Films on record whose namespace is not watched or cannot be read; nothing is decided about them."""
        self._zones: dict[tuple[str, str], str] = {}
        """Time zones of the channels, as this process saw them last."""
        self._slot_waits: dict[str, dict[str, tuple[TaskKey, Claim]]] = {}
        """Films that wait for nothing but a slot, by account and uid."""
        self._look_wanted = asyncio.Event()
        self._outages: dict[str, datetime] = {}
        """Outages that were logged and are not over, and when each was last met."""
        self._channels_shown: dict[str, dict[str, Any]] = {}
        """What each Channel's status said last, by uid: a cache that lags must not make one event two."""

    # --- running --------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what is under way is finished, nothing new is begun."""
        self.cluster.on_change(self._take_change)
        workers = [asyncio.create_task(self._work(stop)) for _ in range(_WORKERS)]
        rounds = [asyncio.create_task(self._admit_forever()), asyncio.create_task(self._look_at_all_forever())]
        try:
            await stop.wait()
        finally:
            for task in (*workers, *rounds):
                if task not in self._turning:
                    task.cancel()
            if self._turning:
                _, late = await asyncio.wait(tuple(self._turning), timeout=_LAST_TURN_SECONDS)
                for worker in late:
                    worker.cancel()
            await asyncio.gather(*workers, *rounds, return_exceptions=True)
            for seat in self._seats.values():
                if seat.timer is not None:
                    seat.timer.cancel()

    def wake(self, key: TaskKey) -> None:
        """Ask for a look at this task; asking again before it happens is one look."""
        if key not in self._queued:
            self._queued.add(key)
            self._queue.put_nowait(key)

    def _take_change(self, key: TaskKey) -> None:
        # Of what comes before the first look only that look makes its choice: the first lists tell of every film.
        if self._unseen is not None:
            self.wake(key)

    def _wake_all(self, keys: Iterable[TaskKey]) -> None:
        for key in keys:
            self.wake(key)

    def show_later(self, key: TaskKey, plan: Plan) -> None:
        """Keep what a committed report led to, until the look that follows it shows and does it."""
        self._pending.setdefault(key, []).append(plan)
        self._free_closed(plan)

    async def _work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            key = await self._queue.get()
            self._queued.discard(key)
            await self._turn(key)

    async def _turn(self, key: TaskKey) -> None:
        seat = self._seats.setdefault(key, _Seat())
        if seat.lock.locked():
            seat.again = True
            return
        me = asyncio.current_task()
        try:
            if me is not None:
                self._turning.add(me)
            await self.reconcile(key)
            seat.errors = 0
            self._note_seen(key)
        except NotLeaderError:
            self._wake_later(key, 2.0)
        except Exception as error:  # noqa: BLE001  logged below, with its place where it is no outage
            pause = _ERROR_PAUSE_SECONDS[min(seat.errors, len(_ERROR_PAUSE_SECONDS) - 1)]
            seat.errors += 1
            self._log_failure("reconcile_failed", error, task=str(key))
            self._wake_later(key, pause)
            self._note_seen(key)  # one that cannot be decided holds up no other
        finally:
            self._turning -= {me}
            if seat.again:
                seat.again = False
                self.wake(key)
        self.turned_at = self.clock()

    def _log_failure(self, event: str, error: Exception, **facts: object) -> None:
        """Log what went wrong; an outage once, in a line: of the record for all, of the API server for each film."""
        if not isinstance(error, StoreUnavailableError | TransientError):
            log.error(event, exc_info=error, **facts)
            return
        name = type(error).__name__
        outage = (
            name if isinstance(error, StoreUnavailableError) else f"{name} {event} {sorted(facts.values(), key=str)}"
        )
        if outage not in self._outages:
            log.warning("outage_began", failed=event, error=f"{name}: {error}", **facts)
        self._outages[outage] = self.clock()

    def _forget_outages(self) -> None:
        """Count as over what has not been seen for a while: the next of its kind is logged again."""
        long_ago = self.clock() - timedelta(seconds=_OUTAGE_OVER_SECONDS)
        for outage in [outage for outage, at in self._outages.items() if at < long_ago]:
            del self._outages[outage]
            log.info("outage_over", outage=outage)

    def _note_seen(self, key: TaskKey) -> None:
        if self._unseen and key in self._unseen:
            self._unseen.discard(key)
            if not self._unseen:
                self._admission_wanted.set()

    def _wake_later(self, key: TaskKey, seconds: float) -> None:
        seat = self._seats.setdefault(key, _Seat())
        if seat.timer is not None:
            seat.timer.cancel()
        seat.timer = asyncio.get_running_loop().call_later(min(seconds, _MAX_SLEEP_SECONDS), self.wake, key)

    async def _look_at_all_forever(self) -> None:
        while True:
            try:
                await self._look_at_all()
            except NotLeaderError:
                pass  # another decides
            except Exception as error:  # noqa: BLE001  logged below, with its place where it is no outage
                self._log_failure("look_at_all_failed", error)
            self.turned_at = self.clock()
            with contextlib.suppress(TimeoutError):
                is_begun = self._unseen is not None
                async with asyncio.timeout(self.settings.resync_seconds if is_begun else _FIRST_LOOK_SECONDS):
                    await self._look_wanted.wait()
            self._look_wanted.clear()

    def look_at_all_soon(self) -> None:
        """Ask for a look at all tasks and channels: what holds some of them up has changed."""
        self._look_wanted.set()

    async def _look_at_all(self) -> None:
        self._forget_outages()
        if not self.cluster.is_synced:
            return
        # A film that is over stays so; an event wakes it, and its files' time is looked after apart from this.
        if self._unseen is not None:
            self._wake_all(key for key in self.cluster.task_keys() if self._wants_look(key, shows_its_end))
        try:
            async with self.store.transaction() as transaction:
                unfinished = await transaction.load_unfinished_uids()
                uids = await transaction.load_uids() if self._unseen is None else frozenset()
        except NotLeaderError:
            raise
        except Exception as error:  # noqa: BLE001  logged below, with its place where it is no outage
            self._log_failure("tasks_not_loaded", error)
            return
        if self._unseen is None:
            is_known = partial(_needs_no_first_look, uids=uids)
            self._unseen = {key for key in self.cluster.task_keys() if self._wants_look(key, is_known)}
            self._wake_all(self._unseen)
            self._admission_wanted.set()
        self._wake_all(key for _, key in unfinished)
        for channel in self.cluster.channels():
            if self.cluster.observe(TaskKey(channel.namespace, channel.name)).in_sight:
                await self._show_channel(channel)
        await self._keep_retention()

    def _wants_look(self, key: TaskKey, is_done: Callable[[Observation], bool]) -> bool:
        try:
            return not is_done(self.cluster.observe(key))
        except Exception:  # noqa: BLE001  its own look will fail likewise, and tell
            return True

    async def _keep_retention(self) -> None:
        try:
            await self._retention.look()
        except NotLeaderError:
            raise
        except Exception as error:  # noqa: BLE001  logged below, with its place where it is no outage
            self._log_failure("retention_not_kept", error)

    async def _show_channel(self, channel: ChannelResource) -> None:
        now = self.clock()
        zone = channel.spec.budget.time_zone if channel.spec else "UTC"
        try:
            async with self.store.transaction() as transaction:
                tasks = await transaction.load_active_tasks()
                spent_usd = await transaction.load_day_spent(channel.namespace, channel.name, now=now, time_zone=zone)
                blocks = await self._account_blocks(transaction, channel)
            mine = [task for task in tasks if (task.namespace, task.channel) == (channel.namespace, channel.name)]
            active = sum(task.active for task in mine)
            status = project_channel_status(
                channel,
                active_tasks=active,
                spent_usd=spent_usd,
                now=now,
                blocks=blocks,
                fleet_paused=self.settings.fleet_paused,
                is_zone_known=is_known_zone(zone),
            )
            await self.cluster.save_channel_status(channel, status)
            event = channel_event(self._channels_shown.get(channel.uid, channel.status), status)
            self._channels_shown[channel.uid] = status
            if event is not None:
                await self.cluster.post_channel_event(channel, event)
        except NotLeaderError:
            raise
        except Exception as error:  # noqa: BLE001  logged below, with its place where it is no outage
            self._log_failure("channel_not_shown", error, channel=f"{channel.namespace}/{channel.name}")

    async def zone_of(self, transaction: Transaction, record: TaskRecord) -> str:
        """Return the time zone of a task's channel as last seen, else the one by which its film was planned.

        Money has one day, also where the Channel was deleted or broke while no operator was there to see it.
        """
        self._note_zones()
        zone = self._zones.get((record.namespace, record.channel)) or await transaction.load_time_zone(record.uid)
        return zone or "UTC"

    def _note_zones(self) -> None:
        for channel in self.cluster.channels():
            if channel.spec is not None:
                self._zones[channel.namespace, channel.name] = channel.spec.budget.time_zone

    # --- one task -------------------------------------------------------------------------------------------

    async def reconcile(self, key: TaskKey) -> None:
        """Bring one task as far as it goes now."""
        if not self.cluster.is_synced:
            self._wake_later(key, 0.5)
            return
        self._note_zones()
        if not self._is_in_sight(key):
            return
        seat = self._seats.setdefault(key, _Seat())
        async with seat.lock:
            await self._retire_others(key)
            shown = await self._take_up_reports(key, None)
            for _ in range(_MAX_TURNS):
                plan, now = await self._decide_and_record(key)
                if key in self._doubts and await self._is_proved_gone(key):
                    continue
                # A report that was recorded while the decision waited its turn comes before it.
                shown = await self._take_up_reports(key, shown)
                if plan is None:
                    break
                plan = await self._act(key, plan)
                # Showing a phase may lag behind the next Job, but phases are shown in their order.
                shown = asyncio.create_task(self._show(shown, key, plan, now))
                if not plan.again:
                    self._schedule(key, plan)
                    break
            else:
                self.wake(key)
            if shown is not None:
                await shown

    def _is_in_sight(self, key: TaskKey) -> bool:
        """Tell whether anything may be concluded about this film; one that is out of sight is left as it is."""
        if self.cluster.observe(key).in_sight:
            self.out_of_sight.discard(key)
            return True
        if key not in self.out_of_sight:
            self.out_of_sight.add(key)
            log.warning(
                "film_out_of_sight",
                task=str(key),
                message=f"namespace {key.namespace} is not watched or cannot be read: the film is left as it is and "
                "its files stay. Add the namespace to the chart's namespaces, or give the operator its rights there",
            )
        return False

    async def _is_proved_gone(self, key: TaskKey) -> bool:
        """Ask the cluster itself for a pod that its cache does not have: it may not have it yet."""
        pod_uid = self._doubts.pop(key)
        if await self.cluster.is_pod_gone(key, pod_uid):
            self._gone_pods.add(pod_uid)
            return True
        self._wake_later(key, _UNSEEN_POD_SECONDS)
        return False

    async def _take_up_reports(self, key: TaskKey, shown: asyncio.Task[None] | None) -> asyncio.Task[None] | None:
        """Show the phase that a report led to, before the next decision moves on from it."""
        for plan in self._pending.pop(key, []):
            await self._act(key, plan)
            at = plan.transitions[-1].at if plan.transitions else self.clock()
            shown = asyncio.create_task(self._show(shown, key, plan, at))
            self._admission_wanted.set()
        return shown

    def _schedule(self, key: TaskKey, plan: Plan) -> None:
        if plan.look_again_at is not None:
            self._wake_later(key, max(0.05, (plan.look_again_at - self.clock()).total_seconds()))

    async def _decide_and_record(self, key: TaskKey) -> tuple[Plan | None, datetime]:
        async with self.store.transaction() as transaction:
            # Inside, since a transaction waits its turn: a report recorded meanwhile must not be later than `now`.
            observed = self.cluster.observe(key)
            await self._retention.note(transaction, key, observed)
            now = self.clock()
            situation = await self._situation(transaction, key, observed, now)
            plan = decide(situation) if situation else None
            if situation is None or plan is None:
                return None, now
            unseen = _unseen_pod_of_closing_run(situation, plan)
            if unseen is not None and unseen not in self._gone_pods:
                self._doubts[key] = unseen
                return None, now
            plan = self._with_long_film_warning(plan, now)
            if plan.record != situation.record or plan.runs:
                await record_plan(transaction, plan, time_zone=await self.zone_of(transaction, plan.record))
                await self._record_plan_costs(transaction, situation, plan)
            changed = await record_blocks(transaction, plan, channel=observed.channel, now=now, situation=situation)
        if changed:
            self.look_at_all_soon()
        self._note_admission(situation, plan)
        self._note_slots(key, observed, plan)
        return plan, now

    async def _situation(
        self, transaction: Transaction, key: TaskKey, observed: Observation, now: datetime
    ) -> Situation | None:
        task = observed.task
        record = await transaction.load_task(task.uid) if task else await transaction.load_task_by_key(key)
        if record is None and task is None:
            return None
        earlier = EarlierFilms()
        if record is None or record.phase is Phase.QUEUED:
            earlier = await transaction.load_earlier_films(key, uid=task.uid if task else "")
        runs = await transaction.load_runs(record.uid) if record else ()
        return Situation(
            observed=observed,
            record=record,
            runs=runs,
            money=await self._money(transaction, record, now),
            slot_claims=await self._slot_claims_of(transaction, record, observed),
            earlier=earlier,
            admitted=record is not None and record.uid in self._admitted,
            now=now,
            fresh_id=uuid.uuid4().hex,
            rules=self.rules,
            podless_since=self._podless_since(key, runs, observed, now),
            account_blocks=await self._account_blocks(transaction, observed.channel) if record else (),
        )

    def _podless_since(
        self, key: TaskKey, runs: Iterable[RunRecord], observed: Observation, now: datetime
    ) -> datetime | None:
        run = next((run for run in runs if run.is_open), None)
        if run is None or any(pod.run_id == run.run_id and not pod.finished for pod in observed.pods):
            self._podless.pop(key, None)
            return None
        run_id, since = self._podless.get(key, (run.run_id, now))
        self._podless[key] = (run.run_id, since if run_id == run.run_id else now)
        return self._podless[key][1]

    async def _account_blocks(
        self, transaction: Transaction, channel: ChannelResource | None
    ) -> tuple[AccountBlock, ...]:
        return await load_blocks(transaction, channel, channels=self.cluster.channels())

    async def _record_plan_costs(self, transaction: Transaction, situation: Situation, plan: Plan) -> None:
        """Keep the estimate by step, beside the sum that the record has."""
        before = situation.record.estimated_cost_usd if situation.record else None
        task, channel = situation.observed.task, situation.observed.channel
        estimate = plan.record.estimated_cost_usd
        if estimate in {None, before} or task is None or task.spec is None or channel is None or channel.spec is None:
            return
        planned = {
            step: part.cost_usd for step, part in estimate_by_step(task.spec, channel.spec, self.rules.prices).items()
        }
        zone = channel.spec.budget.time_zone
        await transaction.save_plan_costs(plan.record, planned, now=situation.now, time_zone=zone)

    async def _money(self, transaction: Transaction, record: TaskRecord | None, now: datetime) -> Money:
        if record is None or not _may_open_run(record):
            return Money()
        zone = await self.zone_of(transaction, record)
        return await transaction.load_money(record, now=now, time_zone=zone)

    async def _slot_claims_of(
        self, transaction: Transaction, record: TaskRecord | None, observed: Observation
    ) -> tuple[Claim, ...]:
        if record is None or not _may_open_run(record):
            return ()
        account = _account_of(record, observed)
        return await self.slot_claims(transaction, account) if account else ()

    # --- slots of provider accounts ---------------------------------------------------------------------------

    async def slot_claims(self, transaction: Transaction, account: str) -> tuple[Claim, ...]:
        """Return what an account's open runs hold and could use, and what films that wait for it want."""
        runs = await transaction.load_account_runs(account)
        begun = [run for run in runs if not gave_slots_back(run, now=self.clock())]
        held = [claim_of_run(run, most=most_at_once(run.step, self.rules)) for run in begun]
        return (*held, *(claim for _, claim in self._slot_waits.get(account, {}).values()))

    def free_slots(self, account: str) -> None:
        """Give those who wait for this account a look: slots of it came free."""
        for key, _ in self._slot_waits.get(account, {}).values():
            self.wake(key)

    def _note_slots(self, key: TaskKey, observed: Observation, plan: Plan) -> None:
        for waits in self._slot_waits.values():
            waits.pop(plan.record.uid, None)
        account = _account_of(plan.record, observed)
        if plan.slot_claim is not None and account is not None:
            self._slot_waits.setdefault(account, {})[plan.record.uid] = (key, plan.slot_claim)
        self._free_closed(plan)

    def _free_closed(self, plan: Plan) -> None:
        for run in plan.runs:
            if not run.is_open and run.account is not None:
                self.free_slots(run.account)

    async def _retire_others(self, key: TaskKey) -> None:
        """End the record of an earlier resource of this name, whose uid is no longer the one on show."""
        observed = self.cluster.observe(key)
        if observed.task is None or observed.task.uid in self._sole:
            return
        self._forget_waiting(key, other_than=observed.task.uid)
        async with self.store.transaction() as transaction:
            earlier = await transaction.load_earlier_task(key, uid=observed.task.uid)
            if earlier is None or earlier.resource_gone:
                self._sole.add(observed.task.uid)
                return
            situation = Situation(
                observed=replace(observed, task=None),
                record=earlier,
                runs=await transaction.load_runs(earlier.uid),
                money=Money(),
                admitted=False,
                now=self.clock(),
                fresh_id=uuid.uuid4().hex,
                rules=self.rules,
            )
            plan = decide(situation)
            if plan is None:
                return
            unseen = _unseen_pod_of_closing_run(situation, plan)
            is_doubtful = unseen is not None and unseen not in self._gone_pods
            if not is_doubtful:
                await record_plan(transaction, plan, time_zone=await self.zone_of(transaction, plan.record))
        if unseen is not None and is_doubtful:
            self._doubts[key] = unseen
            if await self._is_proved_gone(key):
                await self._retire_others(key)
            return
        self._note_admission(situation, plan)
        self._note_slots(key, observed, plan)
        await self._act(key, plan)
        self._schedule(key, plan)

    def _with_long_film_warning(self, plan: Plan, now: datetime) -> Plan:
        warned = warn_of_long_film(plan.record, now=now, long_film_minutes=self.settings.long_film_minutes)
        if warned is None:
            return plan
        message = f"the film has been under way for more than {self.settings.long_film_minutes} minutes"
        log.warning("film_takes_long", task=str(plan.record.key), correlation_id=plan.record.correlation_id)
        event = EventDraft(type=EventType.WARNING, reason="FilmTakesLong", message=message)
        return replace(plan, record=warned, events=(*plan.events, event))

    # --- acting and showing -----------------------------------------------------------------------------------

    async def _act(self, key: TaskKey, plan: Plan) -> Plan:
        """Do what was decided; return the plan with what was learned by it."""
        for transition in plan.transitions:
            log.info(
                "phase_changed",
                task=str(key),
                correlation_id=plan.record.correlation_id,
                before=transition.before.value if transition.before else None,
                after=transition.after.value,
                message=transition.message,
            )
        for action in plan.actions:
            match action:
                case CreateRun(order=order):
                    plan = await self._create(key, plan, order)
                case DeleteRun(job_name=name):
                    await self.cluster.delete_run(key, name)
                    log.info("step_job_deleted", task=str(key), job=name)
        return plan

    async def _create(self, key: TaskKey, plan: Plan, order: RunOrder) -> Plan:
        try:
            await self.cluster.create_run(order)
        except (ForeignJobError, PermanentError) as error:
            # A quota, a missing right, an invalid object, a name that is taken: a person must know.
            log.warning("step_job_refused", task=str(key), job=order.job_name, error=str(error))
            return await self._note_refusal(plan, error)
        log.info("step_job_created", task=str(key), job=order.job_name, correlation_id=plan.record.correlation_id)
        return plan

    async def _note_refusal(self, plan: Plan, error: ForeignJobError | PermanentError) -> Plan:
        message = f"the step's Job cannot be made: {error}; it is tried again. No attempt is consumed."
        async with self.store.transaction() as transaction:
            record = await transaction.load_task(plan.record.uid)
            if record is None or record.phase is not plan.record.phase:
                return plan
            told = replace(record, waiting_reason="PodCannotStart", message=message)
            await transaction.save_task(told)
        reason = "ForeignJob" if isinstance(error, ForeignJobError) else "JobRefused"
        event = EventDraft(type=EventType.WARNING, reason=reason, message=message)
        events = plan.events if record.message == message else (*plan.events, event)
        again_at = self.clock() + timedelta(seconds=_REFUSED_JOB_SECONDS)
        return replace(plan, record=told, events=events, look_again_at=again_at)

    async def _show(self, before: asyncio.Task[None] | None, key: TaskKey, plan: Plan, now: datetime) -> None:
        """Show what was decided at `now`, after what was decided before it."""
        if before is not None:
            await asyncio.gather(before, return_exceptions=True)
        observed = self.cluster.observe(key)
        if observed.task is None or observed.task.deleting:
            return
        uid = plan.record.uid
        status = await self._status(observed.task, plan.record, now)
        await self.cluster.save_status(key, uid=uid, status=status)
        for event in plan.events:
            await self.cluster.post_event(key, uid=uid, event=event)

    async def _status(self, task: TaskResource, record: TaskRecord, now: datetime) -> dict[str, Any]:
        async with self.store.transaction() as transaction:
            stored = await transaction.load_task(record.uid)
            runs = await transaction.load_runs(record.uid)
            history = await transaction.load_history(record.uid, last=HISTORY_LENGTH)
            step_costs = await transaction.load_step_costs(record.uid)
            possibly_usd = await transaction.load_possibly_usd(record.uid)
            clean_up_failure = await self._retention.failure_of(transaction, record.uid)
        cost_usd = stored.pipeline_cost_usd if stored else record.pipeline_cost_usd
        return project_status(
            replace(record, pipeline_cost_usd=cost_usd),
            # A later decision may have been taken since: it has its own turn to be shown.
            runs=[run for run in runs if run.number <= record.last_run_number],
            history=[line for line in history if line.at <= now],
            step_costs=step_costs,
            previous=task.status,
            generation=task.generation,
            now=now,
            possibly_usd=possibly_usd,
            clean_up_failure=clean_up_failure,
        )

    # --- admission --------------------------------------------------------------------------------------------

    def _note_admission(self, situation: Situation, plan: Plan) -> None:
        record = plan.record
        if plan.wants_turn:
            if record.uid not in self._admissible:
                self._admission_wanted.set()
            self._admissible[record.uid] = record
            return
        self._admissible.pop(record.uid, None)
        before = situation.record
        held = record.uid in self._admitted or (before is not None and holds_place(before.phase, before.waiting_reason))
        self._admitted.discard(record.uid)
        if held and not holds_place(record.phase, record.waiting_reason):
            self._admission_wanted.set()

    def _forget_waiting(self, key: TaskKey, *, other_than: str) -> None:
        """Let nobody wait for a place any more whose resource this name had before: nothing is ever decided for them.

        Whether the end of their record was heard of does not matter.
        """
        gone = {uid for uid, record in self._admissible.items() if record.key == key and uid != other_than}
        for uid in gone:
            del self._admissible[uid]
        self._admitted -= gone
        if gone:
            self._admission_wanted.set()

    async def _admit_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.settings.resync_seconds):
                    await self._admission_wanted.wait()
            self._admission_wanted.clear()
            if self._unseen is None or self._unseen:
                continue
            try:
                await self._admit()
            except NotLeaderError:
                await asyncio.sleep(1)
            except Exception as error:  # noqa: BLE001  logged below, with its place where it is no outage
                self._log_failure("admission_failed", error)
                await asyncio.sleep(1)
                self._admission_wanted.set()

    async def _admit(self) -> None:
        if not self._admissible:
            return
        # One that takes its place while the others are loaded waits no longer, and is not yet in what was loaded.
        admitted, waiting = set(self._admitted), dict(self._admissible)
        async with self.store.transaction() as transaction:
            tasks = await transaction.load_active_tasks()
        # Films that nobody can look at would keep their places for ever.
        tasks = tuple(task for task in tasks if self.cluster.observe(TaskKey(task.namespace, task.uid)).in_sight)
        admitted |= self._admitted
        waiting |= self._admissible
        tasks += _returning(waiting.values(), tasks)
        seen = tuple(replace(task, active=task.active or task.uid in admitted) for task in tasks)
        chosen = decide_admission(
            seen,
            fleet_cap=self.settings.fleet_max_active_tasks,
            channel_caps=self._channel_caps(seen),
            ready_uids=frozenset(self._admissible) - admitted,
        )
        for uid in chosen:
            self._admitted.add(uid)
            self.wake(self._admissible[uid].key)

    def _channel_caps(self, tasks: tuple[ActiveTask, ...]) -> dict[tuple[str, str], int]:
        caps: dict[tuple[str, str], int] = {}
        for task in tasks:
            record = self._admissible.get(task.uid)
            channel = self.cluster.observe(record.key).channel if record else None
            if channel is not None and channel.spec is not None:
                caps[task.namespace, task.channel] = channel.spec.limits.max_active_tasks
        return caps


async def record_plan(transaction: Transaction, plan: Plan, *, time_zone: str) -> None:
    """Write all that a plan changes, in one transaction of the caller's."""
    await transaction.save_task(plan.record)
    # Closed runs first: the database allows one open run for each task.
    for run in sorted(plan.runs, key=lambda run: run.is_open):
        await transaction.save_run(run)
    await transaction.save_history(plan.record.uid, plan.transitions)
    for report in plan.reports:
        await record_report(transaction, plan.record, report, time_zone=time_zone)
    for run in plan.runs:
        if run.closed_at is not None and not run.ledger_read and run.spent_usd > 0:
            # It died without a last word, but it had told of this money: nobody else may ever tell it again.
            lump = lump_of(run.run_id, run.spent_usd, at=run.closed_at)
            await transaction.save_spend(plan.record, run.step, (lump,), time_zone=time_zone)


async def record_report(transaction: Transaction, record: TaskRecord, report: FinalReport, *, time_zone: str) -> None:
    """Write a report's items and money; a report that was cut gives one line for all that its run spent."""
    step = Step(report.step)
    await transaction.save_items(record.uid, step, report.run_id, report.items)
    spend = report.spend
    if report.cut and report.spent_usd > 0:
        run = await transaction.load_run(report.run_id)
        # The day on which the run closed: its calls were made on that day or before, and no later day must miss them.
        at = (run.closed_at if run else None) or record.queued_at
        spend = (lump_of(report.run_id, report.spent_usd, at=at),)
    await transaction.save_spend(record, step, spend, time_zone=time_zone)


def lump_of(run_id: str, spent_usd: Decimal, *, at: datetime) -> Spend:
    """Return one line for a whole run; the store drops it when the run's single calls arrive."""
    return Spend(
        call_id=f"{LUMP_PREFIX}{run_id}",
        run_id=run_id,
        item="*",
        model="*",
        amount_usd=spent_usd,
        certainty=Certainty.POSSIBLY,
        at=at,
    )


def _unseen_pod_of_closing_run(situation: Situation, plan: Plan) -> str | None:
    """Return the pod at work that no look has shown, where the plan closes its run without its word."""
    open_before = {run.run_id for run in situation.runs if run.is_open}
    known = {pod.uid for pod in situation.observed.pods} | {None}
    closed = (run for run in plan.runs if not run.is_open and run.run_id in open_before)
    return next((run.permitted_pod_uid for run in closed if run.permitted_pod_uid not in known), None)


def _returning(records: Iterable[TaskRecord], listed: Iterable[ActiveTask]) -> tuple[ActiveTask, ...]:
    """Return the waiting tasks that are not queued: stopped ones that a person wants to go on.

    One that was queued or under way and is not listed has ended since, or is out of sight: no place is kept for it.
    """
    known = {task.uid for task in listed}
    return tuple(
        ActiveTask(
            uid=record.uid,
            namespace=record.namespace,
            channel=record.channel,
            priority=record.priority,
            queued_at=record.queued_at,
            active=False,
        )
        for record in records
        if record.uid not in known and record.phase not in _LISTED
    )


def _needs_no_first_look(seen: Observation, uids: frozenset[str]) -> bool:
    """Tell whether a film is over, its status says so, and neither its spec nor the record changed while nobody looked.

    `uids` are those of the films on record: one whose record was lost is taken up anew from its status.
    """
    task = seen.task
    if task is None or task.uid not in uids or not shows_its_end(seen):
        return False
    return task.status.get("observedGeneration") == task.generation


def _account_of(record: TaskRecord, observed: Observation) -> str | None:
    channel = observed.channel.spec if observed.channel else None
    if channel is None or record.step is None:
        return None
    return account_name(record.namespace, channel, record.step)


def _may_open_run(record: TaskRecord) -> bool:
    return record.phase not in TERMINAL | {Phase.QUEUED, Phase.SUSPENDED, Phase.FINAL_REVIEW, Phase.APPROVED}
