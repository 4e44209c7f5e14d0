"""The guard before every paid call: no call is begun that could pass what this run may spend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

from videotask_contract.errors import FailureClass, VideoTaskError
from videotask_steps.context import Limits
from videotask_steps.ledger import Ledger, PaidCall
from videotask_steps.stop_sign import StopSign


def begin_call(
    ledger: Ledger,
    limits: Limits,
    *,
    item: str,
    key: str,
    take: int,
    model: str,
    upper_bound_usd: Decimal,
    external_id: str | None = None,
) -> PaidCall:
    """Reserve the call's upper bound and write its intent down, as one act; OVER_BUDGET when the run may not.

    Spent money and calls under way both stand in the ledger under this run, the latter at their upper bound. There is
    no await between looking and writing, so two items can never both take the last dollar.
    """
    committed_usd = ledger.spent_usd(ledger.run_id)
    if committed_usd + upper_bound_usd > limits.reservation_usd:
        raise VideoTaskError(
            f"the next call may cost ${upper_bound_usd:.4f}, and ${committed_usd:.4f} of the "
            f"${limits.reservation_usd:.4f} this run may spend are spent or under way; raise the task's "
            "spec.budgetUSD, or the channel's spec.budget.perDayUSD if the day's cap stopped it",
            failure_class=FailureClass.OVER_BUDGET,
            item=item,
        )
    return ledger.record_intent(
        item=item,
        key=key,
        take=take,
        model=model,
        upper_bound_usd=upper_bound_usd,
        external_id=external_id,
    )


class MoneyUnderWay:
    """The calls that this process has under way: what they leave of their upper bounds, others may still spend.

    Who finds too little waits as long as they could leave enough, and never for a call whose outcome nobody will tell:
    its upper bound counts as paid.
    """

    def __init__(self, ledger: Ledger, limits: Limits, stopping: StopSign) -> None:
        self._ledger = ledger
        self._limits = limits
        self._stopping = stopping
        self._call_ids: dict[str, str] = {}
        """By item: each has one call at a time."""
        self._moved = asyncio.Event()

    def begun(self, item: str, call: PaidCall) -> None:
        """Say that an item's call goes out now."""
        self._call_ids[item] = call.call_id

    def ended(self, item: str) -> None:
        """Say that an item has no call under way any more, or never had one."""
        self._call_ids.pop(item, None)
        self._moved.set()

    def may_leave_enough(self, upper_bound_usd: Decimal) -> bool:
        """Tell whether a call finds too little now and may find enough once those under way have ended."""
        missing_usd = self._ledger.spent_usd(self._ledger.run_id) + upper_bound_usd - self._limits.reservation_usd
        if missing_usd <= 0:
            return False
        under_way = set(self._call_ids.values())
        held = (call.amount_usd for call in self._ledger.calls() if call.is_open and call.call_id in under_way)
        return missing_usd <= sum(held, Decimal(0))

    async def wait_for(self, upper_bound_usd: Decimal, *, is_pointless: Callable[[], bool]) -> bool:
        """Wait until the calls under way can leave no more; tell whether there was anything to wait for.

        Returns early when nothing new may be begun. It ends, since each call under way does, by its own time limit.
        """
        has_waited = False
        while self.may_leave_enough(upper_bound_usd) and not self._stopping.is_set() and not is_pointless():
            has_waited = True
            self._moved.clear()
            signs = [asyncio.create_task(sign.wait()) for sign in (self._moved, self._stopping, self._limits.changed)]
            try:
                await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for sign in signs:
                    sign.cancel()
        return has_waited
