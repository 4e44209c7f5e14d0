"""The report endpoint works for months: it keeps the runs in mind that speak, not all that ever spoke."""

from __future__ import annotations

import pytest
from tests.support.builders import a_run
from tests.support.memory_cluster import MemoryCluster

from videotask_operator import reports
from videotask_operator.core.model import TaskKey
from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.memory import MemoryStore

KEY = TaskKey("studio", "one")


@pytest.fixture
def server():
    return reports.ReportServer(
        Reconciler(cluster=MemoryCluster(), store=MemoryStore(), settings=Settings(namespaces=("studio",)))
    )


def test_the_runs_that_spoke_last_are_kept(server, monkeypatch):
    monkeypatch.setattr(reports, "KNOWN_RUNS", 3)
    for number in range(10):
        server._remember(f"run-{number}", (KEY, a_run()))
    assert list(server._known) == ["run-7", "run-8", "run-9"]
