from __future__ import annotations

import pytest
import structlog
from tests.unit.reconciler.histories.play import hush
from tests.unit.reconciler.histories.quick import quickened


@pytest.fixture
def hushed():
    """Keep the log of thousands of looks away, and what they need not compute twice."""
    hush()
    with quickened():
        yield
    structlog.reset_defaults()
