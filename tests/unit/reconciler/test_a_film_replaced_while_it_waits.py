"""A film that is deleted and made again while it waits for its turn leaves nobody behind who takes a place for ever."""

from __future__ import annotations

import pytest
from tests.unit.reconciler.by_hand import HandTurned, uid_of

from videotask_contract.phases import Phase


@pytest.fixture
def studio():
    made = HandTurned(fleet_max_active_tasks=1)
    yield made
    made.close()


@pytest.mark.parametrize("is_gap_seen", [True, False], ids=["its absence was seen", "replaced between two looks"])
async def test_its_successor_gets_the_place_that_comes_free(studio, is_gap_seen):
    await studio.apply(1)
    await studio.apply(2, name="b")
    assert (await studio.record(2)).waiting_reason == "WaitingForTurn"
    studio.drop("b")
    if is_gap_seen:
        studio.reconciler.wake((await studio.record(2)).key)
        await studio.settle()
    await studio.apply(3, name="b")
    assert (await studio.record(2)).phase is Phase.CANCELLED
    assert set(studio.reconciler._admissible) | studio.reconciler._admitted == {uid_of(3)}
    await studio.apply(1, state="Cancelled")
    await studio.end_pods_of(1)
    assert (await studio.record(1)).phase is Phase.CANCELLED
    assert (await studio.record(3)).phase is Phase.GENERATING_ASSETS


async def test_a_suspended_film_that_was_to_go_on_is_forgotten_too(studio):
    """It is not among the films that the record lists for admission."""
    await studio.apply(2, name="b")
    await studio.apply(2, name="b", state="Suspended")
    await studio.end_pods_of(2)
    assert (await studio.record(2)).phase is Phase.SUSPENDED
    await studio.apply(1)
    await studio.apply(2, name="b")
    assert set(studio.reconciler._admissible) == {uid_of(2)}
    studio.drop("b")
    await studio.apply(3, name="b")
    await studio.apply(1, state="Cancelled")
    await studio.end_pods_of(1)
    assert (await studio.record(3)).phase is Phase.GENERATING_ASSETS


@pytest.mark.usefixtures("hushed")
async def test_it_is_forgotten_also_where_the_commit_that_ended_it_was_not_heard(studio, monkeypatch):
    await studio.apply(1)
    await studio.apply(2, name="b")
    studio.drop("b")
    heard = studio.reconciler._note_admission

    def unheard(situation, plan):
        monkeypatch.setattr(studio.reconciler, "_note_admission", heard)
        raise ConnectionError("the answer to the commit was lost")

    monkeypatch.setattr(studio.reconciler, "_note_admission", unheard)
    await studio.apply(3, name="b")
    await studio.look_at_all()
    assert set(studio.reconciler._admissible) == {uid_of(3)}
