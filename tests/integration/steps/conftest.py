"""One server of emulators for all tests of the steps, and a film's folder whose steps are run as programs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.steps.film import PAID_STEPS, Film
from tests.integration.steps.site import Site, SiteOf
from tests.support.emulators import control, emulators  # noqa: F401  fixtures
from tests.support.forked_steps import ForkServer, fork_server
from tests.support.report_server import ReportServer

from videotask_contract.steps import Step
from videotask_emulators.control import ControlClient

__all__ = ["PAID_STEPS", "Film"]


@pytest.fixture
async def server() -> AsyncIterator[ReportServer]:
    async with ReportServer() as server:
        yield server


@pytest.fixture
def film(tmp_path: Path, server: ReportServer, control: ControlClient) -> Film:  # noqa: F811
    return Film(tmp_path, server, control)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def forks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ForkServer]:
    """A warm process that forks steps; for tests that run in their module's loop."""
    async with fork_server(tmp_path_factory.mktemp("forks")) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def reports() -> AsyncIterator[ReportServer]:
    """A report endpoint in the module's loop."""
    async with ReportServer() as server:
        yield server


@pytest.fixture
def site_of(tmp_path: Path, forks: ForkServer, reports: ReportServer, control: ControlClient) -> SiteOf:  # noqa: F811
    async def a_site(step: Step) -> Site:
        return await Site(step=step, folder=tmp_path, forks=forks, reports=reports, control=control).prepare()

    return a_site
