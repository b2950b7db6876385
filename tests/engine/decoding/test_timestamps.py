from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decoding.timestamps import EARLIEST_US, LATEST_US, NO_TIME, parse_numbers, parse_texts, scale_integers
from engine.event_time.zones import zone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_YORK = zone("America/New_York")
AMSTERDAM = zone("Europe/Amsterdam")


def micros(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def one(text: str, zone_name: str = "UTC") -> int:
    [time] = parse_texts([text], zone(zone_name)).tolist()
    return int(time)


offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))


@st.composite
def written(draw: st.DrawFn) -> tuple[str, int]:
    """An RFC 3339 text, in one of its forms, and the microseconds it stands for."""
    local = draw(instants)
    digits = draw(st.integers(0, 9))
    fraction = f"{local.microsecond:06d}{draw(st.integers(0, 999)):03d}"[:digits]
    kept = local.replace(microsecond=int(f"{fraction[:6]:0<6}"))
    separator = draw(st.sampled_from("Tt "))
    text = kept.strftime(f"{kept.year:04d}-%m-%d{separator}%H:%M:%S") + (f".{fraction}" if fraction else "")
    if draw(st.booleans()):
        return text + draw(st.sampled_from("Zz")), micros(kept.replace(tzinfo=UTC))
    offset = draw(offsets)
    minutes = int(offset.utcoffset(None).total_seconds()) // 60
    sign = "-" if minutes < 0 else "+"
    text += f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    return text, micros(kept.replace(tzinfo=offset))


@given(st.lists(written(), max_size=12))
def test_texts_of_all_forms_in_one_column(texts: list[tuple[str, int]]) -> None:
    assert parse_texts([text for text, _ in texts], NEW_YORK).tolist() == [time for _, time in texts]


@given(st.lists(st.one_of(written().map(lambda pair: pair[0]), st.text(max_size=30), st.none()), max_size=8))
def test_a_text_means_the_same_whatever_its_neighbours(texts: list[str | None]) -> None:
    alone = [int(parse_texts([text], AMSTERDAM)[0]) for text in texts]
    assert parse_texts(texts, AMSTERDAM).tolist() == alone


@given(written(), st.integers(0, 34), st.characters())
def test_a_changed_character_never_reads_as_another_kind_of_timestamp(text: tuple[str, int], at: int, to: str) -> None:
    """What is read at all is read as Python reads it."""
    changed = text[0][:at] + to + text[0][at + 1 :]
    [time] = parse_texts([changed], zone("UTC")).tolist()
    if time != NO_TIME and changed[17:19] != "60":
        whole = changed[:19].replace(" ", "T").upper() + changed[19:].upper()
        expected = datetime.fromisoformat(whole)
        expected = expected if expected.tzinfo else expected.replace(tzinfo=UTC)
        assert time == micros(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T22:41",
        "2026-11-22T22:41Z",
        "2026-11-22T22:41:07.",
        "2026-11-22T22:41:07.Z",
        "2026-11-22T22:41:07,5Z",
        "2026-11-22T22:41:07+0100",
        "2026-11-22T22:41:07+01",
        "2026-11-22T22:41:07+24:00",
        "2026-11-22T22:41:07+01:60",
        "2026-11-22X22:41:07Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T22:60:07Z",
        "2026-11-22T22:41:61Z",
        "2026-11-22T22:41:60Z",
        "2026-11-00T22:41:07Z",
        "2026-00-22T22:41:07Z",
        "2026-13-22T22:41:07Z",
        "2026-02-29T22:41:07Z",
        "2026-11-31T22:41:07Z",
        "0000-11-22T22:41:07Z",
        "-026-11-22T22:41:07Z",
        "2026-11-22T22:41:07ZZ",
        " 2026-11-22T22:41:07Z",
        "2026-11-22T22:41:07Z ",
        "٢٠٢٦-11-22T22:41:07Z",
        "2026-11-22T22:41:07−01:00",
        "1795394467",
        "now",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_texts_that_are_no_timestamps(text: str) -> None:
    assert one(text) == NO_TIME


def test_a_leap_second_is_the_first_of_the_next_day() -> None:
    assert one("2016-12-31T23:59:60Z") == one("2017-01-01T00:00:00Z")
    assert one("2017-01-01T00:59:60+01:00") == one("2017-01-01T00:00:00Z")
    assert one("2017-01-01T00:59:60", "Europe/Amsterdam") == one("2017-01-01T00:00:00Z")
    assert one("2016-12-31T23:59:60", "Europe/Amsterdam") == NO_TIME


@pytest.mark.parametrize(
    ("local", "instant"),
    [
        ("2026-07-01T12:00:00", "2026-07-01T12:00:00+02:00"),
        ("2026-12-01T12:00:00.25", "2026-12-01T12:00:00.25+01:00"),
        ("2026-03-29T01:59:59.999999", "2026-03-29T01:59:59.999999+01:00"),
        ("2026-03-29T02:00:00", "2026-03-29T03:00:00+02:00"),
        ("2026-03-29T02:59:59", "2026-03-29T03:00:00+02:00"),
        ("2026-03-29T03:00:00", "2026-03-29T03:00:00+02:00"),
        ("2026-10-25T02:00:00", "2026-10-25T02:00:00+02:00"),
        ("2026-10-25T02:59:59", "2026-10-25T02:59:59+02:00"),
        ("2026-10-25T03:00:00", "2026-10-25T03:00:00+01:00"),
    ],
)
def test_rule_10_nonexistent_is_the_first_instant_after_the_gap_and_repeated_the_first(
    local: str, instant: str
) -> None:
    assert one(local, "Europe/Amsterdam") == one(instant)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1_795_394_467, "s", 1_795_394_467_000_000),
        (1_795_394_467.25, "s", 1_795_394_467_250_000),
        (1_795_394_467_123, "ms", 1_795_394_467_123_000),
        (1_795_394_467_123.4567, "ms", 1_795_394_467_123_457),
        (1_795_394_467_123_456, "us", 1_795_394_467_123_456),
        (1_795_394_467_123_456_789, "ns", 1_795_394_467_123_456),
        (-1, "ns", -1),
        (-1, "s", -1_000_000),
        (0, "us", 0),
        (2**80, "ns", NO_TIME),
        (2**63 - 1, "s", NO_TIME),
        (-(2**63), "ms", NO_TIME),
        (1e300, "s", NO_TIME),
        (EARLIEST_US, "us", EARLIEST_US),
        (EARLIEST_US - 1, "us", NO_TIME),
        (LATEST_US, "us", LATEST_US),
        (LATEST_US + 1, "us", NO_TIME),
        (253_402_300_799, "s", LATEST_US - 999_999),
        (253_402_300_800, "s", NO_TIME),
        (None, "s", NO_TIME),
    ],
)
def test_numbers(value: float | None, unit: str, expected: int) -> None:
    assert parse_numbers([value], unit).tolist() == [expected]  # type: ignore[arg-type]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), st.sampled_from(["s", "ms", "us", "ns"]))
def test_arrays_of_integers_are_read_as_integers_are(values: list[int], unit: str) -> None:
    column = scale_integers(np.array(values, dtype=np.int64), unit)  # type: ignore[arg-type]
    assert column.tolist() == parse_numbers(values, unit).tolist()  # type: ignore[arg-type]


near = st.sampled_from([EARLIEST_US, LATEST_US, 0]).flatmap(lambda at: st.integers(at - 2, at + 2))


@given(st.lists(near, min_size=1, max_size=3), st.sampled_from([("s", 10**6), ("ms", 1000), ("us", 1)]))
def test_the_bounds_are_the_same_for_arrays(times: list[int], unit: tuple[str, int]) -> None:
    name, factor = unit
    values = [time // factor for time in times]
    column = scale_integers(np.array(values, dtype=np.int64), name)  # type: ignore[arg-type]
    assert column.tolist() == parse_numbers(values, name).tolist()  # type: ignore[arg-type]
