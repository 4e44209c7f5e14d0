from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from tests.support.builders import a_channel, a_report, a_resource
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.errors import FailureClass, PermanentError
from videotask_contract.phases import HAPPY_PATH, Phase
from videotask_contract.report import Failure, Film
from videotask_contract.steps import STEPS, Step
from videotask_operator.core.model import Caller, RunOrder, RunOutcome
from videotask_operator.core.ports import ForeignJobError
from videotask_operator.reconciler import Reconciler
from videotask_operator.reports import ReportServer
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

DEADLINE_SECONDS = 60


class Studio:
    """A reconciler over the in-memory ports, with its report endpoint on loopback."""

    def __init__(self) -> None:
        self.cluster = MemoryCluster()
        self.store = MemoryStore()
        self.settings = Settings(resync_seconds=0.2, namespaces=("studio",))
        self.reconciler = Reconciler(cluster=self.cluster, store=self.store, settings=self.settings)
        self.cluster.now = self.reconciler.clock
        self.reports = ReportServer(self.reconciler)
        self.url = ""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Studio]:
        self.cluster.apply_channel(a_channel())
        stop = asyncio.Event()
        self.url = f"http://127.0.0.1:{await self.reports.start(host='127.0.0.1', port=0)}"
        loop = asyncio.create_task(self.reconciler.run(stop))
        async with aiohttp.ClientSession() as self.http:
            yield self
        stop.set()
        await loop
        await self.reports.stop()

    async def until(self, condition):
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not (found := condition()):
                await asyncio.sleep(0.005)
        return found

    async def order_of(self, step: Step, *, after: int = 0) -> RunOrder:
        return await self.until(
            lambda: next((order for order in self.cluster.orders[after:] if order.step is step), None)
        )

    async def post(self, order: RunOrder, what: str, body: dict, *, token: str | None = None):
        headers = {"Authorization": f"Bearer {token or f'token-{order.run_id}'}"}
        url = f"{self.url}/v1/runs/{order.run_id}/{what}"
        async with self.http.post(url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def report_done(self, order: RunOrder, **changes):
        run = await self.run_of(order)
        film = Film(path="film.mp4", duration_seconds=9, size_bytes=1, sha256="ab", loudness_lufs=-14)
        total = run.total
        report = a_report(
            run, done=total, total=total, film=film if order.step is Step.VIDEO_ASSEMBLY else None, **changes
        )
        return await self.post(order, "final", report.model_dump(mode="json", by_alias=True, exclude_none=True))

    async def run_of(self, order: RunOrder):
        async with self.store.transaction() as transaction:
            run = await transaction.load_run(order.run_id)
        assert run is not None
        return run

    async def record(self):
        async with self.store.transaction() as transaction:
            return await transaction.load_task(a_resource().uid)

    def phases_shown(self) -> list[str]:
        phases: list[str] = []
        for _, status in self.cluster.shown:
            if not phases or phases[-1] != status["phase"]:
                phases.append(status["phase"])
        return phases

    async def until_phase(self, phase: Phase):
        await self.until(lambda: self.phases_shown()[-1:] == [phase.resource])


@pytest.fixture
async def studio():
    async with Studio().open() as opened:
        yield opened


async def make_film(studio: Studio) -> None:
    for traits in STEPS:
        order = await studio.order_of(traits.step)
        assert (await studio.post(order, "permit", {"runId": order.run_id}))[1]["directive"] == "continue"
        status, _ = await studio.report_done(order)
        assert status == 200
    await studio.until_phase(Phase.FINAL_REVIEW)


async def test_a_film_goes_through_every_phase_of_the_table_in_order(studio):
    studio.cluster.apply(a_resource())
    await make_film(studio)
    review = studio.cluster.shown[-1][1]["review"]
    assert '"round":1' in review["command"]
    studio.cluster.apply(a_resource(approvals={"final": {"decision": "Approved", "by": "alice", "round": 1}}))
    await studio.until_phase(Phase.COMPLETED)
    assert studio.phases_shown() == [phase.resource for phase in HAPPY_PATH]
    record = await studio.record()
    assert record.approved_by == "alice"
    assert len(studio.cluster.orders) == len(STEPS)


async def test_a_decision_that_waited_its_turn_is_dated_after_what_was_recorded_meanwhile(studio):
    studio.reconciler._sole.add(a_resource().uid)  # so that the first transaction it waits for is the decision's
    async with studio.store.transaction():
        studio.cluster.apply(a_resource())
        for _ in range(100):  # turns of the loop, enough for the reconciler to stand in the queue behind us
            await asyncio.sleep(0)
        recorded_at = studio.reconciler.clock()
    record = await studio.until(lambda: studio.cluster.shown) and await studio.record()
    assert record.queued_at >= recorded_at


async def test_a_report_recorded_while_a_decision_waits_its_turn_is_shown_before_it():
    made = Studio()
    made.reconciler.settings = Settings(resync_seconds=60, namespaces=("studio",))  # nobody else stands in the queue
    async with made.open() as studio:
        studio.cluster.apply(a_resource())
        order = await studio.order_of(Step.ASSET_GENERATION)
        await studio.until_phase(Phase.GENERATING_ASSETS)
        run = await studio.run_of(order)
        report = a_report(run, done=run.total, total=run.total).model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        await studio.post(order, "progress", {"runId": order.run_id, "done": 0, "total": run.total})
        async with studio.store.transaction():
            reporting = asyncio.create_task(studio.post(order, "final", report))
            await studio.until(lambda: len(studio.store._turn._waiters or ()) == 1)
            studio.reconciler.wake(order.key)
            await studio.until(lambda: len(studio.store._turn._waiters or ()) == 2)
        assert (await reporting)[0] == 200
        await studio.until_phase(Phase.GENERATING_COMPOSITES)
        expected = HAPPY_PATH[: HAPPY_PATH.index(Phase.GENERATING_COMPOSITES) + 1]
        assert studio.phases_shown() == [phase.resource for phase in expected]
        shown = next(status for _, status in studio.cluster.shown if status["phase"] == Phase.ASSETS_READY.resource)
        assert shown["history"][-1]["phase"] == Phase.ASSETS_READY.resource


async def test_one_run_is_open_at_a_time_and_run_numbers_rise(studio):
    studio.cluster.apply(a_resource())
    await make_film(studio)
    async with studio.store.transaction() as transaction:
        runs = await transaction.load_runs(a_resource().uid)
    assert [run.number for run in runs] == list(range(1, len(STEPS) + 1))
    assert all(run.outcome is RunOutcome.DONE for run in runs)


async def test_a_report_needs_the_token_of_its_own_run(studio):
    studio.cluster.apply(a_resource())
    order = await studio.order_of(Step.ASSET_GENERATION)
    report = a_report(await studio.run_of(order)).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert (await studio.post(order, "final", report, token="token-nobody"))[0] == 401
    studio.cluster.apply(a_resource(name="other", uid="other-uid-0000"))
    other = await studio.until(lambda: next((o for o in studio.cluster.orders if o.key.name == "other"), None))
    status, _ = await studio.post(order, "final", report, token=f"token-{other.run_id}")
    assert status == 403
    assert (await studio.run_of(order)).is_open


async def test_the_permit_is_given_to_one_pod_alone(studio):
    studio.cluster.apply(a_resource())
    order = await studio.order_of(Step.ASSET_GENERATION)
    body = {"runId": order.run_id}
    assert (await studio.post(order, "permit", body))[1]["directive"] == "continue"
    studio.cluster.caller_of = _second_pod
    assert (await studio.post(order, "permit", body))[1]["directive"] == "stop"
    studio.cluster.pods[order.job_name] = _gone(studio.cluster.pods[order.job_name])
    assert (await studio.post(order, "permit", body))[1]["directive"] == "continue"


def _second_pod(order):
    return Caller(namespace=order.key.namespace, pod_name=order.job_name, pod_uid="second")


def _gone(pod):
    return replace(pod, finished=True, running=False, disrupted=True)


async def test_a_closed_runs_pod_is_told_to_stop(studio):
    studio.cluster.apply(a_resource())
    order = await studio.order_of(Step.ASSET_GENERATION)
    await studio.report_done(order)
    await studio.order_of(Step.COMPOSITE_CREATION)
    status, answer = await studio.post(order, "progress", {"runId": order.run_id, "done": 1, "total": 2})
    assert (status, answer["directive"]) == (200, "stop")


async def test_progress_is_shown_and_never_goes_backwards(studio):
    studio.cluster.apply(a_resource())
    order = await studio.order_of(Step.ASSET_GENERATION)
    for done in (1, 2, 1):
        await studio.post(order, "progress", {"runId": order.run_id, "done": done, "total": 2})
    await studio.until(lambda: studio.cluster.shown[-1][1]["progress"] == "2/2")
    assert (await studio.run_of(order)).done == 2


@pytest.mark.parametrize("moment", ["create_run", "after_create_run", "save_status"])
async def test_a_crash_between_two_arrows_changes_nothing(studio, moment):
    studio.cluster.crash_before.add(moment)
    studio.cluster.apply(a_resource())
    await make_film(studio)
    assert [order.step for order in studio.cluster.orders] == [traits.step for traits in STEPS]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(PermanentError("403: exceeded quota: jobs"), "JobRefused"), (ForeignJobError("Job film-1 exists"), "ForeignJob")],
    ids=["refused", "foreign"],
)
async def test_a_job_the_cluster_refuses_is_shown_and_made_once_it_can_be(studio, error, reason, monkeypatch):
    create = studio.cluster.create_run

    async def refuse(_order):
        raise error

    monkeypatch.setattr(studio.cluster, "create_run", refuse)
    studio.cluster.apply(a_resource())
    shown = lambda: studio.cluster.shown[-1][1] if studio.cluster.shown else {"message": ""}  # noqa: E731
    await studio.until(lambda: str(error) in shown()["message"])
    (starting,) = [line for line in shown()["conditions"] if line["type"] == "PodStarting"]
    assert (starting["status"], starting["reason"]) == ("False", "PodCannotStart")
    await studio.until(lambda: any(event.reason == reason for _, event in studio.cluster.events))
    monkeypatch.setattr(studio.cluster, "create_run", create)
    studio.reconciler.wake(a_resource().key)
    await make_film(studio)
    assert [event.reason for _, event in studio.cluster.events].count(reason) == 1


async def test_a_job_deleted_by_hand_runs_again_as_another_run(studio):
    studio.cluster.apply(a_resource())
    order = await studio.order_of(Step.ASSET_GENERATION)
    await studio.until(lambda: studio.cluster.shown and studio.cluster.shown[-1][1]["phase"] == "GeneratingAssets")
    async with asyncio.timeout(DEADLINE_SECONDS):  # a Job that was never seen would be made again for the same run
        while (await studio.run_of(order)).job_created_at is None:
            await asyncio.sleep(0.005)
    studio.cluster.drop_job(order.job_name)
    again = await studio.order_of(Step.ASSET_GENERATION, after=1)
    assert again.run_id != order.run_id
    assert (await studio.record()).step_attempt == 1


async def test_a_failed_run_is_retried_by_its_class(studio):
    studio.cluster.apply(a_resource())
    order = await studio.order_of(Step.ASSET_GENERATION)
    run = await studio.run_of(order)
    failure = Failure(failure_class=FailureClass.REFUSED, message="harbour: SAFETY", item="harbour")
    report = a_report(run, outcome="failed", done=1, failure=failure)
    await studio.post(order, "final", report.model_dump(mode="json", by_alias=True, exclude_none=True))
    await studio.until_phase(Phase.ASSET_ERROR)
    studio.cluster.apply(a_resource(attempt=2))
    again = await studio.order_of(Step.ASSET_GENERATION, after=1)
    await studio.report_done(again)
    await studio.order_of(Step.COMPOSITE_CREATION)


async def test_a_late_report_of_a_closed_run_frees_what_it_held(studio):
    studio.cluster.apply(a_resource())
    order = await studio.order_of(Step.ASSET_GENERATION)
    await studio.post(order, "permit", {"runId": order.run_id})
    failure = Failure(failure_class=FailureClass.REFUSED, message="harbour: SAFETY")
    told = a_report(await studio.run_of(order), outcome="failed", done=1, failure=failure)
    for cut in (True, False):
        # Cut and without a count: it was made before the ledger was open.
        report = told.model_copy(update={"cut": cut, "done": int(not cut), "total": 2 * int(not cut)})
        body = report.model_dump(mode="json", by_alias=True, exclude_none=True)
        assert (await studio.post(order, "final", body))[0] == 200
        assert (await studio.run_of(order)).ledger_read is not cut


async def test_the_fleets_cap_holds(studio):
    for number in range(5):
        studio.cluster.apply(a_resource(name=f"film-{number}", uid=f"uid-{number}-00000000"))
    await studio.until(lambda: len(studio.cluster.orders) == 3)
    for _ in range(50):
        await asyncio.sleep(0.01)
    assert len(studio.cluster.orders) == 3


async def test_a_body_that_is_no_report_is_told_its_field(studio):
    studio.cluster.apply(a_resource())
    order = await studio.order_of(Step.ASSET_GENERATION)
    status, answer = await studio.post(order, "progress", {"runId": order.run_id, "done": "many", "total": 2})
    assert status == 400
    assert "done" in answer["error"]


async def test_a_channel_shows_whether_films_can_be_made_and_what_its_day_has_cost(studio):
    studio.cluster.apply(a_resource())
    await studio.order_of(Step.ASSET_GENERATION)
    shown = lambda: studio.cluster.channels_by_name["studio", "tides"].status  # noqa: E731
    await studio.until(lambda: shown().get("activeTasks") == 1)
    assert shown()["spentTodayUSD"] == "0.0000"
    assert [(line["type"], line["status"]) for line in shown()["conditions"]] == [("Ready", "True")]
