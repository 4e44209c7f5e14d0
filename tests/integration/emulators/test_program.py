"""The program starts, tells where it listens, keeps its files tidy, and leaves no process behind."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import httpx

from videotask_emulators.testing import EmulatorProcess


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return [int(child) for child in listed]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0]
    return state != "Z"


def wait_until_gone(pids: list[int]) -> None:
    until = time.monotonic() + 15
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < until, f"still alive: {[pid for pid in pids if is_alive(pid)]}"
        time.sleep(0.02)


def test_it_writes_its_pid_and_url_and_takes_the_pid_file_away(tmp_path: Path) -> None:
    with EmulatorProcess(state_dir=tmp_path) as process:
        assert int((tmp_path / "emulators.pid").read_text("utf-8")) == process.pid
        assert httpx.get(process.url + "/healthz").json()["status"] == "ok"
    assert not (tmp_path / "emulators.pid").exists()


def test_its_workers_end_with_it_even_when_it_is_killed(tmp_path: Path, voice: Any) -> None:
    with EmulatorProcess(state_dir=tmp_path) as process:
        with httpx.Client(base_url=process.url, timeout=30) as http:
            assert type(voice)(http).speak("Hello.").status_code == 200
        workers = children_of(process.pid)
        assert workers
        process.kill()
        wait_until_gone(workers)


def test_it_ends_quickly_while_a_call_is_held(tmp_path: Path) -> None:
    with EmulatorProcess(state_dir=tmp_path) as process:
        process.control.add_fault("hold_call", provider="gemini")
        with contextlib.suppress(httpx.ReadTimeout):
            httpx.get(
                process.url + "/v1beta/models",
                headers={"x-goog-api-key": "gemini-demo-key"},
                timeout=httpx.Timeout(30, read=0.3),
            )
        began = time.monotonic()
        process.stop()
        assert time.monotonic() - began < 8
