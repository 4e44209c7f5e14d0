"""Plays many histories, block by block, and goes on where it stopped: `python -m tests.unit.reconciler.histories`.

VIDEOTASK_HISTORIES=100000 says how many, VIDEOTASK_HISTORIES_FROM=4711 from which one on: several of these play at once
where each has numbers of its own. A line of .build/histories.jsonl tells of each block that was played, and it is not
played again; remove the file after the code has changed. Exit code 1: a history broke a law, and its number is told.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from tests.unit.reconciler.histories.laws import BrokenLawError
from tests.unit.reconciler.histories.play import hush, play
from tests.unit.reconciler.histories.quick import quickened
from tests.unit.reconciler.histories.reached import Reached

FIRST = int(os.environ.get("VIDEOTASK_HISTORIES_FROM", "0"))
EXAMPLES = int(os.environ.get("VIDEOTASK_HISTORIES", "100000"))
BLOCK = 100
PLAYED = Path(__file__).parents[4] / ".build" / "histories.jsonl"


def main() -> int:
    """Play what was not played yet; tell of all that was."""
    PLAYED.parent.mkdir(exist_ok=True)
    known = _played()
    hush()
    with quickened(), PLAYED.open("a", encoding="utf-8") as log:
        for first in range(FIRST, FIRST + EXAMPLES, BLOCK):
            if first not in known:
                known[first] = _play_block(first)
                log.write(json.dumps(known[first]) + "\n")
                log.flush()
    broken = [words for block in known.values() for words in block["broken"]]
    missing = set.intersection(*(set(block["missing"]) for block in known.values()))
    print(f"{BLOCK * len(known)} histories, never reached: {sorted(missing) or 'nothing'}, broken laws: {len(broken)}")
    print("\n".join(broken))
    return 1 if broken else 0


def _played() -> dict[int, dict]:
    lines = PLAYED.read_text(encoding="utf-8").splitlines() if PLAYED.exists() else []
    return {block["first"]: block for block in map(json.loads, lines)}


def _play_block(first: int) -> dict:
    reached, broken = Reached(), []
    began = time.process_time()
    for seed in range(first, first + BLOCK):
        try:
            reached.add(play(seed))
        except BrokenLawError as error:
            broken.append(f"VIDEOTASK_HISTORIES_FROM={seed}: {error}")
    seconds = round(time.process_time() - began, 1)
    print(f"{first}-{first + BLOCK - 1}: {seconds} s, {len(broken)} broke a law", *broken, sep="\n  ", flush=True)
    return {"first": first, "seconds": seconds, "broken": broken, "missing": reached.missing()}


if __name__ == "__main__":
    sys.exit(main())
