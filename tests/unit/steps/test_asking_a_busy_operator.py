"""A step that asks for its start permit bears with an operator that is slow to answer."""

from __future__ import annotations

import asyncio

from aiohttp import web
from tests.support.builders import a_channel, a_record, a_resource, a_run

from videotask_contract.report import PERMIT_PATH, Answer, Directive
from videotask_contract.steps import Provider
from videotask_operator.core.order import build_order
from videotask_operator.core.situation import Rules
from videotask_steps.reporter import Reporter
from videotask_steps.stop_sign import StopSign

SLOW_SECONDS = 3.0


async def test_a_slow_answer_is_waited_for_and_not_asked_for_again():
    asked = []

    async def permit(request: web.Request) -> web.Response:
        asked.append(request)
        await asyncio.sleep(SLOW_SECONDS)  # the slowness that is tried
        return web.Response(text=Answer().model_dump_json(by_alias=True), content_type="application/json")

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
        async with Reporter(order.task_file) as reporter:
            answer = await reporter.ask_permit(StopSign())
    finally:
        await runner.cleanup()
    assert answer.directive is Directive.CONTINUE
    assert len(asked) == 1
