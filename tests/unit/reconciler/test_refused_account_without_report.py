"""A refused account stops its channel though the step's words were lost: its exit code alone says it."""

from __future__ import annotations

import pytest
from tests.support.quiet_studio import QuietStudio

from videotask_contract.errors import FailureClass
from videotask_contract.exits import ExitCode
from videotask_contract.phases import Phase
from videotask_contract.steps import Step

KLING = "studio/kling-key/api-key"


async def a_clip_run_ends_without_a_word(exit_code: int) -> QuietStudio:
    studio = QuietStudio()
    studio.has_channel()
    studio.has_film("one")
    await studio.goes_on_to("one", Step.VIDEO_GENERATION)
    order = studio.running("one")
    studio.cluster.finish_pod(order.job_name, exit_code=exit_code, message=None)
    await studio.look()
    return studio


async def blocks_of(studio: QuietStudio):
    async with studio.store.transaction() as transaction:
        return await transaction.load_account_blocks([KLING])


async def test_an_account_refused_in_a_run_whose_report_was_lost_blocks_its_channel_all_the_same():
    studio = await a_clip_run_ends_without_a_word(FailureClass.ACCOUNT.exit_code)
    (block,) = await blocks_of(studio)
    assert block.account == KLING
    assert "the pod's log" in block.message
    assert (await studio.record("one")).phase is Phase.VIDEO_ERROR
    studio.has_film("two")
    await studio.look()
    record = await studio.record("two")
    assert (record.phase, record.waiting_reason) == (Phase.QUEUED, "ChannelBlocked")
    assert studio.ready()["status"] == "False"


@pytest.mark.parametrize(
    "code", [code for code in ExitCode if code not in {ExitCode.DONE, ExitCode.ACCOUNT}] + [1, 137]
)
async def test_no_other_exit_blocks_an_account(code):
    assert await blocks_of(await a_clip_run_ends_without_a_word(code)) == ()
