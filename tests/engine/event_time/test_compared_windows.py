"""What a window is compared with (catalog.md: compare, and `metric@30d`)."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalog.model import Calendar, Cumulate, Duration, Hop, Offset, Tumble
from engine.event_time.durations import parse_duration, parse_offset
from engine.event_time.windows import windows_for

DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24
ZONES = ["UTC", "Europe/Amsterdam", "Asia/Kathmandu", "America/Sao_Paulo", "America/St_Johns", "Australia/Lord_Howe"]
GRAINS = st.sampled_from(["day", "week", "month", "quarter", "year"])
EXACT = st.sampled_from([Duration(20, "m"), Duration(90, "m"), Duration(1, "h"), Duration(6, "h")])
LOCAL = st.sampled_from([Duration(1, "d"), Duration(7, "d"), Duration(10, "d"), Duration(2, "w")])
WINDOWS = st.one_of(
    st.builds(Tumble, size=EXACT | LOCAL),
    st.builds(Tumble, size=st.none(), grain=GRAINS),
    st.builds(Hop, EXACT | LOCAL, EXACT),
    st.builds(Hop, LOCAL, LOCAL),
    st.builds(Cumulate, GRAINS, EXACT | LOCAL),
)
OFFSETS = st.builds(
    Offset, st.integers(1, 5), st.sampled_from(["m", "h", "d", "w", "month", "quarter", "year"])
) | st.just(Offset(30, "d"))
CALENDARS = st.builds(Calendar, st.sampled_from(ZONES), st.integers(0, 6), st.integers(1, 12))
STARTS = st.builds(
    lambda year, days: ((date(year, 1, 1) - date(1970, 1, 1)).days + days) * DAY_US,
    st.integers(1980, 2040),
    st.integers(0, 365),
)


@given(WINDOWS, CALENDARS, STARTS, OFFSETS)
def test_rule_10_compared_windows_are_made_of_the_same_panes(window, calendar, low, offset) -> None:
    windows = windows_for(window, calendar, [offset])
    spans = windows.closing(low, low + max(2 * DAY_US, 2 * windows.max_step_us))
    compared = windows.shifted(spans, offset)
    assert (compared.start_us % windows.pane_us == 0).all()
    assert (compared.end_us % windows.pane_us == 0).all()
    assert (compared.start_us < compared.end_us).all()
    assert (compared.start_us < spans.start_us).all()
    assert (compared.end_us < spans.end_us).all()
    assert (compared.end_us - compared.start_us <= windows.max_length_us).all()
    assert (compared.publish_us == spans.publish_us).all()


@given(WINDOWS, STARTS, st.sampled_from(["m", "h", "d", "w"]), st.integers(1, 40))
def test_where_no_clock_changes_a_compared_window_is_as_long_and_one_offset_earlier(window, low, unit, amount) -> None:
    windows = windows_for(window, Calendar())
    spans = windows.closing(low, low + 2 * windows.max_step_us)
    compared = windows.shifted(spans, Offset(amount, unit))
    length = amount * {"m": HOUR_US // 60, "h": HOUR_US, "d": DAY_US, "w": 7 * DAY_US}[unit]
    assert (spans.start_us - compared.start_us == length).all()
    assert (spans.end_us - compared.end_us == length).all()


SENTENCES = [
    # window, a window's end, offset, from, to
    ("hop 30d 1h", "2026-11-22 12:00", "30d", "2026-09-23 12:00+02:00", "2026-10-23 12:00+02:00"),
    ("hop 30d 1d", "2026-11-22", "1 month", "2026-09-22 00:00+02:00", "2026-10-22 00:00+02:00"),
    ("hop 1h 1h", "2026-03-30 03:00", "1d", "2026-03-29 01:00+01:00", "2026-03-29 03:00+02:00"),
    ("tumble day", "2026-03-30", "1d", "2026-03-28 00:00+01:00", "2026-03-29 00:00+01:00"),
    ("tumble day", "2026-03-31", "1d", "2026-03-29 00:00+01:00", "2026-03-30 00:00+02:00"),
    ("tumble day", "2026-03-31", "1 month", "2026-02-28 00:00+01:00", "2026-03-01 00:00+01:00"),
    ("tumble 1d", "2026-04-01", "1 month", "2026-02-28 00:00+01:00", "2026-03-01 00:00+01:00"),
    ("tumble month", "2026-04-01", "1 month", "2026-02-01 00:00+01:00", "2026-03-01 00:00+01:00"),
    ("tumble month", "2026-03-01", "1 month", "2026-01-01 00:00+01:00", "2026-02-01 00:00+01:00"),
    ("tumble quarter", "2026-04-01", "1 year", "2025-01-01 00:00+01:00", "2025-04-01 00:00+02:00"),
    ("tumble 1h", "2026-03-30 10:00", "1d", "2026-03-29 09:00+02:00", "2026-03-29 10:00+02:00"),
    ("tumble 1h", "2026-03-30 10:00", "24h", "2026-03-29 09:00+02:00", "2026-03-29 10:00+02:00"),
    ("tumble 1h", "2026-03-29 10:00", "24h", "2026-03-28 08:00+01:00", "2026-03-28 09:00+01:00"),
    # a grain to date with the same elapsed part of the earlier grain
    ("cumulate day 1h", "2026-11-22 10:00", "1d", "2026-11-21 00:00+01:00", "2026-11-21 10:00+01:00"),
    ("cumulate day 1h", "2026-03-29 10:00", "1d", "2026-03-28 00:00+01:00", "2026-03-28 10:00+01:00"),
    ("cumulate day 1h", "2026-11-22 10:00", "1 week", "2026-11-15 00:00+01:00", "2026-11-15 10:00+01:00"),
    ("cumulate week 1h", "2026-11-22 10:00", "1 week", "2026-11-09 00:00+01:00", "2026-11-15 10:00+01:00"),
    ("cumulate month 1h", "2026-11-22 10:00", "1 month", "2026-10-01 00:00+02:00", "2026-10-22 10:00+02:00"),
    ("cumulate month 1h", "2026-03-30 10:00", "1 month", "2026-02-01 00:00+01:00", "2026-03-01 00:00+01:00"),
    ("cumulate month 1h", "2026-03-01", "1 month", "2026-01-01 00:00+01:00", "2026-02-01 00:00+01:00"),  # whole, whole
    ("cumulate month 1h", "2026-02-28 23:00", "1 month", "2026-01-01 00:00+01:00", "2026-01-28 23:00+01:00"),
    ("cumulate month 1h", "2028-02-29 12:00", "1 year", "2027-02-01 00:00+01:00", "2027-03-01 00:00+01:00"),
    ("cumulate quarter 1h", "2026-05-15 12:00", "1 quarter", "2026-01-01 00:00+01:00", "2026-02-14 12:00+01:00"),
    ("cumulate year 1d", "2026-07-01", "1 year", "2025-01-01 00:00+01:00", "2025-07-01 00:00+02:00"),
    ("cumulate month 1h", "2026-03-02 12:00", "30d", "2026-01-30 00:00+01:00", "2026-01-31 12:00+01:00"),
    ("cumulate month 1h", "2026-03-02 12:00", "2h", "2026-02-28 22:00+01:00", "2026-03-02 10:00+01:00"),
]


def read(text: str) -> Tumble | Hop | Cumulate:
    match text.split():
        case ["hop", size, slide]:
            return Hop(parse_duration(size), parse_duration(slide))
        case ["cumulate", grain, step]:
            return Cumulate(grain, parse_duration(step))
        case ["tumble", size] if size[0].isdigit():
            return Tumble(parse_duration(size))
        case ["tumble", grain]:
            return Tumble(grain=grain)
    raise AssertionError(text)


@pytest.mark.parametrize(("window", "end", "offset", "start", "upto"), SENTENCES)
def test_a_window_in_amsterdam_is_compared_with(clock, window, end, offset, start, upto) -> None:
    here = clock("Europe/Amsterdam")
    windows = windows_for(read(window), Calendar("Europe/Amsterdam"))
    spans = windows.closing(here.at(end) - 1, here.at(end))
    compared = windows.shifted(spans, parse_offset(offset))
    assert [here.text(at) for at in (*compared.start_us.tolist(), *compared.end_us.tolist())] == [start, upto]


def test_a_fiscal_quarter_is_compared_with_the_fiscal_quarter_before(clock) -> None:
    here = clock("UTC")
    windows = windows_for(Tumble(grain="quarter"), Calendar("UTC", 0, 2))
    spans = windows.closing(here.at("2026-04-30"), here.at("2026-05-01"))
    compared = windows.shifted(spans, Offset(1, "quarter"))
    assert here.text(int(compared.start_us[0])) == "2025-11-01 00:00+00:00"
    assert here.text(int(compared.end_us[0])) == "2026-02-01 00:00+00:00"


def test_a_day_whose_midnight_is_skipped_is_compared_from_midnight(clock) -> None:
    here = clock("America/Sao_Paulo")
    windows = windows_for(Tumble(grain="day"), Calendar("America/Sao_Paulo"))
    spans = windows.closing(here.at("2018-11-04 12:00"), here.at("2018-11-05"))
    compared = windows.shifted(spans, Offset(1, "d"))
    assert here.text(int(spans.start_us[0])) == "2018-11-04 01:00-02:00"
    assert here.text(int(compared.start_us[0])) == "2018-11-03 00:00-03:00"
    assert compared.end_us.tolist() == spans.start_us.tolist()


def test_nothing_is_compared_with_nothing() -> None:
    windows = windows_for(Cumulate("month", Duration(1, "h")), Calendar())
    assert len(windows.shifted(windows.closing(0, 0), Offset(1, "month"))) == 0
    assert windows.closing(0, 0).start_us.dtype == np.int64


@given(WINDOWS, CALENDARS, STARTS, OFFSETS, OFFSETS)
def test_windows_may_be_shifted_twice(window, calendar, low, first, second) -> None:
    windows = windows_for(window, calendar, [first, second])
    spans = windows.closing(low, low + max(2 * DAY_US, 2 * windows.max_step_us))
    once = windows.shifted(spans, first)
    twice = windows.shifted(once, second)
    assert (twice.start_us % windows.pane_us == 0).all()
    assert (twice.end_us % windows.pane_us == 0).all()
    assert (twice.start_us < twice.end_us).all()
    assert (twice.end_us < once.end_us).all()
    assert (twice.end_us - twice.start_us <= windows.max_length_us).all()


def test_two_hours_and_a_month_before_a_month_to_date(clock) -> None:
    here = clock("Europe/Amsterdam")
    windows = windows_for(Cumulate("month", Duration(1, "h")), Calendar("Europe/Amsterdam"))
    spans = windows.closing(here.at("2026-03-05 09:00"), here.at("2026-03-05 10:00"))
    compared = windows.shifted(windows.shifted(spans, Offset(2, "h")), Offset(1, "month"))
    assert here.text(int(compared.start_us[0])) == "2026-01-28 22:00+01:00"
    assert here.text(int(compared.end_us[0])) == "2026-02-02 08:00+01:00"
