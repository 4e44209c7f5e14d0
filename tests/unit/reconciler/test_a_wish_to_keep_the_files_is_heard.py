"""Who asks that a film's files be kept is heard at once, with or without its Channel."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.builders import NOON, a_resource
from tests.unit.reconciler.test_retention_keeper import ASKED, House

from videotask_contract.phases import Phase
from videotask_contract.resources import OnDeletion
from videotask_operator.core.model import TaskKey
from videotask_operator.core.ports import NotLeaderError, StoreUnavailableError
from videotask_operator.core.retention import Extent
from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings

FILM = TaskKey("studio", "film")
KEPT = [{"onDeletion": "Keep"}, {}]
ON_RECORD = "what this operator keeps in mind is gone if it dies before the film is deleted"


@pytest.mark.parametrize("later", KEPT)
async def test_a_changed_mind_counts_though_the_channel_is_gone(later) -> None:
    house = await House().with_film()
    house.cluster.apply(a_resource(retention=ASKED))
    await house.looks()
    house.cluster.channels_by_name.clear()
    house.cluster.apply(a_resource(retention=later))
    await house.looks(times=5)
    await house.lose_resource()
    assert await house.looks(times=2) == []


@pytest.mark.parametrize("later", KEPT)
async def test_a_changed_mind_counts_though_the_film_is_deleted_before_the_next_look(later) -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    reconciler = Reconciler(
        cluster=house.cluster, store=house.store, settings=Settings(namespaces=("studio",)), clock=lambda: house.now
    )
    await reconciler._retention.look()
    house.cluster.apply(a_resource(retention=ASKED, status={"phase": "Completed"}))
    await reconciler._retention.look()
    house.cluster.apply(a_resource(retention=later, status={"phase": "Completed"}))
    await reconciler.reconcile(FILM)
    assert (await house.kept()).on_deletion is OnDeletion.KEEP, ON_RECORD
    await house.lose_resource()
    await reconciler._retention.look()
    assert house.cluster.clean_ups == []


async def test_a_wish_noted_late_takes_nothing_back_that_was_done() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    reconciler = Reconciler(
        cluster=house.cluster, store=house.store, settings=Settings(namespaces=("studio",)), clock=lambda: house.now
    )
    house.cluster.apply(a_resource(retention={"workDays": 1}, status={"phase": "Completed"}))
    await reconciler._retention.look()
    async with house.store.transaction() as transaction:
        [kept] = await transaction.load_retention()
        await transaction.save_retention(replace(kept, work_cleaned_at=NOON))
    house.cluster.apply(a_resource(retention={"workDays": 2}, status={"phase": "Completed"}))
    await reconciler.reconcile(FILM)
    async with house.store.transaction() as transaction:
        [kept] = await transaction.load_retention()
    assert (kept.work_days, kept.work_cleaned_at) == (2, NOON)


@pytest.mark.parametrize("also", [{}, {"workDays": 30}])  # with days it is on record from the first look on
@pytest.mark.parametrize("first", KEPT)
async def test_a_mind_changed_twice_between_two_looks_counts(first, also) -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    reconciler = Reconciler(
        cluster=house.cluster, store=house.store, settings=Settings(namespaces=("studio",)), clock=lambda: house.now
    )
    house.cluster.apply(a_resource(retention=first | also, status={"phase": "Completed"}))
    await reconciler._retention.look()
    for later in (ASKED | also, first | also):
        house.cluster.apply(a_resource(retention=later, status={"phase": "Completed"}))
        await reconciler.reconcile(FILM)
    assert (await house.kept()).on_deletion is OnDeletion.KEEP, ON_RECORD
    await house.lose_resource()
    await reconciler._retention.look()
    assert house.cluster.clean_ups == []


async def test_a_wish_whose_note_was_rolled_back_is_noted_at_the_next_turn() -> None:
    house = await House().with_film()
    await house.looks()
    house.cluster.apply(a_resource(retention=ASKED))

    async def turn(*, fails: bool) -> None:
        async with house.store.transaction() as transaction:
            await house.keeper.note(transaction, FILM, house.cluster.observe(FILM))
            if fails:
                raise StoreUnavailableError("gone before the commit")

    with pytest.raises(StoreUnavailableError):
        await turn(fails=True)
    await turn(fails=False)
    assert (await house.kept()).work_days == ASKED["workDays"]


async def test_a_last_wish_counts_though_the_film_is_deleted_before_a_turn_succeeds() -> None:
    house = await House().with_film(phase=Phase.COMPLETED, pipeline_end_time=NOON)
    reconciler = Reconciler(
        cluster=house.cluster, store=house.store, settings=Settings(namespaces=("studio",)), clock=lambda: house.now
    )
    house.cluster.apply(a_resource(retention=ASKED, status={"phase": "Completed"}))
    await reconciler._retention.look()
    house.store.is_leader = False
    house.cluster.apply(a_resource(retention={"onDeletion": "Keep"}, status={"phase": "Completed"}))
    with pytest.raises(NotLeaderError):
        await reconciler.reconcile(FILM)
    house.cluster.tasks.clear()
    house.store.is_leader = True
    await reconciler.reconcile(FILM)
    assert (await house.kept()).on_deletion is OnDeletion.KEEP, "at the film's own turn, before any look"
    await reconciler._retention.look()
    assert house.cluster.clean_ups == []
    assert house.cluster.last_wishes() == (), "once it is on record it is not kept in mind"


@pytest.mark.parametrize("first", [{}, {"onDeletion": "Keep", "workDays": 30}])
async def test_a_last_wish_to_remove_all_counts_as_well(first) -> None:
    house = await House().with_film()
    house.cluster.apply(a_resource(retention=first))
    await house.looks()
    house.cluster.apply(a_resource(retention=ASKED))
    await house.lose_resource()
    assert await house.looks() == [Extent.ALL]


async def test_a_last_wish_waits_while_the_record_is_away() -> None:
    house = await House().with_film()
    house.cluster.apply(a_resource(retention=ASKED))
    await house.looks()
    house.cluster.apply(a_resource(retention={}))
    house.cluster.tasks.clear()
    house.store.is_leader = False
    with pytest.raises(NotLeaderError):
        await house.looks()
    house.store.is_leader = True
    await house.lose_resource()
    assert await house.looks() == []
