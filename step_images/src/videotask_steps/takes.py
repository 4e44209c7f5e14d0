"""Which take of an item counts: the one a person chose, else the one of its key; no take is ever made from here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from videotask_contract.changes import ALL_ITEMS, check_redo, chosen_take, find_item, redo_number
from videotask_contract.errors import BadInputError, FailureClass, VideoTaskError
from videotask_contract.ledger_record import LedgerRecord, RecordKind, item_key
from videotask_steps import durable
from videotask_steps.context import StepContext
from videotask_steps.ledger import LedgerView

Probe = Callable[[Path], object]

_MOST_LOST_TAKES: Final = 100
"""Of an item that was renamed, that are looked for; nobody asks as often."""


def redo_parts(context: StepContext, item: str) -> dict[str, int]:
    """Return what requests for a new take add to an item's key: nothing before the first one.

    So the key of whatever was made before anybody asked stays as it is. The number is part of the key: the take made
    for redo 1 is not the one that redo 2 asks for, and a run that was cut short goes on with its own. Two requests
    that arrive before a run could honour the first lead to one new take, since 2 is the only number still asked for.
    Raises BadInputError when the request of now names an item that the storyboard lacks.
    """
    check_redo(context.storyboard, context.task.step, context.task.redo_asked)
    number = redo_number(context.storyboard, context.task.step, item, context.task.redo)
    return {"redo": number} if number > 0 else {}


def asked_key(context: StepContext, item: str, **parts: object) -> str:
    """Return the key of an item: the hash of all that makes it, and of how often a new take was asked for.

    Where an asset or scene was renamed, the request names what is no longer there. Its take is there all the same, and
    nobody ever asks for the one before it: the latest that was made of these very parts is the one that is meant.
    """
    asked = redo_parts(context, item)
    number, lost = asked.get("redo", 0), _lost_references(context)
    made_under = {item, *lost}
    made = {one.key for one in context.ledger.records if one.kind is RecordKind.DONE and one.item in made_under}
    most = number + min(sum(lost.values()), _MOST_LOST_TAKES)
    later = (item_key(**parts, redo=one) for one in range(most, number, -1))
    return next((key for key in later if key in made), item_key(**parts, **asked))


def _lost_references(context: StepContext) -> dict[str, int]:
    """Return what earlier requests named and the storyboard has no more, with how often."""
    lost: dict[str, int] = {}
    for reference, times in context.task.redo.items():
        try:
            if reference != ALL_ITEMS:
                find_item(context.storyboard, context.task.step, reference, field="spec.redo")
        except BadInputError:
            lost[reference] = times
    return lost


def wanted_take(context: StepContext, item: str) -> int | None:
    """Return the take that a person chose for this item; None where the latest for its key counts."""
    return chosen_take(context.storyboard, context.task.step, item, context.task.takes)


def take_that_counts(
    ledger: LedgerView, item: str, key: str, *, take: int | None, probe: Probe | None
) -> LedgerRecord | None:
    """Return the line of the take that counts if its file is whole; None when one must be made.

    Raises BadInputError when the chosen take cannot be used, and when clean-up removed the item: it was paid for, and
    is made again at a person's word only.
    """
    if take is not None:
        return _chosen(ledger, item, take, probe)
    removed = ledger.tombstone(item, key)
    if removed is not None:
        raise BadInputError(
            f"spec.redo asks for no new take of {item}, and clean-up removed it on {removed.at:%Y-%m-%d} (take "
            f"{removed.take}); it is not paid again by itself: ask for it with spec.redo, or put the file back and "
            f"choose take {removed.take} with spec.takes",
            item=item,
        )
    return ledger.kept(item, key, probe=probe)


def _chosen(ledger: LedgerView, item: str, take: int, probe: Probe | None) -> LedgerRecord:
    record = ledger.take(item, take)
    problem = "was never made" if record is None else _damage(ledger, record, probe)
    if record is None or problem is not None:
        raise BadInputError(
            f"spec.takes: take {take} of {item} {problem}; {_takes_there(ledger, item, but=take)}", item=item
        )
    return record


def _damage(ledger: LedgerView, record: LedgerRecord, probe: Probe | None) -> str | None:
    """Return what is wrong with a take's file, None when it is whole."""
    path = ledger.volume / (record.path or "")
    if record.path is None or not path.is_file():
        removed = ledger.tombstone(record.item, record.key)
        return "is missing" if removed is None else f"was removed by clean-up on {removed.at:%Y-%m-%d}"
    if path.stat().st_size != record.size_bytes or durable.sha256_of(path) != record.sha256:
        return f"is damaged: {record.path} is not what its ledger says"
    try:
        if probe is not None:
            probe(path)
    except VideoTaskError as error:
        if error.failure_class is FailureClass.TRANSIENT:
            raise  # it could not be looked at, and may well be whole
        return f"cannot be used: {error.message}"
    return None


def _takes_there(ledger: LedgerView, item: str, *, but: int) -> str:
    there = sorted(
        {
            record.take
            for record in ledger.records
            if record.kind is RecordKind.DONE and record.item == item and _is_there(ledger, record)
        }
        - {but}
    )
    if not there:
        return "there is no other; remove the choice"
    return f"choose one of {', '.join(map(str, there))}, or remove the choice"


def _is_there(ledger: LedgerView, record: LedgerRecord) -> bool:
    path = ledger.volume / (record.path or "")
    return path.is_file() and path.stat().st_size == record.size_bytes
