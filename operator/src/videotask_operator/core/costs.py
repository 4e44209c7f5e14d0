"""What a month cost, by whatever people ask for; sums exact figures and never rounds before it has added up."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import zip_longest
from typing import Any, Final

from videotask_contract.errors import BadInputError
from videotask_contract.steps import TRAITS, Step


class CostKey(StrEnum):
    """What rows can be told apart by."""

    CHANNEL = "channel"
    PROVIDER = "provider"
    FILM = "film"
    STEP = "step"
    DAY = "day"


class CostFormat(StrEnum):
    """How a report is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


AMOUNTS: Final = ("planned_usd", "paid_usd", "possibly_paid_usd", "kept_usd", "redo_usd", "total_usd")
"""Columns of every report, after those that it is by; total = paid + possibly paid, redo is a part of that."""
_HEADS: Final = ("PLANNED", "PAID", "POSSIBLY", "KEPT", "REDO", "TOTAL")
_CENTS: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostFact:
    """Dollars of one kind at one place in the record."""

    namespace: str
    channel: str
    film: str
    step: Step | None
    """None where only the whole film is known."""
    day: date
    """Of the channel."""
    planned_usd: Decimal = Decimal(0)
    paid_usd: Decimal = Decimal(0)
    """At the provider's own figure."""
    possibly_paid_usd: Decimal = Decimal(0)
    """At the upper bound: the outcome is unknown."""
    kept_usd: Decimal = Decimal(0)
    redo_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """One line of a report."""

    labels: tuple[str, ...]
    planned_usd: Decimal
    paid_usd: Decimal
    possibly_paid_usd: Decimal
    kept_usd: Decimal
    redo_usd: Decimal

    @property
    def total_usd(self) -> Decimal:
        """All that counts as spent."""
        return self.paid_usd + self.possibly_paid_usd

    def amounts(self) -> tuple[Decimal, ...]:
        """Return the figures in the order of AMOUNTS."""
        return tuple(getattr(self, name) for name in AMOUNTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsReport:
    """A month's costs; `rows` add up to `total` exactly."""

    month: str
    by: tuple[CostKey, ...]
    rows: tuple[CostRow, ...]
    total: CostRow


def parse_month(text: str) -> date:
    """Return the first day of a month given as 2026-11; BadInputError says what was given instead."""
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise BadInputError(f"--month: {text!r} is no month; give one like 2026-11") from error


def parse_keys(text: str) -> tuple[CostKey, ...]:
    """Return the keys of a list like "channel,provider"; BadInputError names one that is unknown."""
    try:
        return tuple(dict.fromkeys(CostKey(word.strip()) for word in text.split(",") if word.strip()))
    except ValueError as error:
        raise BadInputError(f"--by: {error}; known are {', '.join(CostKey)}") from error


def add_up(facts: Iterable[CostFact], *, month: date, by: Sequence[CostKey]) -> CostsReport:
    """Return the report over these facts, its rows in the order of their labels."""
    groups: dict[tuple[str, ...], list[CostFact]] = {}
    everything = []
    for fact in facts:
        everything.append(fact)
        groups.setdefault(tuple(_LABELS[key](fact) for key in by), []).append(fact)
    return CostsReport(
        month=f"{month:%Y-%m}",
        by=tuple(by),
        rows=tuple(_row(labels, groups[labels]) for labels in sorted(groups)),
        total=_row(("total", *[""] * (len(by) - 1)), everything),
    )


def render(report: CostsReport, how: CostFormat) -> str:
    """Return the report as text that ends with a line feed."""
    match how:
        case CostFormat.CSV:
            return _csv(report)
        case CostFormat.JSON:
            return _json(report)
        case CostFormat.TABLE:
            return _table(report)


def _row(labels: tuple[str, ...], facts: Iterable[CostFact]) -> CostRow:
    mine = tuple(facts)

    def total(of: Callable[[CostFact], Decimal]) -> Decimal:
        return sum(map(of, mine), Decimal(0))

    return CostRow(
        labels=labels,
        planned_usd=total(lambda fact: fact.planned_usd),
        paid_usd=total(lambda fact: fact.paid_usd),
        possibly_paid_usd=total(lambda fact: fact.possibly_paid_usd),
        kept_usd=total(lambda fact: fact.kept_usd),
        redo_usd=total(lambda fact: fact.redo_usd),
    )


def _provider(fact: CostFact) -> str:
    provider = TRAITS[fact.step].provider if fact.step else None
    return provider.value if provider else "-"


_LABELS: Final[dict[CostKey, Callable[[CostFact], str]]] = {
    CostKey.CHANNEL: lambda fact: f"{fact.namespace}/{fact.channel}",
    CostKey.PROVIDER: _provider,
    CostKey.FILM: lambda fact: f"{fact.namespace}/{fact.film}",
    CostKey.STEP: lambda fact: fact.step.value if fact.step else "-",
    CostKey.DAY: lambda fact: fact.day.isoformat(),
}


# --- writing ----------------------------------------------------------------------------------------------------


def _exact(usd: Decimal) -> str:
    """Return dollars with four places, or with eight where four would not be the whole figure."""
    return f"{usd:.4f}" if usd == usd.quantize(_CENTS) else f"{usd:.8f}"


def _csv(report: CostsReport) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*report.by, *AMOUNTS])
    writer.writerows([*row.labels, *map(_exact, row.amounts())] for row in report.rows)
    return text.getvalue()


def _json(report: CostsReport) -> str:
    def entry(row: CostRow) -> dict[str, Any]:
        return {
            **dict(zip(report.by, row.labels, strict=True)),
            **dict(zip(AMOUNTS, map(_exact, row.amounts()), strict=True)),
        }

    rows = [entry(row) for row in report.rows]
    total = dict(zip(AMOUNTS, map(_exact, report.total.amounts()), strict=True))
    return json.dumps({"month": report.month, "by": report.by, "rows": rows, "total": total}, indent=2) + "\n"


def _table(report: CostsReport) -> str:
    heads = (*(key.value.upper() for key in report.by), *_HEADS)
    lines = [(*row.labels, *(f"{usd:.4f}" for usd in row.amounts())) for row in report.rows]
    total = ("TOTAL", *[""] * (len(report.by) - 1)) if report.by else ()
    if report.by or not lines:
        lines.append((*total, *(f"{usd:.4f}" for usd in report.total.amounts())))
    widths = [max(map(len, column)) for column in zip_longest(heads, *lines, fillvalue="")]
    count = len(report.by)
    return "".join(
        "   ".join(
            word.ljust(width) if place < count else word.rjust(width)
            for place, (word, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in (heads, *lines)
    )
