from __future__ import annotations

from videotask_contract.errors import FailureClass
from videotask_contract.report import Failure
from videotask_contract.steps import Step
from videotask_steps.final_report import build_early_report


def test_a_run_that_opened_no_ledger_does_not_claim_to_have_told_it():
    failure = Failure(failure_class=FailureClass.NETWORK, message="no start permit")
    report = build_early_report(run_id="run2", step=Step.VIDEO_GENERATION, failure=failure)
    assert report.cut
    assert not report.spend
