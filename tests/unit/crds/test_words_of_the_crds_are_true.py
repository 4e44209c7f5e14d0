"""What the CRDs say in words is what happens."""

from __future__ import annotations


def test_a_rejection_says_what_it_does(schema):
    approval = schema("videotasks")["spec"]["properties"]["approvals"]["additionalProperties"]["properties"]
    assert "stops the task where it is" in approval["decision"]["description"]
    assert "history" not in approval["reason"]["description"]


def test_rounds_are_counted_over_all_gates(schema):
    review = schema("videotasks")["status"]["properties"]["review"]["properties"]
    assert "over all gates" in review["round"]["description"]
