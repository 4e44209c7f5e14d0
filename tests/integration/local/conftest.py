"""A local cluster whose steps are small Python programs that a test writes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from videotask_contract.report import FinalReport
from videotask_contract.steps import Provider, Step
from videotask_contract.task_file import TaskFile, TaskIdentity
from videotask_operator.core.model import Observation, PodSeen, RunOrder, TaskKey
from videotask_operator.local.cluster import LocalCluster
from videotask_operator.local.folder import LocalFolder

KEY = TaskKey("default", "heron")
CHANNEL = {
    "apiVersion": "videotask.dev/v1alpha1",
    "kind": "Channel",
    "metadata": {"name": "river"},
    "spec": {
        "voice": {"voiceID": "abc123"},
        "credentials": {name: {"secretRef": {"name": name}} for name in ("gemini", "kling", "elevenlabs")},
        "volume": {"claimName": "river-files"},
    },
}
TASK = {
    "apiVersion": "videotask.dev/v1alpha1",
    "kind": "VideoTask",
    "metadata": {"name": "heron"},
    "spec": {"channelRef": {"name": "river"}, "title": "The heron", "topic": "A heron by a river"},
}


class World:
    """A folder with a channel and a task, and a cluster over it that can be thrown away and made anew."""

    def __init__(self, root: Path) -> None:
        self.folder = LocalFolder(root)
        self.program = "pass"
        self.channel = CHANNEL
        self.task = TASK
        self.changed: list[TaskKey] = []
        self.folder.prepare()
        self.folder.make_volume("river-files")
        self.folder.apply(CHANNEL)
        self.folder.apply(TASK)
        self.cluster: LocalCluster | None = None
        self._left_behind = []
        self.restarted()

    def restarted(self) -> LocalCluster:
        """Return a cluster that knows nothing but what lies in the folder, as after a kill."""
        if self.cluster is not None:
            self._left_behind += [run.supervisor for run in self.cluster._runs.values() if run.supervisor]
        self.cluster = LocalCluster(
            self.folder.root, step_command=lambda _step: [sys.executable, "-c", self.program], poll_seconds=0.01
        )
        self.cluster.on_change(self.changed.append)
        self.cluster.refresh()
        return self.cluster

    def order(self, run_id: str = "run-1", **changes: object) -> RunOrder:
        """Return an order for the task's first step."""
        task = self.cluster.observe(KEY).task
        assert task is not None
        values: dict[str, object] = {
            "key": KEY,
            "task_uid": task.uid,
            "channel": "river",
            "run_id": run_id,
            "step": Step.COMPOSITE_CREATION,
            "job_name": "heron-composite-creation-1",
            "claim_name": "river-files",
            "folder": "projects/heron-12345678",
            "provider": None,
            "secret_name": None,
            "secret_key": None,
            "task_file": TaskFile(
                step=Step.COMPOSITE_CREATION,
                run_id=run_id,
                run_number=1,
                attempt=1,
                correlation_id="c",
                task=TaskIdentity(uid=task.uid, namespace="default", name="heron", channel="river", title="The heron"),
                report_url="http://127.0.0.1:1",
                item_timeout_seconds=60,
            ),
            "deadline_seconds": 60,
            "grace_seconds": 10,
        }
        return RunOrder(**(values | changes))  # type: ignore[arg-type]

    def paid_order(self) -> RunOrder:
        """Return an order that needs a key."""
        return self.order(provider=Provider.KLING, secret_name="kling", secret_key="api-key")

    def wait(self, until: Callable[[Observation], bool], *, seconds: float = 20) -> Observation:
        """Refresh until the observation is as wanted; fails with the last one at the deadline."""
        deadline = time.monotonic() + seconds
        while True:
            self.cluster.refresh()
            seen = self.cluster.observe(KEY)
            if until(seen):
                return seen
            assert time.monotonic() < deadline, seen
            time.sleep(0.01)  # the condition's poll, not a guess

    def wait_for_file(self, path: Path) -> Path:
        """Refresh until a step made this file."""
        self.wait(lambda _seen: path.exists())
        return path

    def wait_for_end(self) -> PodSeen:
        """Return the only pod once it is finished."""
        return self.wait(lambda seen: bool(seen.pods) and seen.pods[0].finished).pods[0]

    def end(self) -> None:
        """End all runs at once, and reap what clusters before this one had started."""
        for run in self.cluster._runs.values():
            (run.path / "deleting.json").write_text("0")  # long past its grace: killed without one
        self.wait(lambda _seen: not self.cluster._runs)
        for supervisor in self._left_behind:
            supervisor.wait(timeout=20)

    @property
    def task_folder(self) -> Path:
        """The task's folder on its volume."""
        return self.folder.volume("river-files") / "projects/heron-12345678"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.end()


@pytest.fixture
def done_report():
    return FinalReport(run_id="run-1", step="composite_creation", outcome="done", done=1, total=1)
