"""Local days, weeks, months, fiscal quarters and years, and what lies one offset earlier."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.model import Calendar, Offset
from engine.event_time.calendars import LocalCalendar
from engine.event_time.durations import parse_offset

HOUR_US = 3_600_000_000
ZONES = [
    "UTC",
    "Europe/Amsterdam",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/New_York",
    "Africa/Casablanca",
]
CALENDARS = st.builds(Calendar, st.sampled_from(ZONES), st.integers(0, 6), st.integers(1, 12))
DATES = st.dates(date(1970, 2, 1), date(2190, 1, 1))


def one(array) -> int:
    (value,) = array.tolist()
    return value


def first_day(grain: str, day: date, calendar: Calendar) -> date:
    """The first day of the grain of a day, by plain dates."""
    if grain == "day":
        return day
    if grain == "week":
        return day - timedelta(days=(day.weekday() - calendar.week_start) % 7)
    length = {"month": 1, "quarter": 3, "year": 12}[grain]
    since = (day.month - (1 if grain == "month" else calendar.fiscal_year_start)) % length
    month = day.year * 12 + day.month - 1 - since
    return date(month // 12, month % 12 + 1, 1)


@given(CALENDARS, DATES, st.sampled_from(["day", "week", "month", "quarter", "year"]), st.integers(0, 86_399))
def test_rule_10_a_grain_begins_with_the_first_instant_of_its_first_local_day(clock, calendar, day, grain, second):
    local = LocalCalendar(calendar)
    here = clock(calendar.timezone)
    instant = here.at(datetime(day.year, day.month, day.day) + timedelta(seconds=second))
    number = local.grains_of(grain, np.array([instant]))
    start, following = one(local.grain_starts(grain, number)), one(local.grain_starts(grain, number + 1))
    assert start <= instant < following
    expected = here.at(first_day(grain, day, calendar))
    # Where the clocks skip a date, the next day begins at the same instant.
    assert start == expected or here.at(day) == here.at(day + timedelta(days=1))


@given(CALENDARS, st.lists(st.integers(0, 7 * 10**15), min_size=1), st.sampled_from(["day", "week", "month", "year"]))
def test_grains_are_numbered_without_holes_and_never_overlap(calendar, instants, grain) -> None:
    local = LocalCalendar(calendar)
    numbers = local.grains_of(grain, np.array(sorted(instants)))
    assert (np.diff(numbers) >= 0).all()
    starts = local.grain_starts(grain, np.arange(numbers[0], min(numbers[-1], numbers[0] + 5000) + 2))
    assert (np.diff(starts) >= 0).all()
    assert (np.diff(starts) <= local.longest_us(grain)).all()
    assert (starts % local.zone.midnight_alignment_us == 0).all()


LENGTHS = [
    ("Europe/Amsterdam", "2026-03-29", 23),
    ("Europe/Amsterdam", "2026-10-25", 25),
    ("Europe/Amsterdam", "2026-07-01", 24),
    ("Asia/Kathmandu", "1986-01-01", 23.75),
    ("America/Sao_Paulo", "2018-11-04", 23),
    ("America/Sao_Paulo", "2018-02-17", 25),
    ("Australia/Lord_Howe", "2026-10-04", 23.5),
    ("Australia/Lord_Howe", "2026-04-05", 24.5),
    ("Pacific/Apia", "2011-12-30", 0),
    ("UTC", "2028-02-29", 24),
]


@pytest.mark.parametrize(("name", "day", "hours"), LENGTHS)
def test_rule_10_a_local_day_lasts(name, day, hours) -> None:
    number = (date.fromisoformat(day) - date(1970, 1, 1)).days
    start, end = LocalCalendar(Calendar(name)).day_starts(np.array([number, number + 1])).tolist()
    assert end - start == hours * HOUR_US


GRAINS = [
    # fiscal year starts in, an instant of, grain, from, to (exclusive)
    (1, "2026-11-22", "quarter", "2026-10-01", "2027-01-01"),
    (4, "2026-11-22", "quarter", "2026-10-01", "2027-01-01"),
    (2, "2026-11-22", "quarter", "2026-11-01", "2027-02-01"),
    (12, "2026-11-22", "quarter", "2026-09-01", "2026-12-01"),
    (1, "2026-11-22", "year", "2026-01-01", "2027-01-01"),
    (4, "2026-03-31", "year", "2025-04-01", "2026-04-01"),
    (4, "2026-04-01", "year", "2026-04-01", "2027-04-01"),
    (10, "2026-11-22", "year", "2026-10-01", "2027-10-01"),
    (10, "2028-02-29", "month", "2028-02-01", "2028-03-01"),
    (7, "2026-11-22", "month", "2026-11-01", "2026-12-01"),
]


@pytest.mark.parametrize(("fiscal", "day", "grain", "start", "end"), GRAINS)
def test_quarters_and_years_follow_the_fiscal_year(clock, fiscal, day, grain, start, end) -> None:
    calendar = LocalCalendar(Calendar("Europe/Amsterdam", 0, fiscal))
    here = clock("Europe/Amsterdam")
    number = one(calendar.grains_of(grain, np.array([here.at(day + " 12:00")])))
    assert calendar.grain_starts(grain, np.array([number, number + 1])).tolist() == [here.at(start), here.at(end)]


@pytest.mark.parametrize(("week_start", "first"), [(0, "2026-11-16"), (6, "2026-11-22"), (5, "2026-11-21")])
def test_a_week_begins_on_its_week_start(clock, week_start, first) -> None:
    calendar = LocalCalendar(Calendar("UTC", week_start))
    number = calendar.grains_of("week", np.array([clock("UTC").at("2026-11-22 12:00")]))
    assert one(calendar.grain_starts("week", number)) == clock("UTC").at(first)


EARLIER = [
    # zone, from, offset, to
    ("Europe/Amsterdam", "2026-11-22 12:00", "30d", "2026-10-23 12:00+02:00"),  # same wall time, an hour more between
    ("Europe/Amsterdam", "2026-04-28 02:30", "30d", "2026-03-29 03:00+02:00"),  # into the gap: the first instant after
    ("Europe/Amsterdam", "2026-11-24 02:30", "30d", "2026-10-25 02:30+02:00"),  # into the repeated hour: the first
    ("Europe/Amsterdam", "2026-11-22 12:00", "720h", "2026-10-23 13:00+02:00"),  # hours are exact
    ("Europe/Amsterdam", "2026-03-31 10:00", "1 month", "2026-02-28 10:00+01:00"),
    ("Europe/Amsterdam", "2028-03-31 10:00", "1 month", "2028-02-29 10:00+01:00"),
    ("Europe/Amsterdam", "2028-02-29 10:00", "1 year", "2027-02-28 10:00+01:00"),
    ("Europe/Amsterdam", "2026-05-31 10:00", "1 quarter", "2026-02-28 10:00+01:00"),
    ("Europe/Amsterdam", "2026-01-15 10:00", "3 months", "2025-10-15 10:00+02:00"),
    ("Europe/Amsterdam", "2026-11-22 10:00", "2w", "2026-11-08 10:00+01:00"),
]


@pytest.mark.parametrize(("name", "wall", "offset", "earlier"), EARLIER)
def test_one_offset_earlier_is_at_the_same_wall_time(clock, name, wall, offset, earlier) -> None:
    here = clock(name)
    found = LocalCalendar(Calendar(name)).earlier(np.array([here.at(wall)]), parse_offset(offset))
    assert here.text(one(found)) == earlier


@given(CALENDARS, DATES, st.integers(1, 800), st.sampled_from(["d", "w", "month", "quarter", "year"]))
def test_one_offset_before_a_start_of_a_day_is_a_start_of_a_day(clock, calendar, day, amount, unit) -> None:
    if unit == "year":
        amount = amount % 50 + 1
    here = clock(calendar.timezone)
    local = LocalCalendar(calendar)
    found = one(local.earlier(np.array([here.at(day)]), Offset(amount, unit), midnights=True))
    if found > 0:
        assert one(local.day_starts(local.days_of(np.array([found])))) == found
        if unit == "d" and here.at(day) != here.at(day + timedelta(days=1)):
            assert found == here.at(day - timedelta(days=amount))


def test_rule_10_an_hour_repeated_from_the_day_before_belongs_to_the_day_that_has_begun(clock) -> None:
    # 2010-11-07 00:01 in St. John's the clocks went back to 23:01 of the day before.
    here = clock("America/St_Johns")
    calendar = LocalCalendar(Calendar("America/St_Johns"))
    midnight = here.at("2010-11-07")
    repeated = np.array([midnight - 1, midnight, midnight + HOUR_US // 2])
    assert here.text(midnight + HOUR_US // 2) == "2010-11-06 23:30-03:30"
    days = calendar.days_of(repeated)
    assert (days - days[0]).tolist() == [0, 1, 1]
