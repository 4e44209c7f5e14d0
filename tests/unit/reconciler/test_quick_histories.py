"""What spares the histories time changes nothing that they play."""

from __future__ import annotations

import pytest
import structlog
from tests.unit.reconciler.histories.play import hush, play
from tests.unit.reconciler.histories.quick import quickened


@pytest.fixture(autouse=True)
def silence():
    hush()
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("seed", [3, 21, 54])
def test_a_quickened_history_is_the_same_history(seed):
    plain = play(seed)
    with quickened():
        quick = play(seed)
    assert quick == plain
