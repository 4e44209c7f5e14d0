"""The guard before every paid call: no call is begun that could pass what this run may spend."""

from __future__ import annotations

from decimal import Decimal

from videotask_contract.errors import FailureClass, VideoTaskError
from videotask_steps.context import Limits
from videotask_steps.ledger import Ledger, PaidCall


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
