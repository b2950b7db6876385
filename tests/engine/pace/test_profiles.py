"""The share of a grain that belongs to each of its hours, by past weeks."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.alerting import Holidays
from engine.catalog.model import Calendar
from engine.event_time.calendars import LocalCalendar
from engine.event_time.durations import HOUR_US
from engine.pace.profiles import (
    CELLS,
    HISTORY_DAYS,
    HOLIDAY,
    HOURS,
    SUNDAY,
    DayKinds,
    History,
    Profiles,
    fitted,
    hours_behind,
    seasonal_shares,
    slots_of,
)
from engine.pace.shares import Moments

ZONES = st.sampled_from(["UTC", "Europe/Amsterdam", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])


def day_number(text: str) -> int:
    return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()


def history(
    until: str, value: np.ndarray, *, calendar: LocalCalendar, kinds: DayKinds, first: int = 0, known_from: int = 0
) -> History:
    """Of one series: ``value`` by cell in each hour of the last eight weeks, from the day ``first`` of these on."""
    days = np.arange(day_number(until) - HISTORY_DAYS, day_number(until), dtype=np.int64)
    slots = slots_of(calendar, kinds, days)
    slot = np.flatnonzero(slots.day >= first)
    series = np.zeros(len(slot), dtype=np.int64)
    h = np.array([7], dtype=np.uint64)
    took = value[slots.cell[slot]] * slots.hours[slot]
    return History(days, kinds.of(days), slots, h, series, slot, took, known_from)


def by_weekday(*values: float) -> np.ndarray:
    """Every hour of a weekday takes the same; a holiday what a Sunday takes."""
    return np.repeat(np.array([*values, values[6]]), HOURS).astype(np.float64)


def fitted_to(value: np.ndarray, until: str = "2026-11-01", zone: str = "UTC", **more: int) -> Profiles:
    return fitted(history(until, value, calendar=LocalCalendar(Calendar(zone)), kinds=DayKinds(), **more))


WEEK = by_weekday(1, 2, 3, 4, 5, 6, 0)


def test_the_rates_are_what_an_hour_took() -> None:
    found = fitted_to(WEEK)
    assert found.rates[0].tolist() == WEEK.tolist()
    assert found.days.tolist() == [HISTORY_DAYS]
    assert found.spread[0] == pytest.approx(0, abs=1e-9)
    assert found.flat_spread[0] > 40  # days differ, though none from its weekday
    assert found.find(np.array([7, 8], dtype=np.uint64)).tolist() == [0, -1]


@pytest.mark.parametrize(
    ("first", "known_from", "days"),
    [
        (0, 0, 56),
        (1, 0, 54),  # the day of the first event may be a part of one
        (40, 0, 15),
        (41, 0, 14),
        (0, 30, 26),  # what is before was lost
        (55, 0, 0),
    ],
)
def test_history_begins_with_the_first_whole_day(first: int, known_from: int, days: int) -> None:
    found = fitted_to(WEEK, first=first, known_from=known_from)
    assert found.days.tolist() == [days]
    assert np.isnan(found.spread[0]) == (days < 14)
    assert np.isnan(found.flat_spread[0]) == (days < 14)


def test_negative_hours_have_no_share_and_are_remembered() -> None:
    odd = WEEK.copy()
    odd[3] = -5
    found = fitted_to(odd)
    assert found.rates[0][3] == 0
    assert not found.rising[0]
    assert fitted_to(WEEK).rising[0]


def test_a_holiday_is_a_sunday_unless_history_holds_one() -> None:
    calendar, kinds = LocalCalendar(Calendar("Europe/Amsterdam")), DayKinds(Holidays("NL"))
    assert kinds.of(np.array([day_number("2026-04-27"), day_number("2026-04-28")])).tolist() == [HOLIDAY, 1]
    value = WEEK.reshape(-1, HOURS).copy()
    value[HOLIDAY] = 9
    without = fitted(history("2026-04-01", value.ravel(), calendar=calendar, kinds=kinds)).rates[0].reshape(-1, HOURS)
    assert without[HOLIDAY].tolist() == without[SUNDAY].tolist() == [0] * HOURS
    with_ = fitted(history("2026-05-01", value.ravel(), calendar=calendar, kinds=kinds)).rates[0].reshape(-1, HOURS)
    assert with_[HOLIDAY].tolist() == [9] * HOURS  # King's Day, Easter Monday


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    day = np.array([day_number("2026-01-06")])
    assert DayKinds(Holidays("DE", "BY")).of(day).tolist() == [HOLIDAY]
    assert DayKinds(Holidays("DE")).of(day).tolist() == [1]


@given(zone=ZONES, first=st.integers(19_000, 21_000), count=st.integers(1, 92))
def test_the_hours_of_days_lie_side_by_side(zone: str, first: int, count: int) -> None:
    calendar = LocalCalendar(Calendar(zone))
    days = np.arange(first, first + count, dtype=np.int64)
    slots = slots_of(calendar, DayKinds(), days)
    assert (slots.start_us[1:] == slots.end_us[:-1]).all()
    assert [slots.start_us[0], slots.end_us[-1]] == calendar.day_starts(np.array([first, first + count])).tolist()
    assert ((slots.hours > 0) & (slots.hours <= 1)).all()
    assert (slots.cell < CELLS).all()


def grain(zone: str, first: int, days: int, nows: int) -> tuple[LocalCalendar, Moments]:
    calendar = LocalCalendar(Calendar(zone))
    start, end = calendar.day_starts(np.array([first, first + days])).tolist()
    now = np.linspace(start, end, nows).astype(np.int64)
    return calendar, Moments(np.full(nows, start), np.full(nows, end), now, np.arange(nows))


@given(
    zone=ZONES,
    first=st.integers(19_000, 21_000),
    days=st.sampled_from([1, 7, 28, 29, 31, 366]),
    rates=st.lists(st.floats(0, 1e9), min_size=CELLS, max_size=CELLS),
)
def test_shares_rise_from_nothing_to_all_of_it(zone: str, first: int, days: int, rates: list[float]) -> None:
    calendar, at = grain(zone, first, days, 40)
    behind, whole = hours_behind(calendar, DayKinds(), at)
    assert whole.sum(axis=1).tolist() == [pytest.approx((at.end_us[0] - at.start_us[0]) / HOUR_US)] * 40
    row = np.zeros(40, dtype=np.int64)
    shares = seasonal_shares(np.array([rates]), row, behind, whole, at.of)
    if (whole[0] * rates).sum() == 0:
        assert np.isnan(shares).all()
        return
    assert [shares[0], shares[-1]] == [0, 1]
    assert (np.diff(shares) >= -1e-12).all()  # and so the shares of its hours sum to 1


@given(zone=ZONES, first=st.integers(19_000, 21_000), days=st.sampled_from([1, 7, 28, 31]), rate=st.floats(1e-6, 1e6))
def test_with_even_hours_seasonal_is_linear(zone: str, first: int, days: int, rate: float) -> None:
    calendar, at = grain(zone, first, days, 17)
    behind, whole = hours_behind(calendar, DayKinds(), at)
    shares = seasonal_shares(np.full((1, CELLS), rate), np.zeros(17, dtype=np.int64), behind, whole, at.of)
    assert shares == pytest.approx(at.elapsed, abs=1e-9)
