"""Films of the emulators and films of the real providers never share a namespace: one's keys are not the other's."""

from __future__ import annotations

import json
import sys

import pytest

from film_making import installation
from film_making.failure import FilmError
from film_making.installation import Installation
from film_making.samples import DEMO_KEYS, load_channel, parse_channel

OPERATOR = {"name": "videotask-operator", "labels": {"app.kubernetes.io/name": "videotask-operator"}}
EMULATORS = {"name": "videotask-emulators", "labels": {"app.kubernetes.io/name": "videotask-emulators"}}
FAKE = """
import json, pathlib, sys
here = pathlib.Path(__file__).parent
if sys.argv[1:3] == ["get", "deployments"]:
    print((here / "deployments.json").read_text())
else:
    (here / "changes").open("a").write(" ".join(sys.argv[1:]) + chr(10))
"""


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Return a way to prepare a namespace that holds these Deployments; it returns the changes that were made."""
    program = tmp_path / "kubectl"
    program.write_text(f"#!{sys.executable} -IS\n{FAKE}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def make(*deployments, is_real):
        changes = tmp_path / "changes"
        changes.write_text("")
        (tmp_path / "deployments.json").write_text(json.dumps({"items": [{"metadata": one} for one in deployments]}))
        monkeypatch.setattr(installation, "_with_built_image", lambda document: document)
        try:
            Installation(namespace="films", is_real=is_real).prepare(parse_channel(load_channel()), DEMO_KEYS)
        finally:
            make.changes = changes.read_text().splitlines()

    return make


def test_films_of_the_emulators_are_never_given_real_keys(prepare):
    with pytest.raises(FilmError, match=r"NAMESPACE=films.*emulators.*Nothing was changed"):
        prepare(OPERATOR, EMULATORS, is_real=True)
    assert prepare.changes == []


def test_real_films_are_never_given_to_the_emulators(prepare):
    with pytest.raises(FilmError, match=r"NAMESPACE=films.*real.*Nothing was changed"):
        prepare(OPERATOR, is_real=False)
    assert prepare.changes == []


@pytest.mark.parametrize(
    ("deployments", "is_real"),
    [((), True), ((), False), ((OPERATOR,), True), ((OPERATOR, EMULATORS), False), ((EMULATORS,), False)],
)
def test_a_namespace_that_is_new_or_of_the_same_providers_is_prepared(prepare, deployments, is_real):
    prepare(*deployments, is_real=is_real)
    assert prepare.changes
