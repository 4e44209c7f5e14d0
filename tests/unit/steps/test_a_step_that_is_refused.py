"""A step whose reports are refused stops after a while: its pod was deleted, and another may work in its place."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from aiohttp import web
from tests.support.builders import a_channel, a_record, a_resource, a_run

from videotask_contract.report import PROGRESS_PATH, Answer, Directive, Progress
from videotask_contract.steps import Provider
from videotask_operator.core.order import build_order
from videotask_operator.core.situation import Rules
from videotask_steps.reporter import REFUSAL_PATIENCE_SECONDS, Reporter

PROGRESS = Progress(run_id="run1", done=0, total=1)


class Endpoint:
    """Answers progress with this status."""

    def __init__(self) -> None:
        self.status = HTTPStatus.FORBIDDEN
        self.now = 1000.0

    async def progress(self, _: web.Request) -> web.Response:
        if self.status is HTTPStatus.OK:
            return web.Response(text=Answer().model_dump_json(by_alias=True), content_type="application/json")
        return web.Response(status=self.status)


@pytest.fixture
async def line():
    endpoint, app = Endpoint(), web.Application()
    app.router.add_post(PROGRESS_PATH, endpoint.progress)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    rules = Rules(base_urls=dict.fromkeys(Provider, url), report_url=url)
    order = build_order(run=a_run(), record=a_record(), spec=a_resource().spec, channel=a_channel().spec, rules=rules)
    async with Reporter(order.task_file, clock=lambda: endpoint.now) as reporter:
        yield endpoint, reporter
    await runner.cleanup()


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN])
async def test_it_is_told_to_stop_once_it_was_refused_for_long(line, status):
    endpoint, reporter = line
    endpoint.status = status
    assert await reporter.send_progress(PROGRESS) is None
    endpoint.now += REFUSAL_PATIENCE_SECONDS - 1
    assert await reporter.send_progress(PROGRESS) is None
    endpoint.now += 1
    answer = await reporter.send_progress(PROGRESS)
    assert answer is not None
    assert answer.directive is Directive.STOP


@pytest.mark.parametrize("status", [HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE])
async def test_an_operator_that_is_away_or_hears_it_again_stops_nobody(line, status):
    endpoint, reporter = line
    endpoint.status = status
    for _ in range(3):
        answer = await reporter.send_progress(PROGRESS)
        assert answer is None or answer.directive is Directive.CONTINUE
        endpoint.now += REFUSAL_PATIENCE_SECONDS


async def test_one_good_answer_begins_the_patience_anew(line):
    endpoint, reporter = line
    for status in (HTTPStatus.FORBIDDEN, HTTPStatus.OK, HTTPStatus.FORBIDDEN):
        endpoint.status = status
        answer = await reporter.send_progress(PROGRESS)
        assert answer is None or answer.directive is Directive.CONTINUE
        endpoint.now += REFUSAL_PATIENCE_SECONDS
