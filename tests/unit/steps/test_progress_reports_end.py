"""Reports in the background end with the work they are about, whatever happens in the same moment."""

from __future__ import annotations

import asyncio

from videotask_contract.report import Progress
from videotask_steps.reporter import progress_reports


class DeafReporter:
    async def send_progress(self, progress):
        return None


async def test_reports_end_when_the_last_item_is_done_in_the_moment_the_work_ends():
    changed = asyncio.Event()
    async with asyncio.timeout(60):
        async with progress_reports(
            DeafReporter(),
            changed=changed,
            take_progress=lambda: Progress(run_id="run", done=1, total=1),
            obey=lambda _answer: None,
        ):
            await asyncio.sleep(0)  # the sender waits for news now
            changed.set()
