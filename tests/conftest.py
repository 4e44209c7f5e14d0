"""How all tests are spread over processes, and how what they measured comes to be read at the end."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from tests.support.tell import Tell
from xdist.scheduler import LoadScopeScheduling

_MEASURED = "measured"


_NEEDS_THE_CLUSTERS_TOOLS = ("tests/e2e", "tests/unit/chart")
"""The chart's tests need helm, which comes with the cluster: they follow its tests."""


class OneClusterManyFiles(LoadScopeScheduling):
    """A test file stays in one process; all e2e tests stay in one too, since they share a cluster and its people."""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePosixPath(nodeid.split("::", 1)[0])
        return "tests/e2e" if any(map(path.is_relative_to, _NEEDS_THE_CLUSTERS_TOOLS)) else str(path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    # In the order of the command line: what takes longest is named first there.
    config.option.loadscopereorder = False
    return OneClusterManyFiles(config, log)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """`tell(title, words)`: print them after the last test, whichever process ran this one; a later telling wins."""

    def keep(title: str, words: object) -> None:
        request.node.user_properties.append((_MEASURED, (title, str(words))))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured: figures that no assertion holds."""
    told: dict[str, str] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            told |= {
                title: words for kind, (title, words) in getattr(report, "user_properties", ()) if kind == _MEASURED
            }
    if not told:
        return
    terminalreporter.section("measured")
    for title, words in told.items():
        terminalreporter.write_line(f"{title}\n{words}\n")
