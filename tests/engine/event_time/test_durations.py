"""Durations and offsets as the catalog writes them (catalog.md, Exact forms)."""

from __future__ import annotations

import pytest

from engine.catalog.model import Duration, Offset
from engine.event_time.durations import exact_us, nominal_us, parse_duration, parse_expiry, parse_offset

READ = [
    ("30s", Duration(30, "s")),
    ("5m", Duration(5, "m")),
    ("24h", Duration(24, "h")),
    ("7d", Duration(7, "d")),
    ("2w", Duration(2, "w")),
    ("007d", Duration(7, "d")),
]

REFUSED = [
    ("", "is not a duration"),
    ("5", "is not a duration"),
    ("h", "is not a duration"),
    ("5 m", "is not a duration"),
    ("5M", "is not a duration"),
    ("1.5h", "is not a duration"),
    ("-1h", "is not a duration"),
    ("1h30m", "is not a duration"),
    ("1month", "is not a duration"),
    ("1y", "is not a duration"),
    ("٣d", "is not a duration"),
    ("5m\n", "is not a duration"),
    ("0m", "write at least 1m"),
    ("101w" + "0" * 40, "is not a duration"),
    ("5200000w", "longer than 100 years"),
    ("9" * 50 + "s", "longer than 100 years"),
]


@pytest.mark.parametrize(("text", "duration"), READ)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, duration: Duration) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_no_duration_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_duration(text)


def test_zero_is_read_only_where_it_means_something() -> None:
    assert parse_duration("0s", allow_zero=True) == Duration(0, "s")
    with pytest.raises(ValueError, match="is nothing"):
        parse_duration("0s")


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("30d", Offset(30, "d")),
        ("1h", Offset(1, "h")),
        ("1 day", Offset(1, "d")),
        ("1 week", Offset(1, "w")),
        ("2 weeks", Offset(2, "w")),
        ("1 month", Offset(1, "month")),
        ("3 months", Offset(3, "month")),
        ("1 quarter", Offset(1, "quarter")),
        ("1 year", Offset(1, "year")),
    ],
)
def test_an_offset_is_a_duration_or_a_number_of_calendar_units(text: str, offset: Offset) -> None:
    assert parse_offset(text) == offset


@pytest.mark.parametrize("text", ["", "1month", "1  month", "month", "0 months", "1 fortnight", "30 d", "1000 years"])
def test_what_is_no_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_offset(text)


def test_only_seconds_minutes_and_hours_have_an_exact_length() -> None:
    assert exact_us(Duration(90, "s")) == 90_000_000
    assert exact_us(Duration(2, "h")) == 7_200_000_000
    with pytest.raises(ValueError, match="23 to 25 hours"):
        exact_us(Duration(1, "d"))
    assert nominal_us(Duration(1, "w")) == 7 * 86_400_000_000


def test_years_of_an_expiry_never_end_early() -> None:
    assert parse_expiry("3y") == Duration(3 * 366, "d")
    assert parse_expiry("90d") == Duration(90, "d")
    with pytest.raises(ValueError, match="is not a duration"):
        parse_expiry("3 y")
