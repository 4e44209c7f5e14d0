"""Which day a moment counts for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videotask_operator.store.days import day_of, start_of_day

ZONES = (
    "UTC",
    "Europe/Zurich",
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Asia/Beirut",
    "America/Havana",
)


@pytest.mark.parametrize(
    ("moment", "time_zone", "day"),
    [
        (datetime(2026, 1, 1, 0, 0, tzinfo=UTC), "UTC", date(2026, 1, 1)),
        (datetime(2026, 1, 1, 9, 59, tzinfo=UTC), "Pacific/Kiritimati", date(2026, 1, 1)),
        (datetime(2026, 1, 1, 10, 0, tzinfo=UTC), "Pacific/Kiritimati", date(2026, 1, 2)),
        (datetime(2026, 1, 1, 10, 59, tzinfo=UTC), "Pacific/Pago_Pago", date(2025, 12, 31)),
        (datetime(2026, 1, 1, 23, 59, tzinfo=timezone(timedelta(hours=-5))), "UTC", date(2026, 1, 2)),
        (datetime(2026, 1, 1, 23, 59), "UTC", date(2026, 1, 1)),  # noqa: DTZ001  a step that forgot its zone
    ],
)
def test_a_moment_counts_for_the_day_of_the_channels_zone(moment, time_zone, day):
    assert day_of(moment, time_zone) == day


@given(
    moment=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001  hypothesis wants naive bounds
    time_zone=st.sampled_from(ZONES),
)
def test_a_day_holds_exactly_the_moments_between_its_midnights(moment, time_zone):
    aware = moment.replace(tzinfo=UTC)
    day = day_of(aware, time_zone)
    zone = ZoneInfo(time_zone)
    start = start_of_day(aware, time_zone)
    following = day + timedelta(days=1)
    end = datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)
    assert start <= aware < end
    assert day_of(start, time_zone) == day
    assert day_of(start - timedelta(microseconds=1), time_zone) < day


def test_where_clocks_skip_midnight_the_day_begins_at_one():
    # Beirut, 29 March 2026: midnight itself does not exist.
    noon = datetime(2026, 3, 29, 9, 0, tzinfo=UTC)
    assert start_of_day(noon, "Asia/Beirut") == datetime(2026, 3, 28, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize("time_zone", ["", "Nowhere/Town", "../../etc/passwd", "/etc/localtime", "Europe"])
def test_an_unknown_zone_counts_as_utc(time_zone):
    assert day_of(datetime(2026, 1, 1, 23, 59, tzinfo=UTC), time_zone) == date(2026, 1, 1)
