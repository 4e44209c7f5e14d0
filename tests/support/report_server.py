"""A small report endpoint for steps under test: it keeps what it is told and answers what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

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


class ReportServer:
    """`async with ReportServer() as server: ... server.url`. The first token to ask for a run holds its permit."""

    def __init__(self) -> None:
        self.holders: dict[str, str] = {}
        """Token that holds the permit, by run id."""
        self.finals: list[FinalReport] = []
        self.progress: list[Progress] = []
        self.answer = Answer()
        """What progress reports and granted permits are answered."""
        self.is_away = False
        """Answers 503, as an operator whose database is away."""
        self.refuses_with: int | None = None
        """Answers this status, as to a stranger."""
        self.requests = 0
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2 * 1024 * 1024)
        app.router.add_post(PERMIT_PATH, self._permit)
        app.router.add_post(PROGRESS_PATH, self._progress)
        app.router.add_post(FINAL_PATH, self._final)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def until(self, condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """Wait until the condition holds; it is looked at after every request."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(condition)

    async def _permit(self, request: web.Request) -> web.Response:
        PermitRequest.model_validate_json(await request.text())
        if (refusal := await self._refusal()) is not None:
            return refusal
        token = request.headers.get("Authorization", "")
        holder = self.holders.setdefault(request.match_info["run_id"], token)
        if holder != token:
            return _answer(Answer(directive=Directive.STOP, reason="another pod of this run holds the start permit"))
        return _answer(self.answer)

    async def _progress(self, request: web.Request) -> web.Response:
        progress = Progress.model_validate_json(await request.text())
        if (refusal := await self._refusal()) is not None:
            return refusal
        async with self._news:
            self.progress.append(progress)
            self._news.notify_all()
        return _answer(self.answer)

    async def _final(self, request: web.Request) -> web.Response:
        report = FinalReport.model_validate_json(await request.text())
        if (refusal := await self._refusal()) is not None:
            return refusal
        async with self._news:
            self.finals.append(report)
            self._news.notify_all()
        return _answer(Answer(directive=Directive.STOP, reason="the run is closed"))

    async def _refusal(self) -> web.Response | None:
        async with self._news:
            self.requests += 1
            self._news.notify_all()
        if self.is_away:
            return web.Response(status=503)
        if self.refuses_with is not None:
            return web.Response(status=self.refuses_with, text="not yours")
        return None


def _answer(answer: Answer) -> web.Response:
    return web.Response(text=answer.model_dump_json(by_alias=True, exclude_none=True), content_type="application/json")
