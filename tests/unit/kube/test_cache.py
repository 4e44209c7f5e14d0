from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from tests.support.builders import a_spec

from videotask_operator.core.model import TaskKey
from videotask_operator.kube.cache import Cache
from videotask_operator.kube.paths import Kind

FILM = TaskKey("studio", "film")


def phase_of(cache: Cache) -> str | None:
    task = cache.task(FILM)
    return task.status.get("phase") if task else None


def test_an_older_sight_never_overwrites_a_newer_one(bodies) -> None:
    cache = Cache()
    assert cache.put(Kind.TASK, bodies.task(version=10, status={"phase": "Claimed"})) == {FILM}
    assert cache.put(Kind.TASK, bodies.task(version=9, status={"phase": "Queued"})) == frozenset()
    assert phase_of(cache) == "Claimed"


def test_versions_are_compared_as_numbers_not_as_words(bodies) -> None:
    cache = Cache()
    cache.put(Kind.TASK, bodies.task(version=99, status={"phase": "Queued"}))
    cache.put(Kind.TASK, bodies.task(version=100, status={"phase": "Claimed"}))
    assert phase_of(cache) == "Claimed"


def test_what_came_back_from_our_own_write_is_no_news_when_its_event_arrives(bodies) -> None:
    cache = Cache()
    answer = bodies.task(version=10, status={"phase": "Claimed"})
    cache.put(Kind.TASK, answer)
    assert cache.put(Kind.TASK, answer) == frozenset()


def test_a_change_that_means_nothing_to_us_wakes_nobody(bodies) -> None:
    cache = Cache()
    cache.put(Kind.TASK, bodies.task(version=10))
    cache.put(Kind.POD, bodies.pod(version=11, status={"phase": "Pending"}))
    relabelled = bodies.task(version=12, metadata={"annotations": {"somebody": "else"}})
    assert cache.put(Kind.TASK, relabelled) == frozenset()
    probed = bodies.pod(version=13, status={"phase": "Pending", "podIP": "10.0.0.9"})
    assert cache.put(Kind.POD, probed) == frozenset()


def test_a_deleted_object_is_not_brought_back_by_an_older_sight_of_it(bodies) -> None:
    cache = Cache()
    cache.put(Kind.TASK, bodies.task(version=10))
    assert cache.delete(Kind.TASK, bodies.task(version=12)) == {FILM}
    assert cache.put(Kind.TASK, bodies.task(version=11)) == frozenset()
    assert cache.task(FILM) is None


def test_a_late_deletion_of_the_old_one_leaves_the_new_one_of_the_same_name(bodies) -> None:
    cache = Cache()
    cache.put(Kind.TASK, bodies.task(version=20, uid="new"))
    assert cache.delete(Kind.TASK, bodies.task(version=12, uid="old")) == frozenset()
    task = cache.task(FILM)
    assert task is not None
    assert task.uid == "new"


def test_a_list_removes_what_it_does_not_hold(bodies) -> None:
    cache = Cache()
    cache.put(Kind.TASK, bodies.task(version=10))
    assert cache.replace(Kind.TASK, "studio", [], version="15") == {FILM}
    assert list(cache.task_keys()) == []


def test_a_list_keeps_what_was_made_after_it_was_taken(bodies) -> None:
    cache = Cache()
    cache.put(Kind.JOB, bodies.job(version=16))
    assert cache.replace(Kind.JOB, "studio", [], version="15") == frozenset()
    assert [job.name for job in cache.jobs(FILM)] == ["film-job-1"]


def test_a_list_taken_before_a_deletion_does_not_undo_it(bodies) -> None:
    cache = Cache()
    cache.delete(Kind.TASK, bodies.task(version=16))
    cache.replace(Kind.TASK, "studio", [bodies.task(version=10)], version="15")
    assert cache.task(FILM) is None


def test_a_list_older_than_the_last_one_means_a_restored_cluster_and_counts_alone(bodies) -> None:
    cache = Cache()
    cache.replace(Kind.TASK, "studio", [bodies.task(version=900)], version="1000")
    cache.put(Kind.TASK, bodies.task(version=1001, status={"phase": "Claimed"}))
    restored = bodies.task(version=40, status={"phase": "Queued"})
    assert cache.replace(Kind.TASK, "studio", [restored], version="50") == {FILM}
    assert phase_of(cache) == "Queued"


def test_a_list_of_one_namespace_or_kind_says_nothing_of_another(bodies) -> None:
    cache = Cache()
    cache.put(Kind.TASK, bodies.task(version=10))
    cache.put(Kind.JOB, bodies.job(version=11))
    cache.replace(Kind.TASK, "other", [], version="50")
    cache.replace(Kind.POD, "studio", [], version="50")
    assert list(cache.task_keys()) == [FILM]
    assert len(cache.jobs(FILM)) == 1


def test_jobs_and_pods_are_found_by_their_task(bodies) -> None:
    cache = Cache()
    elsewhere = {"annotations": {"videotask.dev/task-name": "other"}}
    cache.put(Kind.JOB, bodies.job())
    cache.put(Kind.JOB, bodies.job(name="other-job", uid="2", metadata=elsewhere))
    assert cache.put(Kind.POD, bodies.pod()) == {FILM}
    assert [job.name for job in cache.jobs(FILM)] == ["film-job-1"]
    assert [job.name for job in cache.jobs(TaskKey("studio", "other"))] == ["other-job"]
    assert [pod.name for _, pod in cache.pods(FILM)] == ["film-job-1-abcde"]
    cache.delete(Kind.POD, bodies.pod(version=2))
    assert cache.pods(FILM) == ()


def test_a_channel_that_changes_wakes_its_tasks_and_no_others(bodies) -> None:
    cache = Cache()
    cache.put(Kind.TASK, bodies.task())
    cache.put(Kind.TASK, bodies.task(name="foreign", uid="2", spec=a_spec(channelRef={"name": "hills"})))
    assert cache.put(Kind.CHANNEL, bodies.channel()) == {FILM}
    assert cache.delete(Kind.CHANNEL, bodies.channel(version=2)) == {FILM}
    assert cache.channel("studio", "tides") is None


def test_a_channel_that_changes_wakes_no_film_that_is_over(bodies) -> None:
    cache = Cache()
    for phase in ("Completed", "Cancelled", "Failed"):
        cache.put(Kind.TASK, bodies.task(name=phase.lower(), uid=phase, status={"phase": phase}))
    cache.put(Kind.TASK, bodies.task(status={"phase": "FinalReview"}))
    assert cache.put(Kind.CHANNEL, bodies.channel()) == {FILM}


def test_a_jobs_uid_is_remembered_after_it_is_gone(bodies) -> None:
    cache = Cache()
    cache.put(Kind.JOB, bodies.job(version=3))
    cache.delete(Kind.JOB, bodies.job(version=4))
    assert cache.job_uid("studio", "film-job-1") == "job-uid"


def test_a_job_that_no_task_owns_is_not_taken_for_ours(bodies) -> None:
    cache = Cache()
    cache.put(Kind.JOB, bodies.job(metadata={"ownerReferences": []}))
    assert cache.job_uid("studio", "film-job-1") is None


# --- any order of lists and events ---------------------------------------------------------------------------------

NAMES = ("film", "short", "long")


class History:
    """What the API server holds at each version, and the events that led there."""

    def __init__(self, bodies: Any, moves: list[tuple[str, str]]) -> None:
        self.states: list[dict[str, dict[str, Any]]] = [{}]
        self.events: list[tuple[str, dict[str, Any]]] = []
        for version, (name, move) in enumerate(moves, start=1):
            state = dict(self.states[-1])
            if move == "delete" and name in state:
                gone = state.pop(name)
                gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(version)}}
                self.events.append(("DELETED", gone))
            else:
                uid = state[name]["metadata"]["uid"] if name in state else f"{name}-{version}"
                state[name] = bodies.task(version=version, uid=uid, name=name, status={"at": version})
                self.events.append(("MODIFIED", state[name]))
            self.states.append(state)


@settings(max_examples=150, deadline=None)
@given(
    moves=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["put", "put", "delete"])), max_size=14),
    data=st.data(),
)
def test_events_in_order_and_lists_however_late_end_in_the_truth(bodies, moves, data) -> None:
    history = History(bodies, moves)
    cache, listed = Cache(), 0
    for seen, (kind, body) in enumerate(history.events, start=1):
        take = cache.delete if kind == "DELETED" else cache.put
        take(Kind.TASK, body)
        if data.draw(st.booleans()):
            # A list is taken at some version since the last one, and may be older or newer than the events seen.
            listed = data.draw(st.integers(listed, len(moves)))
            state = history.states[listed]
            cache.replace(Kind.TASK, "studio", state.values(), version=str(listed))
        newest = max(seen, listed)
        assert _held(cache).keys() <= _ever(history, min(seen, listed), newest)
    final = history.states[-1]
    cache.replace(Kind.TASK, "studio", final.values(), version=str(len(moves)))
    assert _held(cache) == {name: body["status"]["at"] for name, body in final.items()}


def _held(cache: Cache) -> dict[str, int]:
    return {task.key.name: task.status["at"] for key in cache.task_keys() if (task := cache.task(key))}


def _ever(history: History, start: int, end: int) -> set[str]:
    """Return the names that existed at some version between the two."""
    return {name for state in history.states[start : end + 1] for name in state}
