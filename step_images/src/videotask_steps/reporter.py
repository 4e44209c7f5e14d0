"""Speaks with the operator's report endpoint: permit, progress, last word; a lost report must never lose work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

import httpx
import structlog
from pydantic import ValidationError

from videotask_contract.errors import FailureClass, TransientError, VideoTaskError
from videotask_contract.report import (
    FINAL_PATH,
    FINAL_REPORT_DEADLINE_SECONDS,
    PERMIT_PATH,
    PROGRESS_PATH,
    Answer,
    Directive,
    FinalReport,
    PermitRequest,
    Progress,
)
from videotask_contract.storyboard import ContractModel
from videotask_contract.task_file import VARIABLE_TOKEN_FILE, TaskFile
from videotask_steps.stop_sign import StopSign, interrupted
from videotask_steps.tls import tls_of

_log: Final = structlog.stdlib.get_logger(__name__)

PERMIT_DEADLINE_SECONDS: Final = 180.0
"""How long a step waits for an operator that is being restarted before it gives its run back."""
PROGRESS_INTERVAL_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 5.0
"""Without news a step still asks, so that a stop or suspend reaches it."""
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_REQUEST_SECONDS: Final = 2.0
_PERMIT_REQUEST_SECONDS: Final = 6.0
"""A step has nothing else to do meanwhile, and one that asks anew too soon doubles the work of a busy operator."""
REFUSAL_PATIENCE_SECONDS: Final = 15.0
"""An operator that has just started may not have seen this pod yet; a loser is told so with 200 and "stop"."""
_NOT_OURS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
"""The token is not valid any more, as is that of a deleted pod; or the run is not this pod's."""


class Reporter:
    """One run's line to the operator. The token file is read for each request, since the kubelet rotates it."""

    def __init__(self, task: TaskFile, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._run_id = task.run_id
        self._clock = clock
        self._refused_since: float | None = None
        self._http = httpx.AsyncClient(
            base_url=task.report_url, timeout=_REQUEST_SECONDS, trust_env=False, verify=tls_of(task.report_url)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask_permit(
        self,
        stopping: StopSign,
        *,
        deadline_seconds: float = PERMIT_DEADLINE_SECONDS,
    ) -> Answer:
        """Return the answer that grants this pod its run.

        Raises NOT_PERMITTED when another pod holds it or the run is closed, INTERRUPTED when told to stop meanwhile,
        and a NETWORK TransientError when nobody could answer in time.
        """
        begun_at = self._clock()
        refusal: httpx.Response | None = None
        refused_since: float | None = None
        for pause_seconds in _pauses():
            stopping.raise_if_set()
            request = PermitRequest(run_id=self._run_id)
            response = await self._post(PERMIT_PATH, request, timeout_seconds=_PERMIT_REQUEST_SECONDS)
            if response is not None and (answer := _read_permit(response)) is not None:
                return answer
            refusal = response if response is not None and response.is_client_error else None
            next_at = self._clock() + pause_seconds
            if refusal is None:
                refused_since = None
            elif refused_since is None:
                refused_since = self._clock()
            is_refused = refused_since is not None and next_at - refused_since > REFUSAL_PATIENCE_SECONDS
            if is_refused or next_at - begun_at > deadline_seconds:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await stopping.wait()
        if refusal is not None:
            raise _not_permitted(f"the report endpoint answered {refusal.status_code} {refusal.text[:200]}")
        raise TransientError(
            f"the report endpoint gave no start permit for {deadline_seconds:.0f} s; is the operator running?",
            failure_class=FailureClass.NETWORK,
        )

    async def send_progress(self, progress: Progress) -> Answer | None:
        """Send how far the run is; None when nobody heard it. Refused for 15 s it is told to stop.

        A pod that the operator does not know any more was deleted, and another may be given its run.
        """
        response = await self._post(PROGRESS_PATH, progress)
        if response is not None and response.status_code in _NOT_OURS:
            return self._stop_if_refused_for_long(response)
        if response is None or response.status_code != HTTPStatus.OK:
            return None
        self._refused_since = None
        return _parse_answer(response)

    def _stop_if_refused_for_long(self, response: httpx.Response) -> Answer | None:
        now = self._clock()
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since < REFUSAL_PATIENCE_SECONDS:
            return None
        status, seconds = response.status_code, REFUSAL_PATIENCE_SECONDS
        _log.warning("progress_refused_for_long", status=status, seconds=seconds)
        reason = f"the report endpoint has refused this pod for {seconds:.0f} s, with {status}"
        return Answer(directive=Directive.STOP, reason=reason)

    async def send_final(self, report: FinalReport) -> bool:
        """Send the last word for at most 3 s; True when the operator has committed it."""
        try:
            async with asyncio.timeout(FINAL_REPORT_DEADLINE_SECONDS):
                for pause_seconds in _pauses():
                    response = await self._post(FINAL_PATH, report)
                    if response is not None and response.status_code == HTTPStatus.OK:
                        return True
                    if response is not None and response.is_client_error:
                        _log.warning("final_report_refused", status=response.status_code)
                        return False
                    await asyncio.sleep(pause_seconds)
        except TimeoutError:
            _log.warning("final_report_not_heard", seconds=FINAL_REPORT_DEADLINE_SECONDS)
        return False

    async def _post(
        self, path: str, body: ContractModel, *, timeout_seconds: float = _REQUEST_SECONDS
    ) -> httpx.Response | None:
        content = body.model_dump_json(by_alias=True, exclude_none=True)
        headers = {"Content-Type": "application/json", **_authorization()}
        try:
            timeout = httpx.Timeout(timeout_seconds, connect=_REQUEST_SECONDS)
            address = path.format(run_id=self._run_id)
            return await self._http.post(address, content=content, headers=headers, timeout=timeout)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _log.info("report_endpoint_unreachable", path=path, error=type(error).__name__)
            return None


@contextlib.asynccontextmanager
async def progress_reports(
    reporter: Reporter,
    *,
    changed: asyncio.Event,
    take_progress: Callable[[], Progress],
    obey: Callable[[Answer], None],
) -> AsyncIterator[None]:
    """Report in the background while the body runs: news at most once a second, a heartbeat without news."""
    sender = asyncio.create_task(_report_for_ever(reporter, changed=changed, take_progress=take_progress, obey=obey))
    try:
        yield
    finally:
        sender.cancel()
        for result in await asyncio.gather(sender, return_exceptions=True):
            if isinstance(result, Exception):
                _log.error("progress_reports_ended_early", error=repr(result))


async def _report_for_ever(
    reporter: Reporter,
    *,
    changed: asyncio.Event,
    take_progress: Callable[[], Progress],
    obey: Callable[[Answer], None],
) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await changed.wait()
        changed.clear()
        answer = await reporter.send_progress(take_progress())
        if answer is not None:
            obey(answer)
        await asyncio.sleep(PROGRESS_INTERVAL_SECONDS)


def _read_permit(response: httpx.Response) -> Answer | None:
    if response.status_code != HTTPStatus.OK:
        return None
    answer = _parse_answer(response)
    if answer is None:
        return None
    match answer.directive:
        case Directive.STOP:
            raise _not_permitted(answer.reason)
        case Directive.SUSPEND:
            raise interrupted(answer.reason or "suspended")
        case Directive.CONTINUE:
            return answer


def _not_permitted(reason: str) -> VideoTaskError:
    return VideoTaskError(f"no start permit for this run: {reason}", failure_class=FailureClass.NOT_PERMITTED)


def _parse_answer(response: httpx.Response) -> Answer | None:
    try:
        return Answer.model_validate_json(response.content)
    except ValidationError:
        _log.warning("report_answer_unreadable", status=response.status_code)
        return None


def _pauses() -> Iterator[float]:
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        yield pause_seconds
        pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)


def _authorization() -> dict[str, str]:
    path = os.environ.get(VARIABLE_TOKEN_FILE)
    try:
        return {"Authorization": f"Bearer {Path(path).read_text().strip()}"} if path else {}
    except OSError as error:
        _log.warning("report_token_unreadable", error=error.strerror)
        return {}
