"""Approve and reject as patches; a decision names the round that was on show, so that it never counts for another."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from videotask_contract.errors import BadInputError
from videotask_contract.resources import Approval, Decision
from videotask_contract.steps import Gate
from videotask_operator.cli.change import Change, refuse_when_over
from videotask_operator.cli.exits import NotNowError
from videotask_operator.cli.task import Task
from videotask_operator.local.resources import explain


def decide_approval(task: Task, *, by: str | None, gate: Gate | None = None, review_round: int | None = None) -> Change:
    """Return the approval of what is on show. Raises NotNowError when that is not `gate` and `review_round`."""
    return _decide(task, Decision.APPROVED, by=by, gate=gate, review_round=review_round, reason=None)


def decide_rejection(
    task: Task, *, by: str | None, reason: str, gate: Gate | None = None, review_round: int | None = None
) -> Change:
    """Return the rejection of what is on show, with its reason. Raises NotNowError and BadInputError."""
    return _decide(task, Decision.REJECTED, by=by, gate=gate, review_round=review_round, reason=reason)


def _decide(
    task: Task,
    decision: Decision,
    *,
    by: str | None,
    gate: Gate | None,
    review_round: int | None,
    reason: str | None,
) -> Change:
    shown_gate, shown_round = _on_show(task, decision)
    what = f"{shown_gate.value}, round {shown_round}"
    if gate is not None and gate is not shown_gate:
        raise NotNowError(f"{task.name} shows {what}, not {gate.value}; look at that, then leave --gate out")
    if review_round is not None and review_round != shown_round:
        raise NotNowError(
            f"{task.name} shows {what}, not round {review_round}; look at it, then give --round {shown_round}"
        )
    approval = {"decision": decision.value, "round": shown_round, "by": by, "reason": reason}
    _check(approval, shown_gate)
    given = (task.spec.get("approvals") or {}).get(shown_gate.value) or {}
    said = f"{decision.value.lower()} {what}"
    same = (given.get("decision"), given.get("round"), given.get("reason")) == (decision.value, shown_round, reason)
    if same and given.get("by"):
        return Change(patch=None, words=f"{given['by']} has {said} already")
    # What an earlier round said beside it (a name, a reason) must not stand under this decision: None removes it.
    return Change(patch={"spec": {"approvals": {shown_gate.value: approval}}}, words=said)


def _on_show(task: Task, decision: Decision) -> tuple[Gate, int]:
    refuse_when_over(task, decision.value.lower())
    if task.review is None:
        raise NotNowError(
            f"{task.name} shows nothing to decide on: it is {task.where_it_stands()}, {task.message or 'not begun'}; "
            f"`videotask get {task.name} -w` shows when it does"
        )
    return Gate(task.review["gate"]), int(task.review["round"])


def _check(approval: Mapping[str, object], gate: Gate) -> None:
    try:
        Approval.model_validate(approval)
    except ValidationError as error:
        raise BadInputError(explain(error, root=f"spec.approvals.{gate.value}")) from error
    if approval["decision"] == Decision.REJECTED.value and not str(approval["reason"] or "").strip():
        raise BadInputError(f"spec.approvals.{gate.value}.reason: blank; say what is to be better")
