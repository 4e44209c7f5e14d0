"""What people do to films meanwhile, wisely and not; and how they help where a film asks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from tests.unit.reconciler.histories.laws import Law, hold
from tests.unit.reconciler.histories.reached import Act, Fault
from tests.unit.reconciler.histories.world import World, base_spec, items_of, was_under_way

from videotask_contract.changes import PAID_STEPS, AssetEdit, Edits, Redo, RedoStep, SceneEdit, TakeChoice
from videotask_contract.phases import ERRORS, TERMINAL, Phase
from videotask_contract.resources import Approval, ChannelRef, ChannelState, Decision, DesiredState, Priority, Quality
from videotask_contract.steps import Gate, Step
from videotask_operator.core.model import TaskKey
from videotask_operator.store.memory import MemoryStore

_ODD = Quality(image_model="no-such-model")
SECOND_THOUGHT_PROBABILITY = 0.3
_BUDGETS = ("20.00", "20.00", "20.00", "0.70", "0.80", "1.20")
_EXTRA_GATES = tuple(gate for gate in Gate if gate is not Gate.FINAL)
_RESTORED = (Phase.FAILED, Phase.COMPLETED, Phase.CANCELLED, Phase.GENERATING_VIDEO, Phase.FINAL_REVIEW, Phase.QUEUED)


def create(world: World, key: TaskKey, **spec) -> None:
    """Create a task as people do."""
    dice = world.random
    status = None
    if dice.random() < 0.03:
        world.reached.faults[Fault.RECORD_LESS_STATUS] += 1
        status = {"phase": dice.choice(_RESTORED).resource}
    world.create(
        key,
        status=status,
        is_long=dice.random() < 0.03,
        channel_ref=ChannelRef(name=dice.choice(["tides", "dunes"])),
        priority=dice.choice(list(Priority)),
        budget_usd=dice.choice(_BUDGETS),
        gates=tuple(gate for gate in _EXTRA_GATES if dice.random() < 0.15),
        **spec,
    )


def meddle(world: World) -> None:
    """Let a person change their mind about a film."""
    act = world.random.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
    if act is Act.MEND_CHANNEL:
        return  # people bring a channel back when a film asks for it
    if act in _OF_CHANNELS:
        if _change_channel(world, act):
            world.reached.acts[act] += 1
        return
    if not world.tasks:
        return
    key = world.random.choice(_whom(world, act))
    if _do(world, act, key):
        world.reached.acts[act] += 1


_WEIGHTS = {
    Act.SUSPEND: 10,
    Act.RESUME: 20,
    Act.CANCEL: 4,
    Act.ATTEMPT: 6,
    Act.BUDGET: 3,
    Act.PRIORITY: 4,
    Act.APPROVE: 4,
    Act.APPROVE_EARLIER: 4,
    Act.APPROVE_UNSTAMPED: 2,
    Act.REJECT: 3,
    Act.REDO: 4,
    Act.EDIT: 4,
    Act.EDIT_WRONG: 1.5,
    Act.TAKE: 4,
    Act.PAUSE_CHANNEL: 1.5,
    Act.PAUSE_FLEET: 0.7,
    Act.BREAK_SPEC: 2,
    Act.ODD_QUALITY: 2,
    Act.MEND: 4,
    Act.DELETE: 4,
    Act.CREATE_ANEW: 1,
    Act.REMOVE_CHANNEL: 2,
    Act.BREAK_CHANNEL: 2,
}
_OF_CHANNELS = {Act.REMOVE_CHANNEL, Act.BREAK_CHANNEL, Act.PAUSE_CHANNEL, Act.PAUSE_FLEET}


def _whom(world: World, act: Act) -> list[TaskKey]:
    """Return the films that this is done to: where a moment is short, those that are in it."""
    everyone = list(world.tasks)
    match act:
        case Act.DELETE if world.random.random() < 0.7:
            chosen = [key for key in everyone if world.pods_at_work(world.tasks[key].uid)]
        case Act.CREATE_ANEW if world.random.random() < 0.7:
            waiting = {uid for uid, task in world.store._state.tasks.items() if task.waiting_reason == "WaitingForTurn"}
            chosen = [key for key in everyone if world.tasks[key].uid in waiting]
        case Act.RESUME:
            chosen = [key for key in everyone if world.wanted[key].state is DesiredState.SUSPENDED]
        case _:
            chosen = everyone
    return chosen or everyone


def _change_channel(world: World, act: Act) -> bool:
    if act is Act.PAUSE_FLEET:
        world.fleet_paused = True
        world.operator.is_dead = True  # the chart's value changes the Deployment
        return True
    name = world.random.choice(["tides", "dunes"])
    known = world.channels.get(("studio", name))
    if known is None:
        return False
    if act is Act.REMOVE_CHANNEL:
        del world.channels["studio", name]
        return True
    world.generation += 1
    known = replace(known, generation=world.generation)
    if act is Act.PAUSE_CHANNEL and known.spec is not None:
        paused = known.spec.model_copy(update={"state": ChannelState.PAUSED})
        world.channels["studio", name] = replace(known, spec=paused)
    else:
        world.channels["studio", name] = replace(known, spec=None, spec_error="voice: Field required")
    return True


def _do(world: World, act: Act, key: TaskKey) -> bool:
    """Tell whether there was anything to do."""
    return _DEEDS[act](world, key) is not False


def _resume(world: World, key: TaskKey) -> bool:
    if world.wanted[key].state is not DesiredState.SUSPENDED:
        return False
    world.patch(key, state=DesiredState.RUNNING)
    return True


def _raise_attempt(world: World, key: TaskKey) -> None:
    world.patch(key, attempt=world.wanted[key].attempt + 1)


def _break_spec(world: World, key: TaskKey) -> None:
    task = world.tasks[key]
    broken = {"spec": None, "spec_error": "title: must not be blank", "generation": task.generation + 1}
    world.tasks[key] = replace(task, **broken, state=world.wanted[key].state)


def _take_back(world: World, key: TaskKey) -> bool:
    if world.wanted[key].quality is None and world.tasks[key].spec is not None:
        return False
    world.patch(key, quality=None)
    return True


def _raise_budget(world: World, key: TaskKey) -> None:
    world.patch(key, budget_usd=f"{world.wanted[key].budget + Decimal('0.60'):.2f}")


def _ask_for_takes(world: World, key: TaskKey) -> None:
    step = world.random.choice(PAID_STEPS)
    items = world.random.choice([(), items_of(step)[:1], items_of(step)])
    redo = Redo(request=f"r{world.fresh_hex(8)}", steps=(RedoStep(step=step, items=items),))
    world.redo_asked[world.tasks[key].uid, redo.request] = redo
    world.patch(key, redo=redo)


def _choose_take(world: World, key: TaskKey) -> bool:
    """Choose a take of an item that has several, or let the latest count again."""
    uid = world.tasks[key].uid
    if world.wanted[key].takes and world.random.random() < 0.5:
        world.patch(key, takes=())
        return True
    step = world.random.choice(PAID_STEPS)
    made = world.ledger(uid, step).takes
    item = world.random.choice(items_of(step))
    if len(made.get(item, ())) < world.random.choice([1, 2]):
        return False
    take = world.random.randint(1, len(made[item]))
    world.patch(key, takes=(TakeChoice(step=step, item=item, take=take),))
    return True


_EDITS = (
    None,
    Edits(scenes=(SceneEdit(scene="01", narration="The tide goes out again."),)),
    Edits(scenes=(SceneEdit(scene="02", motion="a slow turn to the left"),)),
    Edits(assets=(AssetEdit(name="hero-1", prompt="an older sailor"),)),
)
_EDIT_OF = {
    Step.ASSET_GENERATION: lambda item: Edits(assets=(AssetEdit(name=item, prompt="another look altogether"),)),
    Step.VIDEO_GENERATION: lambda item: Edits(scenes=(SceneEdit(scene=item, motion="a slow turn back"),)),
    Step.NARRATION_GENERATION: lambda item: Edits(scenes=(SceneEdit(scene=item, narration="The tide stays."),)),
    Step.SFX_GENERATION: lambda item: Edits(scenes=(SceneEdit(scene=item, sound_effect="waves far away"),)),
}


def _edit(world: World, key: TaskKey) -> None:
    """Edit something; at times the very item whose take is chosen."""
    held = world.wanted[key].takes
    is_of_held = bool(held) and world.random.random() < 0.5
    edits = _EDIT_OF[held[0].step](held[0].item) if is_of_held else world.random.choice(_EDITS)
    world.patch(key, edits=edits)


_WRONG_EDIT = Edits(assets=(AssetEdit(name="nobody", prompt="nobody at all"),))


def decide(world: World, key: TaskKey, decision: Decision, *, earlier: bool = False, by: str | None = "alice") -> bool:
    """Give a decision on what the status shows; False where it shows nothing."""
    shown = world.tasks[key].status.get("review")
    if not shown or (earlier and shown["round"] == 1):
        return False
    gate, number = Gate(shown["gate"]), shown["round"] - int(earlier)
    if by is not None:
        world.words.add((world.tasks[key].uid, gate.value, number, decision.value))
    approval = Approval(decision=decision, by=by, round=number)
    world.patch(key, approvals={**world.wanted[key].approvals, gate: approval})
    return True


_DEEDS: dict[Act, Callable[[World, TaskKey], bool | None]] = {
    Act.SUSPEND: lambda world, key: world.patch(key, state=DesiredState.SUSPENDED),
    Act.RESUME: _resume,
    Act.CANCEL: lambda world, key: world.patch(key, state=DesiredState.CANCELLED),
    Act.ATTEMPT: _raise_attempt,
    Act.BUDGET: _raise_budget,
    Act.PRIORITY: lambda world, key: world.patch(key, priority=world.random.choice(list(Priority))),
    Act.REDO: _ask_for_takes,
    Act.EDIT: _edit,
    Act.EDIT_WRONG: lambda world, key: world.patch(key, edits=_WRONG_EDIT),
    Act.TAKE: _choose_take,
    Act.BREAK_SPEC: _break_spec,
    Act.ODD_QUALITY: lambda world, key: world.patch(key, quality=_ODD),
    Act.MEND: _take_back,
    Act.DELETE: lambda world, key: world.tasks.pop(key) and None,
    Act.CREATE_ANEW: create,
    Act.APPROVE: lambda world, key: decide(world, key, Decision.APPROVED),
    Act.APPROVE_EARLIER: lambda world, key: decide(world, key, Decision.APPROVED, earlier=True),
    Act.APPROVE_UNSTAMPED: lambda world, key: decide(world, key, Decision.APPROVED, by=None),
    Act.REJECT: lambda world, key: decide(world, key, Decision.REJECTED),
}


# --- help -------------------------------------------------------------------------------------------------------


def wish_of(world: World, key: TaskKey) -> Act | None:
    """Return what a settled task's status asks people for, None when it is over; raise where it asks for nothing."""
    status = world.tasks[key].status
    [phase] = [phase for phase in Phase if phase.resource == status["phase"]]
    record = world.store._state.tasks[world.tasks[key].uid]
    hold(Law.SHOWN, phase is record.phase, lambda: f"{key} shows {phase}, its record says {record.phase}")
    hold(Law.SHOWN, status["message"] == record.message[:500], lambda: f"{key} shows {status['message']!r}")
    if phase in TERMINAL:
        return None
    facts = {line["type"]: line for line in status["conditions"]}
    wish = _wish(phase, facts, status)
    hold(Law.STUCK, wish is not None, lambda: f"{key} is stuck in {phase}: {record.waiting_reason} {status['message']}")
    if wish not in {Act.RESUME, Act.WAIT} and not (phase is Phase.SUSPENDED and wish is Act.ATTEMPT):
        is_told = "True" in {facts[name]["status"] for name in ("NeedsAttention", "LaidAside")}
        hold(Law.WAITS, is_told, lambda: f"{key}, {phase}: nobody is told")
    return wish


def _wish(phase: Phase, facts: dict[str, dict], status: dict) -> Act | None:
    message = status["message"]
    if message in _TURNS or message.startswith(_SLOT):
        return Act.WAIT
    if facts["LaidAside"]["status"] == "True":
        return _LAID_ASIDE.get(facts["LaidAside"]["reason"])
    if facts["NeedsAttention"]["reason"] in _CURES:
        return _CURES[facts["NeedsAttention"]["reason"]]
    if facts["AwaitingApproval"]["status"] == "True" and phase is not Phase.SUSPENDED:
        is_shown = f'"round":{status["review"]["round"]}' in status["review"]["command"]
        return Act.APPROVE if is_shown else None
    if phase in ERRORS:
        tells_why = any(words in message for words in _WHY)
        return Act.ATTEMPT if tells_why else None
    return next((wish for words, wish in _ASKED.get(phase, {}).items() if words in message), None)


_ASKED = {
    Phase.SUSPENDED: {"raise spec.attempt": Act.ATTEMPT, "spec.state": Act.RESUME},
    Phase.BUDGET_EXCEEDED: {"raise spec.budgetUSD": Act.BUDGET, "perDayUSD": Act.DAY_BUDGET},
}
"""What the words of a message ask people for."""
_WHY = ("because of", "left no report", "neither", "was refused")
"""Words by which a message tells why a step failed."""
_TURNS = ("waits for its turn",)
_SLOT = "waits for a slot"
_LAID_ASIDE = {"ChannelPaused": Act.MEND_CHANNEL, "FleetPaused": Act.GO_ON, "ChannelBlocked": Act.ATTEMPT}
_CURES = {
    "PodCannotStart": Act.MEND_CHANNEL,  # in a calm nothing else keeps a Job from being made
    "InvalidChange": Act.MEND,
    "RedoRefused": Act.MEND,
    "TakeHeld": Act.MEND,
    "ChannelNotFound": Act.MEND_CHANNEL,
    "ChannelInvalid": Act.MEND_CHANNEL,
    "InvalidSpec": Act.MEND,
    "InvalidSpecPending": Act.MEND,
    "NoPrice": Act.MEND,
    "NarrationTooLong": Act.MEND,
    "EarlierFilm": Act.ATTEMPT,
}


def help_on(world: World, key: TaskKey, wish: Act) -> None:
    """Do what the task asks for, at times after a second thought."""
    if wish is Act.WAIT:
        return
    if wish is Act.APPROVE and world.random.random() < SECOND_THOUGHT_PROBABILITY:
        wish = world.random.choice(_SECOND_THOUGHTS)
        world.reached.acts[wish] += _do(world, wish, key)
        return
    world.reached.acts[wish] += 1
    _HELP.get(wish, _DEEDS.get(wish))(world, key)


def _help_with_budget(world: World, key: TaskKey) -> None:
    world.patch(key, budget_usd=f"{world.wanted[key].budget + 1:.2f}")
    if "perDayUSD" in world.tasks[key].status["message"]:  # a step's own word does not know which cap stopped it
        _raise_day(world, key)


def _let_fleet_go_on(world: World, _key: TaskKey) -> None:
    world.fleet_paused = False
    world.operator.is_dead = True  # the chart's value changes the Deployment


def _mend(world: World, key: TaskKey) -> None:
    [reason] = [line["reason"] for line in world.tasks[key].status["conditions"] if line["type"] == "NeedsAttention"]
    match reason:
        case "InvalidChange":
            world.patch(key, edits=None)
        case "RedoRefused" | "TakeHeld":
            world.patch(key, takes=())
        case "NarrationTooLong":
            world.patch(key, storyboard=base_spec().storyboard)
        case _:
            world.patch(key, quality=None)


_SECOND_THOUGHTS = (
    Act.APPROVE_EARLIER,
    Act.APPROVE_UNSTAMPED,
    Act.REJECT,
    Act.SUSPEND,
    Act.REDO,
    Act.EDIT,
    Act.TAKE,
    Act.REDO,
    Act.EDIT,
    Act.TAKE,
)


def _raise_day(world: World, key: TaskKey) -> None:
    name = world.wanted[key].channel_ref.name
    world.reached.acts[Act.DAY_BUDGET] += 1
    world.day_budget[name] = "100.00"
    if ("studio", name) in world.channels:
        world.set_channel(name)


_HELP: dict[Act, Callable[[World, TaskKey], None]] = {
    Act.RESUME: lambda world, key: world.patch(key, state=DesiredState.RUNNING),
    Act.BUDGET: _help_with_budget,
    Act.DAY_BUDGET: _raise_day,
    Act.MEND: _mend,
    Act.MEND_CHANNEL: lambda world, key: world.set_channel(world.wanted[key].channel_ref.name),
    Act.GO_ON: _let_fleet_go_on,
}


def lose_database(world: World) -> None:
    """Drop the record; what was under way must wait for a person."""
    world.reached.faults[Fault.DATABASE_LOST] += 1
    for task in world.tasks.values():
        if was_under_way(task.status):
            world.attempt_at_loss[task.uid] = world.wanted[task.key].attempt
        world.imported.add(task.uid)
    world.store = MemoryStore()
    world.not_before.clear()
    world.has_lost_database = True
