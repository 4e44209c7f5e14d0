"""The real schedule, 1, 5, 15 and 60 minutes, on the core's own clock."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.support.builders import NOON, a_channel, a_failed_report, a_resource
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Failure
from videotask_operator.core.draft import Draft
from videotask_operator.core.model import TaskKey
from videotask_operator.core.settle import settle_report
from videotask_operator.reconciler import Reconciler, record_plan
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

KEY = TaskKey("studio", "film")
UID = a_resource().uid
WORDS = "Kling 503"


class Night:
    """A film whose first step fails each time, and a clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = NOON
        self.cluster = MemoryCluster()
        self.cluster.now = lambda: self.now
        self.cluster.apply_channel(a_channel())
        self.cluster.apply(a_resource())
        self.store = MemoryStore()
        self.reconciler = Reconciler(
            cluster=self.cluster, store=self.store, settings=Settings(namespaces=("studio",)), clock=lambda: self.now
        )

    async def look(self) -> None:
        for _ in range(3):
            await self.reconciler.reconcile(KEY)
            await self.reconciler._admit()

    async def pass_until(self, moment: datetime) -> None:
        self.now = moment
        await self.look()

    async def fail(self) -> None:
        """Let the open run end with a server's error."""
        async with self.store.transaction() as transaction:
            runs = {run.run_id: run for run in await transaction.load_runs(UID)}
            [run] = [run for run in runs.values() if run.is_open]
            draft = Draft(record=await transaction.load_task(UID), runs=runs, now=self.now)
            report = a_failed_report(run, Failure(failure_class=FailureClass.TRANSIENT, message=WORDS))
            settle_report(draft, run, report, rules=self.reconciler.rules.retry)
            await record_plan(transaction, draft.plan(), time_zone="UTC")
        await self.look()

    @property
    def runs(self) -> int:
        return len(self.cluster.orders)

    @property
    def status(self) -> dict:
        return self.cluster.tasks[KEY].status

    def condition(self, kind: str) -> dict:
        return next(line for line in self.status["conditions"] if line["type"] == kind)


def shown(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@pytest.fixture
async def night():
    night = Night()
    await night.look()
    assert night.runs == 1
    return night


async def test_a_step_is_tried_again_after_1_5_15_and_60_minutes_and_then_waits_for_a_person(night):
    for attempt, minutes in enumerate((1, 5, 15, 60), start=2):
        await night.fail()
        due = night.now + timedelta(minutes=minutes)
        assert night.status["nextAttemptAt"] == shown(due)
        assert night.status["phase"] == Phase.GENERATING_ASSETS.resource
        assert night.status["message"].startswith(f"attempt {attempt} of 5 at {due:%H:%M}")
        assert night.status["message"].endswith(WORDS)
        assert night.condition("RetryScheduled")["status"] == "True"
        await night.pass_until(due - timedelta(seconds=1))
        assert night.runs == attempt - 1
        await night.pass_until(due)
        assert night.runs == attempt
        assert "nextAttemptAt" not in night.status
    await night.fail()
    assert night.status["phase"] == Phase.ASSET_ERROR.resource
    assert "nextAttemptAt" not in night.status
    assert WORDS in night.status["message"]
    assert night.condition("NeedsAttention")["status"] == "True"
    await night.pass_until(night.now + timedelta(days=7))
    assert night.runs == 5


async def test_after_the_error_a_raised_attempt_begins_the_schedule_anew(night):
    for minutes in (1, 5, 15, 60):
        await night.fail()
        await night.pass_until(night.now + timedelta(minutes=minutes))
    await night.fail()
    night.cluster.apply(a_resource(attempt=2, status=night.status))
    await night.look()
    assert night.runs == 6
    await night.fail()
    assert night.status["nextAttemptAt"] == shown(night.now + timedelta(minutes=1))


async def test_a_film_that_was_suspended_meanwhile_keeps_the_time_of_its_next_attempt(night):
    await night.fail()
    due = night.now + timedelta(minutes=1)
    for state in ("Suspended", "Running"):
        night.cluster.apply(a_resource(state=state, status=night.status))
        await night.look()
    assert night.status["nextAttemptAt"] == shown(due)
    assert night.status["message"].startswith(f"attempt 2 of 5 at {due:%H:%M}")
    assert night.runs == 1
    await night.pass_until(due)
    assert night.runs == 2
