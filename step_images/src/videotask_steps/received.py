"""Keeps answers that came whole until they are settled, under names that prove them; a partial one is never adopted.

Where a provider cannot be asked what became of a call, its answer is all that is left of the money. So it is on the
disk before anything else is done with it, under the call's own id, and its name says what it must be: the SHA-256 of
its bytes, what it cost, which request it answers. A name needs no second file and no second sync.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import structlog

from videotask_steps import durable
from videotask_steps.ledger import Ledger, PaidCall

_log: Final = structlog.stdlib.get_logger(__name__)

_UNIT_USD: Final = Decimal("0.00000001")
"""Amounts stand in names as whole numbers of this, the ledger's own smallest."""
_UNTOLD: Final = "untold"
_HEX_DIGITS: Final = 32
"""128 bits of a SHA-256: enough to prove bytes that nobody forges, short enough for every file system."""
_NAME: Final = re.compile(
    r"\..+\.(?P<call_id>[0-9a-f]{32})\.(?P<request>[0-9a-f]{32})\.(?P<sha256>[0-9a-f]{32})"
    r"\.(?P<price>[0-9]+|untold)(?P<suffix>\.[a-z0-9]+)\.part"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An answer's media on the volume, and what its name says of it."""

    file: Path
    call_id: str
    request: str
    """Fingerprint of what was asked."""
    sha256: str
    """The first half of its digits."""
    amount_usd: Decimal | None
    """None where the answer did not tell."""
    suffix: str

    def answers(self, call: PaidCall) -> bool:
        """Tell whether it is this very call's answer, to this very request."""
        return (self.call_id, self.request) == (call.call_id, _request_of(call))

    def is_whole(self) -> bool:
        """Tell whether every byte is there as it came."""
        return durable.sha256_of(self.file)[:_HEX_DIGITS] == self.sha256


def waiting_file(folder: Path, call: PaidCall) -> Path:
    """Return where a call's media goes while it comes in piece by piece."""
    return folder / f".{call.intent.item}.{call.call_id}.part"


def file_for(folder: Path, call: PaidCall, content: bytes, *, amount_usd: Decimal | None, suffix: str) -> Path:
    """Return the file that an answer with this content and price is kept in."""
    price = _UNTOLD if amount_usd is None else str(int((amount_usd / _UNIT_USD).to_integral_value()))
    sha256 = hashlib.sha256(content).hexdigest()[:_HEX_DIGITS]
    return folder / f".{call.intent.item}.{call.call_id}.{_request_of(call)}.{sha256}.{price}{suffix}.part"


def received_in(folder: Path) -> Iterator[Received]:
    """Yield the answers that wait in this folder, whole or not."""
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            found = _NAME.fullmatch(file.name)
            if found is not None and file.is_file() and not file.is_symlink():
                price = found["price"]
                yield Received(
                    file=file,
                    call_id=found["call_id"],
                    request=found["request"],
                    sha256=found["sha256"],
                    amount_usd=None if price == _UNTOLD else int(price) * _UNIT_USD,
                    suffix=found["suffix"],
                )


def received_for(folder: Path, call: PaidCall) -> Received | None:
    """Return the call's answer if it waits in this folder and is whole; None otherwise."""
    return next((one for one in received_in(folder) if one.answers(call) and one.is_whole()), None)


def open_answer(folder: Path, call: PaidCall) -> Received | None:
    """Return the answer by which an open call can be settled; one that is not whole goes, since nobody can use it.

    Its call stays possibly paid.
    """
    for answer in received_in(folder):
        if answer.answers(call):
            if answer.is_whole():
                return answer
            _log.warning("answer_not_whole", item=call.intent.item, call_id=call.call_id)
            answer.file.unlink(missing_ok=True)
    return None


def settle_answer(ledger: Ledger, call: PaidCall, answer: Received, *, path: str) -> None:
    """Write down what the answer cost, at the call's upper bound where it did not tell, and where its media belongs."""
    amount_usd = call.intent.amount_usd if answer.amount_usd is None else answer.amount_usd
    ledger.record_settled(call, amount_usd=amount_usd, path=path)
    _log.info("answer_settled", item=call.intent.item, call_id=call.call_id, run_id_of_call=call.intent.run_id)


def _request_of(call: PaidCall) -> str:
    return hashlib.sha256(call.intent.key.encode()).hexdigest()[:_HEX_DIGITS]
