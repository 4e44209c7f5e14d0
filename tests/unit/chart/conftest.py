"""Renders the chart with helm, without any cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parents[3] / "charts" / "videotask-operator"
CACHE = Path(os.environ.get("VIDEOTASK_CACHE") or Path.home() / ".cache" / "videotask-operator")
STAMP_V1 = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
STAMP_V1BETA1 = "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy"

Helm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def helm() -> Helm:
    """`helm(*words)` runs helm and returns what it said."""
    built = CACHE / "bin" / "helm"
    program = str(built) if built.exists() else shutil.which("helm")
    if program is None:
        pytest.skip("helm is not on this machine; `scripts/cluster up` brings it")

    @cache
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="session")
def render(helm) -> Callable[..., list[dict[str, Any]]]:
    """`render(*flags)` returns the chart's objects for the release "videotask" in the namespace "studio"."""

    def objects(*flags: str) -> list[dict[str, Any]]:
        done = helm("template", "videotask", str(CHART), "--namespace=studio", *flags)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return objects


@pytest.fixture(scope="session")
def complaint(helm) -> Callable[..., str]:
    """`complaint(*flags)` renders values that must be refused and returns helm's words."""

    def words(*flags: str) -> str:
        done = helm("template", "videotask", str(CHART), "--namespace=studio", *flags)
        assert done.returncode != 0, "the values were let through"
        return done.stderr

    return words
