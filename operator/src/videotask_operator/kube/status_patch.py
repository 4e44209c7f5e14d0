"""What to send so that a status becomes the wanted one: changes alone, and only for the resource of this uid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def build_status_patch(*, uid: str, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a JSON patch (RFC 6902) from the known status to the wanted one; empty when they are equal.

    It begins with a test of the uid, so that a resource re-created under the same name is left alone.
    """
    changes = _changes(known, wanted) if known else _whole(wanted)
    if not changes:
        return []
    return [{"op": "test", "path": "/metadata/uid", "value": uid}, *changes]


def _whole(wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"op": "add", "path": "/status", "value": dict(wanted)}] if wanted else []


def _changes(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    # For a member that exists already, "add" replaces it (RFC 6902, 4.1).
    changes = [
        {"op": "add", "path": f"/status/{_escape(name)}", "value": value}
        for name, value in wanted.items()
        if name not in known or known[name] != value
    ]
    changes += [{"op": "remove", "path": f"/status/{_escape(name)}"} for name in known if name not in wanted]
    return changes


def _escape(name: str) -> str:
    """Escape a member's name for a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
