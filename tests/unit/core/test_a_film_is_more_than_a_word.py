"""An assembly is done when it names its film and something is in it; its word alone is none."""

from __future__ import annotations

import pytest
from tests.support.builders import NOON, RULES, a_record, a_report, a_run

from videotask_contract.errors import FailureClass
from videotask_contract.phases import Phase
from videotask_contract.report import Film
from videotask_contract.steps import Gate, Step
from videotask_operator.core.draft import Draft
from videotask_operator.core.model import RunOutcome
from videotask_operator.core.settle import settle_report

FILM = Film(path="film.mp4", duration_seconds=9, size_bytes=1, sha256="ab", loudness_lufs=-14)


def settled(film: Film | None) -> Draft:
    run = a_run(step=Step.VIDEO_ASSEMBLY, account=None)
    record = a_record(phase=Phase.ASSEMBLING, step=Step.VIDEO_ASSEMBLY, last_run_number=1)
    draft = Draft(record=record, runs={run.run_id: run}, now=NOON)
    settle_report(draft, run, a_report(run, film=film), rules=RULES.retry)
    return draft


@pytest.mark.parametrize("film", [None, FILM.model_copy(update={"size_bytes": 0})], ids=["no film", "an empty film"])
def test_an_assembly_without_a_film_is_not_shown_to_anybody_and_tried_again(film):
    draft = settled(film)
    [run] = draft.runs.values()
    assert (run.outcome, run.failure_class) == (RunOutcome.FAILED, FailureClass.TRANSIENT)
    assert "names no film" in (run.failure_message or "")
    assert (draft.record.review_gate, draft.record.film) == (None, None)
    assert draft.record.waiting_reason == "RetryScheduled"


def test_an_assembly_with_its_film_is_shown():
    draft = settled(FILM)
    assert (draft.record.phase, draft.record.review_gate) == (Phase.FINAL_REVIEW, Gate.FINAL)
