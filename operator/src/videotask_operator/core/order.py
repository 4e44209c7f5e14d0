"""How a run is ordered: its Job's name, its account, its share of slots, its deadline and its task.json."""

from __future__ import annotations

import math
from decimal import Decimal

from videotask_contract.layout import task_folder
from videotask_contract.resources import Account, ChannelSpec, VideoTaskSpec
from videotask_contract.steps import TRAITS, Provider, Step
from videotask_contract.task_file import ProviderSettings, TaskFile, TaskIdentity
from videotask_operator.core.changes import takes_of
from videotask_operator.core.estimate import quality_of, scene_count
from videotask_operator.core.model import RunOrder, RunRecord, TaskRecord
from videotask_operator.core.situation import Rules

MAX_JOB_NAME = 63
"""A Job's name becomes a label of its pods: RFC 1123, 63 characters."""
_START_SECONDS = 180
"""Added to a deadline for image pull and scheduling."""
_CALL_RETRY_FACTOR = 2
"""Short retries inside a call may double an item's time."""
_STORYBOARD_SECONDS = 300
_HOUSE_SCENES = 18


def job_name(*, task: str, step: Step, number: int, uid: str) -> str:
    """Return <task, cut>-<step>-<run>-<uid8>, at most 63 characters."""
    tail = f"-{step.slug}-{number}-{uid[:8]}"
    head = task.replace(".", "-")[: MAX_JOB_NAME - len(tail)].rstrip("-")
    return f"{head}{tail}"


def number_of_job(name: str, *, uid: str) -> int | None:
    """Return the run's number in a Job's name; None where it is not the name of a step's Job of this task."""
    head, _, uid8 = name.rpartition("-")
    rest, _, number = head.rpartition("-")
    is_ours = uid8 == uid[:8] and any(rest.endswith(f"-{step.slug}") for step in Step)
    return int(number) if is_ours and number.isdecimal() else None


def account_for(channel: ChannelSpec, provider: Provider) -> Account:
    """Return the channel's account at this provider."""
    match provider:
        case Provider.GEMINI:
            return channel.credentials.gemini
        case Provider.KLING:
            return channel.credentials.kling
        case Provider.ELEVENLABS:
            return channel.credentials.elevenlabs


def account_name(namespace: str, channel: ChannelSpec, step: Step) -> str | None:
    """Return the name under which runs share an account's slots: namespace/secret/key; None for unpaid steps."""
    provider = TRAITS[step].provider
    if provider is None:
        return None
    secret = account_for(channel, provider).secret_ref
    return f"{namespace}/{secret.name}/{secret.key}"


def most_at_once(step: Step, rules: Rules) -> int:
    """Return how many items of this step are under way at once where nothing else limits it."""
    return rules.step_concurrency.get(step, TRAITS[step].default_concurrency)


def slot_limit(channel: ChannelSpec, step: Step) -> int | None:
    """Return how many slots the step's provider account has in all; None where the Channel names no limit."""
    provider = TRAITS[step].provider
    return account_for(channel, provider).concurrency if provider else None


def item_timeout_seconds(step: Step, spec: VideoTaskSpec) -> int:
    """Return the limit for one item, for an atomic step of all of it: the task's own word, else the house's."""
    return spec.timeouts.get(step, TRAITS[step].item_timeout_seconds)


def deadline_seconds(
    step: Step, *, items: int, concurrency: int, writes_storyboard: bool, item_seconds: int | None = None
) -> int:
    """Return activeDeadlineSeconds: items times limit through concurrency, with room for start and short retries.

    `item_seconds` is the limit for one item where it is not the house's.
    """
    traits = TRAITS[step]
    # The limits of atomic steps are for the house film's 18 scenes; a longer film takes longer as a whole.
    rounds = max(1.0, items / _HOUSE_SCENES) if traits.atomic else math.ceil(items / concurrency)
    work = math.ceil(rounds * (item_seconds or traits.item_timeout_seconds) * _CALL_RETRY_FACTOR)
    return _START_SECONDS + work + (_STORYBOARD_SECONDS if writes_storyboard else 0)


def build_order(
    *, run: RunRecord, record: TaskRecord, spec: VideoTaskSpec, channel: ChannelSpec, rules: Rules
) -> RunOrder:
    """Return the order of an open run; the same run gives the same Job."""
    traits = TRAITS[run.step]
    secret = account_for(channel, traits.provider).secret_ref if traits.provider else None
    return RunOrder(
        key=record.key,
        task_uid=record.uid,
        channel=record.channel,
        run_id=run.run_id,
        step=run.step,
        job_name=run.job_name,
        claim_name=channel.volume.claim_name,
        folder=task_folder(name=record.name, uid=record.uid),
        provider=traits.provider,
        secret_name=secret.name if secret else None,
        secret_key=secret.key if secret else None,
        task_file=_task_file(run=run, record=record, spec=spec, channel=channel, rules=rules),
        deadline_seconds=deadline_seconds(
            run.step,
            items=scene_count(spec) if traits.atomic else run.total,
            # A run that shares an account may be left with one slot while it works.
            concurrency=run.concurrency if slot_limit(channel, run.step) is None else 1,
            writes_storyboard=run.step is Step.ASSET_GENERATION and spec.storyboard is None,
            item_seconds=item_timeout_seconds(run.step, spec),
        ),
        grace_seconds=rules.paid_step_grace_seconds if traits.provider else rules.free_step_grace_seconds,
    )


def _task_file(
    *, run: RunRecord, record: TaskRecord, spec: VideoTaskSpec, channel: ChannelSpec, rules: Rules
) -> TaskFile:
    traits = TRAITS[run.step]
    first = run.step is Step.ASSET_GENERATION
    return TaskFile(
        step=run.step,
        run_id=run.run_id,
        run_number=run.number,
        attempt=run.attempt,
        correlation_id=record.correlation_id,
        task=TaskIdentity(
            uid=record.uid, namespace=record.namespace, name=record.name, channel=record.channel, title=spec.title
        ),
        report_url=rules.report_url,
        concurrency=run.concurrency,
        item_timeout_seconds=item_timeout_seconds(run.step, spec),
        reservation_usd=run.reserved_usd.quantize(Decimal("0.00000001")),
        provider=_provider_settings(traits.provider, rules) if traits.provider else None,
        prices=rules.prices,
        quality=quality_of(spec, channel),
        voice=channel.voice,
        look=channel.look,
        # Later steps read storyboard.json, so that what was paid for is what is filmed.
        storyboard=spec.storyboard if first else None,
        storyboard_sha256=None if first else record.storyboard_sha256,
        edits=spec.edits if first else None,
        redo=record.redo_counts.get(run.step, {}),
        redo_asked=_redo_asked(record, spec, run.step),
        takes=takes_of(spec, run.step),
        storyboard_only=run.storyboard_only,
        topic=spec.topic if first else None,
        direction=spec.direction if first else None,
        scene_count=spec.scene_count,
        asset_count=spec.asset_count,
    )


def _redo_asked(record: TaskRecord, spec: VideoTaskSpec, step: Step) -> tuple[str, ...]:
    """Return what the honoured request names of this step, for as long as it stands in the spec to be mended."""
    if spec.redo is None or spec.redo.request != record.redo_request:
        return ()
    return tuple(reference for part in spec.redo.steps if part.step is step for reference in part.items)


def _provider_settings(provider: Provider, rules: Rules) -> ProviderSettings:
    return ProviderSettings(
        provider=provider,
        base_url=rules.base_urls[provider],
        poll_interval_seconds=rules.poll_interval_seconds,
    )
