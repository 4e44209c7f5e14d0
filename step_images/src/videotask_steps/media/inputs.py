"""What earlier steps made, by their ledgers; a file that is missing or was changed since must never be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from videotask_contract import layout
from videotask_contract.errors import PermanentError
from videotask_contract.ledger_record import LedgerRecord
from videotask_contract.steps import Step
from videotask_steps import durable
from videotask_steps.ledger import read_ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One file of an earlier step."""

    item: str
    """Asset name or scene number."""
    path: Path
    sha256: str


def load_inputs(volume: Path, step: Step, items: list[str]) -> dict[str, Input]:
    """Return the current take of each item by the step's ledger, size and SHA-256 checked.

    Raises PermanentError that names the first file that was never made, is missing, empty or changed.
    """
    current = read_ledger(volume, step).current_items()
    return {item: _input(volume, step, item, current.get(item)) for item in items}


def _input(volume: Path, step: Step, item: str, record: LedgerRecord | None) -> Input:
    if record is None or record.path is None:
        raise PermanentError(
            f"{layout.ledger(step)} knows no finished file for {item}: run {step.value} again before this step"
            f"{_how_to_go_back(step)}",
            item=item,
        )
    path = volume / record.path
    if not path.is_file():
        raise PermanentError(
            f"{record.path} is missing: run {step.value} again before this step{_how_to_go_back(step)}", item=item
        )
    size_bytes = path.stat().st_size
    if size_bytes != record.size_bytes:
        raise PermanentError(
            f"{record.path} holds {size_bytes} bytes and its ledger says {record.size_bytes}: it was damaged or "
            f"changed since; restore it or run {step.value} again{_how_to_go_back(step)}",
            item=item,
        )
    sha256 = durable.sha256_of(path)
    if sha256 != record.sha256:
        raise PermanentError(
            f"{record.path} has another content than its ledger says (sha256 {sha256[:12]} instead of "
            f"{(record.sha256 or '')[:12]}): restore it or run {step.value} again{_how_to_go_back(step)}",
            item=item,
        )
    return Input(item=item, path=path, sha256=sha256)


def _how_to_go_back(step: Step) -> str:
    """Return what makes a film do that: another attempt would look at the same file again."""
    return (
        f" (put the file back and raise spec.attempt, or ask for another one with spec.redo of {step.value}, which is "
        "paid)"
    )
