"""A step that asks for its start permit bears with an operator that is slow to answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from tests.support.builders import a_channel, a_record, a_resource, a_run

from videotask_contract.errors import FailureClass, VideoTaskError
from videotask_contract.report import PERMIT_PATH, Answer, Directive
from videotask_contract.steps import Provider
from videotask_operator.core.order import build_order
from videotask_operator.core.situation import Rules
from videotask_steps.reporter import Reporter
from videotask_steps.stop_sign import StopSign

SLOW_SECONDS = 3.0


@contextlib.asynccontextmanager
async def reporter_of(
    permit: Callable[[web.Request], Awaitable[web.Response]], *, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Reporter]:
    """Give a step's line to an operator that answers pleas for a permit so."""
    app = web.Application()
    app.router.add_post(PERMIT_PATH, permit)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        rules = Rules(base_urls=dict.fromkeys(Provider, url), report_url=url)
        order = build_order(
            run=a_run(), record=a_record(), spec=a_resource().spec, channel=a_channel().spec, rules=rules
        )
        async with Reporter(order.task_file, clock=clock) as reporter:
            yield reporter
    finally:
        await runner.cleanup()


def granted() -> web.Response:
    return web.Response(text=Answer().model_dump_json(by_alias=True), content_type="application/json")


async def test_a_slow_answer_is_waited_for_and_not_asked_for_again():
    asked = []

    async def permit(request: web.Request) -> web.Response:
        asked.append(request)
        await asyncio.sleep(SLOW_SECONDS)  # the slowness that is tried
        return granted()

    async with reporter_of(permit) as reporter:
        answer = await reporter.ask_permit(StopSign())
    assert answer.directive is Directive.CONTINUE
    assert len(asked) == 1


class Operator:
    """Answers with these statuses, one after another, each so many seconds of a clock of its own later."""

    def __init__(self, *answers: tuple[float, int]) -> None:
        self.now = 0.0
        self.answers = list(answers)

    async def permit(self, _request: web.Request) -> web.Response:
        seconds, status = self.answers.pop(0)
        self.now += seconds
        return granted() if status == 200 else web.Response(status=status, text="this run is not this pod's")


async def test_an_operator_that_was_away_for_a_minute_may_not_know_the_pod_at_first():
    operator = Operator((30, 503), (30, 503), (1, 403), (5, 403), (5, 200))
    async with reporter_of(operator.permit, clock=lambda: operator.now) as reporter:
        assert (await reporter.ask_permit(StopSign())).directive is Directive.CONTINUE


async def test_refusals_are_borne_for_fifteen_seconds_on_end():
    operator = Operator((1, 403), (14, 503), (1, 403), (14, 403), (2, 403))
    async with reporter_of(operator.permit, clock=lambda: operator.now) as reporter:
        with pytest.raises(VideoTaskError, match="answered 403 this run is not this pod's") as caught:
            await reporter.ask_permit(StopSign())
    assert caught.value.failure_class is FailureClass.NOT_PERMITTED
    assert not operator.answers
