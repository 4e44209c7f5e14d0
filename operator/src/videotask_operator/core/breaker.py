"""The circuit breaker of a provider account: a refused key stops its channel once, not film by film; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Certainty, FinalReport
from videotask_contract.resources import ChannelSpec, VideoTaskSpec
from videotask_contract.steps import TRAITS, Provider, Step
from videotask_operator.core.model import AccountBlock, ChannelResource, Plan, RunRecord, TaskRecord
from videotask_operator.core.order import account_for, account_name
from videotask_operator.core.situation import Situation

CHANNEL_BLOCKED: Final = "ChannelBlocked"
ACCOUNT_REFUSED: Final = "AccountRefused"
_ANSWERED: Final = frozenset(
    {FailureClass.REFUSED, FailureClass.RATE_LIMITED, FailureClass.DAILY_QUOTA, FailureClass.BAD_MEDIA},
)
"""Failures that only a provider which knows the account gives; a lost network says nothing of the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaking:
    """What one decision changes about blocks."""

    blocked: tuple[AccountBlock, ...] = ()
    """New blocks, or known ones that changed (key: account)."""
    lifted: tuple[str, ...] = ()
    """Accounts that are blocked no longer."""


def accounts_of(namespace: str, channel: ChannelSpec | None) -> tuple[str, ...]:
    """Return the names of a channel's accounts, one for each provider, each once."""
    if channel is None:
        return ()
    secrets = [account_for(channel, provider).secret_ref for provider in Provider]
    return tuple(dict.fromkeys(f"{namespace}/{secret.name}/{secret.key}" for secret in secrets))


def describe_block(block: AccountBlock) -> str:
    """Return which account is refused, in the provider's words, and what a person can do."""
    return (
        f"{block.provider.value} refuses the account {block.account} since {block.blocked_at:%Y-%m-%d %H:%M} UTC: "
        f"{block.message}. Mend it (a valid key, arrears paid, a new pack), then raise spec.attempt of one of its "
        "films to try it, or change the Channel's spec"
    )


# --- what may begin ---------------------------------------------------------------------------------------------


def claim_hindrance(situation: Situation, record: TaskRecord, spec: VideoTaskSpec) -> str | None:
    """Return why a queued task is not claimed: one of its channel's accounts is refused; None when none is.

    A person's raised spec.attempt lets this one through: it becomes the probe.
    """
    held = (block for block in situation.account_blocks if not _is_probe(block, record, spec))
    return next(map(describe_block, held), None)


def run_hindrance(situation: Situation, record: TaskRecord, spec: VideoTaskSpec) -> str | None:
    """Return why no run of the task's current step may begin; steps on other accounts go on."""
    block = _block_of_step(situation, record)
    return None if block is None or _is_probe(block, record, spec) else describe_block(block)


def becomes_probe(situation: Situation, record: TaskRecord, spec: VideoTaskSpec) -> bool:
    """Tell whether a person's raised attempt lets this task try the refused account of its current step."""
    return _block_of_step(situation, record) is not None and spec.attempt > record.attempt


def probe_hindrance(situation: Situation, record: TaskRecord) -> str | None:
    """Return why an errored task that a person wants to go on must wait: another probe's run is under way."""
    block = _block_of_step(situation, record)
    if block is None or block.probe_uid in {None, record.uid}:
        return None
    if not any(claim.held for claim in situation.slot_claims):
        return None
    return f"another film tries the account now; {describe_block(block)}"


def _block_of_step(situation: Situation, record: TaskRecord) -> AccountBlock | None:
    channel = situation.observed.channel.spec if situation.observed.channel else None
    if channel is None or record.step is None:
        return None
    account = account_name(record.namespace, channel, record.step)
    return next((block for block in situation.account_blocks if block.account == account), None)


def _is_probe(block: AccountBlock, record: TaskRecord, spec: VideoTaskSpec) -> bool:
    return block.probe_uid == record.uid or spec.attempt > record.attempt


# --- what changes a block ---------------------------------------------------------------------------------------


def is_lifted_by_change(block: AccountBlock, channels: Iterable[ChannelResource]) -> bool:
    """Tell whether the channel that found the account refused was changed since, or is gone."""
    found = next((one for one in channels if (one.namespace, one.name) == (block.namespace, block.channel)), None)
    return found is None or (block.channel_generation is not None and found.generation != block.channel_generation)


def probes_begun(situation: Situation, plan: Plan) -> Breaking:
    """Return the blocks that name this task as their probe from now on: a person's raised attempt was honoured."""
    before, after = situation.record, plan.record
    if before is None or after.attempt <= before.attempt:
        return Breaking()
    block = _block_of_step(situation, after)
    chosen = situation.account_blocks if before.phase is Phase.QUEUED else (block,) if block else ()
    return Breaking(blocked=tuple(replace(one, probe_uid=after.uid) for one in chosen))


def blocks_ended(
    plan: Plan, *, known: Iterable[AccountBlock], channel: ChannelResource | None, now: datetime
) -> Breaking:
    """Return what the runs that this plan closed at `now` say of their accounts.

    ACCOUNT failures block. A run that was begun after the block and to which the provider answered like a provider
    that knows the account (a settled call, or a failure that is about the work) lifts it; a lost network does neither.
    """
    blocks = {block.account: block for block in known}
    reports = {report.run_id: report for report in plan.reports}
    blocked: list[AccountBlock] = []
    lifted: list[str] = []
    for run in plan.runs:
        if run.account is None or run.closed_at != now:
            continue
        if run.failure_class is FailureClass.ACCOUNT:
            blocked.append(_block(plan.record, run, channel, now))
        elif run.account in blocks and _was_answered(run, reports.get(run.run_id), blocks[run.account]):
            lifted.append(run.account)
    return Breaking(blocked=tuple(blocked), lifted=tuple(lifted))


def accounts_ended(plan: Plan, *, now: datetime) -> tuple[str, ...]:
    """Return the accounts of the runs that this plan closed at `now`."""
    return tuple(run.account for run in plan.runs if run.account is not None and run.closed_at == now)


def _block(record: TaskRecord, run: RunRecord, channel: ChannelResource | None, now: datetime) -> AccountBlock:
    return AccountBlock(
        account=run.account or "",
        namespace=record.namespace,
        channel=record.channel,
        provider=_provider(run.step),
        message=run.failure_message or "no words given",
        blocked_at=now,
        channel_generation=channel.generation if channel else None,
        by_task_uid=record.uid,
    )


def _provider(step: Step) -> Provider:
    provider = TRAITS[step].provider
    if provider is None:
        raise ValueError(f"{step.value} pays nobody and has no account")
    return provider


def _was_answered(run: RunRecord, report: FinalReport | None, block: AccountBlock) -> bool:
    if run.opened_at < block.blocked_at:
        return False
    if run.failure_class in _ANSWERED:
        return True
    paid = [line for line in report.spend if line.amount_usd > 0] if report else []  # at nothing: it was never made
    if any(line.run_id == run.run_id and line.certainty is Certainty.SETTLED for line in paid):
        return True
    return report is not None and report.cut and report.outcome == "done" and report.spent_usd > 0
