"""The report endpoint: start permits, progress and final reports; it believes nobody without a reviewed token."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from videotask_contract.errors import FailureClass, TransientError
from videotask_contract.report import (
    FINAL_PATH,
    PERMIT_PATH,
    PROGRESS_PATH,
    Answer,
    Directive,
    FinalReport,
    PermitRequest,
    Progress,
)
from videotask_contract.resources import ChannelSpec
from videotask_operator.account_blocks import record_blocks
from videotask_operator.core.budget import limit_of_run
from videotask_operator.core.draft import Draft
from videotask_operator.core.model import Caller, DeleteRun, Plan, RunRecord, TaskKey, TaskRecord
from videotask_operator.core.order import account_name, most_at_once, slot_limit
from videotask_operator.core.ports import NotLeaderError, StoreUnavailableError, Transaction
from videotask_operator.core.settle import begin_again, settle_report
from videotask_operator.core.slots import claim_of_run, decide_grant, gave_slots_back, regrant
from videotask_operator.reconciler import Reconciler, record_plan, record_report

log = structlog.get_logger()

_MAX_BODY_BYTES = 2 * 1024 * 1024
KNOWN_RUNS = 1000
"""Runs kept in mind; many more than are ever at work at once."""
Body = TypeVar("Body", bound=BaseModel)


class ReportServer:
    """Serves the steps' HTTP calls in the reconciler's loop."""

    def __init__(self, reconciler: Reconciler) -> None:
        self.reconciler = reconciler
        self.cluster = reconciler.cluster
        self.store = reconciler.store
        self._runner: web.AppRunner | None = None
        self._known: dict[str, tuple[TaskKey, RunRecord]] = {}
        """Task and first sight of the runs that spoke last: their ids, Jobs and tasks never change, all else does.

        Any other run is looked up in the record when it speaks.
        """

    async def start(self, *, host: str, port: int) -> int:
        """Listen; return the port (a free one where 0 was asked)."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_refuse_politely, self._refuse_unless_able])
        app.router.add_post(PERMIT_PATH, self._permit)
        app.router.add_post(PROGRESS_PATH, self._progress)
        app.router.add_post(FINAL_PATH, self._final)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        address: tuple[str, int] = self._runner.addresses[0]
        return address[1]

    async def stop(self) -> None:
        """Finish the requests under way and close."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _refuse_unless_able(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer "try again" where this process may not decide, or does not know the cluster yet.

        The Service names every operator pod, also one that waits for the lock. Its connection is closed, so that the
        next try may reach another; a leader that has listed nothing does not know whose day the money belongs to.
        """
        if self.store.is_leader and self.cluster.is_synced:
            return await handler(request)
        reason = "has not seen the cluster yet" if self.store.is_leader else "does not decide now"
        answer = _problem(HTTPStatus.SERVICE_UNAVAILABLE, f"this operator {reason}; try again")
        answer.headers["Retry-After"] = "1"
        answer.force_close()
        return answer

    # --- the three calls --------------------------------------------------------------------------------------

    async def _permit(self, request: web.Request) -> web.Response:
        await _body(request, PermitRequest)
        caller = await self._caller(request)
        run = await self._now((await self._own_run(request, caller)).run_id)
        holder = run.permitted_pod_uid
        if run.is_open and holder not in {None, caller.pod_uid} and not await self._is_gone(run, holder or ""):
            return _answer(Answer(directive=Directive.STOP, reason="another pod of this run holds the start permit"))
        answer = await self._give_permit(run, caller)
        if answer.directive is Directive.CONTINUE:
            log.info("start_permit_given", run=run.run_id, pod=caller.pod_name)
        return _answer(answer)

    async def _give_permit(self, seen: RunRecord, caller: Caller) -> Answer:
        async with self.store.transaction() as transaction:
            run = await _present(transaction, seen.run_id)
            stop = _stop_answer(run)
            if stop is not None:
                return stop
            if run.permitted_pod_uid not in {seen.permitted_pod_uid, caller.pod_uid}:
                return Answer(directive=Directive.STOP, reason="another pod of this run was given the start permit")
            now = self.reconciler.clock()
            slots = await self._slots_at_last(transaction, run) if gave_slots_back(run, now=now) else run.concurrency
            if slots > 0:
                limit_usd = await self._limit_usd(transaction, run)
                begun = replace(run, permitted_pod_uid=caller.pod_uid, permitted_at=now, concurrency=slots)
                await transaction.save_run(begun)
                return Answer(concurrency=slots, reservation_usd=limit_usd)
            plan = await self._begin_again(transaction, run)
        key = self._known[run.run_id][0]
        self.reconciler.show_later(key, plan)
        self.reconciler.wake(key)
        return Answer(directive=Directive.STOP, reason="its slots were given back before its pod could start")

    async def _slots_at_last(self, transaction: Transaction, run: RunRecord) -> int:
        """Return how many slots a run gets whose pod starts late; 0 where its account has none left.

        It has none to fall back on: where nobody can tell the account's limit, others may use all that there are.
        """
        if run.account is None:
            return run.concurrency
        channel = self._channel_of(run)
        if channel is None:
            return 0
        limit = slot_limit(channel, run.step)
        if limit is None:
            return run.concurrency
        mine = replace(claim_of_run(run, most=most_at_once(run.step, self.reconciler.rules)), held=0)
        others = await self.reconciler.slot_claims(transaction, run.account)
        return decide_grant(limit, [*others, mine], run.run_id)

    def _channel_of(self, run: RunRecord) -> ChannelSpec | None:
        """Return the film's channel as it is now; None where it cannot be read or names another account than the run.

        Channel and film may have been changed, or be gone, since the run was opened.
        """
        key = self._known[run.run_id][0]
        channel = self.cluster.observe(key).channel
        if channel is None or channel.spec is None:
            return None
        return channel.spec if account_name(key.namespace, channel.spec, run.step) == run.account else None

    async def _begin_again(self, transaction: Transaction, run: RunRecord) -> Plan:
        """Close a run that nothing was paid under, so that its film waits for a slot like any other."""
        record = await transaction.load_task(run.task_uid)
        if record is None:
            raise _refusal(HTTPStatus.FORBIDDEN, "this run has no task any more")
        runs = {other.run_id: other for other in await transaction.load_runs(record.uid)}
        draft = Draft(record=record, runs=runs, now=self.reconciler.clock())
        begin_again(draft, run)
        draft.actions.append(DeleteRun(job_name=run.job_name))
        draft.change(waiting_reason=None, message=f"run {run.number}: its slots were given back before its pod began")
        plan = draft.plan()
        await record_plan(transaction, plan, time_zone=await self.reconciler.zone_of(transaction, record))
        return plan

    async def _limit_usd(self, transaction: Transaction, run: RunRecord) -> Decimal:
        """Return what the run may spend by the caps as they are now: people lower them while it works."""
        observed = self.cluster.observe(self._known[run.run_id][0])
        record = await transaction.load_task(run.task_uid)
        if run.reserved_usd == 0 or record is None or observed.task is None or observed.task.uid != record.uid:
            return run.reserved_usd
        zone = await self.reconciler.zone_of(transaction, record)
        money = await transaction.load_money(record, now=self.reconciler.clock(), time_zone=zone)
        channel = observed.channel.spec if observed.channel else None
        return limit_of_run(run, spec=observed.task.spec, channel=channel, money=money)

    async def _progress(self, request: web.Request) -> web.Response:
        progress = await _body(request, Progress)
        caller = await self._caller(request)
        seen = await self._own_run(request, caller)
        async with self.store.transaction() as transaction:
            run = await _present(transaction, seen.run_id)
            stop = _stop_answer(run)
            if stop is not None:
                return _answer(stop)
            if run.permitted_pod_uid not in {None, caller.pod_uid}:
                return _answer(Answer(directive=Directive.STOP, reason="another pod holds the start permit"))
            held, granted = await self._share_slots(transaction, run, progress)
            limit_usd = await self._limit_usd(transaction, run)
            await transaction.save_run(
                replace(
                    run,
                    done=max(run.done, progress.done),
                    total=progress.total,
                    kept=progress.kept,
                    spent_usd=progress.spent_usd,
                    concurrency=held,
                ),
            )
        if run.account is not None and held < run.concurrency:
            self.reconciler.free_slots(run.account)
        self.reconciler.wake(self._known[run.run_id][0])
        return _answer(Answer(concurrency=granted, reservation_usd=limit_usd))

    async def _share_slots(
        self, transaction: Transaction, run: RunRecord, progress: Progress
    ) -> tuple[int, int | None]:
        """Return the slots that the run holds once it is answered, and the limit to answer it with."""
        channel = self._channel_of(run)
        limit = slot_limit(channel, run.step) if channel else None
        if run.account is None or limit is None:
            return run.concurrency, None
        claims = await self.reconciler.slot_claims(transaction, run.account)
        others = [claim for claim in claims if claim.claimant != run.run_id]
        most = most_at_once(run.step, self.reconciler.rules)
        return regrant(run, progress, others=others, limit=limit, most=most)

    async def _final(self, request: web.Request) -> web.Response:
        report = await _body(request, FinalReport)
        caller = await self._caller(request)
        seen = await self._own_run(request, caller)
        if report.run_id != seen.run_id or report.step != seen.step.value:
            raise _refusal(HTTPStatus.BAD_REQUEST, "the report is for another run or step")
        key = self._known[seen.run_id][0]
        async with self.store.transaction() as transaction:
            run = await _present(transaction, seen.run_id)
            if run.is_open and run.permitted_pod_uid not in {None, caller.pod_uid}:
                raise _refusal(HTTPStatus.FORBIDDEN, "another pod of this run holds the start permit")
            record = await transaction.load_task(run.task_uid)
            if record is None:
                raise _refusal(HTTPStatus.FORBIDDEN, "this run has no task any more")
            zone = await self.reconciler.zone_of(transaction, record)
            plan = await self._settle(transaction, run, record, report, zone)
            channel = self.cluster.observe(key).channel
            changed = plan is not None and await record_blocks(transaction, plan, channel=channel, now=_closed_at(plan))
        if changed:
            self.reconciler.look_at_all_soon()
        if plan is not None:
            self.reconciler.show_later(key, plan)
        self._tell(record, run, report)
        self.reconciler.wake(key)
        return _answer(Answer(directive=Directive.STOP, reason="the run is closed"))

    def _tell(self, record: TaskRecord, run: RunRecord, report: FinalReport) -> None:
        log.info(
            "step_reported",
            task=str(record.key),
            correlation_id=record.correlation_id,
            step=report.step,
            run=run.number,
            outcome=report.outcome,
            done=report.done,
            total=report.total,
            spent_usd=str(report.spent_usd),
        )

    async def _settle(
        self, transaction: Transaction, run: RunRecord, record: TaskRecord, report: FinalReport, time_zone: str
    ) -> Plan | None:
        if not run.is_open:
            # The run is closed and stays so, but money that was spent was spent.
            await record_report(transaction, record, report, time_zone=time_zone)
            if not report.cut:
                await transaction.save_run(replace(run, ledger_read=True, spent_usd=report.spent_usd))
            return None
        runs = {other.run_id: other for other in await transaction.load_runs(record.uid)}
        if report.failure is not None and report.failure.failure_class is FailureClass.OVER_BUDGET and not report.cut:
            # It gave up for want of what it was left, which may be less than it began with.
            run = replace(run, reserved_usd=await self._limit_usd(transaction, run))
        draft = Draft(record=record, runs=runs, now=self.reconciler.clock())
        settle_report(draft, run, report, rules=self.reconciler.rules.retry)
        plan = draft.plan()
        await record_plan(transaction, plan, time_zone=time_zone)
        return plan

    # --- who is it --------------------------------------------------------------------------------------------

    async def _caller(self, request: web.Request) -> Caller:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        caller = await self.cluster.authenticate(token) if scheme == "Bearer" and token else None
        if caller is None:
            raise _refusal(HTTPStatus.UNAUTHORIZED, "the token is not valid for this endpoint")
        return caller

    async def _own_run(self, request: web.Request, caller: Caller) -> RunRecord:
        """Return the caller's run, as first seen; "no such run" and "not yours" have one answer for a stranger."""
        run_id = request.match_info["run_id"]
        known = self._known.pop(run_id, None) or await self._look_up(run_id)
        if known is not None:
            self._remember(run_id, known)
        if known is not None and not await self.cluster.owns_run(caller, known[1], known[0]):
            # A pod that is gone from the cluster may still work, and the run says now that it has the start permit.
            known = (known[0], await self._now(run_id))
            known = known if await self.cluster.owns_run(caller, known[1], known[0]) else None
        if known is None:
            log.warning("report_refused", run=run_id, pod=caller.pod_name)
            raise _refusal(HTTPStatus.FORBIDDEN, "this run is not this pod's")
        return known[1]

    async def _look_up(self, run_id: str) -> tuple[TaskKey, RunRecord] | None:
        async with self.store.transaction() as transaction:
            run = await transaction.load_run(run_id)
            record = await transaction.load_task(run.task_uid) if run else None
        if run is None or record is None:
            return None
        return record.key, run

    def _remember(self, run_id: str, known: tuple[TaskKey, RunRecord]) -> None:
        self._known[run_id] = known  # the last one from now on
        if len(self._known) > KNOWN_RUNS:
            del self._known[next(iter(self._known))]

    async def _now(self, run_id: str) -> RunRecord:
        async with self.store.transaction() as transaction:
            return await _present(transaction, run_id)

    async def _is_gone(self, run: RunRecord, pod_uid: str) -> bool:
        return await self.cluster.is_pod_gone(self._known[run.run_id][0], pod_uid)


async def _present(transaction: Transaction, run_id: str) -> RunRecord:
    """Return the run as it is now, in the transaction that will change it."""
    run = await transaction.load_run(run_id)
    if run is None:
        raise _refusal(HTTPStatus.FORBIDDEN, "this run is not this pod's")
    return run


def _closed_at(plan: Plan) -> datetime:
    """Return when the run that a report ended was closed; the plan's other runs were closed before."""
    return max(run.closed_at for run in plan.runs if run.closed_at is not None)


def _stop_answer(run: RunRecord) -> Answer | None:
    if not run.is_open:
        return Answer(directive=Directive.STOP, reason="the run is closed")
    if run.stop_requested_at is not None:
        return Answer(directive=Directive.SUSPEND, reason="a person asked the task to stop")
    return None


async def _body(request: web.Request, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(await request.text())
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise _refusal(HTTPStatus.BAD_REQUEST, f"{field}: {problem['msg']}") from error


def _answer(answer: Answer) -> web.Response:
    return web.Response(text=answer.model_dump_json(by_alias=True, exclude_none=True), content_type="application/json")


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def _refusal(status: HTTPStatus, reason: str) -> _RefusedError:
    return _RefusedError(status, reason)


@web.middleware
async def _refuse_politely(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn refusals into their status; anything else is 503, so that the step keeps its report and tries again."""
    try:
        return await handler(request)
    except _RefusedError as error:
        return _problem(error.status, error.reason)
    except web.HTTPException:
        raise
    except NotLeaderError:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "this operator does not decide now")
    except Exception as error:
        if isinstance(error, StoreUnavailableError | TransientError):
            log.warning("report_not_recorded", path=request.path, error=str(error))
        else:
            log.exception("report_not_recorded", path=request.path)
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "the report could not be recorded; try again")


def _problem(status: HTTPStatus, reason: str) -> web.Response:
    return web.Response(status=status, text=json.dumps({"error": reason}), content_type="application/json")
