"""Builders for tests: valid by default, changed by one word."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from videotask_contract.layout import task_folder
from videotask_contract.phases import Phase
from videotask_contract.report import Failure, Film, FinalReport
from videotask_contract.resources import ChannelSpec, Priority, VideoTaskSpec
from videotask_contract.steps import Provider, Step
from videotask_operator.core.model import (
    ChannelResource,
    JobSeen,
    Money,
    Observation,
    PodSeen,
    RunRecord,
    TaskKey,
    TaskRecord,
    TaskResource,
)
from videotask_operator.core.situation import Rules, Situation

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
RULES = Rules(base_urls=dict.fromkeys(Provider, "http://127.0.0.1:1"), report_url="http://127.0.0.1:2")
A_FILM = Film(path="film.mp4", duration_seconds=9, size_bytes=1, sha256="ab", loudness_lufs=-14)


def a_storyboard(*, scenes: int = 2, characters: int = 1) -> dict[str, Any]:
    """Return a storyboard as JSON with one environment and so many characters and scenes."""
    people = [f"hero-{number}" for number in range(1, characters + 1)]
    return {
        "assets": [
            {"name": "harbour", "kind": "environment", "prompt": "a harbour at dusk"},
            *({"name": name, "kind": "character", "prompt": f"{name}, a sailor"} for name in people),
        ],
        "scenes": [
            {
                "name": f"scene-{number}",
                "environment": "harbour",
                "characters": people,
                "motion": f"slow pan, part {number}",
                "narration": f"Part {number}: the tide comes in and nobody sleeps.",
                "soundEffect": f"waves against stone, part {number}",
            }
            for number in range(1, scenes + 1)
        ],
    }


def a_spec(**changes: Any) -> dict[str, Any]:
    """Return a VideoTask's spec as JSON."""
    spec: dict[str, Any] = {"channelRef": {"name": "tides"}, "title": "The tide", "storyboard": a_storyboard()}
    return {key: value for key, value in {**spec, **changes}.items() if value is not None}


def a_channel_spec(**changes: Any) -> dict[str, Any]:
    """Return a Channel's spec as JSON."""
    return {
        "voice": {"voiceID": "JBFqnCBsd6RMkjVDRZzb"},
        "credentials": {name: {"secretRef": {"name": f"{name}-key"}} for name in ("gemini", "kling", "elevenlabs")},
        "volume": {"claimName": "tides-films"},
        **changes,
    }


def a_resource(
    *, uid: str = UID, status: dict[str, Any] | None = None, name: str = "film", **spec: Any
) -> TaskResource:
    return TaskResource(
        key=TaskKey("studio", name),
        uid=uid,
        generation=1,
        created_at=NOON,
        deleting=False,
        spec=VideoTaskSpec.model_validate(a_spec(**spec)),
        spec_error=None,
        status=status or {},
    )


def a_channel(**spec: Any) -> ChannelResource:
    return ChannelResource(
        namespace="studio",
        name="tides",
        uid="channel-uid",
        spec=ChannelSpec.model_validate(a_channel_spec(**spec)),
        spec_error=None,
    )


def a_record(**changes: Any) -> TaskRecord:
    record = TaskRecord(
        uid=UID,
        namespace="studio",
        name="film",
        channel="tides",
        title="The tide",
        phase=Phase.QUEUED,
        priority=Priority.NORMAL,
        attempt=1,
        correlation_id="correlation",
        queued_at=NOON,
        step=Step.ASSET_GENERATION,
    )
    return replace(record, **changes)


def a_run(*, number: int = 1, step: Step = Step.ASSET_GENERATION, **changes: Any) -> RunRecord:
    run = RunRecord(
        run_id=f"run{number}",
        task_uid=UID,
        number=number,
        step=step,
        attempt=1,
        job_name=f"film-{step.slug}-{number}-11111111",
        account="studio/gemini-key/api-key",
        concurrency=2,
        opened_at=NOON,
        total=2,
        reserved_usd=Decimal("0.10"),
    )
    return replace(run, **changes)


def a_job(run: RunRecord, **changes: Any) -> JobSeen:
    job = JobSeen(
        name=run.job_name,
        uid=f"job-of-{run.run_id}",
        run_id=run.run_id,
        active=True,
        failed_reason=None,
        deleting=False,
        created_at=NOON,
    )
    return replace(job, **changes)


def a_pod(run: RunRecord, **changes: Any) -> PodSeen:
    pod = PodSeen(
        name=f"{run.job_name}-abcde",
        uid=f"pod-of-{run.run_id}",
        run_id=run.run_id,
        job_name=run.job_name,
        created_at=NOON,
        running=True,
        finished=False,
        disrupted=False,
        exit_code=None,
        termination_message=None,
        waiting_reason=None,
        waiting_message=None,
        deleting=False,
    )
    return replace(pod, **changes)


def a_report(run: RunRecord, **changes: Any) -> FinalReport:
    film = A_FILM if run.step is Step.VIDEO_ASSEMBLY else None
    report = FinalReport(run_id=run.run_id, step=run.step.value, outcome="done", done=2, total=2, film=film)
    return report.model_copy(update=changes)


def a_failed_report(run: RunRecord, failure: Failure, *, done: int = 1) -> FinalReport:
    return a_report(run, outcome="failed", done=done, failure=failure)


class a_situation:  # noqa: N801  reads as a sentence in tests
    """`a_situation().with_record(phase=...).seeing(job).build()`."""

    def __init__(self, **spec: Any) -> None:
        self._task: TaskResource | None = a_resource(**spec)
        self._channel: ChannelResource | None = a_channel()
        self._record: TaskRecord | None = None
        self._runs: list[RunRecord] = []
        self._jobs: list[JobSeen] = []
        self._pods: list[PodSeen] = []
        self._rest: dict[str, Any] = {}

    def with_record(self, **changes: Any) -> Self:
        self._record = a_record(**changes)
        return self

    def with_resource(self, resource: TaskResource | None) -> Self:
        self._task = resource
        return self

    def with_channel(self, channel: ChannelResource | None) -> Self:
        self._channel = channel
        return self

    def with_runs(self, *runs: RunRecord) -> Self:
        self._runs += runs
        return self

    def seeing(self, *things: JobSeen | PodSeen) -> Self:
        for thing in things:
            (self._jobs if isinstance(thing, JobSeen) else self._pods).append(thing)
        return self

    def after(self, seconds: float) -> Self:
        self._rest["now"] = NOON + timedelta(seconds=seconds)
        return self

    def but(self, **rest: Any) -> Self:
        self._rest |= rest
        return self

    def build(self) -> Situation:
        observed = Observation(task=self._task, channel=self._channel, jobs=tuple(self._jobs), pods=tuple(self._pods))
        rest: dict[str, Any] = {
            "money": Money(),
            "admitted": False,
            "now": NOON,
            "fresh_id": "fresh",
            "rules": RULES,
            **self._rest,
        }
        return Situation(observed=observed, record=self._record, runs=tuple(self._runs), **rest)


FOLDER = task_folder(name="film", uid=UID)
