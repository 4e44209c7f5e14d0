"""Bugs put into the product on purpose, one at a time: the histories must notice each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from videotask_contract.phases import Phase
from videotask_contract.report import FinalReport
from videotask_contract.resources import VideoTaskSpec
from videotask_contract.steps import Gate
from videotask_operator import reconciler, reports
from videotask_operator.core import decide, draft, retry, settle, watch_run
from videotask_operator.store.memory import MemoryTransaction

Plant = Callable[[pytest.MonkeyPatch], None]
BUGS: dict[str, Plant] = {}
"""By what the bug does."""


def _bug(words: str) -> Callable[[Plant], Plant]:
    def keep(plant: Plant) -> Plant:
        BUGS[words] = plant
        return plant

    return keep


# --- people's words ---------------------------------------------------------------------------------------------


@_bug("accept an approval of an earlier round")
def _(monkeypatch):
    def any_round(record, spec: VideoTaskSpec):
        approval = spec.approvals.get(record.review_gate) if isinstance(record.review_gate, Gate) else None
        return approval if approval is not None and approval.by else None

    monkeypatch.setattr(decide, "decision_on_show", any_round)


@_bug("accept an approval that nobody signed")
def _(monkeypatch):
    def unsigned(record, spec):
        approval = spec.approvals.get(record.review_gate) if record.review_gate else None
        return approval.model_copy(update={"by": "?"}) if approval and approval.round == record.review_round else None

    monkeypatch.setattr(decide, "decision_on_show", unsigned)


@_bug("start a film whose record was lost by itself")
def _(monkeypatch):
    monkeypatch.setattr(decide, "_imported_phase", lambda _task: (Phase.QUEUED, "waits for its turn"))


@_bug("wait for a turn that no Channel gives, without a word of it")
def _(monkeypatch):
    monkeypatch.setattr(decide, "_name_missing_channel", lambda *_: None)


@_bug("ask for an approval of a film that was cancelled")
def _(monkeypatch):
    monkeypatch.setattr(decide, "_end_pipeline", lambda _plan: None)


# --- attempts ---------------------------------------------------------------------------------------------------


@_bug("count a lost run as an attempt")
def _(monkeypatch):
    monkeypatch.setattr(retry, "_RUN_AGAIN", frozenset())


@_bug("ignore next_attempt_at")
def _(monkeypatch):
    _before(monkeypatch, decide, "_open_next_run", lambda plan, *_: plan.change(next_attempt_at=None))


@_bug("a resume drops the time of the next attempt")
def _(monkeypatch):
    def resume(plan, spec, **more):
        original(plan, spec, **more)
        if plan.record.phase is not Phase.SUSPENDED:
            plan.change(next_attempt_at=None)

    original = decide._resume
    monkeypatch.setattr(decide, "_resume", resume)


@_bug("wait half as long as the schedule says")
def _(monkeypatch):
    original = retry._wait_seconds
    monkeypatch.setattr(retry, "_wait_seconds", lambda *words: original(*words) / 2)


@_bug("try again by itself what would fail the same way")
def _(monkeypatch):
    monkeypatch.setattr(retry, "_AT_ONCE_IN_ERROR", frozenset())


# --- what counts as done ----------------------------------------------------------------------------------------


def _all_done(run) -> FinalReport:
    return FinalReport(
        run_id=run.run_id, step=run.step.value, outcome="done", done=run.total, total=run.total, cut=True
    )


@_bug("believe exit code 0 without a report")
def _(monkeypatch):
    original = watch_run._believe_exit

    def believe(plan, run, job, pods, rules):
        if original(plan, run, job, pods, rules):
            return True
        if not any(pod.finished and pod.exit_code == 0 for pod in pods):
            return False
        settle.settle_report(plan, run, _all_done(run), rules=rules.retry)
        return True

    monkeypatch.setattr(watch_run, "_believe_exit", believe)


@_bug("no report means done")
def _(monkeypatch):
    def lose(plan, run, *, message, rules):
        settle.settle_report(plan, run, _all_done(run), rules=rules)

    monkeypatch.setattr(watch_run, "lose_run", lose)


@_bug("skip the predecessor")
def _(monkeypatch):
    original = settle.next_step
    monkeypatch.setattr(settle, "next_step", lambda step: original(original(step)) or original(step))


# --- runs and pods ----------------------------------------------------------------------------------------------


@_bug("a film whose resource is gone waits for a place for ever")
def _(monkeypatch):
    original = reconciler.Reconciler._note_admission

    def keep(self, situation, plan):
        if not plan.record.resource_gone:
            original(self, situation, plan)

    monkeypatch.setattr(reconciler.Reconciler, "_note_admission", keep)
    monkeypatch.setattr(reconciler.Reconciler, "_forget_waiting", lambda *_, **__: None)


@_bug("open a run while one is open")
def _(monkeypatch):
    monkeypatch.setattr(draft.Draft, "open_run", property(lambda _self: None))


@_bug("permit to a second pod")
def _(monkeypatch):
    async def gone(*_):
        return True

    monkeypatch.setattr(reports.ReportServer, "_is_gone", gone)


@_bug("believe the report of a closed run")
def _(monkeypatch):
    original = reports.ReportServer._settle

    async def settle_any(self, transaction, run, *rest):
        return await original(self, transaction, replace(run, closed_at=None), *rest)

    monkeypatch.setattr(reports.ReportServer, "_settle", settle_any)


@_bug("a final report from another pod closes the run")
def _(monkeypatch):
    present, final = reports._present, reports.ReportServer._final

    async def unheld(transaction, run_id):
        return replace(await present(transaction, run_id), permitted_pod_uid=None)

    async def final_of_any(self, request):
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(reports, "_present", unheld)
            return await final(self, request)

    monkeypatch.setattr(reports.ReportServer, "_final", final_of_any)


@_bug("call a run lost whose pod was never seen")
def _(monkeypatch):
    monkeypatch.setattr(reconciler, "_unseen_pod_of_closing_run", lambda *_: None)


@_bug("suspend without waiting for the pod to end")
def _(monkeypatch):
    def end_at_once(plan, run, *, observed):
        settle.stop_run(plan, run)
        return True

    monkeypatch.setattr(decide, "end_run", end_at_once)


@_bug("ignore the table of legal transitions")
def _(monkeypatch):
    monkeypatch.setattr(draft, "is_legal", lambda *_: True)
    monkeypatch.setattr(decide, "TERMINAL", frozenset())


@_bug("let everyone have a turn at once")
def _(monkeypatch):
    original = decide.decide
    monkeypatch.setattr(reconciler, "decide", lambda situation: original(replace(situation, admitted=True)))


@_bug("grant each run all slots of its account")
def _(monkeypatch):
    monkeypatch.setattr(decide, "decide_grant", lambda limit, *_: limit)


# --- money ------------------------------------------------------------------------------------------------------


@_bug("forget a killed run's reservation")
def _(monkeypatch):
    original = MemoryTransaction._unread_runs

    def open_alone(self, *words):
        return [run for run in original(self, *words) if run.is_open]

    monkeypatch.setattr(MemoryTransaction, "_unread_runs", open_alone)


@_bug("keep what a run reserved that never began")
def _(monkeypatch):
    monkeypatch.setattr(settle, "_never_began", lambda _run: False)


@_bug("record spend twice")
def _(monkeypatch):
    original = reconciler.record_report

    async def twice(transaction, record, report, *, time_zone):
        await original(transaction, record, report, time_zone=time_zone)
        again = [call.model_copy(update={"call_id": f"{call.call_id}-again"}) for call in report.spend]
        await original(transaction, record, report.model_copy(update={"spend": tuple(again)}), time_zone=time_zone)

    for room in (reconciler, reports):
        monkeypatch.setattr(room, "record_report", twice)


@_bug("a deleted film's money counts for the day that it is in Greenwich")
def _(monkeypatch):
    original = reconciler.Reconciler.zone_of

    async def zone_of_living(self, transaction, record):
        return await original(self, transaction, record) if self.cluster.observe(record.key).task is not None else "UTC"

    monkeypatch.setattr(reconciler.Reconciler, "zone_of", zone_of_living)


@_bug("ignore the cap on resume")
def _(monkeypatch):
    original = decide._open_next_run

    def capless(plan, situation, spec):
        if plan.record.phase is Phase.BUDGET_EXCEEDED:
            money = replace(situation.money, task_spent_usd=Decimal(-1000), channel_day_spent_usd=Decimal(-1000))
            situation = replace(situation, money=money)
        original(plan, situation, spec)

    monkeypatch.setattr(decide, "_open_next_run", capless)


def _before(monkeypatch, room, name: str, act) -> None:
    original = getattr(room, name)

    def changed(*words, **more):
        act(*words)
        return original(*words, **more)

    monkeypatch.setattr(room, name, changed)
