"""How much of a grain has passed, by the clock and by the calendar; the table's rows are sentences."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from engine.catalog.model import Calendar, Grain
from engine.event_time.calendars import LocalCalendar
from engine.pace.shares import Moments, moments, places

ZONE = "Europe/Amsterdam"
CALENDAR = LocalCalendar(Calendar(ZONE))


def local_us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE)).timestamp()) * 1_000_000


def at(grain: Grain, start: str, end: str, watermark: str) -> Moments:
    times = (np.array([local_us(text)], dtype=np.int64) for text in (start, end, watermark))
    return moments(CALENDAR, grain, *times)


@pytest.mark.parametrize(
    ("grain", "start", "end", "watermark", "share", "words"),
    [
        ("day", "2026-11-23T00:00", "2026-11-23T06:00", "2026-11-23T09:00", 6 / 24, "hour 6 of 24"),  # closed: its end
        ("day", "2026-11-23T00:00", "2026-11-23T06:00", "2026-11-23T05:15", 5.25 / 24, "hour 6 of 24"),  # open
        ("day", "2026-11-23T00:00", "2026-11-23T01:00", "2026-11-22T23:50", 0, "hour 1 of 24"),  # before it begins
        ("day", "2026-11-23T00:00", "2026-11-24T00:00", "2026-11-24T00:00", 1, "hour 24 of 24"),
        ("day", "2026-03-29T00:00", "2026-03-29T12:00", "2026-03-30T00:00", 11 / 23, "hour 11 of 23"),  # clocks go on
        ("day", "2026-10-25T00:00", "2026-10-25T12:00", "2026-10-26T00:00", 13 / 25, "hour 13 of 25"),  # and back
        ("week", "2026-11-23T00:00", "2026-11-24T00:00", "2026-12-01T00:00", 1 / 7, "day 1 of 7"),
        ("month", "2026-11-01T00:00", "2026-11-11T00:00", "2026-12-01T00:00", 10 / 30, "day 10 of 30"),
        ("month", "2026-11-01T00:00", "2026-11-11T00:00", "2026-11-10T12:00", 9.5 / 30, "day 10 of 30"),
        ("month", "2028-02-01T00:00", "2028-02-16T00:00", "2028-03-01T00:00", 15 / 29, "day 15 of 29"),  # a leap month
        ("month", "2027-02-01T00:00", "2027-02-16T00:00", "2027-03-01T00:00", 15 / 28, "day 15 of 28"),
        (
            "quarter",
            "2027-01-01T00:00",
            "2027-02-01T00:00",
            "2027-04-01T00:00",
            31 * 24 / (90 * 24 - 1),
            "day 31 of 90",
        ),
        ("year", "2028-01-01T00:00", "2028-01-02T00:00", "2029-01-01T00:00", 1 / 366, "day 1 of 366"),
    ],
)
def test_so_much_has_passed(grain: Grain, start: str, end: str, watermark: str, share: float, words: str) -> None:
    found = at(grain, start, end, watermark)
    assert found.elapsed[found.of].tolist() == [pytest.approx(share, abs=1e-12)]
    assert places(CALENDAR, grain, found) == [words]
