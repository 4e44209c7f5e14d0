"""Runs a step as the program it is: its own process, task.json, volume, token and termination message."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from videotask_contract.report import FinalReport
from videotask_contract.resources import FrameSize, Quality, Voice
from videotask_contract.steps import TRAITS, Provider, Step
from videotask_contract.storyboard import Storyboard
from videotask_contract.task_file import (
    VARIABLE_TASK_FILE,
    VARIABLE_TERMINATION_LOG,
    VARIABLE_TOKEN_FILE,
    VARIABLE_VOLUME,
    ProviderSettings,
    TaskFile,
    TaskIdentity,
)

UID = "11111111-2222-3333-4444-555555555555"
KEYS = {
    Provider.GEMINI: "gemini-demo-key",
    Provider.KLING: "kling-demo-key",
    Provider.ELEVENLABS: "elevenlabs-demo-key",
}
SMALL = Quality(frame=FrameSize(width=640, height=360), clip_seconds=5)
"""Small frames and short clips: the rules are the same and the machine is not."""
VOICE = Voice(voice_id="JBFqnCBsd6RMkjVDRZzb")


def a_task_file(
    step: Step, *, report_url: str = "http://127.0.0.1:9", base_url: str = "", uid: str = UID, **changes: Any
) -> TaskFile:
    """Return a run's task.json, valid by default, changed by a word."""
    provider = TRAITS[step].provider
    given: dict[str, Any] = {
        "step": step,
        "run_id": "run-1",
        "run_number": 1,
        "attempt": 1,
        "correlation_id": "correlation",
        "task": TaskIdentity(uid=uid, namespace="studio", name="film", channel="tides", title="The tide"),
        "report_url": report_url,
        "concurrency": 4,
        "item_timeout_seconds": TRAITS[step].item_timeout_seconds,
        "reservation_usd": Decimal(20),
        "provider": None
        if provider is None
        else ProviderSettings(provider=provider, base_url=base_url, poll_interval_seconds=0.1),
        "quality": SMALL,
        "voice": VOICE,
        **changes,
    }
    return TaskFile(**given)


@dataclass(slots=True, kw_only=True)
class Ended:
    """How a step ended."""

    code: int
    report: FinalReport
    """The termination message."""
    log: list[dict[str, Any]] = field(default_factory=list)
    stderr: str = ""

    def events(self) -> list[str]:
        return [str(line["event"]) for line in self.log]


class StepProgram:
    """One process of a step. `folder` holds what a pod would mount; `pod` names the pod, by its token."""

    def __init__(
        self, folder: Path, task: TaskFile, *, pod: str = "pod-1", env: Mapping[str, str] | None = None
    ) -> None:
        self.task = task
        self.volume = folder / "volume"
        self._mount = folder / f"mount-{task.run_id}-{pod}"
        self._pod = pod
        self._env = dict(env or {})
        self._process: asyncio.subprocess.Process | None = None

    def prepare(self) -> dict[str, str]:
        """Lay out what a pod would mount and return the program's environment."""
        self._mount.mkdir(parents=True, exist_ok=True)
        (self._mount / "task.json").write_text(self.task.model_dump_json(by_alias=True, exclude_none=True))
        (self._mount / "token").write_text(self._pod)
        (self._mount / "termination-log").write_text("")
        provider = TRAITS[self.task.step].provider
        return {
            "PATH": os.environ["PATH"],
            VARIABLE_TASK_FILE: str(self._mount / "task.json"),
            VARIABLE_VOLUME: str(self.volume),
            VARIABLE_TOKEN_FILE: str(self._mount / "token"),
            VARIABLE_TERMINATION_LOG: str(self._mount / "termination-log"),
            **({} if provider is None else {provider.key_variable: KEYS[provider]}),
            **self._env,
        }

    async def start(self, *, command: Sequence[str] = (), program_of: Step | None = None) -> Self:
        """Start the program, or another command or another step's program in its place."""
        module = f"videotask_steps.steps.{(program_of or self.task.step).value}"
        self._process = await asyncio.create_subprocess_exec(
            *(command or (sys.executable, "-m", module)),
            env=self.prepare(),
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def until_it_handles_sigterm(self, *, seconds: float = 30.0) -> None:
        """Wait until the process has a handler for SIGTERM (Linux: its bit in SigCgt)."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status")
        async with asyncio.timeout(seconds):
            while not _caught_signals(status) & (1 << (signal.SIGTERM - 1)):
                await asyncio.sleep(0.002)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    async def end(self, *, seconds: float = 120.0) -> Ended:
        """Wait for the end; a program that outlives its deadline is killed and fails the test."""
        assert self._process is not None
        try:
            async with asyncio.timeout(seconds):
                _, stderr = await self._process.communicate()
        except TimeoutError:
            self._process.kill()
            _, stderr = await self._process.communicate()
            raise AssertionError(f"still running after {seconds} s:\n{stderr.decode()[-4000:]}") from None
        code = self._process.returncode
        assert code is not None
        return self.ended(code, stderr.decode())

    def ended(self, code: int, stderr: str) -> Ended:
        """Read what an ended process left."""
        said = (self._mount / "termination-log").read_text()
        report = (
            FinalReport.model_validate_json(said)
            if said
            else FinalReport(run_id="", step="", outcome="failed", done=0, total=0)
        )
        return Ended(code=code, report=report, log=_log_lines(stderr), stderr=stderr)

    async def run(self) -> Ended:
        return await (await self.start()).end()


def _caught_signals(status: Path) -> int:
    for line in status.read_text().splitlines():
        if line.startswith("SigCgt:"):
            return int(line.split()[1], 16)
    return 0


def _log_lines(stderr: str) -> list[dict[str, Any]]:
    lines = []
    for line in stderr.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return [line for line in lines if isinstance(line, dict)]


def save_storyboard(volume: Path, storyboard: Storyboard) -> None:
    """Put the storyboard where steps 2 to 6 read it."""
    volume.mkdir(parents=True, exist_ok=True)
    (volume / "storyboard.json").write_text(storyboard.model_dump_json(by_alias=True))
