"""Keys are proved against the providers' own answers, and no check costs anything."""

from __future__ import annotations

import pytest

from film_making.key_file import check_keys
from film_making.samples import DEMO_KEYS
from videotask_contract.steps import Provider
from videotask_emulators.testing import EmulatorProcess


@pytest.fixture(scope="module")
def emulators():
    with EmulatorProcess() as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_billed(emulators):
    emulators.control.reset()
    yield
    assert emulators.control.bill()["entries"] == []


def urls(emulators):
    return dict.fromkeys(Provider, emulators.url)


def test_good_keys_pass(emulators):
    assert check_keys(DEMO_KEYS, urls(emulators)) == []


@pytest.mark.parametrize("provider", list(Provider))
def test_a_wrong_key_is_named_with_the_providers_words_and_never_shown(emulators, provider):
    problems = check_keys({**DEMO_KEYS, provider: "wrong-secret"}, urls(emulators))
    assert len(problems) == 1
    assert problems[0].startswith(provider.key_variable)
    assert "wrong-secret" not in problems[0]
    assert any(code in problems[0] for code in ("400", "401", "403"))


def test_a_provider_that_does_not_answer_is_named(emulators):
    problems = check_keys(DEMO_KEYS, {**urls(emulators), Provider.KLING: "http://127.0.0.1:1"})
    assert len(problems) == 1
    assert "KLING_API_KEY: http://127.0.0.1:1 says nothing" in problems[0]
