"""Random histories of the loop over the ports in memory: what must hold whatever is lost, late, killed or edited.

2,000 histories by default. VIDEOTASK_HISTORIES=100000 plays so many, and VIDEOTASK_HISTORIES_FROM=4711 begins at that
one: a history that breaks a law is told by its number, which plays it again. How often each phase, transition, fault,
failure class and waiting reason was reached stands in .build/histories.txt, and none of them may be missing.
`python -m tests.unit.reconciler.histories` plays them outside pytest, in blocks, and goes on where it was stopped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.reconciler.histories.laws import BrokenLawError
from tests.unit.reconciler.histories.play import play
from tests.unit.reconciler.histories.reached import Reached

FIRST = int(os.environ.get("VIDEOTASK_HISTORIES_FROM", "0"))
EXAMPLES = int(os.environ.get("VIDEOTASK_HISTORIES", "2000"))
BLOCK = 100
ENOUGH = 2000
"""So many histories reach everything."""
REPORT = Path(__file__).parents[3] / ".build" / "histories.txt"


@dataclass
class Block:
    """What a row of histories reached, and which laws they broke."""

    reached: Reached = field(default_factory=Reached)
    broken: list[str] = field(default_factory=list)


_blocks: dict[int, Block] = {}


def block_of(first: int) -> Block:
    """Play a row of histories, once."""
    if first not in _blocks:
        block = _blocks[first] = Block()
        for seed in range(first, min(first + BLOCK, FIRST + EXAMPLES)):
            try:
                block.reached.add(play(seed))
            except BrokenLawError as error:
                block.broken.append(f"VIDEOTASK_HISTORIES_FROM={seed}: {error}")
    return _blocks[first]


@pytest.mark.usefixtures("hushed")
@pytest.mark.parametrize("first", range(FIRST, FIRST + EXAMPLES, BLOCK))
def test_whatever_happens_films_are_made_once_and_nothing_is_stuck(first):
    assert not block_of(first).broken


@pytest.mark.timeout(0)  # alone it plays them all
@pytest.mark.usefixtures("hushed")
def test_the_histories_reach_every_phase_transition_fault_class_and_reason():
    reached = Reached()
    for first in range(FIRST, FIRST + EXAMPLES, BLOCK):
        reached.add(block_of(first).reached)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(reached.table())
    print(reached.table())
    if EXAMPLES >= ENOUGH:
        assert reached.missing() == []
