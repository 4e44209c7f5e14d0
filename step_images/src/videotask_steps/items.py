"""Makes a step's items, several at once: ledger, reservation, call, check, file; never pays twice for one item."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import shutil
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

import structlog

from videotask_contract.errors import FailureClass, OutcomeUnknownError, TransientError, VideoTaskError
from videotask_contract.ledger_record import LedgerRecord, RecordKind
from videotask_contract.prices import upper_bound_usd
from videotask_steps import durable, received
from videotask_steps.context import StepContext
from videotask_steps.failures import combine_failures
from videotask_steps.ledger import Ledger, PaidCall
from videotask_steps.money import MoneyUnderWay, begin_call
from videotask_steps.stop_sign import StopSign, interrupted
from videotask_steps.takes import take_that_counts

_T = TypeVar("_T")
_log: Final = structlog.stdlib.get_logger(__name__)

MAX_RETRIES: Final = 3
"""Short retries inside one item; longer waits belong to the operator."""
LONGEST_RETRY_SECONDS: Final = 30.0
_FIRST_RETRY_SECONDS: Final = 1.0
MOST_LOST_TRIES: Final = 12
"""Of one item, that are looked for behind unreadable lines; a run makes at most four of an item."""
LEAST_FREE_BYTES: Final = 64 * 2**20
"""Room for a few clips at 1080p, so that no answer is paid for that the disk will not take."""
UNBELIEVABLE_USD: Final = Decimal(1_000_000)
"""No single call costs as much; the ledger has no room for it either."""
_RETRIED: Final = frozenset({FailureClass.TRANSIENT, FailureClass.NETWORK, FailureClass.RATE_LIMITED})
_OF_THE_ITEM: Final = frozenset({FailureClass.REFUSED, FailureClass.BAD_INPUT, FailureClass.BAD_MEDIA})
"""Failures that say nothing about the other items."""
_MAYBE_OF_THE_ITEM: Final = frozenset({FailureClass.OUTCOME_UNKNOWN, FailureClass.TRANSIENT, FailureClass.NETWORK})
_MAYBE_CHARGED: Final = frozenset({FailureClass.OUTCOME_UNKNOWN, FailureClass.BAD_MEDIA})
"""Failures that prove nothing about the money unless the provider names a sum."""
_STRIKES: Final = 3
"""So many failures that may be the item's own, and they are taken for the provider's: nothing new is begun."""


class Call:
    """One paid call as a step's code sees it: where to put the media, and whom to tell what it costs."""

    def __init__(self, ledger: Ledger, paid: PaidCall, *, part: Path, stopping: StopSign) -> None:
        self._ledger = ledger
        self.paid = paid
        self.part = part
        """Where the media goes while it comes in."""
        self.stopping = stopping
        self.cost_usd: Decimal | None = None
        self.is_accepted = paid.accepted is not None
        self.is_in_doubt = False
        """True while nobody knows whether the provider took it: whatever fails meanwhile, it is not free."""

    @property
    def external_id(self) -> str:
        """Our own id at the provider."""
        return self.paid.intent.external_id or ""

    def accepted(self, provider_id: str) -> None:
        """Say that the provider took it: from here it is charged and can be asked for by its id."""
        self._ledger.record_accepted(self.paid, provider_id=provider_id)
        self.is_accepted = True

    def charged(self, amount_usd: Decimal) -> None:
        """Say what the provider says it cost in US dollars; also for an answer that cannot be used.

        A sum that no call can cost is no word at all: the call then counts at its upper bound.
        """
        if amount_usd.is_finite() and 0 <= amount_usd < UNBELIEVABLE_USD:
            self.cost_usd = amount_usd
        else:
            _log.warning("cost_unbelievable", item=self.paid.intent.item, amount_usd=str(amount_usd))

    def keep(self, content: bytes, suffix: str) -> str:
        """Write a whole answer down before anything else is done with it, and return its suffix.

        To be called after `charged`, as the last thing a maker does: the file's name carries the price, so that a run
        that dies from here on is not the end of what was paid for. It is synced as soon as the maker returns.
        """
        folder = self.part.parent
        self.part = received.file_for(folder, self.paid, content, amount_usd=self.cost_usd, suffix=suffix)
        self.part.write_bytes(content)
        return suffix


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One item a step must have."""

    item: str
    """Scene number or asset name: the item's id in ledger and report."""
    label: str
    """What people call it in messages: "scene 07"."""
    key: str
    """Hash of all that makes it."""
    model: str
    price_usd: Decimal
    """Table price; the reservation is made at its upper bound."""
    path: Callable[[int, str], str]
    """Path below the task's folder from take and suffix."""
    suffixes: tuple[str, ...]
    """Every suffix its file may have."""
    make: Callable[[Call], Awaitable[str]]
    """Makes one paid call, leaves the media in `call.part` (an answer's by `call.keep`) and returns its suffix."""
    probe: Callable[[Path], float | None]
    """Raises when the file is not what was asked for; returns its seconds, None for pictures."""
    check_new: Callable[[Path], object] | None = None
    """Raises when media that just came is not to be taken either; never asked of what was taken before.

    Its verdict may hang on what is not in the key, a voice's pace say: nothing paid for is thrown away for that.
    """
    resume: Callable[[Call], Awaitable[str | None]] | None = None
    """Goes on with a call of an earlier run; None when the provider knows nothing of it."""
    collect: Callable[[Call], Awaitable[str | None]] | None = None
    """As `resume`, for a call of this item to which another request led; raises while it is still under way."""
    external_id: Callable[[int, int], str] | None = None
    """Our own id at the provider from take and try."""
    find_lost: Callable[[Sequence[str]], Awaitable[dict[str, str]]] | None = None
    """Asks the provider, for nothing, which of these ids of ours it knows: its own ids by ours."""
    chosen_take: int | None = None
    """The take that a person chose, whatever its key; None where nobody did."""


async def make_items(context: StepContext, wanted: Sequence[Wanted], *, are_counted: bool = True) -> None:
    """Keep what is there, make what is missing; returns only when every item is done.

    An item of which the provider will not or cannot make a usable file does not stop the others; an account, budget or
    rate failure and the sign to stop let the calls under way finish and begin nothing new. Raises one VideoTaskError
    that carries the most telling failure and names the items.
    """
    workshop = _Workshop(context, are_counted=are_counted)
    await workshop.keep(wanted)
    await workshop.make_missing()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Media:
    """Media that was delivered: where it lies now, and the take and path, below the task's folder, that are its own."""

    file: Path
    path: str
    take: int


class _Workshop:
    def __init__(self, context: StepContext, *, are_counted: bool) -> None:
        self._context = context
        self._ledger = context.ledger
        self._under_way = MoneyUnderWay(context.ledger, context.limits, context.stopping)
        self._are_counted = are_counted
        self._wanted: Sequence[Wanted] = ()
        self._missing: deque[Wanted] = deque()
        self._failures: list[tuple[Wanted, VideoTaskError]] = []
        self._is_closed = False

    async def keep(self, wanted: Sequence[Wanted]) -> None:
        refused: list[tuple[str, VideoTaskError]] = []
        self._wanted = wanted
        self._settle_received(wanted)
        await self._collect_open(wanted)
        for one in wanted:
            try:
                record = await asyncio.to_thread(
                    take_that_counts, self._ledger, one.item, one.key, take=one.chosen_take, probe=one.probe
                )
                if record is None and not any(call.is_open for call in self._ledger.calls_for(one.item, one.key)):
                    record = await self._take_over(one)
            except VideoTaskError as error:
                refused.append((one.label, error))
                continue
            if record is None:
                self._missing.append(one)
                continue
            self._ledger.record_again(record)
            _log.info("item_kept", item=one.item, path=record.path)
            self._count(kept=True)
        if refused:  # before anything is paid: a film that cannot be finished is not begun
            raise combine_failures(refused)

    async def _take_over(self, one: Wanted) -> LedgerRecord | None:
        """Make a copy of what was paid for under another name that wants it no more: scenes move, assets are renamed.

        Two items that want the same each have their own, as ever. None when there is nothing to take over. What a call
        of the item's own may still bring comes first.
        """
        owners = {other.item for other in self._wanted if other.key == one.key}
        found = await asyncio.to_thread(self._ledger.kept_elsewhere, one.key, owners=owners, probe=one.probe)
        if found is None or found.path is None:
            return await self._take_answer_over(one, owners)
        before = self._context.volume / found.path
        record = await self._copied(one, before, found.duration_seconds, suffix=before.suffix)
        _log.info("item_taken_over", item=one.item, path=record.path, item_before=found.item, path_before=found.path)
        return record

    async def _take_answer_over(self, one: Wanted, owners: Container[str]) -> LedgerRecord | None:
        """As `_take_over`, of an answer that came whole under another name and still waits: its run was killed."""
        for paid in reversed(self._ledger.calls()):
            if paid.intent.key != one.key or paid.intent.item in owners:
                continue
            waiting = await asyncio.to_thread(self._waiting, one, paid)
            if waiting is None:
                continue
            file, suffix = waiting
            try:
                seconds = await asyncio.to_thread(_look_at_new, one, file)
            except VideoTaskError as error:
                if error.failure_class is FailureClass.TRANSIENT:
                    raise  # it could not be looked at, and may well be good
                continue
            _log.info("answer_taken_over", item=one.item, item_before=paid.intent.item, call_id=paid.call_id)
            return await self._copied(one, file, seconds, suffix=suffix)
        return None

    def _waiting(self, one: Wanted, paid: PaidCall) -> tuple[Path, str] | None:
        """Return the file in which a settled call's media still waits in the item's folder, and its suffix."""
        if paid.closed is None or paid.closed.path is None:
            return None
        answer = received.received_for(self._folder(one), paid)
        if answer is not None:
            return answer.file, answer.suffix
        part = received.waiting_file(self._folder(one), paid)
        return (part, Path(paid.closed.path).suffix) if part.exists() else None

    async def _copied(self, one: Wanted, file: Path, seconds: float | None, *, suffix: str) -> LedgerRecord:
        """Copy the file to a free take of the item, and write it down as made."""
        _require_room(self._context.volume, item=one.item)
        free = self._free_take(one)
        path = one.path(free, suffix)
        content = await asyncio.to_thread(file.read_bytes)
        await asyncio.to_thread(durable.save, self._context.volume / path, content)
        return self._ledger.record_done(one.item, one.key, path=path, take=free, duration_seconds=seconds)

    def _settle_received(self, wanted: Sequence[Wanted]) -> None:
        """Settle the calls of killed runs whose answers came whole, also those of a prompt that was edited since."""
        by_item = {one.item: one for one in wanted}
        for paid in self._ledger.calls():
            one = by_item.get(paid.intent.item)
            if one is None or not paid.is_open:
                continue
            answer = received.open_answer(self._folder(one), paid)
            if answer is not None:
                path = one.path(paid.intent.take, answer.suffix)
                received.settle_answer(self._ledger, paid, answer, path=path)

    async def _collect_open(self, wanted: Sequence[Wanted]) -> None:
        """Settle the open calls of prompts that were edited since, where the provider can be asked for nothing.

        Their media waits under its call's name for the day the edit is taken back. What cannot be learned now stays
        open and is nobody's failure: the next run asks again.
        """
        by_item = {one.item: one for one in wanted}
        slots = asyncio.Semaphore(max(1, self._context.limits.concurrency))

        async def collect(one: Wanted, paid: PaidCall) -> None:
            async with slots:
                try:
                    await self._resume(one, self._call(one, paid), one.collect)
                except (VideoTaskError, OSError) as error:
                    _log.info("open_call_not_collected", item=one.item, call_id=paid.call_id, message=str(error))

        others = [(by_item.get(paid.intent.item), paid) for paid in self._ledger.calls() if paid.is_open]
        await asyncio.gather(
            *(collect(one, paid) for one, paid in others if one is not None and paid.intent.key != one.key)
        )

    async def make_missing(self) -> None:
        running: set[asyncio.Task[None]] = set()
        broken: BaseException | None = None
        while True:
            while self._may_begin(len(running)):
                running.add(asyncio.create_task(self._make(self._missing.popleft())))
            self._context.set_in_flight(len(running))
            if not running:
                break
            finished, running = await self._wait(running)
            # A crash begins nothing new, but calls in flight may be paid for: they finish first.
            broken = next((error for task in finished if (error := task.exception())), broken)
        if broken is not None:
            raise broken
        if self._missing and not self._failures:
            raise interrupted(self._context.stopping.reason)
        if self._failures:
            raise combine_failures([(one.label, error) for one, error in self._failures], left=len(self._missing))

    def _may_begin(self, running: int) -> bool:
        is_open = not self._is_closed and not self._context.stopping.is_set()
        return bool(self._missing) and is_open and running < self._context.limits.concurrency

    async def _wait(self, running: set[asyncio.Task[None]]) -> tuple[set[asyncio.Task[None]], set[asyncio.Task[None]]]:
        """Wait until an item ends or the operator grants other limits."""
        limits = self._context.limits
        limits.changed.clear()
        changed = asyncio.create_task(limits.changed.wait())
        try:
            finished, _ = await asyncio.wait({*running, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        done = {task for task in running if task in finished}
        return done, running - done

    async def _make(self, one: Wanted) -> None:
        try:
            await self._make_or_raise(one)
        except VideoTaskError as error:
            self._note_failure(one, error)
        except OSError as error:
            self._is_closed = True  # a disk that fails one item fails the next
            self._note_failure(one, TransientError(f"the volume or the machine failed: {error}", item=one.item))
        except BaseException:
            self._is_closed = True
            raise
        finally:
            self._under_way.ended(one.item)

    def _note_failure(self, one: Wanted, error: VideoTaskError) -> None:
        self._failures.append((one, error))
        kind = error.failure_class
        counts = Counter(failure.failure_class for _, failure in self._failures)
        if kind not in _OF_THE_ITEM and (kind not in _MAYBE_OF_THE_ITEM or counts[kind] >= _STRIKES):
            self._is_closed = True
        if kind is not FailureClass.INTERRUPTED:
            with contextlib.suppress(OSError):  # on a full disk the log and the report still say it
                self._ledger.record_failed(one.item, one.key, message=error.message)
            _log.warning(
                "item_failed",
                item=one.item,
                failure_class=kind.value,
                is_transient=kind.is_transient,
                provider_code=error.provider_code,
                message=error.message,
            )

    async def _make_or_raise(self, one: Wanted) -> None:
        await self._find_lost_calls(one)
        if await self._recover(one):
            return
        if await self._take_over(one) is not None:  # a call of its own that was waited for brought nothing
            self._count(kept=True)
            return
        self._warn_if_paid_before(one)
        begun_at: float | None = None
        for tries in range(MAX_RETRIES + 1):
            if await self._wait_for_money(one) and self._is_closed:
                self._missing.appendleft(one)  # nothing is begun any more
                return
            call = self._begin(one)
            begun_at = begun_at or time.monotonic()
            try:
                suffix = await self._within_limit(one, call, one.make)
            except VideoTaskError as error:
                self._close_failed(call, error)
                pause_seconds = _pause_before_retry(error, call, tries=tries)
                waited_seconds = time.monotonic() - begun_at
                if pause_seconds is None or waited_seconds + pause_seconds > self._context.task.item_timeout_seconds:
                    raise
                _log.info("call_retried", item=one.item, pause_seconds=round(pause_seconds, 1), message=error.message)
                await self._pause(pause_seconds)
            except OSError:
                self._settle_what_is_lost(one, call)
                raise
            else:
                await self._finish(one, call, await self._secure(one, call, suffix))
                return

    async def _find_lost_calls(self, one: Wanted) -> None:
        """Write down again calls whose lines in the ledger cannot be read any more, as far as the provider knows them.

        Each unreadable line may have been the intent of a try for this item; our ids of such tries are derived anew.
        """
        if one.find_lost is None or one.external_id is None or self._ledger.unreadable_lines == 0:
            return
        known = {call.intent.external_id for call in self._ledger.calls()}
        tries = len(self._ledger.calls_for(one.item, one.key)) + min(self._ledger.unreadable_lines, MOST_LOST_TRIES)
        takes = range(1, self._free_take(one) + 1)
        possible = [one.external_id(take, number) for take in takes for number in range(1, tries + 1)]
        found = await one.find_lost([ours for ours in possible if ours not in known])
        for ours, theirs in found.items():
            # No reservation stops what is paid already; and its own take's name may bear its file.
            paid = self._ledger.record_intent(
                item=one.item,
                key=one.key,
                take=self._free_take(one),
                model=one.model,
                upper_bound_usd=upper_bound_usd(self._context.task.prices, one.price_usd),
                external_id=ours,
            )
            self._ledger.record_accepted(paid, provider_id=theirs)
            _log.warning("lost_call_found", item=one.item, call_id=paid.call_id, external_id=ours, provider_id=theirs)

    async def _recover(self, one: Wanted) -> bool:
        """Make use of what earlier runs paid for and did not finish; True when the item is done by it."""
        for paid in reversed(self._ledger.calls_for(one.item, one.key)):
            call = self._call(one, paid)
            media = self._delivered(one, call)
            if media is None and paid.is_open and one.resume is not None:
                media = await self._resume(one, call, one.resume)
            if media is None:
                continue
            _log.info("call_adopted", item=one.item, call_id=paid.call_id, run_id_of_call=paid.intent.run_id)
            try:
                await self._finish(one, call, media)
            except VideoTaskError as error:
                if error.failure_class is not FailureClass.BAD_MEDIA:
                    raise
                _log.warning("call_not_adopted", item=one.item, call_id=paid.call_id, message=error.message)
                continue
            return True
        return False

    def _delivered(self, one: Wanted, call: Call) -> _Media | None:
        """Find media that was settled before a crash: still under its waiting name, or named but not written down."""
        closed = call.paid.closed
        if closed is None or closed.path is None:
            return None
        answer = received.received_for(self._folder(one), call.paid)
        if answer is not None:
            call.part = answer.file
            return self._named_again(one, call, closed, answer.suffix)
        if call.part.exists():
            return self._named_again(one, call, closed, Path(closed.path).suffix)
        file = self._context.volume / closed.path
        is_known = any(
            record.kind is RecordKind.DONE and (record.item, record.path) == (one.item, closed.path)
            for record in self._ledger.records
        )
        if is_known or not file.exists() or not self._is_own(one, call.paid, closed.path):
            return None
        return _Media(file=file, path=closed.path, take=closed.take)

    def _is_own(self, one: Wanted, paid: PaidCall, path: str) -> bool:
        """Tell whether the file of this name is the call's: the last one's that gave it and whose media is not apart.

        A name that was given to media that is rejected or still waits is free, and another call may have it by now.
        """
        named = [other for other in self._ledger.calls() if other.closed is not None and other.closed.path == path]
        bearers = [other.call_id for other in named if not self._lies_apart(one, other)]
        return bearers[-1:] == [paid.call_id]

    def _lies_apart(self, one: Wanted, paid: PaidCall) -> bool:
        folder = self._folder(one)
        part = received.waiting_file(folder, paid)
        return part.exists() or _rejected(part).exists() or received.received_for(folder, paid) is not None

    def _named(self, one: Wanted, call: Call, suffix: str) -> _Media:
        """Return where waiting media goes: to its call's take, or to a free one if that name was taken meanwhile."""
        own = call.paid.intent.take
        is_free = self._is_free(one, own)
        take = own if is_free else self._free_take(one)
        return _Media(file=call.part, path=one.path(take, suffix), take=take)

    def _named_again(self, one: Wanted, call: Call, settled: LedgerRecord, suffix: str) -> _Media:
        """Return where settled media goes, written down before it goes anywhere else than its line says.

        After a crash between its name and its last line nothing else would tell whose it is.
        """
        media = self._named(one, call, suffix)
        if (media.path, media.take) != (settled.path, settled.take):
            amount_usd = settled.amount_usd
            self._ledger.record_settled(call.paid, amount_usd=amount_usd, path=media.path, take=media.take)
        return media

    async def _resume(
        self, one: Wanted, call: Call, resume: Callable[[Call], Awaitable[str | None]] | None
    ) -> _Media | None:
        if resume is None:
            return None
        try:
            suffix = await self._within_limit(one, call, resume)
        except VideoTaskError as error:
            if call.cost_usd is None:
                raise  # not known yet: it stays open and is not paid again
            self._close_failed(call, error)
            if not error.failure_class.is_transient:
                raise  # a person must act before it is paid for again
            return None
        if suffix is None:
            if not call.is_accepted:
                self._ledger.record_released(call.paid, message="the provider knows nothing of this call")
            return None
        return await self._secure(one, call, suffix)

    def _warn_if_paid_before(self, one: Wanted) -> None:
        paid_usd = sum((call.amount_usd for call in self._ledger.calls_for(one.item, one.key)), Decimal(0))
        if paid_usd > 0:
            _log.warning("item_paid_again", item=one.item, earlier_usd=str(paid_usd), reason="no usable file is left")

    async def _wait_for_money(self, one: Wanted) -> bool:
        """Wait for what the calls under way may leave, rather than end the step for want of money that is only held."""
        needed_usd = upper_bound_usd(self._context.task.prices, one.price_usd)
        return await self._under_way.wait_for(needed_usd, is_pointless=lambda: self._is_closed)

    def _begin(self, one: Wanted) -> Call:
        self._context.stopping.raise_if_set()
        _require_room(self._context.volume, item=one.item)
        # Before the intent: a run that dies over it has promised nothing yet.
        durable.make_folder(self._folder(one))
        take = self._free_take(one)
        paid = begin_call(
            self._ledger,
            self._context.limits,
            item=one.item,
            key=one.key,
            take=take,
            model=one.model,
            upper_bound_usd=upper_bound_usd(self._context.task.prices, one.price_usd),
            external_id=self._unused_id(one, take),
        )
        self._under_way.begun(one.item, paid)
        return self._call(one, paid)

    def _unused_id(self, one: Wanted, take: int) -> str | None:
        """Return our own id of the next try that no call bears: where lines are lost, their number says too little."""
        if one.external_id is None:
            return None
        known = {call.intent.external_id for call in self._ledger.calls()}
        tries = itertools.count(len(self._ledger.calls_for(one.item, one.key)) + 1)
        possible = (one.external_id(take, number) for number in tries)
        return next(ours for ours in possible if ours not in known)

    def _free_take(self, one: Wanted) -> int:
        """Return the first take whose name is free: what was paid for is never overwritten."""
        take = self._ledger.next_take(one.item)
        while any((self._context.volume / one.path(take, suffix)).exists() for suffix in one.suffixes):
            take += 1
        return take

    def _is_free(self, one: Wanted, take: int) -> bool:
        """Tell whether no line speaks of this take as made, and no file has its name under any suffix."""
        names = (self._context.volume / one.path(take, suffix) for suffix in one.suffixes)
        return self._ledger.take(one.item, take) is None and not any(name.exists() for name in names)

    def _call(self, one: Wanted, paid: PaidCall) -> Call:
        folder = self._folder(one)
        durable.make_folder(folder)
        part = received.waiting_file(folder, paid)
        return Call(self._ledger, paid, part=part, stopping=self._context.stopping)

    def _folder(self, one: Wanted) -> Path:
        """Return the folder in which the item's takes stand, and what is to become one waits."""
        return (self._context.volume / one.path(1, one.suffixes[0])).parent

    async def _within_limit(self, one: Wanted, call: Call, work: Callable[[Call], Awaitable[_T]]) -> _T:
        limit_seconds = self._context.task.item_timeout_seconds
        try:
            async with asyncio.timeout(limit_seconds):
                return await work(call)
        except TimeoutError:
            if call.is_accepted:
                raise TransientError(
                    f"still under way at the provider after {limit_seconds} s; the next run goes on asking for it",
                    item=one.item,
                ) from None
            raise OutcomeUnknownError(
                f"no answer within {limit_seconds} s; it may have been charged",
                item=one.item,
            ) from None

    def _close_failed(self, call: Call, error: VideoTaskError) -> None:
        call.part.unlink(missing_ok=True)
        self._under_way.ended(call.paid.intent.item)
        if call.cost_usd is not None:
            self._ledger.record_settled(call.paid, amount_usd=call.cost_usd)
        elif not call.is_accepted and not call.is_in_doubt and error.failure_class not in _MAYBE_CHARGED:
            self._ledger.record_released(call.paid, message=error.message)

    def _settle_what_is_lost(self, one: Wanted, call: Call) -> None:
        """Write down what an answer cost that the disk would not take; what can be fetched again stays open."""
        if one.resume is None and call.cost_usd is not None:
            with contextlib.suppress(OSError):
                call.part.unlink(missing_ok=True)
                self._ledger.record_settled(call.paid, amount_usd=call.cost_usd)

    async def _secure(self, one: Wanted, call: Call, suffix: str) -> _Media:
        """Sync the media, then write down what it cost and where it goes: from here no crash loses it."""

        def sync() -> None:
            durable.sync_file(call.part)
            durable.sync_folder(call.part.parent)

        # A disk may take its time: meanwhile the answers of other calls come in and are written down.
        await asyncio.to_thread(sync)
        media = self._named(one, call, suffix)
        if call.cost_usd is None:
            _log.warning("cost_not_told", item=one.item, model=one.model)
        amount_usd = call.paid.intent.amount_usd if call.cost_usd is None else call.cost_usd
        self._ledger.record_settled(call.paid, amount_usd=amount_usd, path=media.path, take=media.take)
        return media

    async def _finish(self, one: Wanted, call: Call, media: _Media) -> None:
        try:
            seconds = await asyncio.to_thread(_look_at_new, one, media.file)
        except VideoTaskError as error:
            if error.failure_class is FailureClass.TRANSIENT:
                raise  # it could not be looked at: the next run finds it where it waits
            # Kept as evidence beside the good ones: it was paid for.
            durable.rename(media.file, _rejected(received.waiting_file(call.part.parent, call.paid)))
            raise
        final = self._context.volume / media.path
        if media.file != final:
            durable.rename(media.file, final)
        self._ledger.record_done(
            one.item,
            one.key,
            path=media.path,
            take=media.take,
            duration_seconds=seconds,
            call=call.paid,
        )
        _log.info("item_done", item=one.item, path=media.path)
        self._count(kept=False)

    def _count(self, *, kept: bool) -> None:
        if self._are_counted:
            self._context.progress.item_done(kept=kept)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._context.stopping.wait()
        self._context.stopping.raise_if_set()


def _rejected(part: Path) -> Path:
    return part.with_suffix(".rejected")


def _look_at_new(one: Wanted, file: Path) -> float | None:
    seconds = one.probe(file)
    if one.check_new is not None:
        one.check_new(file)
    return seconds


def _require_room(volume: Path, *, item: str) -> None:
    """Refuse to pay for what could not be stored: TRANSIENT, since clean-up or a larger volume may make room."""
    usage = shutil.disk_usage(volume)
    if usage.total > 0 and usage.free < LEAST_FREE_BYTES:
        raise TransientError(
            f"the volume has {usage.free // 2**20} MiB left and {LEAST_FREE_BYTES // 2**20} MiB must be free before "
            "anything is paid for: enlarge it or clean up finished films",
            item=item,
        )


def _pause_before_retry(error: VideoTaskError, call: Call, *, tries: int) -> float | None:
    """Return the seconds to wait before the same item is asked again in this run; None when it must not be."""
    if tries >= MAX_RETRIES or error.failure_class not in _RETRIED:
        return None
    if call.is_accepted or call.is_in_doubt or call.cost_usd is not None:
        return None
    told_seconds = error.retry_after_seconds if isinstance(error, TransientError) else None
    if told_seconds is not None and told_seconds > LONGEST_RETRY_SECONDS:
        return None
    jitter: float = random.uniform(0.5, 1.5)  # noqa: S311  spreads retries, guards nothing
    backoff_seconds: float = _FIRST_RETRY_SECONDS * 2**tries * jitter
    return backoff_seconds if told_seconds is None else max(told_seconds, backoff_seconds)
