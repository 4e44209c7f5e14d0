"""The operator's program over a folder with many channels and films, as a night's work has; it ends all it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row
from tests.support.builders import a_channel_spec, a_spec, a_storyboard

from videotask_contract.phases import ERRORS, TERMINAL, Phase
from videotask_contract.steps import Provider
from videotask_operator.laptop import READY
from videotask_operator.local.files import read_json
from videotask_operator.local.folder import LocalFolder
from videotask_operator.local.postgres import find_postgres, stop_postgres

SMALL = {"frame": {"width": 568, "height": 320, "framesPerSecond": 12}, "clipSeconds": 5}
_POLL_SECONDS = 0.1


class NightShift:
    """Channels, films and the operator that makes them; use it as a context manager.

    All channels share one key of each provider. `settings` are the operator's, by the names of its variables without
    their prefix: {"FLEET_MAX_ACTIVE_TASKS": "10"}.
    """

    def __init__(self, root: Path, url: str, settings: Mapping[str, str] | None = None) -> None:
        self.folder = LocalFolder(root)
        self._settings = {
            "PROVIDER_BASE_URLS": json.dumps(dict.fromkeys(Provider, url)),
            "POLL_INTERVAL_SECONDS": "0.5",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._specs: dict[str, dict[str, Any]] = {}
        self.folder.prepare()
        for provider in Provider:
            self.folder.save_secret(f"{provider.value}-key", {"api-key": f"{provider.value}-demo-key"})

    def __enter__(self) -> Self:
        environment = os.environ | {f"VIDEOTASK_{name}": value for name, value in self._settings.items()}
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "videotask_operator.laptop", self.folder.root],
                stdout=log,
                stderr=log,
                env=environment,
            )
        (self.folder.root / "operator.pid").write_text(str(self._process.pid))
        try:
            self.wait("the operator decides", (self.folder.root / READY).exists, seconds=120)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(90)
        stop_postgres(self.folder.root / "postgres")

    @property
    def log_path(self) -> Path:
        """Where the operator's log lines are."""
        return self.folder.root / "operator.log"

    # --- channels and films -----------------------------------------------------------------------------------

    def channel(self, name: str, *, concurrency: Mapping[str, int] | None = None, **spec: Any) -> str:
        """Make a channel with a volume of its own; `concurrency` says how many slots a provider's account has."""
        credentials: dict[str, Any] = {
            provider.value: {"secretRef": {"name": f"{provider.value}-key"}} for provider in Provider
        }
        for provider, slots in (concurrency or {}).items():
            credentials[provider]["concurrency"] = slots
        made = a_channel_spec(credentials=credentials, volume={"claimName": f"{name}-films"}, **spec)
        self.folder.make_volume(f"{name}-films")
        self._apply("Channel", name, {"budget": {"perDayUSD": "1000"}, **made})
        return name

    def film(self, name: str, *, channel: str, scenes: int, **spec: Any) -> None:
        """Apply a film whose texts all begin with its name, by which its lines are found on the bill."""
        made = {
            "channelRef": {"name": channel},
            "storyboard": marked(a_storyboard(scenes=scenes), name),
            "quality": SMALL,
            "budgetUSD": "100",
            **spec,
        }
        self._specs[name] = a_spec(**made)
        self._apply("VideoTask", name, self._specs[name])

    def raise_attempt(self, name: str) -> int:
        """Do what a person does after an error, and return the attempt."""
        attempt = int(self._specs[name].get("attempt", 1)) + 1
        self._specs[name] = {**self._specs[name], "attempt": attempt}
        self._apply("VideoTask", name, self._specs[name])
        return attempt

    def _apply(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        document = {"apiVersion": "videotask.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.folder.apply(document)

    # --- what is seen -----------------------------------------------------------------------------------------

    def status(self, name: str) -> dict[str, Any]:
        """Return a film's status; empty before the operator has seen it."""
        return dict((read_json(self.folder.status(name)) or {}).get("status", {}))

    def phase(self, name: str) -> Phase | None:
        """Return a film's phase; None before the operator has seen it."""
        spelled = {phase.resource: phase for phase in Phase}
        return spelled.get(self.status(name).get("phase", ""))

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        """Return a connection to the record, to be closed by the caller."""
        postgres = find_postgres(self.folder.root / "postgres")
        assert postgres is not None, "PostgreSQL does not run"
        address = postgres.url("videotask").replace("postgresql+psycopg://", "postgresql://")
        return psycopg.connect(address, autocommit=True, row_factory=dict_row, application_name="tests")

    def sql(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run one statement in the record and return its rows."""
        with self.connect() as connection:
            return connection.execute(query.encode(), list(parameters) or None).fetchall()

    def wait(self, what: str, is_so: Callable[[], object], *, seconds: float) -> None:
        """Wait for a condition; fails at the deadline with the operator's last words."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert self._process is not None
            assert self._process.poll() is None, f"the operator ended: {self._last_words()}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self._last_words()}"
            time.sleep(_POLL_SECONDS)

    def wait_for_films(self, *, seconds: float, on_error: Callable[[str], object] | None = None) -> None:
        """Wait until all films are on show; `on_error` is what a person does for one that is in error."""
        names = list(self._specs)

        def all_on_show() -> bool:
            for name in names:
                phase = self.phase(name)
                if phase in ERRORS and on_error is not None:
                    self._wait_until_it_goes_on(name, on_error)
                assert phase not in TERMINAL | {Phase.BUDGET_EXCEEDED}, self.status(name)
                assert on_error is not None or phase not in ERRORS, self.status(name)
            return all(self.phase(name) is Phase.FINAL_REVIEW for name in names)

        self.wait("all films are on show", all_on_show, seconds=seconds)

    def _wait_until_it_goes_on(self, name: str, on_error: Callable[[str], object]) -> None:
        on_error(name)
        self.wait(f"{name} goes on", lambda: self.phase(name) not in ERRORS, seconds=120)

    def _last_words(self) -> str:
        statuses = {name: self.status(name).get("message") for name in self._specs}
        return f"{statuses}\n{self.log_path.read_text(errors='replace')[-3000:]}"


def marked(board: dict[str, Any], mark: str) -> dict[str, Any]:
    """Return the storyboard with all that is paid for beginning with the mark."""
    assets = [{**asset, "prompt": f"{mark}: {asset['prompt']}"} for asset in board["assets"]]
    texts = ("motion", "narration", "soundEffect")
    scenes = [{**scene, **{text: f"{mark}: {scene[text]}" for text in texts}} for scene in board["scenes"]]
    return {**board, "assets": assets, "scenes": scenes}
