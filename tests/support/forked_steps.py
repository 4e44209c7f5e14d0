"""Runs steps as forks of one warm process, with what is to happen to their volume; a run takes a tenth of a second."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.support.step_program import Ended, StepProgram
from tests.support.volume_acts.sitecustomize import Plan

HOOKS = Path(__file__).with_name("volume_acts")
_START_SECONDS = 60.0


@dataclass
class Forked:
    """A step that runs."""

    program: StepProgram
    pid: int
    stderr: Path
    code: asyncio.Future[int]

    async def end(self, *, seconds: float = 120.0) -> Ended:
        """Wait for the end; one that outlives its deadline is killed and fails the test."""
        try:
            async with asyncio.timeout(seconds):
                code = await asyncio.shield(self.code)
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            await self.code
            said = self.stderr.read_text(errors="replace")
            raise AssertionError(f"still running after {seconds} s:\n{said[-4000:]}") from None
        return self.program.ended(code, self.stderr.read_text(errors="replace"))


@dataclass
class ForkServer:
    """The client's side; requests are answered in any order."""

    _process: asyncio.subprocess.Process
    _folder: Path
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _started: dict[str, asyncio.Future[int]] = field(default_factory=dict)
    _ended: dict[str, asyncio.Future[int]] = field(default_factory=dict)

    async def start(self, program: StepProgram, **plan: Any) -> Forked:
        """Start the step; `plan` is what happens to its volume."""
        name = str(next(self._numbers))
        loop = asyncio.get_running_loop()
        self._started[name], self._ended[name] = loop.create_future(), loop.create_future()
        stderr = self._folder / f"stderr-{name}"
        request = {
            "id": name,
            "step": program.task.step.value,
            "environment": program.prepare(),
            "stderr": str(stderr),
            "plan": asdict(Plan(volume=str(program.volume), **plan)),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(_START_SECONDS):
            pid = await self._started[name]
        return Forked(program, pid, stderr, self._ended[name])

    async def run(self, program: StepProgram, **plan: Any) -> Ended:
        return await (await self.start(program, **plan)).end()

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            if "pid" in answer and answer["id"]:
                self._started[answer["id"]].set_result(answer["pid"])
            elif "code" in answer:
                self._ended[answer["id"]].set_result(answer["code"])


@asynccontextmanager
async def fork_server(folder: Path) -> AsyncIterator[ForkServer]:
    """Start the warm process and end it, with whatever still runs."""
    path = os.pathsep.join(filter(None, [str(HOOKS), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("fork_server.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    server = ForkServer(process, folder)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):
            assert await process.stdout.readline(), "the fork server ended at its start"
        listening = asyncio.create_task(server.listen())
        try:
            yield server
        finally:
            process.stdin.close()
            async with asyncio.timeout(_START_SECONDS):
                await process.wait()
            await listening
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
