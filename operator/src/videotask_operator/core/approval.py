"""When a person's decision counts: for the gate on show, in the round on show, and nowhere else."""

from __future__ import annotations

from videotask_contract.resources import Approval, Decision, VideoTaskSpec
from videotask_contract.steps import Gate
from videotask_operator.core.model import TaskRecord


def decision_on_show(record: TaskRecord, spec: VideoTaskSpec) -> Approval | None:
    """Return the decision that counts for what the task shows now, or None.

    An approval without a round or without a name was not stamped by the admission policy and does not count.
    """
    gate = record.review_gate
    if gate is None:
        return None
    approval = spec.approvals.get(gate)
    if approval is None or approval.by is None or approval.round != record.review_round:
        return None
    return approval


def last_round_named(spec: VideoTaskSpec) -> int:
    """Return the highest round that a decision in the spec names; 0 where none does.

    No later round may bear that number again, whatever became of the record: the decision would count for what nobody
    has looked at.
    """
    return max((approval.round or 0 for approval in spec.approvals.values()), default=0)


def rejection_words(approval: Approval, gate: Gate) -> str:
    """Return who rejected what and why, and the roads that are open."""
    reason = f": {approval.reason}" if approval.reason else ""
    return (
        f"{approval.by} rejected {gate.value}, round {approval.round}{reason}; redo or edit what displeases and "
        "approve the next round, approve this one after all, or cancel the task"
    )


def is_approved(approval: Approval) -> bool:
    """Tell whether the decision is a yes."""
    return approval.decision is Decision.APPROVED


def approve_command(record: TaskRecord, gate: Gate, review_round: int) -> str:
    """Return the one-line command that approves what is on show; it carries its round."""
    patch = f'{{"spec":{{"approvals":{{"{gate.value}":{{"decision":"Approved","round":{review_round}}}}}}}}}'
    return f"kubectl patch videotask {record.name} -n {record.namespace} --type=merge -p '{patch}'"
