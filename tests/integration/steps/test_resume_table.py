"""The resume table's rows, each with its exact calls and dollars; `python -m tests.benchmarks.resume_table` prints all.

By default those that cost the least time; all of them under `VIDEOTASK_LONG=1`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.benchmarks.resume_table import CASES, CLIPS, IMAGES, Bench, Case, table
from tests.integration.steps.site import IS_LONG
from tests.support.forked_steps import ForkServer
from tests.support.report_server import ReportServer
from tests.support.tell import Tell

from videotask_emulators.control import ControlClient

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT = [case for case in CASES if (case.step, case.done) not in {(IMAGES, 0), (IMAGES, 1), (IMAGES, 21), (CLIPS, 1)}]


@pytest.fixture
def bench(tmp_path: Path, forks: ForkServer, reports: ReportServer, control: ControlClient) -> Bench:
    return Bench(folder=tmp_path, forks=forks, reports=reports, control=control)


@pytest.mark.parametrize("case", CASES if IS_LONG else SHORT, ids=lambda case: case.label.replace(" ", "-"))
async def test_a_resumed_step_pays_for_what_is_missing_and_says_what_it_kept(
    case: Case, bench: Bench, tell: Tell
) -> None:
    await bench.measure(case)
    tell(f"resume: {case.label}", table(bench.rows))
