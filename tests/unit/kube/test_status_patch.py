from __future__ import annotations

import copy
from typing import Any

import hypothesis.strategies as st
from hypothesis import given

from videotask_operator.kube.status_patch import build_status_patch

VALUES = st.recursive(
    st.booleans() | st.integers(0, 3) | st.text("ab~/", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=4,
)
STATUSES = st.dictionaries(st.sampled_from(["phase", "steps", "a/b", "t~0"]), VALUES, max_size=4)


def applied(resource: dict[str, Any], patch: list[dict[str, Any]]) -> dict[str, Any]:
    """Apply as RFC 6902 says, for the three operations that are used."""
    result = copy.deepcopy(resource)
    for change in patch:
        names = [part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:]]
        holder = result
        for name in names[:-1]:
            holder = holder[name]
        match change["op"]:
            case "test":
                assert holder[names[-1]] == change["value"]
            case "add":
                holder[names[-1]] = change["value"]
            case "remove":
                del holder[names[-1]]
    return result


@given(known=STATUSES, wanted=STATUSES)
def test_the_patch_leads_from_the_known_status_to_the_wanted_one(known, wanted) -> None:
    resource = {"metadata": {"uid": "u"}, **({"status": known} if known else {})}
    patch = build_status_patch(uid="u", known=known, wanted=wanted)
    assert applied(resource, patch).get("status", {}) == wanted


@given(status=STATUSES)
def test_nothing_is_sent_when_nothing_changed(status) -> None:
    assert build_status_patch(uid="u", known=status, wanted=status) == []


def test_only_what_changed_is_sent_and_only_for_this_uid() -> None:
    known = {"phase": "Queued", "steps": [1], "error": "x"}
    assert build_status_patch(uid="u", known=known, wanted={"phase": "Claimed", "steps": [1]}) == [
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "add", "path": "/status/phase", "value": "Claimed"},
        {"op": "remove", "path": "/status/error"},
    ]
