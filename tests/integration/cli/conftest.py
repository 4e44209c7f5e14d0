"""A laptop's operator whose steps are small programs: the loop, the files, the record and the processes are real."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.builders import a_channel_spec, a_spec, a_storyboard

from videotask_contract.steps import Provider
from videotask_operator.local.cluster import LocalCluster
from videotask_operator.local.files import read_json
from videotask_operator.local.folder import LocalFolder
from videotask_operator.local.postgres import start_postgres, stop_postgres
from videotask_operator.reconciler import Reconciler
from videotask_operator.settings import Settings
from videotask_operator.store.adaptor import PostgresStore
from videotask_operator.store.migrate import migrate

_DEADLINE_SECONDS = 300.0
"""For a machine on which much else runs."""
STEP = Path(__file__).with_name("quick_step.py")


class SmallStudio:
    """A folder with a channel and a film of two scenes, and an operator in a thread of this process."""

    def __init__(self, root: Path) -> None:
        self.folder = LocalFolder(root)
        self.folder.prepare()
        channel = a_channel_spec()
        self.folder.make_volume(channel["volume"]["claimName"])
        for provider in Provider:
            self.folder.save_secret(channel["credentials"][provider.value]["secretRef"]["name"], {"api-key": "demo"})
        self._apply("Channel", "tides", channel)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def film(self, name: str = "heron", **spec: Any) -> None:
        self._apply("VideoTask", name, a_spec(**{"storyboard": a_storyboard(scenes=2), **spec}))

    def _apply(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        manifest = {"apiVersion": "videotask.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.folder.apply(manifest)

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._operate(ready)), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not ready.wait(0.2):
            assert self._thread.is_alive(), "the operator ended before it began"
            assert time.monotonic() < deadline, "the operator did not begin"

    async def _operate(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        url = start_postgres(self.folder.root / "postgres", durable=False).url("videotask")
        migrate(url)
        cluster = LocalCluster(
            self.folder.root,
            step_command=lambda step: [sys.executable, "-IS", str(STEP), step.value],
            poll_seconds=0.2,
        )
        store = PostgresStore(url)
        reconciler = Reconciler(cluster=cluster, store=store, settings=Settings(namespaces=("default",)))
        await store.acquire(30)
        async with asyncio.TaskGroup() as group:
            group.create_task(reconciler.run(self._stop))
            group.create_task(cluster.run(self._stop))
            keeping = group.create_task(store.keep())
            ready.set()
            await self._stop.wait()
            keeping.cancel()
        await cluster.end_all_runs(timeout_seconds=30)
        await store.close()

    def end(self) -> None:
        if self._loop is not None and self._stop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_DEADLINE_SECONDS)
        stop_postgres(self.folder.root / "postgres")

    def hold(self, step: str, name: str = "heron") -> None:
        """Let this film's step run until it is let go."""
        self._hold(name).write_text(step)

    def let_go(self, name: str = "heron") -> None:
        self._hold(name).unlink()

    def _hold(self, name: str) -> Path:
        return self.folder.root / f"hold-{name}"

    def status(self, name: str = "heron") -> dict[str, Any]:
        return (read_json(self.folder.status(name)) or {}).get("status", {})

    def wait(self, is_so: Callable[[dict[str, Any]], bool], name: str = "heron") -> dict[str, Any]:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not is_so(self.status(name)):
            assert time.monotonic() < deadline, self.status(name)
            time.sleep(0.1)  # the condition's poll, not a guess
        return self.status(name)

    def wait_for(self, phase: str, name: str = "heron") -> dict[str, Any]:
        return self.wait(lambda status: status.get("phase") == phase, name)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a folder that PostgreSQL's own user may enter; pytest closes its folders to others."""
    with tempfile.TemporaryDirectory(prefix="videotask-test-cli-") as name:
        yield Path(name)


@pytest.fixture
def folder():
    with open_folder() as found:
        yield found


@pytest.fixture(scope="module")
def studio():
    """Return an operator at work; each test makes a film of its own name."""
    with open_folder() as folder, pytest.MonkeyPatch.context() as patch:
        made = SmallStudio(folder)
        patch.setenv("VIDEOTASK_FOLDER", str(folder))
        try:
            made.start()
            yield made
        finally:
            made.end()
