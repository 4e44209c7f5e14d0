from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from videotask_operator.core.model import Caller
from videotask_operator.kube.api import ApiUnavailableError
from videotask_operator.kube.tokens import TokenReviewer

STEP = "system:serviceaccount:studio:videotask-step"


def a_token(*, subject: str = STEP, expires: float = 5_000, salt: str = "") -> str:
    claims = json.dumps({"sub": subject, "exp": expires, "salt": salt}).encode()
    return f"head.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.signature"


def a_verdict(**changes: Any) -> dict[str, Any]:
    extra = {
        "authentication.kubernetes.io/pod-name": ["film-job-1-abcde"],
        "authentication.kubernetes.io/pod-uid": ["pod-uid"],
    }
    verdict = {
        "authenticated": True,
        "audiences": ["videotask-report"],
        "user": {"username": STEP, "extra": extra},
    }
    return {**verdict, **changes}


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reviewer(make_api, clock) -> TokenReviewer:
    return TokenReviewer(
        make_api(), namespaces=frozenset({"studio", "attic"}), service_account="videotask-step", clock=clock
    )


async def test_a_steps_token_names_its_pod(server, reviewer) -> None:
    server.review = a_verdict()
    caller = await reviewer.identify(a_token())
    assert caller == Caller(namespace="studio", pod_name="film-job-1-abcde", pod_uid="pod-uid")


@pytest.mark.parametrize(
    "verdict",
    [
        {"authenticated": False},
        a_verdict(authenticated=False),
        a_verdict(audiences=["https://kubernetes.default.svc"]),
        a_verdict(audiences=None),
        a_verdict(user={"username": "system:serviceaccount:studio:default", "extra": a_verdict()["user"]["extra"]}),
        a_verdict(user={"username": "system:serviceaccount:foreign:videotask-step", "extra": {}}),
        a_verdict(user={"username": STEP}),
        a_verdict(user={"username": STEP, "extra": {"authentication.kubernetes.io/pod-name": ["x"]}}),
    ],
)
async def test_any_other_verdict_is_nobody(server, reviewer, verdict) -> None:
    server.review = verdict
    assert await reviewer.identify(a_token()) is None


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b", "a.!.c", "a.bm90IGpzb24.c", "a.WzFd.c", a_token(subject="system:serviceaccount:studio:default")],
)
async def test_a_token_that_cannot_be_a_steps_costs_no_review(server, reviewer, token) -> None:
    server.review = a_verdict()
    assert await reviewer.identify(token) is None
    assert server.requests == []


async def test_a_giant_token_costs_no_review(server, reviewer) -> None:
    assert await reviewer.identify(a_token(salt="x" * 20_000)) is None
    assert server.requests == []


async def test_a_verdict_is_asked_for_once_a_minute(server, reviewer, clock) -> None:
    server.review = a_verdict()
    for _ in range(5):
        assert await reviewer.identify(a_token()) is not None
    assert len(server.requests) == 1
    clock.now += 60
    await reviewer.identify(a_token())
    assert len(server.requests) == 2


async def test_a_verdict_ends_with_its_token(server, reviewer, clock) -> None:
    server.review = a_verdict()
    await reviewer.identify(a_token(expires=clock.now + 10))
    clock.now += 10
    server.review = {"authenticated": False}
    assert await reviewer.identify(a_token(expires=1_010)) is None


async def test_a_refusal_is_kept_for_a_few_seconds_only(server, reviewer, clock) -> None:
    assert await reviewer.identify(a_token()) is None
    server.review = a_verdict()
    assert await reviewer.identify(a_token()) is None
    assert len(server.requests) == 1
    clock.now += 5
    assert await reviewer.identify(a_token()) is not None


async def test_two_tokens_are_two_verdicts(server, reviewer) -> None:
    server.review = a_verdict()
    await reviewer.identify(a_token(salt="one"))
    await reviewer.identify(a_token(salt="two"))
    assert len(server.requests) == 2


async def test_nobody_to_ask_is_not_a_refusal(server, reviewer) -> None:
    server.refuse("POST", 503)
    with pytest.raises(ApiUnavailableError):
        await reviewer.identify(a_token())
