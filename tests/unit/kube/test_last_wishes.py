"""What a VideoTask asked for its files last is known however its last change and its deletion arrive."""

from __future__ import annotations

import pytest
from tests.support.builders import UID, a_spec

from videotask_contract.resources import OnDeletion
from videotask_operator.core.model import TaskKey
from videotask_operator.kube.cache import Cache
from videotask_operator.kube.paths import Kind

FILM = TaskKey("studio", "film")
OTHER_UID = "99999999-2222-3333-4444-555555555555"


def with_wish(bodies, wish, *, version, generation=1, **parts):
    spec = a_spec() | {"retention": {"onDeletion": wish}}
    return bodies.task(version=version, spec=spec, metadata={"generation": generation}, **parts)


def wishes_of(cache):
    return {(wish.key, wish.uid, wish.channel): wish.retention.on_deletion for wish in cache.last_wishes.of(None)}


@pytest.fixture
def cache(bodies):
    cache = Cache()
    cache.put(Kind.TASK, with_wish(bodies, "Delete", version=10))
    assert wishes_of(cache) == {}, "what is there speaks for itself"
    return cache


KEPT = {(FILM, UID, "tides"): OnDeletion.KEEP}


def test_the_body_of_the_deletion_has_the_last_word(cache, bodies):
    cache.delete(Kind.TASK, with_wish(bodies, "Keep", version=12, generation=2))
    assert wishes_of(cache) == KEPT


def test_what_was_seen_last_counts_where_a_list_no_longer_has_it(cache, bodies):
    cache.put(Kind.TASK, with_wish(bodies, "Keep", version=12, generation=2))
    cache.replace(Kind.TASK, "studio", [], version="15")
    assert wishes_of(cache) == KEPT


@pytest.mark.parametrize("listed_at", ["15", "5"])
def test_what_was_seen_last_counts_where_another_has_its_name(cache, bodies, listed_at):
    cache.replace(Kind.TASK, "studio", [with_wish(bodies, "Keep", version=12, generation=2)], version="13")
    other = with_wish(bodies, "Delete", version=int(listed_at), uid=OTHER_UID)
    cache.replace(Kind.TASK, "studio", [other], version=listed_at)
    assert wishes_of(cache) == KEPT


def test_a_spec_that_was_broken_before_the_deletion_takes_nothing_back(cache, bodies):
    cache.put(Kind.TASK, with_wish(bodies, "Keep", version=12, generation=2))
    broken = bodies.task(version=13, spec={"retention": 7}, metadata={"generation": 3})
    cache.put(Kind.TASK, broken)
    cache.delete(Kind.TASK, bodies.task(version=14, spec={"retention": 7}, metadata={"generation": 3}))
    assert wishes_of(cache) == KEPT


def test_a_late_deletion_of_the_old_one_says_nothing_of_the_new_one(cache, bodies):
    cache.put(Kind.TASK, with_wish(bodies, "Delete", version=20, uid=OTHER_UID))
    cache.delete(Kind.TASK, with_wish(bodies, "Keep", version=12, generation=2))
    assert wishes_of(cache) == KEPT


def test_one_that_came_since_is_not_forgotten_with_the_one_that_was_noted(cache, bodies):
    cache.delete(Kind.TASK, with_wish(bodies, "Delete", version=12))
    noted = cache.last_wishes.of(FILM)
    cache.delete(Kind.TASK, with_wish(bodies, "Keep", version=13, generation=2))
    cache.last_wishes.forget(noted)
    assert wishes_of(cache) == KEPT
    cache.last_wishes.forget(cache.last_wishes.of(FILM))
    assert wishes_of(cache) == {}
