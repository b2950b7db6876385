"""When nobody is told: each row is a sentence about one silence and one moment of local time."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.alerts.silences import WEEKDAYS, is_on, silenced_by
from engine.catalog.alerting import Holidays, Silence
from tests.engine.alerts.judged import Sighting

ZONE = "Europe/Amsterdam"  # clocks go forward on 2026-03-29 at 02:00, back on 2026-10-25 at 03:00
DUTCH = Holidays("NL")
HOUR_US = 3_600_000_000


def us(text: str) -> int:
    """Local time, or with an offset of its own."""
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=ZoneInfo(ZONE))).timestamp() * 1_000_000)


def minutes(text: str) -> int:
    hours, _, rest = text.partition(":")
    return int(hours) * 60 + int(rest)


def nightly(start: str, end: str, **more: Any) -> Silence:
    return Silence("s", "c", start_minute=minutes(start), end_minute=minutes(end), timezone=ZONE, **more)


def once(start: str, end: str) -> Silence:
    return Silence("s", "c", from_us=us(start), until_us=us(end))


NIGHT = nightly("22:00", "06:00")
MONDAYS = nightly("22:00", "06:00", weekdays=("monday",))
HOLIDAYS = Silence("s", "c", holidays=True, timezone=ZONE)
SUNDAYS_AND_HOLIDAYS = Silence("s", "c", holidays=True, weekdays=("sunday",), timezone=ZONE)

ROWS: list[tuple[str, Silence, str, bool]] = [
    ("before it", once("2026-11-24T10:00", "2026-11-24T12:00"), "2026-11-24T09:59:59", False),
    ("at its start", once("2026-11-24T10:00", "2026-11-24T12:00"), "2026-11-24T10:00", True),
    ("just before its end", once("2026-11-24T10:00", "2026-11-24T12:00"), "2026-11-24T11:59:59", True),
    ("at its end", once("2026-11-24T10:00", "2026-11-24T12:00"), "2026-11-24T12:00", False),
    ("in the evening, of one over midnight", NIGHT, "2026-11-24T22:00", True),
    ("after midnight, of one over midnight", NIGHT, "2026-11-24T05:59", True),
    ("at the end in the morning", NIGHT, "2026-11-24T06:00", False),
    ("at noon, of one at night", NIGHT, "2026-11-24T12:00", False),
    ("within one day", nightly("01:00", "02:30"), "2026-11-24T02:29", True),
    ("the same hour twelve hours later", nightly("01:00", "02:30"), "2026-11-24T14:29", False),
    ("the evening of its weekday", MONDAYS, "2026-11-23T23:00", True),
    ("the night after its weekday, which began on it", MONDAYS, "2026-11-24T03:00", True),
    ("the night before its weekday", MONDAYS, "2026-11-23T03:00", False),
    ("the evening of another day", MONDAYS, "2026-11-24T23:00", False),
    ("whole days, at midnight", Silence("s", "c", weekdays=("sunday",), timezone=ZONE), "2026-11-22T00:00", True),
    ("whole days, to their end", Silence("s", "c", weekdays=("sunday",), timezone=ZONE), "2026-11-22T23:59", True),
    ("whole days, the next", Silence("s", "c", weekdays=("sunday",), timezone=ZONE), "2026-11-23T00:00", False),
    ("a holiday that is always on that day", HOLIDAYS, "2026-12-25T09:00", True),
    ("a holiday that moves (Easter Monday)", HOLIDAYS, "2026-04-06T09:00", True),
    ("a holiday of another year", HOLIDAYS, "2027-03-29T09:00", True),
    ("a workday", HOLIDAYS, "2026-11-24T09:00", False),
    ("either on the weekday", SUNDAYS_AND_HOLIDAYS, "2026-11-22T09:00", True),
    ("or on the holiday", SUNDAYS_AND_HOLIDAYS, "2026-12-25T09:00", True),
    ("and not on a Monday", SUNDAYS_AND_HOLIDAYS, "2026-11-23T09:00", False),
    ("the night that began on a holiday", nightly("22:00", "06:00", holidays=True), "2026-12-27T03:00", True),
    ("the night before a holiday", nightly("22:00", "06:00", holidays=True), "2026-12-25T03:00", False),
    ("the night is an hour shorter, and it ends at six", NIGHT, "2026-03-29T05:59+02:00", True),
    ("six by the clock of summer", NIGHT, "2026-03-29T06:00+02:00", False),
    ("the night is an hour longer, and it ends at six", NIGHT, "2026-10-25T05:59+01:00", True),
    ("six by the clock of winter", NIGHT, "2026-10-25T06:00+01:00", False),
    ("a start that the clocks skip is after the gap", nightly("02:30", "04:00"), "2026-03-29T03:00+02:00", True),
    ("and not before it", nightly("02:30", "04:00"), "2026-03-29T01:59+01:00", False),
    ("what lies in the gap does not happen", nightly("02:10", "02:50"), "2026-03-29T03:00+02:00", False),
    ("an end that comes twice is the first", nightly("01:00", "02:30"), "2026-10-25T02:29+02:00", True),
    ("and not the second", nightly("01:00", "02:30"), "2026-10-25T02:29+01:00", False),
    ("from the repeated hour on: the first", nightly("02:30", "04:00"), "2026-10-25T02:30+02:00", True),
    ("a recurring one that has ended", nightly("22:00", "06:00", until_us=us("2026-11-01")), "2026-11-24T23:00", False),
    (
        "a recurring one in its last night",
        nightly("22:00", "06:00", until_us=us("2026-12-01")),
        "2026-11-30T23:00",
        True,
    ),
    (
        "a recurring one that has not begun",
        nightly("22:00", "06:00", from_us=us("2026-12-01")),
        "2026-11-24T23:00",
        False,
    ),
]


@pytest.mark.parametrize(("silence", "at", "on"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_when_it_is_silent(silence: Silence, at: str, on: bool) -> None:
    assert is_on(silence, us(at), DUTCH) is on


def test_without_a_calendar_there_are_no_holidays() -> None:
    assert not is_on(HOLIDAYS, us("2026-12-25T09:00"))


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    epiphany = us("2026-01-06T12:00")
    assert is_on(HOLIDAYS, epiphany, Holidays("DE", "BY"))
    assert not is_on(HOLIDAYS, epiphany, Holidays("DE", "BE"))


@given(start=st.integers(0, 1439), end=st.integers(0, 1439), day=st.integers(1, 28), hour=st.integers(0, 23))
def test_of_a_time_and_its_complement_exactly_one_is_silent(start: int, end: int, day: int, hour: int) -> None:
    """Without a change of clocks near by."""
    at = us(f"2026-06-{day:02}T{hour:02}:30:00.5")
    one = is_on(Silence("s", "c", start_minute=start, end_minute=end, timezone=ZONE), at)
    other = is_on(Silence("s", "c", start_minute=end, end_minute=start, timezone=ZONE), at)
    assert one and other if start == end else one != other


@given(at_us=st.integers(us("2020-01-01"), us("2030-01-01")))
def test_the_days_of_the_week_leave_no_moment_out(at_us: int) -> None:
    on = [day for day in WEEKDAYS if is_on(Silence("s", "c", weekdays=(day,), timezone=ZONE), at_us)]
    assert len(on) == 1


EU = Sighting("Low", "sales", {"region": "EU", "store": None})


@pytest.mark.parametrize(
    ("chosen", "silent"),
    [
        ({}, True),
        ({"kpis": ("sales",)}, True),
        ({"kpis": ("visits",)}, False),
        ({"alerts": ("Low", "High")}, True),
        ({"alerts": ("High",)}, False),
        ({"where": {"region": "EU"}}, True),
        ({"where": {"region": "US"}}, False),
        ({"where": {"product": "a"}}, False),
        ({"where": {"store": "7"}}, False),
        ({"kpis": ("sales",), "alerts": ("High",)}, False),
    ],
)
def test_which_alerts_it_covers(chosen: dict[str, Any], silent: bool) -> None:
    always = Silence("upkeep", "c", from_us=0, until_us=us("2040-01-01"), **chosen)
    assert silenced_by(EU, [always], us("2026-11-24T10:00")) == ("upkeep" if silent else None)


def test_the_first_that_covers_it_is_named() -> None:
    over = Silence("over", "c", from_us=0, until_us=HOUR_US)
    first, second = (Silence(name, "c", from_us=0, until_us=us("2040-01-01")) for name in ("first", "second"))
    assert silenced_by(EU, [over, first, second], us("2026-11-24T10:00")) == "first"
