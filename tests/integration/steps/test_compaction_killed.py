"""A ledger whose compaction is killed or loses power at any of its acts is the old one or the new one, whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.forked_steps import HOOKS
from tests.support.volume_acts.sitecustomize import volume_after_power_cut
from tests.unit.steps.test_compaction import STEP, a_long_history, told_by, written

from videotask_contract import layout
from videotask_steps.compaction import compacted_ledger
from videotask_steps.ledger import parse_ledger

MOST_ACTS = 40
FORKS = """
import os, shutil, sys
from pathlib import Path
from sitecustomize import Plan, arm, remember_as_durable
from videotask_steps.compaction import compact
folder, ledger = Path(sys.argv[1]), sys.argv[2]
for number in range(1, int(sys.argv[3])):
    volume, shadow = folder / f"act-{number}", folder / f"shadow-{number}"
    shutil.copytree(folder / "before", volume)
    remember_as_durable(volume, shadow)
    pid = os.fork()
    if pid == 0:
        arm(Plan(volume=str(volume), kill_at=number, shadow=str(shadow)))
        compact(volume / ledger)
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        break
print(number)
"""


@pytest.mark.parametrize("is_power_cut", [False, True])
def test_a_compaction_killed_at_any_act_leaves_the_old_or_the_new_ledger_whole(
    tmp_path: Path, *, is_power_cut: bool
) -> None:
    before = written(a_long_history())
    path = tmp_path / "before" / layout.ledger(STEP)
    path.parent.mkdir(parents=True)
    path.write_bytes(before)
    program = [sys.executable, "-c", FORKS, str(tmp_path), layout.ledger(STEP), str(MOST_ACTS)]
    done = subprocess.run(
        program, env={**os.environ, "PYTHONPATH": str(HOOKS)}, capture_output=True, text=True, timeout=120, check=True
    )
    acts = int(done.stdout.splitlines()[-1])
    assert 5 < acts < MOST_ACTS
    seen = set()
    for number in range(1, acts + 1):
        volume = tmp_path / f"act-{number}"
        if is_power_cut:
            volume_after_power_cut(volume, tmp_path / f"shadow-{number}", tmp_path / f"left-{number}")
            volume = tmp_path / f"left-{number}"
        content = (volume / layout.ledger(STEP)).read_bytes()
        seen.add(content)
        assert told_by(list(parse_ledger(content))) == told_by(a_long_history()), f"act {number}"
    assert seen == {before, compacted_ledger(before)}
