"""Load and record what is known of refused provider accounts, in the caller's transaction; decides nothing itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from videotask_operator.core.breaker import (
    accounts_ended,
    accounts_of,
    blocks_ended,
    is_lifted_by_change,
    probes_begun,
)
from videotask_operator.core.model import AccountBlock, ChannelResource, Plan
from videotask_operator.core.ports import Transaction
from videotask_operator.core.situation import Situation

log = structlog.get_logger()

_MAX_WORDS: Final = 200
"""Of the provider: what a person can do stands behind them, in a status of 500 characters; the run that was refused
keeps them all."""


async def load_blocks(
    transaction: Transaction, channel: ChannelResource | None, *, channels: Iterable[ChannelResource]
) -> tuple[AccountBlock, ...]:
    """Return the blocks on a channel's accounts; those that a changed or removed Channel lifts are lifted first."""
    if channel is None or channel.spec is None:
        return ()
    found = await transaction.load_account_blocks(accounts_of(channel.namespace, channel.spec))
    if not found:
        return ()
    seen = tuple(channels)
    lifted = [block for block in found if is_lifted_by_change(block, seen)]
    for block in lifted:
        await transaction.delete_account_block(block.account)
        log.info("account_block_lifted", account=block.account, because="the Channel was changed")
    return tuple(block for block in found if block not in lifted)


async def record_blocks(
    transaction: Transaction,
    plan: Plan,
    *,
    channel: ChannelResource | None,
    now: datetime,
    situation: Situation | None = None,
) -> bool:
    """Write what a plan changes about blocks (key: account); tell whether it was anything that others must know.

    `now` is the moment at which the plan was decided: runs closed then are the ones it closed.
    """
    if situation is not None:
        for block in probes_begun(situation, plan).blocked:
            await transaction.save_account_block(block)
            log.info("account_tried", account=block.account, task=str(plan.record.key))
    ended = accounts_ended(plan, now=now)
    if not ended:
        return False
    known = await transaction.load_account_blocks(ended)
    changes = blocks_ended(plan, known=known, channel=channel, now=now)
    for block in changes.blocked:
        await transaction.save_account_block(replace(block, message=_shortened(block.message)))
        log.warning("account_refused", account=block.account, channel=block.channel, message=block.message)
    for account in changes.lifted:
        await transaction.delete_account_block(account)
        log.info("account_block_lifted", account=account, because="the provider answered")
    return bool(changes.blocked or changes.lifted)


def _shortened(words: str) -> str:
    return words if len(words) <= _MAX_WORDS else words[: _MAX_WORDS - 1].rstrip() + "…"
