from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import NOON, a_run

from videotask_contract.report import Progress
from videotask_operator.core.model import Claim
from videotask_operator.core.slots import claim_of_run, decide_grant, fair_shares, held_after, regrant


def a_claim(name: str, *, wanted: int = 18, held: int = 0, after: int = 0) -> Claim:
    return Claim(claimant=name, since=NOON + timedelta(seconds=after), wanted=wanted, held=held)


class TestFairShares:
    def test_one_alone_gets_what_it_wants(self):
        assert fair_shares(20, [a_claim("a", wanted=18)]) == {"a": 18}

    def test_slots_are_shared_evenly_and_the_rest_stays_where_slots_are_held(self):
        claims = [a_claim("waits"), a_claim("old", held=12), a_claim("young", held=8, after=9)]
        assert fair_shares(20, claims) == {"old": 7, "young": 7, "waits": 6}

    def test_what_one_does_not_want_goes_to_the_others(self):
        assert fair_shares(20, [a_claim("a", wanted=2), a_claim("b"), a_claim("c")]) == {"a": 2, "b": 9, "c": 9}

    def test_more_films_than_slots_are_served_in_the_order_in_which_they_asked(self):
        claims = [a_claim(name, after=number) for number, name in enumerate("abcd")]
        assert fair_shares(2, claims) == {"a": 1, "b": 1, "c": 0, "d": 0}

    def test_a_run_is_never_left_without_a_slot(self):
        claims = [a_claim("waits"), *(a_claim(name, held=1, after=9) for name in "abc")]
        assert fair_shares(2, claims) == {"a": 1, "b": 1, "c": 1, "waits": 0}


class TestGrants:
    def test_a_film_gets_nothing_before_another_has_let_go(self):
        claims = [a_claim("busy", held=20), a_claim("waits")]
        assert decide_grant(20, claims, "busy") == 10
        assert decide_grant(20, claims, "waits") == 0
        assert decide_grant(20, [a_claim("busy", held=16), a_claim("waits")], "waits") == 4

    def test_a_limit_that_was_lowered_is_honoured(self):
        claims = [a_claim("a", held=10), a_claim("b", held=10)]
        assert decide_grant(6, claims, "a") == 3


class TestHeld:
    def test_a_run_holds_its_slots_until_it_obeys_the_lower_limit(self):
        run = a_run(concurrency=18, total=40)
        assert held_after(run, progress(concurrency=18, in_flight=18)) == 18
        assert held_after(run, progress(concurrency=9, in_flight=18)) == 18
        assert held_after(run, progress(concurrency=9, in_flight=11)) == 11
        assert held_after(run, progress(concurrency=9, in_flight=2)) == 9

    def test_a_run_holds_no_more_than_it_has_items_left(self):
        run = a_run(concurrency=18)
        assert held_after(run, progress(done=15, total=18)) == 3
        assert held_after(run, progress(done=18, total=18)) == 1

    def test_a_step_that_tells_no_limit_keeps_what_it_was_given(self):
        assert held_after(a_run(concurrency=7), progress(concurrency=None, total=0)) == 7

    def test_an_answer_that_was_lost_is_given_back(self):
        assert held_after(a_run(concurrency=18), progress(concurrency=5, in_flight=5)) == 5


def progress(**changes: object) -> Progress:
    values = {"run_id": "run1", "done": 0, "total": 40, **changes}
    return Progress.model_validate(values)


# --- runs that obey, and answers that are lost -------------------------------------------------------------------

LIMIT = 7
MOST = 5


@dataclass(slots=True)
class Worker:
    """A step: it obeys the last limit it heard and works on no more items than that."""

    left: int
    limit: int = 0
    in_flight: int = 0
    done: int = 0

    def begin(self) -> None:
        while self.in_flight < min(self.limit, self.left):
            self.in_flight += 1

    def end_one(self) -> None:
        if self.in_flight:
            self.in_flight, self.left, self.done = self.in_flight - 1, self.left - 1, self.done + 1


MOVES = st.sampled_from(["open", "tell", "lose", "end", "close"])


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    moves=st.lists(st.tuples(st.integers(0, 5), MOVES), max_size=80),
)
def test_calls_under_way_never_pass_the_limit_whatever_is_lost(sizes, moves):
    workers = {f"r{number}": Worker(left=size) for number, size in enumerate(sizes)}
    totals = {name: worker.left for name, worker in workers.items()}
    runs, closed = {}, set()
    for number, move in moves:
        name = f"r{number % len(sizes)}"
        worker = workers[name]
        others = [claim_of_run(run, most=MOST) for other, run in runs.items() if other != name]
        if move == "open" and name not in runs and name not in closed:
            granted = decide_grant(LIMIT, [*others, a_claim(name, wanted=min(MOST, worker.left))], name)
            if granted:
                runs[name] = replace(a_run(), run_id=name, concurrency=granted, total=totals[name])
                worker.limit = granted
                worker.begin()
        elif move in {"tell", "lose"} and name in runs:
            told = progress(done=worker.done, total=totals[name], concurrency=worker.limit, in_flight=worker.in_flight)
            held, granted = regrant(runs[name], told, others=others, limit=LIMIT, most=MOST)
            runs[name] = replace(runs[name], concurrency=held, done=worker.done)
            if move == "tell":
                worker.limit = max(1, granted)
                worker.begin()
        elif move == "end":
            worker.end_one()
            worker.begin()
        elif move == "close" and name in runs and worker.in_flight == 0:
            closed.add(name)
            del runs[name]
        assert sum(run.concurrency for run in runs.values()) <= LIMIT
        assert sum(worker.in_flight for worker in workers.values()) <= LIMIT


def test_slots_reach_the_film_that_waits_within_two_reports_of_each_run():
    """One film holds all; the other opens as soon as calls end, and both come to the same share."""
    run = a_run(concurrency=20, total=40)
    waiting = a_claim("waits")
    held, told = regrant(run, progress(concurrency=20, in_flight=20), others=[waiting], limit=20, most=20)
    assert (held, told) == (20, 10)
    held, told = regrant(run, progress(concurrency=10, in_flight=10), others=[waiting], limit=20, most=20)
    assert (held, told) == (10, 10)
    assert decide_grant(20, [a_claim("run", held=10, wanted=20), waiting], "waits") == 10
