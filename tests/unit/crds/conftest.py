"""The CRDs as the project and as the chart hold them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(params=["crds", "charts/videotask-operator/crd-files"])
def schema(request: pytest.FixtureRequest) -> Callable[[str], dict[str, Any]]:
    """`schema("channels")`: the properties of that resource; each test runs for both places."""

    def read(plural: str) -> dict[str, Any]:
        text = (ROOT / request.param / f"{plural}.yaml").read_text(encoding="utf-8")
        [version] = yaml.safe_load(text)["spec"]["versions"]
        return dict(version["schema"]["openAPIV3Schema"]["properties"])

    return read
