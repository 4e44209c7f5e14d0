"""Text that PostgreSQL can hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from videotask_operator.store.words import storable, storable_or_none


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_what_the_database_can_hold_is_left_as_it_is(words):
    assert storable(words) == words


@given(st.text(st.characters(categories=["Cs", "Cc", "Lo"]) | st.sampled_from("\0ab💡")))
def test_whatever_comes_can_be_stored_and_keeps_its_length(words):
    stored = storable(words)
    assert "\0" not in stored
    assert stored.encode().decode() == stored
    assert len(stored) == len(words)
    assert storable(stored) == stored


def test_nothing_stays_nothing():
    assert storable_or_none(None) is None
    assert storable_or_none("a\0") == "a\ufffd"
