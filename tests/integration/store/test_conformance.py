"""What the reconciler may rely on, shown of both stores: PostgreSQL and the one in memory."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from tests.support.builders import NOON, UID, a_record, a_run

from videotask_contract.errors import FailureClass
from videotask_contract.phases import STOPPED, TERMINAL, Phase
from videotask_contract.report import LUMP_PREFIX, Certainty, Item, Spend
from videotask_contract.resources import FilmStatus, Priority
from videotask_contract.steps import Gate, Step
from videotask_operator.core.model import Money, RunOutcome, RunRecord, TaskKey, TaskRecord, Transition
from videotask_operator.core.ports import NotLeaderError, RecordConflictError

LATER = NOON + timedelta(minutes=7, microseconds=123456)


def a_full_record() -> TaskRecord:
    """Return a record in which no field has its default."""
    return TaskRecord(
        uid=UID,
        namespace="studio",
        name="film",
        channel="tides",
        title="💡 'quotes' \"double\" %s <b>\nשלום",  # noqa: RUF001  right-to-left text
        phase=Phase.SUSPENDED,
        priority=Priority.HIGH,
        attempt=4,
        correlation_id="c-1",
        queued_at=NOON,
        step=Step.VIDEO_GENERATION,
        step_attempt=3,
        lost_runs=2,
        last_run_number=9,
        next_attempt_at=LATER,
        resume_phase=Phase.GENERATING_VIDEO,
        claimed_at=LATER,
        pipeline_start_time=NOON,
        pipeline_end_time=LATER,
        pipeline_cost_usd=Decimal("1.23456789"),
        waited_seconds=77,
        waiting_since=LATER,
        review_gate=Gate.VIDEO,
        review_round=2,
        review_required_at=LATER,
        approved_gates=frozenset({Gate.ASSETS, Gate.FINAL}),
        approved_by="anna@example.org",
        error="what was wrong",
        message="what is",
        waiting_reason="RetryScheduled",
        estimated_cost_usd=Decimal("11.02"),
        storyboard_sha256="ab" * 32,
        redo_request="clip-7-again",
        redo_requests=frozenset({"clip-7-again", "all-clips"}),
        redo_counts={"video_generation": {"07": 2, "*": 1}},
        content_digest="cd" * 32,
        honoured_takes={"video_generation": {"scene-3": 1}},
        change_marks={"video_generation": {"run": 8, "left": 16, "edited": 0}},
        begun_with={
            "video_generation": {"clip_seconds": 10, "own": ["clip_seconds"]},
            "narration_generation": {"voice": {"a": 1}},
        },
        film=FilmStatus(path="film.mp4", duration_seconds="90.3", size_bytes=5_000_000_000, sha256="cd" * 32),
        step_completion_metadata={"clips_generated": 7, "total_clips": 18},
        notion_page_id="page",
        resource_gone=True,
        long_film_warned=True,
    )


def a_full_run() -> RunRecord:
    """Return a run in which no field has its default."""
    return RunRecord(
        run_id="run9",
        task_uid=UID,
        number=9,
        step=Step.VIDEO_GENERATION,
        attempt=2,
        job_name="film-video-generation-9",
        account="studio/kling/api-key",
        concurrency=5,
        opened_at=NOON,
        job_created_at=LATER,
        permitted_pod_uid="pod",
        permitted_at=LATER,
        stop_requested_at=LATER,
        closed_at=LATER,
        outcome=RunOutcome.FAILED,
        done=7,
        total=18,
        kept=2,
        kept_usd=Decimal("0.84"),
        reserved_usd=Decimal("9.45"),
        spent_usd=Decimal("2.94"),
        ledger_read=True,
        storyboard_only=True,
        exit_code=12,
        failure_class=FailureClass.RATE_LIMITED,
        failure_message="429: slow down",
        failure_item="07",
        retry_after_seconds=12.5,
    )


def an_item(item: str = "01", **changes) -> Item:
    values = {"item": item, "key": "k1", "path": f"clips/clip_{item}.mp4", "size_bytes": 3_000_000_000, "sha256": "s"}
    return Item(**(values | {"duration_seconds": 10.04, "cost_usd": Decimal("0.42")} | changes))


def a_call(call_id: str = "call1", usd: str = "0.42", **changes) -> Spend:
    values = {"run_id": "run1", "item": "01", "model": "kling-2.5-turbo", "certainty": Certainty.SETTLED, "at": NOON}
    return Spend(call_id=call_id, amount_usd=Decimal(usd), **(values | changes))


async def given(store, *records, runs=()):
    async with store.transaction() as transaction:
        for record in records or (a_record(),):
            await transaction.save_task(record)
        for run in runs:
            await transaction.save_run(run)


async def pay(store, *calls, record=None, step=Step.VIDEO_GENERATION, time_zone="UTC"):
    async with store.transaction() as transaction:
        await transaction.save_spend(record or a_record(), step, calls, time_zone=time_zone)


async def ask(store, method, *arguments, **options):
    async with store.transaction() as transaction:
        return await getattr(transaction, method)(*arguments, **options)


async def money_of(store, record=None, *, now=NOON, time_zone="UTC") -> Money:
    return await ask(store, "load_money", record or a_record(), now=now, time_zone=time_zone)


class TestTasks:
    def test_the_full_record_leaves_no_field_at_its_default(self):
        plain = a_record(phase=Phase.QUEUED)
        same = [f.name for f in fields(TaskRecord) if getattr(plain, f.name) == getattr(a_full_record(), f.name)]
        assert set(same) <= {"uid", "namespace", "name", "channel", "queued_at"}

    async def test_a_record_comes_back_as_it_was_saved(self, store):
        await given(store, a_full_record())
        assert await ask(store, "load_task", UID) == a_full_record()

    async def test_a_plain_record_comes_back_as_it_was_saved(self, store):
        await given(store, a_record())
        assert await ask(store, "load_task", UID) == a_record()

    async def test_each_field_can_be_changed_and_cleared(self, store):
        await given(store, a_record())
        await given(store, a_full_record())
        changed = await ask(store, "load_task", UID)
        assert changed == replace(a_full_record(), pipeline_cost_usd=Decimal(0))
        await given(store, a_record())
        assert await ask(store, "load_task", UID) == a_record()

    @pytest.mark.parametrize("phase", Phase)
    async def test_every_phase_of_the_contract_can_be_recorded(self, store, phase):
        await given(store, a_record(phase=phase, resume_phase=phase))
        assert (await ask(store, "load_task", UID)).phase is phase

    async def test_text_that_postgresql_cannot_hold_is_replaced_and_never_stops_the_record(self, store):
        await given(store, a_record(title="a\0b\ud800c", error="\0"))
        record = await ask(store, "load_task", UID)
        assert (record.title, record.error) == ("a\ufffdb\ufffdc", "\ufffd")

    async def test_an_unknown_task_is_none(self, store):
        assert await ask(store, "load_task", "nobody") is None
        assert await ask(store, "load_task_by_key", TaskKey("studio", "film")) is None
        assert await ask(store, "load_earlier_task", TaskKey("studio", "film"), uid=UID) is None

    async def test_by_key_the_record_made_last_is_found_even_when_an_older_one_was_saved_since(self, store):
        old, new = a_record(uid="old", queued_at=LATER), a_record(uid="new", queued_at=NOON)
        other = a_record(uid="other", namespace="elsewhere")
        await given(store, old, new, other)
        await given(store, replace(old, message="changed"))
        key = TaskKey("studio", "film")
        assert (await ask(store, "load_task_by_key", key)).uid == "new"
        assert (await ask(store, "load_earlier_task", key, uid="new")).uid == "old"
        assert (await ask(store, "load_earlier_task", key, uid="old")).uid == "new"

    async def test_by_name_a_record_that_is_not_over_with_comes_first_and_then_the_dearest(self, store):
        key = TaskKey("studio", "film")
        dear = a_record(uid="dear", resource_gone=True, pipeline_cost_usd=Decimal(10))
        cheap, last = a_record(uid="cheap", resource_gone=True), a_record(uid="last", resource_gone=True)
        await given(store, dear, cheap, last)
        assert (await ask(store, "load_task_by_key", key)).uid == "last"
        assert (await ask(store, "load_earlier_task", key, uid="last")).uid == "dear"
        await given(store, replace(cheap, resource_gone=False))
        assert (await ask(store, "load_task_by_key", key)).uid == "cheap"
        assert (await ask(store, "load_earlier_task", key, uid="last")).uid == "cheap"

    async def test_active_tasks_are_the_queued_and_those_at_work_and_waiting_for_people_holds_no_place(self, store):
        waiting_for_people = {Phase.FINAL_REVIEW, Phase.APPROVED}
        for phase in Phase:
            await given(store, a_record(uid=phase.value, name=phase.value, phase=phase))
        seen = {task.uid: task.active for task in await ask(store, "load_active_tasks")}
        working = set(Phase) - STOPPED - waiting_for_people - {Phase.QUEUED}
        assert seen == {Phase.QUEUED.value: False} | {phase.value: True for phase in working}

    async def test_a_film_at_a_gate_or_held_by_what_a_person_must_mend_holds_no_place(self, store):
        for reason in ("AwaitingApproval", "Rejected", "RedoRefused", "RetryScheduled", None):
            name = reason or "works"
            await given(store, a_record(uid=name, name=name, phase=Phase.VIDEO_READY, waiting_reason=reason))
        seen = {task.uid for task in await ask(store, "load_active_tasks") if task.active}
        assert seen == {"RetryScheduled", "works"}

    async def test_active_tasks_come_oldest_first_with_what_admission_needs(self, store):
        young = a_record(uid="young", name="young", queued_at=LATER, priority=Priority.LOW, channel="hills")
        await given(store, young, a_record(uid="old"))
        first, second = await ask(store, "load_active_tasks")
        assert (first.uid, second.uid) == ("old", "young")
        assert (second.namespace, second.channel, second.priority, second.queued_at, second.active) == (
            "studio",
            "hills",
            Priority.LOW,
            LATER,
            False,
        )

    async def test_unfinished_are_all_that_are_not_terminal_and_all_with_an_open_run(self, store):
        for phase in Phase:
            await given(store, a_record(uid=phase.value, name=phase.value, phase=phase))
        cancelled = a_record(uid="stopping", name="stopping", phase=Phase.CANCELLED)
        closed = a_record(uid="ended", name="ended", phase=Phase.CANCELLED)
        await given(
            store,
            cancelled,
            closed,
            runs=(a_run(task_uid="stopping"), a_run(number=2, task_uid="ended", closed_at=NOON)),
        )
        expected = [phase.value for phase in Phase if phase not in TERMINAL] + ["stopping"]
        assert await ask(store, "load_unfinished_uids") == tuple((uid, TaskKey("studio", uid)) for uid in expected)

    async def test_all_uids_are_those_of_finished_films_too(self, store):
        assert await ask(store, "load_uids") == frozenset()
        await given(store, a_record(uid="one", name="one"), a_record(uid="two", name="two", phase=Phase.COMPLETED))
        assert await ask(store, "load_uids") == {"one", "two"}


class TestRuns:
    def test_the_full_run_leaves_no_field_at_its_default(self):
        same = [f.name for f in fields(RunRecord) if getattr(a_run(), f.name) == getattr(a_full_run(), f.name)]
        assert set(same) <= {"task_uid", "opened_at"}

    async def test_a_run_comes_back_as_it_was_saved(self, store):
        await given(store, runs=[a_full_run()])
        assert await ask(store, "load_run", "run9") == a_full_run()

    async def test_each_field_can_be_changed_and_cleared(self, store):
        plain = replace(a_run(), run_id="run9")
        await given(store, runs=[plain])
        await given(store, runs=[a_full_run()])
        assert await ask(store, "load_run", "run9") == a_full_run()
        await given(store, runs=[plain])
        assert await ask(store, "load_run", "run9") == plain

    async def test_runs_come_oldest_first_and_only_the_tasks_own(self, store):
        closed = [a_run(number=number, closed_at=NOON) for number in (3, 1, 2)]
        foreign = replace(a_run(), task_uid="other", run_id="foreign")
        await given(store, a_record(), a_record(uid="other", name="other"), runs=[*closed, foreign])
        assert [run.number for run in await ask(store, "load_runs", UID)] == [1, 2, 3]

    async def test_a_second_open_run_of_a_task_is_refused_and_nothing_of_its_transaction_kept(self, store):
        await given(store, runs=[a_run()])
        with pytest.raises(RecordConflictError):
            await given(store, a_record(message="changed"), runs=[a_run(number=2)])
        assert await ask(store, "load_runs", UID) == (a_run(),)
        assert (await ask(store, "load_task", UID)).message == ""

    async def test_once_the_first_is_closed_the_next_may_open_in_the_same_transaction(self, store):
        await given(store, runs=[a_run()])
        await given(store, runs=[a_run(closed_at=NOON, outcome=RunOutcome.DONE), a_run(number=2)])
        assert [run.is_open for run in await ask(store, "load_runs", UID)] == [False, True]

    async def test_two_tasks_may_each_have_an_open_run(self, store):
        other = replace(a_run(), task_uid="other", run_id="other1")
        await given(store, a_record(), a_record(uid="other", name="other"), runs=[a_run(), other])
        assert await ask(store, "load_runs", "other") == (other,)

    async def test_a_run_number_is_never_used_twice(self, store):
        await given(store, runs=[a_run(closed_at=NOON)])
        with pytest.raises(RecordConflictError):
            await given(store, runs=[replace(a_run(), run_id="again")])

    async def test_a_run_of_an_unknown_task_is_refused(self, store):
        with pytest.raises(RecordConflictError):
            await given(store, runs=[a_run(task_uid="nobody")])

    async def test_an_accounts_runs_are_the_open_ones(self, store):
        others = [a_record(uid=f"t{n}", name=f"t{n}") for n in (2, 3)]
        await given(
            store,
            a_record(),
            *others,
            runs=[
                a_run(concurrency=4),
                a_run(number=2, task_uid="t2", concurrency=3),
                a_run(number=3, task_uid="t3", concurrency=100, account="studio/other/api-key"),
                a_run(number=4, task_uid="t2", concurrency=50, closed_at=NOON),
                a_run(number=5, concurrency=50, closed_at=NOON),
            ],
        )
        found = await ask(store, "load_account_runs", "studio/gemini-key/api-key")
        assert [run.concurrency for run in found] == [4, 3]
        assert await ask(store, "load_account_runs", "studio/nobody/api-key") == ()


class TestItems:
    async def test_items_come_back_as_they_were_told(self, store):
        told = (an_item("01"), an_item("02", duration_seconds=None), an_item("02", take=2))
        await given(store, runs=[a_run()])
        await ask(store, "save_items", UID, Step.VIDEO_GENERATION, "run1", tuple(reversed(told)))
        assert await ask(store, "load_items", UID, Step.VIDEO_GENERATION) == told
        assert await ask(store, "load_items", UID, Step.SFX_GENERATION) == ()

    async def test_telling_again_changes_the_item_and_adds_none(self, store):
        await given(store, runs=[a_run()])
        await ask(store, "save_items", UID, Step.VIDEO_GENERATION, "run1", [an_item()])
        remade = an_item(key="k2", sha256="t", kept=True, cost_usd=Decimal("0.5"))
        await ask(store, "save_items", UID, Step.VIDEO_GENERATION, "run1", [remade])
        assert await ask(store, "load_items", UID, Step.VIDEO_GENERATION) == (remade,)

    async def test_an_item_of_an_unknown_run_is_refused(self, store):
        await given(store)
        with pytest.raises(RecordConflictError):
            await ask(store, "save_items", UID, Step.VIDEO_GENERATION, "nobody", [an_item()])

    async def test_no_items_is_no_write(self, store):
        await ask(store, "save_items", "nobody", Step.VIDEO_GENERATION, "nobody", [])


class TestHistory:
    FIRST = Transition(before=None, after=Phase.QUEUED, at=NOON, message="seen")
    SECOND = Transition(before=Phase.QUEUED, after=Phase.CLAIMED, at=NOON, message="")

    async def test_transitions_come_back_in_order_and_the_last_are_kept(self, store):
        third = Transition(before=Phase.CLAIMED, after=Phase.GENERATING_ASSETS, at=LATER, message="go")
        await given(store)
        await ask(store, "save_history", UID, [self.FIRST, self.SECOND])
        await ask(store, "save_history", UID, [third])
        assert await ask(store, "load_history", UID, last=40) == (self.FIRST, self.SECOND, third)
        assert await ask(store, "load_history", UID, last=2) == (self.SECOND, third)
        assert await ask(store, "load_history", "nobody", last=2) == ()

    async def test_the_same_transition_told_twice_stands_once(self, store):
        await given(store)
        for _ in range(2):
            await ask(store, "save_history", UID, [self.FIRST, self.SECOND])
        assert await ask(store, "load_history", UID, last=40) == (self.FIRST, self.SECOND)

    async def test_the_same_way_taken_again_later_stands_again(self, store):
        again = replace(self.SECOND, at=LATER)
        await given(store)
        await ask(store, "save_history", UID, [self.SECOND, again])
        assert await ask(store, "load_history", UID, last=40) == (self.SECOND, again)


class TestMoney:
    async def test_a_call_told_twice_counts_once(self, store):
        await given(store)
        for _ in range(3):
            await pay(store, a_call(), a_call("call2", "0.10"), a_call())
        assert await money_of(store) == Money(task_spent_usd=Decimal("0.52"), channel_day_spent_usd=Decimal("0.52"))
        assert await ask(store, "load_day_spent", "studio", "tides", now=NOON, time_zone="UTC") == Decimal("0.52")
        assert await ask(store, "load_day_spent", "studio", "other", now=NOON, time_zone="UTC") == 0
        assert (await ask(store, "load_task", UID)).pipeline_cost_usd == Decimal("0.52")
        assert [call.call_id for call in await ask(store, "load_spend", UID)] == ["call1", "call2"]

    async def test_an_unknown_outcome_counts_as_paid_until_it_is_settled(self, store):
        await given(store)
        await pay(store, a_call(usd="0.53", certainty=Certainty.POSSIBLY))
        assert (await money_of(store)).channel_day_spent_usd == Decimal("0.53")
        await pay(store, a_call(usd="0.42"))
        money = await money_of(store)
        assert (money.task_spent_usd, money.channel_day_spent_usd) == (Decimal("0.42"), Decimal("0.42"))
        assert (await ask(store, "load_task", UID)).pipeline_cost_usd == Decimal("0.42")

    @pytest.mark.parametrize("certainty", Certainty)
    async def test_what_is_settled_stays(self, store, certainty):
        await given(store)
        await pay(store, a_call(usd="0.42"))
        await pay(store, a_call(usd="0.99", certainty=certainty))
        assert [call.amount_usd for call in await ask(store, "load_spend", UID)] == [Decimal("0.42")]
        assert (await money_of(store)).channel_day_spent_usd == Decimal("0.42")

    async def test_a_call_settled_within_one_report_counts_at_what_was_settled(self, store):
        await given(store)
        await pay(store, a_call(usd="0.53", certainty=Certainty.POSSIBLY), a_call(usd="0.42"))
        assert (await money_of(store)).task_spent_usd == Decimal("0.42")

    async def test_a_call_that_cost_nothing_after_all_gives_its_money_back(self, store):
        await given(store)
        await pay(store, a_call(usd="0.53", certainty=Certainty.POSSIBLY))
        await pay(store, a_call(usd="0"))
        assert await money_of(store) == Money()

    async def test_a_call_comes_back_as_it_was_told(self, store):
        call = a_call(usd="0.12345678", at=LATER, item="heron", model="m", certainty=Certainty.POSSIBLY)
        await given(store)
        await pay(store, call)
        assert await ask(store, "load_spend", UID) == (call,)

    async def test_the_same_call_id_of_another_task_is_another_call(self, store):
        other = a_record(uid="other", name="other", channel="hills")
        await given(store, a_record(), other)
        await pay(store, a_call(usd="0.42"))
        await pay(store, a_call(usd="0.10"), record=other)
        assert (await money_of(store)).task_spent_usd == Decimal("0.42")
        assert (await money_of(store, other)).task_spent_usd == Decimal("0.10")

    async def test_saving_a_stale_record_does_not_change_the_cost(self, store):
        await given(store)
        stale = await ask(store, "load_task", UID)
        await pay(store, a_call())
        await given(store, replace(stale, message="later"))
        record = await ask(store, "load_task", UID)
        assert (record.message, record.pipeline_cost_usd) == ("later", Decimal("0.42"))

    async def test_no_calls_is_no_write(self, store):
        await pay(store, record=a_record(uid="nobody"))

    async def test_money_for_an_unknown_task_is_refused_and_not_forgotten_in_silence(self, store):
        with pytest.raises(RecordConflictError):
            await pay(store, a_call())

    async def test_costs_by_step_name_every_step_with_four_places(self, store):
        await given(store)
        await pay(store, a_call(usd="0.00005"), a_call("b", "1.2"))
        await pay(store, a_call("c", "3"), step=Step.SFX_GENERATION)
        costs = await ask(store, "load_step_costs", UID)
        assert costs == dict.fromkeys(Step, "0.0000") | {
            Step.VIDEO_GENERATION: "1.2001",
            Step.SFX_GENERATION: "3.0000",
        }

    async def test_an_error_after_it_takes_the_payment_back_with_all_else(self, store):
        await given(store)

        async def pay_and_fail():
            async with store.transaction() as transaction:
                await transaction.save_spend(a_record(), Step.VIDEO_GENERATION, [a_call()], time_zone="UTC")
                raise ArithmeticError

        with pytest.raises(ArithmeticError):
            await pay_and_fail()
        assert await money_of(store) == Money()


class TestLumps:
    """A cut report gives one line for all its run spent, until the single calls are told."""

    LUMP = a_call(f"{LUMP_PREFIX}run1", "5.00", item="*", model="*", certainty=Certainty.POSSIBLY)

    async def test_a_lump_counts_until_the_single_calls_of_its_run_arrive(self, store):
        await given(store)
        await pay(store, self.LUMP)
        assert (await money_of(store)).channel_day_spent_usd == Decimal("5.00")
        await pay(store, a_call("a", "2.00"), a_call("b", "2.50"))
        money = await money_of(store)
        assert (money.task_spent_usd, money.channel_day_spent_usd) == (Decimal("4.50"), Decimal("4.50"))
        assert (await ask(store, "load_task", UID)).pipeline_cost_usd == Decimal("4.50")

    async def test_a_lump_that_comes_after_the_single_calls_is_not_paid_again(self, store):
        await given(store)
        await pay(store, a_call("a", "2.00"))
        await pay(store, self.LUMP)
        assert (await money_of(store)).task_spent_usd == Decimal("2.00")

    async def test_a_lump_beside_its_single_calls_in_one_report_is_not_paid_again(self, store):
        await given(store)
        await pay(store, self.LUMP, a_call("a", "2.00"))
        assert [call.call_id for call in await ask(store, "load_spend", UID)] == ["a"]

    async def test_the_calls_of_another_run_leave_the_lump_alone(self, store):
        await given(store)
        await pay(store, self.LUMP)
        await pay(store, a_call("a", "2.00", run_id="run2"))
        assert (await money_of(store)).task_spent_usd == Decimal("7.00")

    async def test_a_lump_of_yesterday_is_taken_from_yesterday(self, store):
        await given(store)
        await pay(store, self.LUMP)
        tomorrow = NOON + timedelta(days=1)
        await pay(store, a_call("a", "2.00", at=tomorrow))
        assert (await money_of(store, now=NOON)).channel_day_spent_usd == 0
        assert (await money_of(store, now=tomorrow)).channel_day_spent_usd == Decimal("2.00")


class TestReservations:
    async def test_an_open_run_reserves_what_it_has_not_spent_yet(self, store):
        await given(store, runs=[a_run(reserved_usd=Decimal("1.00"))])
        await pay(store, a_call(usd="0.42"))
        money = await money_of(store)
        assert (money.task_spent_usd, money.task_reserved_usd) == (Decimal("0.42"), Decimal("0.58"))
        assert (money.channel_day_spent_usd, money.channel_day_reserved_usd) == (Decimal("0.42"), Decimal("0.58"))

    async def test_a_killed_run_reserves_until_its_ledger_was_read(self, store):
        closed = a_run(reserved_usd=Decimal("1.00"), closed_at=NOON, outcome=RunOutcome.LOST)
        await given(store, runs=[closed])
        assert (await money_of(store)).task_reserved_usd == Decimal("1.00")
        await given(store, runs=[replace(closed, ledger_read=True)])
        assert await money_of(store) == Money()

    async def test_a_killed_run_that_nobody_reads_holds_up_its_channel_for_its_days_alone(self, store):
        killed = a_run(reserved_usd=Decimal("1.00"), opened_at=NOON - timedelta(days=2), closed_at=NOON)
        await given(store, runs=[killed])
        for hours, of_channel in ((-48, 1), (0, 1), (11, 1), (12, 0)):
            money = await money_of(store, now=NOON + timedelta(hours=hours))
            assert (money.task_reserved_usd, money.channel_day_reserved_usd) == (1, of_channel), hours

    async def test_a_run_still_open_reserves_on_every_day(self, store):
        await given(store, runs=[a_run(reserved_usd=Decimal("1.00"))])
        assert (await money_of(store, now=NOON + timedelta(days=3))).channel_day_reserved_usd == 1

    async def test_what_was_spent_beyond_a_reservation_frees_nothing_of_another_run(self, store):
        over = a_run(reserved_usd=Decimal("0.10"), closed_at=NOON)
        await given(store, runs=[over, a_run(number=2, reserved_usd=Decimal("1.00"))])
        await pay(store, a_call(usd="0.42"))
        assert (await money_of(store)).task_reserved_usd == Decimal("1.00")

    async def test_the_channel_counts_all_of_its_tasks_and_no_other_channels(self, store):
        sister = a_record(uid="sister", name="sister")
        hills = a_record(uid="hills", name="hills", channel="hills")
        elsewhere = a_record(uid="elsewhere", namespace="elsewhere")
        runs = [
            a_run(reserved_usd=Decimal("1.00")),
            a_run(number=2, task_uid="sister", reserved_usd=Decimal("2.00")),
            a_run(number=3, task_uid="hills", reserved_usd=Decimal("4.00")),
            a_run(number=4, task_uid="elsewhere", reserved_usd=Decimal("8.00")),
        ]
        await given(store, a_record(), sister, hills, elsewhere, runs=runs)
        for record, usd in ((sister, "0.20"), (hills, "0.40"), (elsewhere, "0.80")):
            await pay(store, a_call(usd=usd, run_id="elder"), record=record)
        assert await money_of(store) == Money(
            task_spent_usd=Decimal(0),
            task_reserved_usd=Decimal("1.00"),
            channel_day_spent_usd=Decimal("0.20"),
            channel_day_reserved_usd=Decimal("3.00"),
        )


class TestDays:
    async def test_a_call_counts_for_the_day_on_which_it_was_made_in_the_channels_zone(self, store):
        late = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)  # 00:30 of the 22nd in Zurich
        await given(store)
        await pay(store, a_call(at=late), time_zone="Europe/Zurich")
        same_day = datetime(2026, 11, 22, 22, 59, tzinfo=UTC)
        next_day = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
        for now, expected in ((late, "0.42"), (same_day, "0.42"), (next_day, "0"), (NOON, "0")):
            money = await money_of(store, now=now, time_zone="Europe/Zurich")
            assert money.channel_day_spent_usd == Decimal(expected), now

    @pytest.mark.parametrize(
        ("first", "last"),
        [
            # Zurich, 25 hours: clocks go back on 25 October 2026; 23 hours: forward on 29 March 2026.
            (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), datetime(2026, 10, 25, 22, 59, 59, tzinfo=UTC)),
            (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC)),
        ],
    )
    async def test_a_day_on_which_clocks_change_is_one_day(self, store, first, last):
        await given(store)
        before, after = first - timedelta(seconds=1), last + timedelta(seconds=1)
        for number, moment in enumerate((before, first, last, after)):
            await pay(store, a_call(f"c{number}", str(10**number), at=moment), time_zone="Europe/Zurich")
        for now, expected in ((before, 1), (first, 110), (last, 110), (after, 1000)):
            assert (await money_of(store, now=now, time_zone="Europe/Zurich")).channel_day_spent_usd == expected

    async def test_a_call_settled_tomorrow_corrects_the_day_it_was_made(self, store):
        await given(store)
        await pay(store, a_call(usd="0.53", certainty=Certainty.POSSIBLY))
        tomorrow = NOON + timedelta(days=1)
        await pay(store, a_call(usd="0.42", at=tomorrow), time_zone="Asia/Tokyo")
        assert (await money_of(store, now=NOON)).channel_day_spent_usd == Decimal("0.42")
        assert (await money_of(store, now=tomorrow)).channel_day_spent_usd == 0

    @pytest.mark.parametrize("time_zone", ["Nowhere/Town", "../../etc/passwd", ""])
    async def test_an_unknown_time_zone_counts_as_utc_and_loses_no_money(self, store, time_zone):
        await given(store)
        await pay(store, a_call(), time_zone=time_zone)
        assert (await money_of(store, time_zone="UTC")).channel_day_spent_usd == Decimal("0.42")


class TestTransactions:
    async def test_an_error_leaves_everything_as_it_was(self, store):
        await given(store, runs=[a_run()])

        async def write_and_fail():
            async with store.transaction() as transaction:
                await transaction.save_task(a_record(message="changed"))
                await transaction.save_task(a_record(uid="new", name="new"))
                await transaction.save_run(a_run(closed_at=NOON))
                await transaction.save_history(UID, [TestHistory.FIRST])
                await transaction.save_items(UID, Step.VIDEO_GENERATION, "run1", [an_item()])
                raise ArithmeticError

        with pytest.raises(ArithmeticError):
            await write_and_fail()
        assert await ask(store, "load_task", UID) == a_record()
        assert await ask(store, "load_task", "new") is None
        assert await ask(store, "load_run", "run1") == a_run()
        assert await ask(store, "load_history", UID, last=9) == ()
        assert await ask(store, "load_items", UID, Step.VIDEO_GENERATION) == ()

    async def test_being_cancelled_leaves_everything_as_it_was_and_the_next_goes_on(self, store):
        await given(store)
        written = asyncio.Event()

        async def write_and_wait():
            async with store.transaction() as transaction:
                await transaction.save_task(a_record(message="changed"))
                written.set()
                await asyncio.Event().wait()

        writer = asyncio.create_task(write_and_wait())
        await written.wait()
        writer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writer
        assert await ask(store, "load_task", UID) == a_record()

    async def test_what_is_written_is_seen_in_the_same_transaction(self, store):
        async with store.transaction() as transaction:
            await transaction.save_task(a_record())
            await transaction.save_run(a_run())
            assert await transaction.load_task(UID) == a_record()
            assert await transaction.load_runs(UID) == (a_run(),)

    async def test_twenty_at_once_read_modify_and_write_without_losing_one(self, store):
        await given(store)

        async def add_one():
            async with store.transaction() as transaction:
                record = await transaction.load_task(UID)
                await asyncio.sleep(0)
                await transaction.save_task(replace(record, waited_seconds=record.waited_seconds + 1))

        await asyncio.gather(*(add_one() for _ in range(20)))
        assert (await ask(store, "load_task", UID)).waited_seconds == 20

    async def test_twenty_at_once_never_pass_a_cap_together(self, store):
        records = [a_record(uid=f"t{n}", name=f"t{n}") for n in range(20)]
        await given(store, *records)

        async def reserve(number, record):
            async with store.transaction() as transaction:
                money = await transaction.load_money(record, now=NOON, time_zone="UTC")
                if money.channel_day_reserved_usd + 1 <= 5:
                    await transaction.save_run(a_run(number=number, task_uid=record.uid, reserved_usd=Decimal(1)))

        await asyncio.gather(*(reserve(number, record) for number, record in enumerate(records, start=1)))
        assert (await money_of(store, records[0])).channel_day_reserved_usd == 5

    async def test_one_inside_another_is_an_error_and_no_standstill(self, store):
        with pytest.raises(RuntimeError, match="inside another"):
            async with store.transaction(), store.transaction():
                pass
        await given(store)

    async def test_without_the_fence_nothing_begins(self, store):
        if hasattr(store, "close"):
            await store.close()
        else:
            store.is_leader = False
        assert not store.is_leader
        with pytest.raises(NotLeaderError):
            await given(store)
