"""Reasons of conditions and events are what alerts and scripts ask for: each is held here by its spelling."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.support.builders import (
    NOON,
    RULES,
    a_channel,
    a_failed_report,
    a_job,
    a_pod,
    a_record,
    a_report,
    a_resource,
    a_run,
    a_situation,
    a_storyboard,
)
from tests.unit.reconciler.histories.reached import REASONS

from videotask_contract.errors import FailureClass
from videotask_contract.phases import ERRORS, Phase
from videotask_contract.report import Failure
from videotask_contract.steps import Gate, Provider, Step
from videotask_operator.core.changes import content_digest
from videotask_operator.core.channel_projection import channel_event, project_channel_status
from videotask_operator.core.decide import decide
from videotask_operator.core.model import AccountBlock, Claim, EarlierFilms, Money
from videotask_operator.core.projection import project_status

NORMAL = {
    "Accepted": ("True", "Valid"),
    "PodStarting": ("True", "NothingHoldsItUp"),
    "RetryScheduled": ("False", "NoRetry"),
    "AwaitingApproval": ("False", "NothingOnShow"),
    "LaidAside": ("False", "NothingHoldsItBack"),
    "NeedsAttention": ("False", "Nothing"),
    "Finished": ("False", "UnderWay"),
}
"""The conditions of a film of which there is nothing to tell."""
CONDITIONS = {
    **dict.fromkeys(("WaitingForTurn", "WaitingForSlot", "ChangePending", "AwaitingApproval", "Rejected"), ()),
    **dict.fromkeys(
        (
            "InvalidSpec",
            "InvalidSpecPending",
            "ChannelNotFound",
            "ChannelInvalid",
            "NoPrice",
            "EarlierFilm",
            "FilmIsFinal",
            "InvalidChange",
            "NarrationTooLong",
            "RedoRefused",
            "TakeHeld",
        ),
        ("Accepted", "NeedsAttention"),
    ),
    "PodCannotStart": ("PodStarting", "NeedsAttention"),
    "PodNeverStarted": ("PodStarting", "NeedsAttention"),
    "PodUnreachable": ("NeedsAttention",),
    "ChannelBlocked": ("LaidAside", "NeedsAttention"),
    "ChannelPaused": ("LaidAside",),
    "FleetPaused": ("LaidAside",),
    "RetryScheduled": ("RetryScheduled",),
    "RetryLater": ("RetryScheduled",),
}
"""The conditions that tell a film's reason to wait. What is on show has one of its own, by the gate and no reason."""


def conditions_of(*, clean_up_failure=None, previous=(), now=NOON, **record):
    status = project_status(
        a_record(**{"phase": Phase.GENERATING_VIDEO, "message": "words", **record}),
        runs=(),
        history=(),
        step_costs={},
        previous={"conditions": list(previous)},
        generation=1,
        now=now,
        clean_up_failure=clean_up_failure,
    )
    return {line["type"]: line for line in status["conditions"]}


def told(conditions):
    """Return status and reason of each condition that is not as in a film of which there is nothing to tell."""
    seen = {kind: (line["status"], line["reason"]) for kind, line in conditions.items()}
    return {kind: facts for kind, facts in seen.items() if facts != NORMAL.get(kind)}


class TestConditionsOfAFilm:
    def test_of_every_reason_to_wait_it_is_known_which_tell_it(self):
        assert set(CONDITIONS) == REASONS

    @pytest.mark.parametrize("reason", sorted(CONDITIONS))
    def test_a_reason_to_wait_is_told_by_its_own_and_by_no_other(self, reason):
        status = {"Accepted": "False", "PodStarting": "False"}
        shown = "RetryScheduled" if reason == "RetryLater" else reason
        expected = {kind: (status.get(kind, "True"), shown) for kind in CONDITIONS[reason]}
        assert told(conditions_of(waiting_reason=reason)) == expected

    @pytest.mark.parametrize("reason", [None, *sorted(CONDITIONS)])
    def test_the_message_stands_in_those_that_tell_something_alone(self, reason):
        for kind, line in conditions_of(waiting_reason=reason).items():
            assert line["message"] == ("" if line["status"] == NORMAL[kind][0] else "words")

    @pytest.mark.parametrize("phase", Phase)
    def test_a_phase_that_wants_a_person_or_is_an_end_is_told_by_its_name(self, phase):
        wants = {*ERRORS, Phase.BUDGET_EXCEEDED, Phase.FAILED}
        ends = {Phase.COMPLETED, Phase.CANCELLED, Phase.FAILED}
        attention = {"NeedsAttention": ("True", phase.resource)} if phase in wants else {}
        finished = {"Finished": ("True", phase.resource)} if phase in ends else {}
        assert told(conditions_of(phase=phase)) == attention | finished

    def test_what_is_on_show_has_one_of_its_own(self):
        shown = {"phase": Phase.FINAL_REVIEW, "review_gate": Gate.FINAL, "waiting_reason": "AwaitingApproval"}
        assert told(conditions_of(**shown)) == {
            "AwaitingApproval": ("True", "OnShow"),
            "NeedsAttention": ("True", "AwaitingApproval"),
        }

    def test_files_that_cannot_be_removed_have_one_until_they_are(self):
        film = {"phase": Phase.COMPLETED, "clean_up_failure": "its Job failed"}
        failed = conditions_of(**film)
        end = {"Finished": ("True", "Completed")}
        assert told(failed) == end | {
            "CleanUpFailed": ("True", "JobFailed"),
            "NeedsAttention": ("True", "CleanUpFailed"),
        }
        assert failed["CleanUpFailed"]["message"] == failed["NeedsAttention"]["message"] == "its Job failed"
        mended = conditions_of(phase=Phase.COMPLETED, previous=failed.values())
        assert told(mended) == end | {"CleanUpFailed": ("False", "Mended")}

    def test_a_film_that_wants_a_person_for_more_is_told_by_that(self):
        film = {"phase": Phase.VIDEO_ERROR, "clean_up_failure": "its Job failed"}
        assert conditions_of(**film)["NeedsAttention"]["reason"] == "VideoError"

    def test_each_keeps_the_time_of_its_last_change(self):
        before = conditions_of().values()
        after = conditions_of(previous=before, now=NOON + timedelta(hours=1), waiting_reason="PodCannotStart")
        changed = {kind for kind, line in after.items() if line["lastTransitionTime"] != "2026-11-21T12:00:00Z"}
        assert changed == {"PodStarting", "NeedsAttention"}


RUN = a_run(job_created_at=NOON)
AT_WORK = {"phase": Phase.GENERATING_ASSETS, "step": Step.ASSET_GENERATION, "last_run_number": 1}
ON_SHOW = {
    "phase": Phase.FINAL_REVIEW,
    "step": None,
    "review_gate": Gate.FINAL,
    "review_round": 1,
    "review_required_at": NOON,
    "waiting_reason": "AwaitingApproval",
}
REDO = {"request": "again", "steps": [{"step": "video_generation", "items": ["1"]}]}
TAKES = [{"step": "video_generation", "item": "1", "take": 1}]
HELD = {
    **ON_SHOW,
    "honoured_takes": {"video_generation": {"1": 1}},
    "content_digest": content_digest(a_resource().spec),
}
LONG_WORDS = {"scenes": [{"scene": "1", "narration": "word " * 59}]}
BROKEN = replace(a_resource(), spec=None, spec_error="title: must not be blank")


def under_way(*seen, **spec):
    return a_situation(**spec).with_record(**AT_WORK).with_runs(RUN).seeing(*seen)


def ended(report):
    ends = {"running": False, "finished": True, "exit_code": 1}
    pod = a_pod(RUN, **ends, termination_message=report.model_dump_json(by_alias=True))
    return under_way(a_job(RUN, active=False), pod)


def failed(failure_class, **failure):
    return ended(a_failed_report(RUN, Failure(failure_class=failure_class, message="no", **failure)))


def decided(decision):
    return {"approvals": {"final": {"decision": decision, "by": "alice", "round": 1, "reason": "too dark"}}}


EVENTS = [
    ("Normal", "Claimed", a_situation().with_record().but(admitted=True)),
    ("Normal", "Suspended", a_situation(state="Suspended").with_record()),
    ("Normal", "Cancelled", a_situation(state="Cancelled").with_record()),
    ("Normal", "Resumed", a_situation().with_record(phase=Phase.SUSPENDED)),
    ("Normal", "Retried", a_situation(attempt=2).with_record(phase=Phase.ASSET_ERROR).but(admitted=True)),
    ("Normal", "Retried", a_situation(attempt=2).with_record(**AT_WORK, next_attempt_at=NOON + timedelta(hours=1))),
    ("Normal", "AwaitingApproval", a_situation(gates=["assets"]).with_record(phase=Phase.ASSETS_READY)),
    ("Normal", "Approved", a_situation(**decided("Approved")).with_record(**ON_SHOW)),
    ("Normal", "Completed", a_situation().with_record(phase=Phase.APPROVED, step=None)),
    ("Normal", "ItemsKept", ended(a_report(RUN, kept=2, kept_usd=Decimal("0.07")))),
    ("Normal", "ChangeTakenUp", a_situation(redo=REDO).with_record(**ON_SHOW).but(admitted=True)),
    ("Warning", "RunLost", under_way()),
    ("Warning", "StepFailed", failed(FailureClass.REFUSED)),
    ("Warning", "BudgetExceeded", failed(FailureClass.OVER_BUDGET)),
    (
        "Warning",
        "BudgetExceeded",
        a_situation(budgetUSD="1.00").with_record(phase=Phase.CLAIMED).but(money=Money(task_spent_usd=Decimal(1))),
    ),
    ("Warning", "RetryScheduled", failed(FailureClass.TRANSIENT)),
    ("Warning", "RetryLater", failed(FailureClass.DAILY_QUOTA, retry_after_seconds=9000)),
    ("Warning", "PodCannotStart", under_way(a_job(RUN), a_pod(RUN, running=False)).after(60)),
    ("Warning", "PodNeverStarted", under_way(a_job(RUN), a_pod(RUN, running=False)).after(600)),
    ("Warning", "PodUnreachable", under_way(a_job(RUN), a_pod(RUN, deleting=True, deletion_at=NOON)).after(600)),
    ("Warning", "ChannelNotFound", a_situation().with_channel(None).with_record()),
    (
        "Warning",
        "ChannelInvalid",
        a_situation().with_channel(replace(a_channel(), spec=None, spec_error="voice: missing")).with_record(),
    ),
    ("Warning", "NoPrice", a_situation(quality={"imageModel": "no-such-model"}).with_record()),
    ("Warning", "EarlierFilm", a_situation().with_record().but(earlier=EarlierFilms(cost_usd=Decimal(4), attempt=1))),
    ("Warning", "InvalidSpec", a_situation().with_resource(BROKEN).with_record()),
    ("Warning", "InvalidSpecPending", under_way(a_job(RUN), a_pod(RUN)).with_resource(BROKEN)),
    ("Warning", "InvalidChange", a_situation(takes=[TAKES[0] | {"item": "99"}]).with_record()),
    ("Warning", "NarrationTooLong", a_situation(edits=LONG_WORDS).with_record()),
    ("Warning", "RedoRefused", a_situation(redo=REDO, takes=TAKES).with_record(**HELD)),
    ("Warning", "TakeHeld", a_situation(storyboard=a_storyboard(scenes=3), takes=TAKES).with_record(**HELD)),
    ("Warning", "Rejected", a_situation(**decided("Rejected")).with_record(**ON_SHOW)),
    ("Warning", "FilmIsFinal", a_situation(redo=REDO).with_record(phase=Phase.COMPLETED, step=None)),
]
"""Every event of a film, with a look that tells it."""
PAUSED = a_channel(state="Paused")
ONE_SLOT = {
    name: {"secretRef": {"name": f"{name}-key"}, "concurrency": 1} for name in ("gemini", "kling", "elevenlabs")
}
BLOCK = AccountBlock(
    account="studio/gemini-key/api-key",
    namespace="studio",
    channel="tides",
    provider=Provider.GEMINI,
    message="API key not valid",
    blocked_at=NOON,
    by_task_uid="other",
    channel_generation=1,
)
SILENT = [
    ("WaitingForTurn", a_situation().with_record()),
    (
        "WaitingForSlot",
        a_situation()
        .with_channel(a_channel(credentials=ONE_SLOT))
        .with_record(phase=Phase.CLAIMED)
        .but(slot_claims=(Claim(claimant="other", since=NOON, held=1, wanted=1),)),
    ),
    ("ChangePending", under_way(a_job(RUN), a_pod(RUN), redo=REDO)),
    ("ChannelPaused", a_situation().with_channel(PAUSED).with_record()),
    ("FleetPaused", a_situation().with_record().but(rules=replace(RULES, fleet_paused=True))),
    ("ChannelBlocked", a_situation().with_record().but(account_blocks=(BLOCK,))),
]
"""Waits that are no events: one pause, or one refused account, is not as many events as there are films."""


class TestEventsOfAFilm:
    @pytest.mark.parametrize(("kind", "reason", "film"), EVENTS, ids=[reason for _, reason, _ in EVENTS])
    def test_each_is_told_once_with_its_reason(self, kind, reason, film):
        assert [(event.type, event.reason) for event in decide(film.build()).events] == [(kind, reason)]

    @pytest.mark.parametrize(("reason", "film"), SILENT, ids=[reason for reason, _ in SILENT])
    def test_what_holds_up_many_at_once_is_none(self, reason, film):
        plan = decide(film.build())
        assert (plan.record.waiting_reason, plan.events) == (reason, ())

    @pytest.mark.parametrize("reason", ["WaitingForSlot", "ChannelPaused", "FleetPaused", "ChannelBlocked"])
    def test_its_end_is_noticed_in_half_a_minute_though_nobody_tells_of_it(self, reason):
        assert decide(dict(SILENT)[reason].build()).look_again_at == NOON + timedelta(seconds=30)

    def test_so_is_the_end_of_anothers_try_of_a_refused_account(self):
        tried = replace(BLOCK, probe_uid="another")
        at_work = Claim(claimant="another", since=NOON, held=1, wanted=1)
        film = a_situation(attempt=2).with_record(phase=Phase.ASSET_ERROR)
        plan = decide(film.but(account_blocks=(tried,), slot_claims=(at_work,), admitted=True).build())
        assert (plan.record.waiting_reason, plan.events) == ("ChannelBlocked", ())
        assert plan.look_again_at == NOON + timedelta(seconds=30)

    def test_every_reason_to_wait_is_an_event_or_known_to_be_none(self):
        assert {reason for _, reason, _ in EVENTS} | {reason for reason, _ in SILENT} >= REASONS


def channel_status(channel=None, **facts):
    return project_channel_status(channel or a_channel(), active_tasks=0, spent_usd=None, now=NOON, **facts)


CHANNELS = {
    "Valid": channel_status,
    "InvalidSpec": lambda: channel_status(replace(a_channel(), spec=None, spec_error="voice: missing")),
    "AccountRefused": lambda: channel_status(blocks=(BLOCK,)),
    "ChannelPaused": lambda: channel_status(PAUSED),
    "FleetPaused": lambda: channel_status(fleet_paused=True),
    "of a new channel": dict,
}
"""A Channel's status by the reason of its Ready condition."""


class TestChannels:
    @pytest.mark.parametrize("reason", [reason for reason in CHANNELS if reason != "of a new channel"])
    def test_whether_films_can_be_made_is_told_with_its_reason(self, reason):
        (ready,) = CHANNELS[reason]()["conditions"]
        assert (ready["type"], ready["reason"]) == ("Ready", reason)
        assert (ready["status"], ready["message"] == "") == (("True", True) if reason == "Valid" else ("False", False))

    def test_a_time_zone_that_nobody_knows_is_told_beside_it(self):
        ready, zone = channel_status(is_zone_known=False)["conditions"]
        assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "True", "Valid")
        assert (zone["type"], zone["status"], zone["reason"]) == ("TimeZoneKnown", "False", "TimeZoneUnknown")

    @pytest.mark.parametrize("before", CHANNELS)
    @pytest.mark.parametrize("after", CHANNELS)
    def test_only_an_account_that_is_refused_or_works_again_is_an_event(self, before, after):
        now = CHANNELS[after]()
        event = channel_event(CHANNELS[before](), now)
        expected = None
        if after == "AccountRefused" != before:
            expected = ("Warning", "AccountRefused", now["conditions"][0]["message"])
        elif before == "AccountRefused" != after:
            expected = ("Normal", "AccountWorks", "its accounts are in use again")
        assert (event and (event.type, event.reason, event.message)) == expected

    def test_a_time_zone_that_nobody_knows_is_an_event_once(self):
        unknown = channel_status(is_zone_known=False)
        event = channel_event(channel_status(), unknown)
        assert event is not None
        assert (event.type, event.reason) == ("Warning", "TimeZoneUnknown")
        assert event.message == unknown["conditions"][1]["message"]
        assert channel_event(unknown, unknown) is None
