"""Plays many random histories of the loop, block by block, and goes on where it stopped.

Each block of 100 leaves a line in .build/histories.jsonl and is not played again: remove that file after the code has
changed. At the end .build/histories.txt tells how often each phase, transition, fault, failure class and waiting reason
was reached in all blocks. Exit code 1: a history broke a law, or something was never reached; a broken law is told with
its history's number, and `VIDEOTASK_HISTORIES_FROM=NUMBER VIDEOTASK_HISTORIES=1 pytest
tests/unit/reconciler/test_histories.py` plays that one again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.unit.reconciler.histories.laws import BrokenLawError
from tests.unit.reconciler.histories.play import hush, play
from tests.unit.reconciler.histories.quick import quickened
from tests.unit.reconciler.histories.reached import Reached

BLOCK = 100
PLAYED = Path(__file__).parents[4] / ".build" / "histories.jsonl"
REPORT = PLAYED.with_suffix(".txt")


def main() -> int:
    """Play what was not played yet; tell of all that was."""
    options = _parser().parse_args()
    PLAYED.parent.mkdir(exist_ok=True)
    known = _played()
    wanted = range(options.begin, options.begin + options.histories, BLOCK)
    with PLAYED.open("a", encoding="utf-8") as log, ProcessPoolExecutor(options.jobs) as processes:
        blocks = [processes.submit(_play_block, first) for first in wanted if first not in known]
        for number, block in enumerate(as_completed(blocks), start=1):
            line = block.result()
            known[line["first"]] = line
            log.write(json.dumps(line) + "\n")
            log.flush()
            _tell(line, f"{number} of {len(blocks)} blocks")
    return _tell_all([known[first] for first in wanted])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.unit.reconciler.histories",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("histories", nargs="?", type=int, default=100_000, help="how many (default: 100000)")
    parser.add_argument("--begin", type=int, default=0, help="the first one's number, a multiple of 100 (default: 0)")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="processes (default: 2)")
    return parser


def _played() -> dict[int, dict]:
    lines = PLAYED.read_text(encoding="utf-8").splitlines() if PLAYED.exists() else []
    return {block["first"]: block for block in map(json.loads, lines)}


def _play_block(first: int) -> dict:
    hush()
    reached, broken = Reached(), []
    began = time.process_time()
    with quickened():
        for seed in range(first, first + BLOCK):
            try:
                reached.add(play(seed))
            except BrokenLawError as error:
                broken.append(f"history {seed}: {error}")
    seconds = round(time.process_time() - began, 1)
    return {"first": first, "seconds": seconds, "broken": broken, "reached": reached.to_json()}


def _tell(block: dict, progress: str) -> None:
    first, broken = block["first"], block["broken"]
    words = f"{first}-{first + BLOCK - 1}: {block['seconds']} s, {len(broken)} broke a law ({progress})"
    print(words, *broken, sep="\n  ", flush=True)


def _tell_all(blocks: list[dict]) -> int:
    reached = Reached()
    for block in blocks:
        reached.add(Reached.from_json(block["reached"]))
    broken = [words for block in blocks for words in block["broken"]]
    missing = reached.missing()
    REPORT.write_text(reached.table(), encoding="utf-8")
    print(f"{BLOCK * len(blocks)} histories, never reached: {missing or 'nothing'}, broken laws: {len(broken)}")
    print(
        f"How often each was reached: {REPORT.relative_to(Path.cwd()) if REPORT.is_relative_to(Path.cwd()) else REPORT}"
    )
    print(*broken, sep="\n")
    return 1 if broken or missing else 0


if __name__ == "__main__":
    sys.exit(main())
