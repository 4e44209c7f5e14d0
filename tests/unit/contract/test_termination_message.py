"""A report as a pod's termination message always fits: one that Kubernetes cuts is no JSON, and says nothing at all."""

from __future__ import annotations

from decimal import Decimal

import pytest

from videotask_contract.errors import FailureClass
from videotask_contract.report import MAX_TERMINATION_BYTES, Failure, FinalReport, to_termination_message


@pytest.mark.parametrize("letter", ["a", "字", "🦉", "\x01"])
def test_the_longest_words_of_a_provider_leave_room_for_what_was_spent(letter):
    report = FinalReport(
        run_id="r" * 32,
        step="narration_generation",
        outcome="failed",
        done=3,
        total=18,
        spent_usd=Decimal("1.05"),
        failure=Failure(failure_class=FailureClass.REFUSED, message=letter * 1000, item="07", provider_code="1301"),
    )
    message = to_termination_message(report)
    assert len(message.encode()) <= MAX_TERMINATION_BYTES
    told = FinalReport.model_validate_json(message)
    assert (told.spent_usd, told.failure.failure_class, told.failure.item) == (Decimal("1.05"), "refused", "07")
    assert told.failure.message.startswith(letter * 500)
