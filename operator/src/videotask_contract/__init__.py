"""The words the operator and the steps share; it must never do I/O or import anything but pydantic."""

CONTRACT_VERSION = 1
"""Raised when a task.json or a report of an older version can no longer be read."""

VERSION = "0.1.0"
"""Release of the whole product: operator, step images, chart."""
