"""What the CRDs say in words is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]


def schema(folder: str, plural: str) -> dict:
    [version] = yaml.safe_load((ROOT / folder / f"{plural}.yaml").read_text(encoding="utf-8"))["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]["properties"]


@pytest.fixture(params=["crds", "charts/videotask-operator/crd-files"])
def folder(request) -> str:
    return request.param


def test_a_rejection_says_what_it_does(folder):
    approval = schema(folder, "videotasks")["spec"]["properties"]["approvals"]["additionalProperties"]["properties"]
    assert "stops the task where it is" in approval["decision"]["description"]
    assert "history" not in approval["reason"]["description"]


def test_rounds_are_counted_over_all_gates(folder):
    review = schema(folder, "videotasks")["status"]["properties"]["review"]["properties"]
    assert "over all gates" in review["round"]["description"]
