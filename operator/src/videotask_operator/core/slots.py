"""How an account's slots are shared out between its open runs and the films that wait for one; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from videotask_contract.report import Progress
from videotask_operator.core.model import Claim, RunRecord

PATIENCE_WITH_PODS: Final = timedelta(minutes=5)
"""Long enough to pull an image or to add a node; a pod that lacks its Secret or its volume waits for a person."""


def fair_shares(limit: int, claims: Iterable[Claim]) -> dict[str, int]:
    """Return what each should have: as equal as can be, never more than it wants, in all never more than the limit.

    An open run keeps at least one, since a run cannot be told to make nothing; what is left over goes to whoever has
    slots already, then to whoever asked first, so that nothing moves to and fro.
    """
    ordered = sorted(claims, key=lambda claim: (claim.held == 0, claim.since, claim.claimant))
    shares = {claim.claimant: 1 if claim.held else 0 for claim in ordered}
    wanted = {claim.claimant: max(claim.wanted, 1) for claim in ordered}
    for _ in range(limit - sum(shares.values())):
        hungry = [name for name, share in shares.items() if share < wanted[name]]
        if not hungry:
            break
        # min() takes the first of equals: the order above.
        shares[min(hungry, key=shares.__getitem__)] += 1
    return shares


def decide_grant(limit: int, claims: Iterable[Claim], claimant: str) -> int:
    """Return what the claimant may use from now on; 0 means that there is nothing for it yet.

    It gets more only out of slots that nobody holds: one that was told to use less holds its slots until it says that
    its calls have ended, and only then another gets them.
    """
    everyone = {claim.claimant: claim for claim in claims}
    free = limit - sum(claim.held for claim in everyone.values())
    held = everyone[claimant].held
    return min(fair_shares(limit, everyone.values())[claimant], held + max(free, 0))


def held_after(run: RunRecord, progress: Progress) -> int:
    """Return how many slots a run may be using once it has said this: at most those it held, at least one.

    It uses no more than the limit that it obeys, or the calls that were under way when it heard of a lower one; nor
    more than it has items left.
    """
    held = run.concurrency
    if progress.concurrency is not None:
        held = min(held, max(progress.concurrency, progress.in_flight))
    if progress.total > 0:
        held = min(held, progress.total - progress.done)
    return max(held, 1)


def gave_slots_back(run: RunRecord, *, now: datetime) -> bool:
    """Tell whether an open run holds no slots, because its pod has not begun for so long: others need not wait for it.

    It gets some anew when its pod asks for the start permit after all.
    """
    return run.permitted_at is None and now - run.opened_at > PATIENCE_WITH_PODS


def claim_of_run(run: RunRecord, *, most: int) -> Claim:
    """Return what an open run claims; `most` is how many items its step has under way at once."""
    left = max(run.total - run.done, 1)
    return Claim(claimant=run.run_id, since=run.opened_at, wanted=min(most, left), held=run.concurrency)


def regrant(run: RunRecord, progress: Progress, *, others: Iterable[Claim], limit: int, most: int) -> tuple[int, int]:
    """Return the slots that a run holds once it has been answered, and the limit to answer it with."""
    now = replace(run, concurrency=held_after(run, progress), done=progress.done, total=progress.total or run.total)
    mine = claim_of_run(now, most=most)
    granted = decide_grant(limit, [*others, mine], run.run_id)
    return max(now.concurrency, granted), granted
