"""A Channel's volume holds its films' files and ledgers; on another what was paid would be paid again."""

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


def test_a_channel_keeps_its_volume(folder):
    volume = schema(folder, "channels")["spec"]["properties"]["volume"]
    assert volume["required"] == ["claimName"], "what may be left out could be taken away and given anew"
    [rule] = volume["properties"]["claimName"]["x-kubernetes-validations"]
    assert rule["rule"] == "self == oldSelf"
    assert "make another Channel" in rule["message"]
