"""The loop over the in-memory ports, turned by hand: no time passes and nothing runs unless a test says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.support.builders import NOON, a_channel, a_resource
from tests.support.memory_cluster import MemoryCluster

from videotask_contract.report import Certainty, Failure, Film, FinalReport, Spend, to_termination_message
from videotask_contract.steps import Step
from videotask_operator.core.model import RunOrder, TaskRecord
from videotask_operator.core.ports import StorePort
from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore


class QuietStudio:
    """A reconciler whose clock and looks are the test's."""

    def __init__(self, store: StorePort | None = None, **settings: Any) -> None:
        self.cluster = MemoryCluster()
        self.store = store or MemoryStore()
        self.now = NOON
        self.cluster.now = lambda: self.now
        self.reconciler = Reconciler(
            cluster=self.cluster,
            store=self.store,
            settings=Settings(namespaces=("studio",), **settings),
            clock=lambda: self.now,
        )
        self._specs: dict[str, dict[str, Any]] = {}

    # --- what people do ---------------------------------------------------------------------------------------

    def has_channel(self, name: str = "tides", *, generation: int = 1, **spec: Any) -> None:
        channel = replace(a_channel(**spec), name=name, uid=f"uid-of-{name}", generation=generation)
        before = self.cluster.channels_by_name.get(("studio", name))
        self.cluster.apply_channel(replace(channel, status=before.status if before else {}))

    def has_film(self, name: str, **spec: Any) -> None:
        """Apply a film, or change some of its spec."""
        self._specs[name] = {**self._specs.get(name, {}), **spec}
        resource = a_resource(uid=f"uid-of-{name}", name=name, **self._specs[name])
        known = self.cluster.tasks.get(resource.key)
        self.cluster.apply(replace(resource, status=known.status if known else {}))

    # --- what the operator does -------------------------------------------------------------------------------

    async def look(self, *, seconds: float = 1) -> None:
        """Let time pass, then look at everything until nothing changes any more."""
        self.now += timedelta(seconds=seconds)
        for _ in range(4):
            for key in tuple(self.cluster.tasks):
                await self.reconciler.reconcile(key)
            await self.reconciler._admit()
        await self.reconciler._look_at_all()

    # --- what steps do ----------------------------------------------------------------------------------------

    def running(self, name: str) -> RunOrder | None:
        """Return the order of a film's run under way."""
        return next((order for order, job in self.cluster.jobs.values() if order.key.name == name and job.active), None)

    def step_of(self, name: str) -> Step | None:
        order = self.running(name)
        return order.step if order else None

    async def finish(self, name: str, *, failure: Failure | None = None, usd: str = "0", **changes: Any) -> None:
        """End a film's run with a report, paid as told, and look."""
        order = self.running(name)
        assert order is not None, f"{name} has no run under way: {await self.message(name)}"
        total = order.task_file.storyboard and len(order.task_file.storyboard.assets)
        report = self._report(order, failure, Decimal(usd), total or 2).model_copy(update=changes)
        self.now += timedelta(seconds=1)
        self.cluster.finish_pod(order.job_name, exit_code=1 if failure else 0, message=to_termination_message(report))
        await self.look()

    def _report(self, order: RunOrder, failure: Failure | None, usd: Decimal, total: int) -> FinalReport:
        film = Film(path="film.mp4", duration_seconds=9, size_bytes=1, sha256="ab", loudness_lufs=-14)
        spend = Spend(
            call_id=f"call-of-{order.run_id}",
            run_id=order.run_id,
            item="01",
            model="m",
            amount_usd=usd,
            certainty=Certainty.SETTLED,
            at=self.now,
        )
        return FinalReport(
            run_id=order.run_id,
            step=order.step.value,
            outcome="failed" if failure else "done",
            done=0 if failure else total,
            total=total,
            failure=failure,
            spent_usd=usd,
            spend=(spend,) if usd else (),
            film=film if order.step is Step.VIDEO_ASSEMBLY and not failure else None,
        )

    async def goes_on_to(self, name: str, step: Step) -> None:
        """Finish a film's runs until this step's is under way."""
        await self.look()
        for _ in range(6):
            if self.step_of(name) is step:
                return
            await self.finish(name)
        raise AssertionError(f"{name} did not come to {step.value}: {await self.message(name)}")

    # --- what is seen -----------------------------------------------------------------------------------------

    async def record(self, name: str) -> TaskRecord:
        async with self.store.transaction() as transaction:
            found = await transaction.load_task(f"uid-of-{name}")
        assert found is not None
        return found

    async def message(self, name: str) -> str:
        return (await self.record(name)).message

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        (found,) = [task for key, task in self.cluster.tasks.items() if key.name == name]
        return next(line for line in found.status["conditions"] if line["type"] == kind)

    def ready(self, channel: str = "tides") -> dict[str, Any]:
        """Return a Channel's Ready condition."""
        status = self.cluster.channels_by_name["studio", channel].status
        return next(line for line in status["conditions"] if line["type"] == "Ready")
