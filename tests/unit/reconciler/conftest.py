from __future__ import annotations

import pytest
import structlog
from tests.unit.reconciler.histories.play import hush


@pytest.fixture
def hushed():
    """Keep the log of thousands of looks away."""
    hush()
    yield
    structlog.reset_defaults()
