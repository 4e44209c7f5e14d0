"""Which of a channel's days a moment belongs to; an unknown time zone must never keep money from being recorded."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import structlog

_log = structlog.get_logger(__name__)


def day_of(moment: datetime, time_zone: str) -> date:
    """Return the calendar day in this IANA time zone; a moment without a zone is UTC.

    Days are 23 to 25 hours long where clocks change. An unknown zone counts as UTC and is logged once.
    """
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return aware.astimezone(_zone(time_zone)).date()


def start_of_day(moment: datetime, time_zone: str) -> datetime:
    """Return the first moment, in UTC, of the day that holds this one in this zone."""
    day = day_of(moment, time_zone)
    # Where clocks skip midnight the day begins when they do: the first reading of the missing hour is that moment.
    return datetime(day.year, day.month, day.day, tzinfo=_zone(time_zone)).astimezone(UTC)


def is_known_zone(time_zone: str) -> bool:
    """Tell whether days are counted in this zone; in UTC where not."""
    return _find_zone(time_zone) is not None


@lru_cache(maxsize=256)
def _zone(time_zone: str) -> tzinfo:
    zone = _find_zone(time_zone)
    if zone is None:
        _log.warning("time_zone_unknown", time_zone=time_zone, used_instead="UTC")
    return zone or UTC


@lru_cache(maxsize=256)
def _find_zone(time_zone: str) -> tzinfo | None:
    try:
        return ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):
        return None
