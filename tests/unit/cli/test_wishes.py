"""Retry, suspend, resume, cancel and settings: plain fields, refused where they would do nothing."""

from __future__ import annotations

import pytest

from videotask_contract.errors import BadInputError
from videotask_operator.cli.describe import next_commands
from videotask_operator.cli.exits import NotNowError
from videotask_operator.cli.wishes import wish_cancel, wish_resume, wish_retry, wish_settings, wish_suspend

STEPS = [
    {"name": "asset_generation", "state": "Done", "done": 22, "total": 22},
    {"name": "composite_creation", "state": "Done", "done": 18, "total": 18},
    {"name": "video_generation", "state": "Failed", "done": 11, "total": 18},
]


def test_a_retry_raises_the_attempt_and_says_what_is_kept(task):
    change = wish_retry(task(phase="VideoError", attempt=3, status={"steps": STEPS, "costUSD": "5.3592"}))
    assert change.patch == {"spec": {"attempt": 4}}
    assert "kept and not paid again: 22 images, 11 of 18 clips ($5.36 so far)" in change.words


def test_a_retry_is_given_wherever_the_operator_asks_for_one(task):
    asks = "an earlier VideoTask of this name paid 3.00 dollars; set spec.attempt to 2 to make it anew"
    assert wish_retry(task(phase="Queued", message=asks)).patch == {"spec": {"attempt": 2}}


def test_a_film_that_waits_for_its_next_attempt_is_tried_at_once_by_a_retry(task):
    words = "attempt 3 of 5 at 14:00 UTC: Gemini: 429, the daily quota is used up"
    film = task(message=words, status={"nextAttemptAt": "2026-11-22T14:00:00Z"})
    assert wish_retry(film).patch == {"spec": {"attempt": 2}}
    assert next_commands(film, flags="")[0][0] == "videotask retry heron"
    held = task(phase="Suspended", message="suspended", status={"nextAttemptAt": "2026-11-22T14:00:00Z"})
    with pytest.raises(NotNowError, match="not in error"):
        wish_retry(held)
    assert [command for command, _ in next_commands(held, flags="")] == ["videotask resume heron"]


@pytest.mark.parametrize(
    ("phase", "hint"),
    [("GeneratingVideo", "is not in error"), ("BudgetExceeded", "budget=USD"), ("Completed", "make a new VideoTask")],
)
def test_a_retry_that_would_do_nothing_says_what_would(task, phase, hint):
    with pytest.raises(NotNowError, match=hint):
        wish_retry(task(phase=phase))


def test_states_are_wished_once(task):
    assert wish_suspend(task()).patch == {"spec": {"state": "Suspended"}}
    assert wish_suspend(task(state="Suspended")).patch is None
    assert wish_resume(task(state="Suspended", phase="Suspended")).patch == {"spec": {"state": "Running"}}
    assert wish_resume(task()).patch is None
    assert wish_cancel(task()).patch == {"spec": {"state": "Cancelled"}}
    assert wish_cancel(task(phase="Cancelled", state="Cancelled")).patch is None


@pytest.mark.parametrize("wish", [wish_suspend, wish_resume, wish_cancel])
def test_nothing_is_wished_of_a_film_that_is_over(task, wish):
    with pytest.raises(NotNowError, match="Completed"):
        wish(task(phase="Completed"))


def test_settings_are_fields_of_the_spec(task):
    words = ["budget=$12.5", "priority=high", "timeout.clips=900", "timeout.video_assembly=default"]
    assert wish_settings(task(), words).patch == {
        "spec": {
            "budgetUSD": "12.50",
            "priority": "high",
            "timeouts": {"video_generation": 900, "video_assembly": None},
        }
    }


@pytest.mark.parametrize(
    ("word", "usd"), [("budget=12", "12.00"), ("budget=0.125", "0.125"), ("budget=$7.0049", "7.0049")]
)
def test_a_budget_is_set_to_the_very_dollars_that_were_given(task, word, usd):
    assert wish_settings(task(), [word]).patch == {"spec": {"budgetUSD": usd}}


@pytest.mark.parametrize("word", ["budget=1.23456", "budget=0.00001", f"budget={10**40}"])
def test_a_budget_that_cannot_be_kept_is_never_rounded(task, word):
    with pytest.raises(BadInputError, match="budget"):
        wish_settings(task(), [word])


@pytest.mark.parametrize(
    "word",
    ["budget", "budget=", "budget=ten", "budget=1.2.3", "budget=99999999", "priority=now", "timeout.clips=5", "x=1"],
)
def test_a_setting_that_is_none_is_refused(task, word):
    with pytest.raises(BadInputError):
        wish_settings(task(), [word])
