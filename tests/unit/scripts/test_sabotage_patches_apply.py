"""Every patch of `make sabotage` can still be used: its text stands once, what it makes compiles, its tests exist."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from sabotage.patches import REPOSITORY, Patch, PatchError, load_patches

PATCHES = load_patches()
LEAST_PATCHES = 25


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    """Return the tests of a file as node ids name them, without parameters."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {node.name, *(f"{node.name}::{inner.name}" for inner in node.body if hasattr(inner, "name"))}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return frozenset(found)


def test_there_are_enough_of_them_and_no_two_break_the_same():
    assert len(PATCHES) >= LEAST_PATCHES
    assert len({(patch.file, patch.old, patch.new) for patch in PATCHES}) == len(PATCHES)
    assert len({patch.promise for patch in PATCHES}) == len(PATCHES)


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_it_applies_exactly_once_and_compiles(patch):
    assert patch.apply_to(REPOSITORY) != (REPOSITORY / patch.file).read_text(encoding="utf-8")


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_the_tests_that_should_notice_exist(patch):
    for test in patch.tests:
        path, _, name = test.partition("::")
        assert name in names_of_tests(REPOSITORY / path), f"{patch.name}: there is no {test}"


def test_only_what_needs_a_cluster_waits_for_one():
    for patch in PATCHES:
        on_a_cluster = [test for test in patch.tests if test.startswith("tests/e2e/")]
        assert bool(on_a_cluster) == (patch.needs is not None), patch.name


def a_patch(**changes) -> Patch:
    return Patch(**{"name": "any", "promise": "p", "file": "a.py", "old": "b", "new": "c", "tests": ("t",), **changes})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("a = 1\n", "found 0 times"), ("b = b\n", "found 2 times"), (None, "is not there")],
    ids=["moved on", "twice", "no file"],
)
def test_a_patch_that_no_longer_fits_is_told(tmp_path, text, complaint):
    if text is not None:
        (tmp_path / "a.py").write_text(text)
    with pytest.raises(PatchError, match=complaint):
        a_patch().apply_to(tmp_path)


def test_a_patch_that_makes_no_python_is_told(tmp_path):
    (tmp_path / "a.py").write_text("b = 1\n")
    assert a_patch().apply_to(tmp_path) == "c = 1\n"
    with pytest.raises(PatchError, match="no Python"):
        a_patch(new="c c").apply_to(tmp_path)
