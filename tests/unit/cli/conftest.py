"""Films as a command line reads them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import UID, a_spec, a_storyboard

from videotask_operator.cli.task import Task


def a_task(*, phase: str = "GeneratingVideo", message: str = "run 3", status: Any = None, **spec: Any) -> Task:
    return Task(
        {
            "metadata": {
                "name": "heron",
                "namespace": "studio",
                "uid": UID,
                "resourceVersion": "41",
                "creationTimestamp": "2026-11-21T11:00:00Z",
            },
            "spec": a_spec(**{"storyboard": a_storyboard(scenes=3), **spec}),
            "status": {"phase": phase, "message": message} | (status or {}),
        }
    )


@pytest.fixture
def task():
    return a_task


@pytest.fixture
def on_show():
    """Return a film that shows a gate's round."""

    def make(gate: str = "final", review_round: int = 2, **spec: Any) -> Task:
        review = {"gate": gate, "round": review_round, "requestedAt": "2026-11-21T11:30:00Z", "command": "kubectl …"}
        return a_task(phase="FinalReview", message="look", status={"review": review}, **spec)

    return make
