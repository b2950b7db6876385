"""Local days, and when within them things happen: by weekday, hour and season, at a rate that grows.

Times are int64 microseconds since the epoch. Days are counted from the one that history ends in: 0, the one before -1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.event_time.zones import Zone

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_NUMBER_OFFSET: Final = 1_000_000  # a generator's seed has no negative parts

# Shares of a day by the hour, of a week by the day from Monday; both have a mean of 1 once divided by their own.
BUYING_HOURS: Final = (5, 3, 2, 1, 1, 2, 5, 12, 20, 27, 31, 33, 35, 33, 31, 31, 33, 37, 42, 50, 55, 48, 30, 13)
BUYING_WEEKDAYS: Final = (104, 99, 98, 98, 94, 96, 111)
ASKING_HOURS: Final = (2, 1, 1, 1, 1, 2, 6, 16, 38, 52, 54, 50, 44, 46, 48, 46, 42, 34, 28, 26, 24, 18, 10, 5)
ASKING_WEEKDAYS: Final = (128, 112, 105, 101, 97, 80, 77)


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """One local day of 23 to 25 hours. ``hours_us`` are their starts, ``clock`` what a clock on the wall says then."""

    number: int
    date: date
    start_us: int
    end_us: int
    hours_us: Times
    clock: npt.NDArray[np.int64]

    @property
    def ends_a_month(self) -> bool:
        return (self.date + timedelta(days=1)).day == 1

    def random(self, seed: int, stream: int) -> np.random.Generator:
        """A generator for this day and this stream of events alone: no other draw moves what comes of it."""
        return np.random.default_rng([seed, stream, _NUMBER_OFFSET + self.number])

    def at(self, zone: Zone, hours: Floats) -> Times:
        """When the wall clock shows so many hours after this day's midnight; beyond 24, on later days."""
        midnight = _wall_us(self.date)
        return zone.to_utc(midnight + (hours * HOUR).astype(np.int64))


def day_of(zone: Zone, number: int, last: date) -> Day:
    """Day ``number``, where 0 is ``last``."""
    local = last + timedelta(days=number)
    midnights = zone.to_utc(np.array([_wall_us(local), _wall_us(local + timedelta(days=1))]))
    start, end = int(midnights[0]), int(midnights[1])
    hours = np.arange(start, end, HOUR, dtype=np.int64)
    return Day(number, local, start, end, hours, zone.to_local(hours) // HOUR % 24)


def local_date(zone: Zone, moment_us: int) -> date:
    wall = int(zone.to_local(np.array([moment_us]))[0])
    return date(1970, 1, 1) + timedelta(days=wall // DAY)


def growth(day: Day, yearly: float) -> float:
    """How large something is on this day that grows by ``yearly`` (0.1: a tenth) and is 1 at the end of history."""
    return float((1 + yearly) ** (day.number / 365))


def season(day: Day, swing: float = 0.1) -> float:
    """Around 1, highest in the middle of December."""
    return 1 + swing * math.cos(2 * math.pi * (day.date.timetuple().tm_yday - 349) / 365)


def by_the_hour(day: Day, hours: tuple[int, ...], weekdays: tuple[int, ...]) -> Floats:
    """What share of an average day's events each hour of this one has."""
    profile = np.array(hours, dtype=np.float64)
    week = np.array(weekdays, dtype=np.float64)
    found: Floats = profile[day.clock] / profile.sum() * (week[day.date.weekday()] / week.mean())
    return found


def moments(random: np.random.Generator, day: Day, expected: Floats) -> Times:
    """When things happen of which each hour has so many on average; in order, to the second."""
    counts = random.poisson(expected)
    within = np.minimum(HOUR, day.end_us - day.hours_us)
    starts, lengths = np.repeat(day.hours_us, counts), np.repeat(within, counts)
    found = starts + (random.random(len(starts)) * lengths).astype(np.int64)
    return np.sort(found // SECOND * SECOND)


def instant_us(zone: Zone, moment: datetime) -> int:
    """The instant of a wall time without a zone."""
    return int(zone.to_utc(np.array([(moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)]))[0])


def _wall_us(local: date) -> int:
    return (local - date(1970, 1, 1)).days * DAY
