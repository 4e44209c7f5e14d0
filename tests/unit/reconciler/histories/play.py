"""Plays one history: anything may happen, then calm sets in, people help where they are asked, and all must end."""

from __future__ import annotations

import asyncio
import logging
import selectors
from datetime import timedelta

import structlog
from tests.unit.reconciler.histories.checks import check_waiting, check_whole
from tests.unit.reconciler.histories.laws import Law, hold
from tests.unit.reconciler.histories.operator_life import OperatorLife
from tests.unit.reconciler.histories.people import create, help_on, lose_database, meddle, wish_of
from tests.unit.reconciler.histories.reached import Act, Fault, Reached
from tests.unit.reconciler.histories.step_pod import act
from tests.unit.reconciler.histories.world import World

from videotask_contract.resources import DesiredState
from videotask_operator.core.model import TaskKey

PRELUDE_ROUNDS = (0, 0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8)
"""Calm rounds before the first storm, so that it finds films in every phase; late ones are seldom reached in it."""
WILD_ROUNDS = 14
STORM_ROUNDS = 4
STORM_PROBABILITY = 0.3
CALM_ROUNDS = 120
HELPING_ROUNDS = 45
LAST_STORM = 8
STILL_ROUNDS = 2
"""One after the last move, and one that shows that time alone moves nothing."""
PATIENCE = 3
"""Calms in which every film may wait for a turn: admission looks at them after they asked for it."""


def play(seed: int) -> Reached:
    """Play the history of this seed; BrokenLawError tells what it broke."""
    loop = _Loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # a crash leaves tasks that nobody asks
    try:
        return loop.run_until_complete(_play(seed))
    finally:
        loop.close()


def hush() -> None:
    """Keep the loop's log of thousands of looks to itself."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


async def _play(seed: int) -> Reached:
    world = World(seed)
    world.operator = OperatorLife(world)
    for number in range(world.random.choice([1, 1, 2, 2, 2, 3])):
        create(world, TaskKey("studio", f"film-{number}"))
    for _ in range(world.random.choice(PRELUDE_ROUNDS)):
        await _calm_round(world)
        world.now += timedelta(seconds=61)
    await _storm(world, WILD_ROUNDS)
    waits = 0
    for number in range(HELPING_ROUNDS):
        wishes = {key: wish_of(world, key) for key in world.tasks}
        asked = set(wishes.values()) - {None}
        is_stormy = number < LAST_STORM and world.random.random() < STORM_PROBABILITY
        if not asked and not is_stormy:
            break
        waits = waits + 1 if asked == {Act.WAIT} else 0
        hold(Law.STUCK, waits < PATIENCE, lambda wishes=wishes: f"all wait for each other: {wishes}")
        for key, wish in wishes.items():
            if wish is not None:
                help_on(world, key, wish)
        if is_stormy:
            await _storm(world, STORM_ROUNDS)
        else:
            await _settle(world)
    hold(Law.STUCK, not any(wishes.values()), lambda: [(wish, world.tasks[key].status) for key, wish in wishes.items()])
    check_whole(world)
    left = [pod.seen.name for pod in world.pods.values() if pod.lives]
    hold(Law.STUCK, not left, lambda: f"pods that live on: {left}")
    return world.reached


async def _storm(world: World, rounds: int) -> None:
    """Let so many rounds pass in which anything may happen, then calm."""
    world.harm = world.temper
    for _ in range(rounds):
        await _wild_round(world)
    world.harm = 0
    await _settle(world)


async def _wild_round(world: World) -> None:
    """Let a round pass in which anything may happen."""
    for pod in list(world.pods.values()):
        if not world.chance(0.3):
            await act(world, pod)
    world.turn_job_controller()
    if world.chance(0.18):
        world.do_harm()
    if world.chance(0.3):
        meddle(world)
    await _stop_and_go(world)
    operator = world.operator
    if world.chance(0.001):
        lose_database(world)
        operator.is_dead = True
    operator.leads = not world.strikes(Fault.LEADER_LOST, 0.01)
    operator.deliver(everything=not world.chance(0.85))
    keys = [key for key in operator.unfinished() if not world.chance(0.4)]
    world.random.shuffle(keys)
    again = keys[:1] if world.chance(0.2) else []
    world.reached.faults[Fault.LOOK_REPEATED] += len(again)
    await operator.turn(*keys, *again)
    if operator.is_dead and not world.chance(0.3):
        world.operator = OperatorLife(world)
    world.now += timedelta(seconds=world.random.choice([0, 1, 1, 10, 60, 600]))


async def _stop_and_go(world: World) -> None:
    """Let people suspend the films that wait for their next attempt, and resume them before its time has come."""
    state = world.store._state.tasks
    waiting = [
        key
        for key, task in world.tasks.items()
        if task.uid in state and (state[task.uid].next_attempt_at or world.now) > world.now
    ]
    if not waiting or world.chance(0.5):
        return
    for wanted in (DesiredState.SUSPENDED, DesiredState.RUNNING):
        for key in waiting:
            world.patch(key, state=wanted)
        world.now += timedelta(seconds=1)
        world.operator.deliver(everything=True)
        for _ in range(2):
            await world.operator.turn(*waiting)
    world.reached.acts[Act.STOP_AND_GO] += len(waiting)


async def _settle(world: World) -> None:
    """Let the world be calm until nothing moves any more: no harm, all views true, time goes on."""
    still = 0
    now = _moving(world)
    for number in range(CALM_ROUNDS):
        before = now
        await _calm_round(world, everything=number == 0 or still > 0)
        now = _moving(world)
        if now == before:
            still += 1
        elif _is_at_work(world):
            still = 0
            world.now += timedelta(seconds=61)
            continue
        else:
            still = 1
        due = [task.next_attempt_at for task in world.store._state.tasks.values() if task.next_attempt_at]
        if still >= STILL_ROUNDS and not any(moment > world.now for moment in due):
            check_waiting(world)
            return
        world.now = max(world.now + timedelta(minutes=20), min(due, default=world.now))
    hold(Law.STUCK, False, [f"{task.phase} {task.message}" for task in world.store._state.tasks.values()])


async def _calm_round(world: World, *, everything: bool = True) -> None:
    """Let every pod come to its end, show everything, and look at everything, or at what does not wait for people."""
    if world.operator.is_dead:
        world.operator = OperatorLife(world)
    for pod in list(world.pods.values()):
        for _ in range(12):
            if not pod.lives:
                break
            await act(world, pod)
    world.turn_job_controller()
    operator = world.operator
    operator.leads = True
    operator.deliver(everything=True)
    await operator.turn(*operator.unfinished(everything=everything))


def _is_at_work(world: World) -> bool:
    """Tell whether something goes on of itself, so that the next look need not wait."""
    runs = world.store._state.runs.values()
    return any(pod.lives for pod in world.pods.values()) or any(run.is_open for run in runs)


def _moving(world: World) -> tuple[object, ...]:
    tasks = [(task.phase, task.message) for task in world.store._state.tasks.values()]
    pods = [(pod.seen, len(pod.todo or ()), pod.item) for pod in world.pods.values()]
    return tasks, pods, [job for _, job in world.jobs.values()]


class _NothingToWaitFor(selectors.SelectSelector):
    """A history has no sockets and no time but its own: a loop that would sleep is stuck."""

    def select(self, timeout=None):
        hold(Law.STUCK, timeout == 0, "every coroutine waits for another")
        return []


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still, so that no timer of the reconciler's ever fires."""

    def __init__(self) -> None:
        super().__init__(_NothingToWaitFor())

    def time(self) -> float:
        return 0.0
