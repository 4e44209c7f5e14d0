from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import NOON

from videotask_contract.resources import Priority
from videotask_operator.core.admission import decide_admission
from videotask_operator.core.model import ActiveTask


def a_task(uid, *, channel="a", priority=Priority.NORMAL, age=0, active=False):
    return ActiveTask(
        uid=uid,
        namespace="studio",
        channel=channel,
        priority=priority,
        queued_at=NOON - timedelta(seconds=age),
        active=active,
    )


def admit(*tasks, fleet_cap=3, caps=None, ready=None):
    return decide_admission(
        tasks,
        fleet_cap=fleet_cap,
        channel_caps=caps if caps is not None else {("studio", "a"): 10, ("studio", "b"): 10},
        ready_uids=frozenset(ready if ready is not None else (task.uid for task in tasks)),
    )


def test_high_goes_before_normal_before_low():
    tasks = [
        a_task("low", priority=Priority.LOW, age=9),
        a_task("normal", age=5),
        a_task("high", priority=Priority.HIGH),
    ]
    assert admit(*tasks) == ("high", "normal", "low")


def test_the_oldest_goes_first():
    assert admit(a_task("young", age=1), a_task("old", age=2), fleet_cap=1) == ("old",)


def test_a_long_queue_of_one_channel_does_not_starve_another():
    queue = [a_task(f"a{number}", age=100 - number) for number in range(5)]
    assert admit(*queue, a_task("b0", channel="b", age=1), fleet_cap=2) == ("a0", "b0")


def test_active_tasks_count_against_the_fleets_cap():
    assert admit(a_task("x", active=True), a_task("y", active=True), a_task("z"), fleet_cap=2) == ()


def test_a_channel_never_passes_its_own_cap():
    assert admit(a_task("x", active=True), a_task("y"), caps={("studio", "a"): 1}) == ()


def test_a_task_that_is_not_ready_keeps_nobody_waiting():
    assert admit(a_task("stuck", age=9, priority=Priority.HIGH), a_task("fine"), ready=["fine"], fleet_cap=1) == (
        "fine",
    )


def test_an_unknown_channel_admits_nothing():
    assert admit(a_task("x", channel="ghost")) == ()


tasks_of_all_kinds = st.lists(
    st.builds(
        lambda number, channel, priority, active: a_task(
            f"t{number}", channel=channel, priority=priority, age=number, active=active
        ),
        st.integers(0, 10_000),
        st.sampled_from("ab"),
        st.sampled_from(Priority),
        st.booleans(),
    ),
    unique_by=lambda task: task.uid,
)


@given(tasks=tasks_of_all_kinds, fleet_cap=st.integers(0, 6), a=st.integers(0, 4), b=st.integers(0, 4))
def test_caps_hold_and_no_place_stays_empty_while_someone_may_have_it(tasks, fleet_cap, a, b):
    caps = {("studio", "a"): a, ("studio", "b"): b}
    chosen = admit(*tasks, fleet_cap=fleet_cap, caps=caps)
    active = {task.uid: task.channel for task in tasks if task.active}
    by_uid = {task.uid: task for task in tasks}
    assert len(set(chosen)) == len(chosen)
    assert not set(chosen) & set(active)
    after = list(active.values()) + [by_uid[uid].channel for uid in chosen]
    assert not chosen or len(after) <= fleet_cap
    for channel, cap in (("a", a), ("b", b)):
        before = list(active.values()).count(channel)
        assert after.count(channel) <= max(cap, before)
    waiting = [task for task in tasks if not task.active and task.uid not in chosen]
    if len(after) < fleet_cap:
        assert all(after.count(task.channel) >= caps["studio", task.channel] for task in waiting)
