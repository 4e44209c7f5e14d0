"""The emulators as fixtures: one server for all tests of a folder, begun anew for each; a conftest imports them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from videotask_emulators.control import ControlClient
from videotask_emulators.testing import EmulatorProcess

OPTIONS: Final = ("--clip-fps", "6", "--hold-seconds", "3")
"""Clips of few pictures, and held calls that end before a test's deadline."""


@pytest.fixture(scope="session")
def emulators() -> Iterator[EmulatorProcess]:
    """The server; what a test sets in it ends with the test by `control`."""
    with EmulatorProcess(options=OPTIONS) as process:
        yield process


@pytest.fixture
def control(emulators: EmulatorProcess) -> Iterator[ControlClient]:
    """The server's control, with no fault, no call and an empty bill."""
    client = emulators.control
    client.reset()
    yield client
    client.release()
