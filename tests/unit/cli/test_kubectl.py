"""Streams of kubectl: whoever leaves one early leaves nothing behind."""

from __future__ import annotations

import subprocess

import pytest

from videotask_operator.cli.kubectl import Kubectl


class LeftError(Exception):
    pass


@pytest.mark.parametrize("last_words", ["exit 0", "exec sleep 60"], ids=["ended by itself", "still at it"])
def test_a_stream_that_is_left_leaves_no_process_and_no_pipe(tmp_path, monkeypatch, last_words):
    program = tmp_path / "kubectl"
    program.write_text(f"#!/bin/sh\necho one\n{last_words}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    started = []

    class Noted(subprocess.Popen):
        def __init__(self, *words, **options):
            started.append(self)
            super().__init__(*words, **options)

    monkeypatch.setattr(subprocess, "Popen", Noted)

    def leave_early():
        with Kubectl().output("get", "pods", "--watch", timeout_seconds=9) as stream:
            assert stream.readline() == b"one\n"
            if last_words == "exit 0":
                started[0].wait(timeout=30)
            raise LeftError

    with pytest.raises(LeftError):
        leave_early()
    [process] = started
    assert process.returncode is not None
    assert (process.stdout.closed, process.stderr.closed) == (True, True)
