"""A real step at the end of its money: calls side by side never pass the cap, and a dearer bill is written as it is."""

from __future__ import annotations

from decimal import Decimal

from tests.integration.steps.film import Film

from videotask_contract.errors import FailureClass
from videotask_contract.exits import ExitCode
from videotask_contract.report import Certainty
from videotask_contract.steps import Step

EFFECT = Decimal("0.12")
BOUND = EFFECT * Decimal("1.25")


async def effects(film: Film, reservation_usd: Decimal, **changes):
    """Run the step that makes six effects, five at a time."""
    return await film.run(Step.SFX_GENERATION, concurrency=5, reservation_usd=reservation_usd, **changes)


async def test_five_calls_at_once_never_pass_the_cap_by_one(film: Film) -> None:
    await film.with_scenes(6).ready_for_effects()
    cap = 3 * BOUND
    # Answers come late, so that all that may be under way is under way when the sixth is asked for.
    film.control.add_fault("hold_call", match={"operation": "sfx"}, times=-1)
    ended = await effects(film, cap, run_id="run-1")
    assert (ended.code, ended.report.failure.failure_class) == (ExitCode.OVER_BUDGET, FailureClass.OVER_BUDGET)
    assert film.control.total_usd() == film.ledger_usd(Step.SFX_GENERATION) <= cap
    assert len(film.operations("sfx")) == 3, "what was reserved allows three, and three were asked for"
    assert ended.report.done == 3, "what was paid for is there"

    # The three that are left fit at their price, though their upper bounds do not fit side by side.
    again = await effects(film, 2 * EFFECT + BOUND, run_id="run-2")
    assert (again.code, again.report.done, again.report.kept) == (ExitCode.DONE, 6, 3)
    assert film.control.total_usd() == 6 * EFFECT == film.ledger_usd(Step.SFX_GENERATION)


async def test_a_bill_above_the_upper_bound_is_kept_at_the_providers_own_figure_and_the_next_call_refused(
    film: Film,
) -> None:
    await film.with_scenes(3).ready_for_effects()
    film.control.set_price_factor("3")
    reservation = 3 * BOUND
    ended = await film.run(Step.SFX_GENERATION, concurrency=1, reservation_usd=reservation, run_id="run-1")
    assert ended.code == ExitCode.OVER_BUDGET
    told = film.ledger(Step.SFX_GENERATION).spend()
    assert [call.certainty for call in told] == [Certainty.SETTLED] * len(told)
    assert sum(call.amount_usd for call in told) == film.control.total_usd() == ended.report.spent_usd
    assert all(call.amount_usd == 3 * EFFECT > BOUND for call in told)
    assert "spent or under way" in ended.report.failure.message
    assert f"${ended.report.spent_usd:.4f}" in ended.report.failure.message
    assert len(film.operations("sfx")) == ended.report.done == len(told) < 3, "nothing lost, nothing more begun"
