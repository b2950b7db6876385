"""What share of a grain belongs to which of its hours, by the KPI's own past weeks.

An hour is known by its *cell*: the kind of its local day (a weekday, or a public holiday) and the hour that the wall
clock shows. A *rate* is what a series took in an hour of a cell, on average over its history. The share of a grain that
is behind an instant is what its hours so far would have taken at these rates, of what all of them would. So a day of 23
hours weighs less than one of 25, and a month with five Saturdays more than one with four.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.catalog.alerting import Holidays
from engine.event_time.calendars import LocalCalendar
from engine.event_time.durations import HOUR_US
from engine.event_time.zones import Times
from engine.keyed_rows import Indexes, Mask, stretches
from engine.pace.shares import Floats, Moments
from engine.series import Hashes

LEAST_DAYS: Final = 14  # of history, before anything is read off it
HISTORY_DAYS: Final = 56
HOURS: Final = 24
SUNDAY: Final = 6
HOLIDAY: Final = 7
KINDS: Final = 8
CELLS: Final = KINDS * HOURS
_FIRST_DAY: Final = date(1970, 1, 1)
_ROWS_AT_ONCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class DayKinds:
    """0 to 6 from Monday to Sunday, and `HOLIDAY` where the catalog declares a calendar of them."""

    holidays: Holidays | None = None

    def of(self, days: Times) -> Indexes:
        """Days are counted from 1970-01-01."""
        kinds = (days + _FIRST_DAY.weekday()) % 7
        if self.holidays is None or not len(days):
            return kinds
        first, last = (date.fromordinal(int(day) + _FIRST_DAY.toordinal()).year for day in (days.min(), days.max()))
        off = np.concatenate([_holidays(self.holidays, year) for year in range(first, last + 1)])
        return np.where(np.isin(days, off), HOLIDAY, kinds)


@functools.lru_cache(maxsize=256)
def _holidays(of: Holidays, year: int) -> Times:
    import holidays

    found = holidays.country_holidays(of.country, subdiv=of.subdivision, years=year)
    return np.array(sorted(day.toordinal() - _FIRST_DAY.toordinal() for day in found), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """The hours of some local days, in order; ``day`` is the position of each one's day, ``cell`` what it is known by.

    Where the clocks change, a day has an hour twice, or one less.
    """

    start_us: Times
    end_us: Times
    day: Indexes
    cell: Indexes

    def __len__(self) -> int:
        return len(self.day)

    @property
    def hours(self) -> Floats:
        """How long each is: shorter than one where the clocks change by half an hour."""
        found: Floats = (self.end_us - self.start_us) / HOUR_US
        return found


def slots_of(calendar: LocalCalendar, kinds: DayKinds, days: Times, *, hourly: bool = True) -> Slots:
    """The hours of these days, given by their numbers; or, not ``hourly``, the days as one slot each."""
    starts, ends = calendar.day_starts(days), calendar.day_starts(days + 1)
    count = -(-(ends - starts) // HOUR_US) if hourly else np.ones(len(days), dtype=np.int64)
    place, day = stretches(np.zeros(len(days), dtype=np.int64), count)
    start = starts[day] + place * HOUR_US
    end = np.minimum(start + HOUR_US, ends[day]) if hourly else ends
    hour = calendar.zone.to_local(start) // HOUR_US % HOURS if hourly else np.zeros(len(days), dtype=np.int64)
    return Slots(start, end, day, kinds.of(days)[day] * HOURS + hour)


def hours_behind(calendar: LocalCalendar, kinds: DayKinds, at: Moments) -> tuple[Floats, Floats]:
    """Of each moment, by cell: the hours of its grain that have passed, and all of them."""
    behind, whole = np.zeros((len(at), CELLS)), np.zeros((len(at), CELLS))
    for start in np.unique(at.start_us).tolist():
        mine = np.flatnonzero(at.start_us == start)
        first, last = calendar.days_of(np.array([start, at.end_us[mine[0]]], dtype=np.int64)).tolist()
        slots = slots_of(calendar, kinds, np.arange(first, last, dtype=np.int64))
        whole[mine] = np.bincount(slots.cell, weights=slots.hours, minlength=CELLS)
        for moment in mine.tolist():
            passed = np.clip(at.now_us[moment] - slots.start_us, 0, slots.end_us - slots.start_us) / HOUR_US
            behind[moment] = np.bincount(slots.cell, weights=passed, minlength=CELLS)
    return behind, whole


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What series took in the slots of past days. Rows are one slot of one series each, of those that had events.

    ``known_from``: the position of the first day that is known as a whole.
    """

    days: Times
    kinds: Indexes  # of each day
    slots: Slots
    h: Hashes  # each series once, in order
    series: Indexes  # of each row, its position in ``h``
    slot: Indexes
    value: Floats
    known_from: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """The weeks behind a grain, of each series in order of ``h``. ``rates`` (series, cell) is what an hour takes.

    ``spread`` is by how much a day differed from its kind's mean (standard deviation), ``flat_spread`` from the mean of
    all days; nan with less than `LEAST_DAYS`. ``rising``: no hour took anything away.
    """

    h: Hashes
    days: Indexes
    rates: Floats
    spread: Floats
    flat_spread: Floats
    rising: Mask

    def find(self, h: Hashes) -> Indexes:
        """The position of each series, -1 where it has no history."""
        if not len(self.h):
            return np.full(len(h), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.h, h), len(self.h) - 1)
        return np.where(self.h[at] == h, at, -1)


def fitted(history: History) -> Profiles:
    """The profiles of a history.

    A series begins with the first whole day after its first event, or with the history if it had one on its first day.
    A holiday is taken as a Sunday where history holds none; what else is not known, as the mean of the other days.
    """
    series, days, day = len(history.h), len(history.days), history.slots.day[history.slot]
    begins = np.full(series, days, dtype=np.int64)
    np.minimum.at(begins, history.series, np.where(day == 0, 0, day + 1))
    begins = np.minimum(np.maximum(begins, history.known_from), days)
    counted = np.isfinite(history.value) & (day >= begins[history.series])
    of, day, value = history.series[counted], day[counted], history.value[counted]
    cell = history.slots.cell[history.slot[counted]]

    hours = np.zeros((days + 1, CELLS))
    np.add.at(hours, (history.slots.day, history.slots.cell), history.slots.hours)
    seen = hours[::-1].cumsum(axis=0)[::-1][begins]  # from each series' first day on
    sums = (
        np.bincount(of * CELLS + cell, weights=value, minlength=series * CELLS)
        .reshape(series, CELLS)
        .astype(np.float64)
    )
    totals = (
        np.bincount(of * days + day, weights=value, minlength=series * days).reshape(series, days).astype(np.float64)
    )
    valid = np.arange(days) >= begins[:, None]
    length = days - begins
    enough = length >= LEAST_DAYS
    return Profiles(
        history.h,
        length,
        _rates(sums, seen),
        np.where(enough, _spread(totals, valid, history.kinds), np.nan),
        np.where(enough, _spread(totals, valid, np.zeros(days, dtype=np.int64)), np.nan),
        np.bincount(of[value < 0], minlength=series) == 0,
    )


def _rates(sums: Floats, hours: Floats) -> Floats:
    known = hours > 0
    rates = (np.maximum(sums, 0) / np.where(known, hours, 1)).reshape(-1, KINDS, HOURS)
    known = known.reshape(-1, KINDS, HOURS)
    without = ~known[:, HOLIDAY].any(axis=1)
    rates[without, HOLIDAY], known[without, HOLIDAY] = rates[without, SUNDAY], known[without, SUNDAY]
    mean = (rates * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known, rates, mean[:, None, :]).reshape(-1, CELLS)


def _spread(totals: Floats, valid: npt.NDArray[np.bool_], kinds: Indexes) -> Floats:
    """Standard deviation of the days' values around the mean of their kind; nan where no day is left over."""
    squares, free = np.zeros(len(totals)), valid.sum(axis=1)
    for kind in np.unique(kinds).tolist():
        mine = valid & (kinds == kind)
        count = mine.sum(axis=1)
        mean = np.where(mine, totals, 0).sum(axis=1) / np.maximum(count, 1)
        squares += np.where(mine, (totals - mean[:, None]) ** 2, 0).sum(axis=1)
        free = free - (count > 0)
    return np.where(free > 0, np.sqrt(squares / np.maximum(free, 1)), np.nan)


def seasonal_shares(rates: Floats, row: Indexes, behind: Floats, whole: Floats, moment: Indexes) -> Floats:
    """For each row the share of its grain that is behind its moment, at the rates of its series; nan where all of the
    grain would take nothing.
    """
    shares = np.empty(len(row))
    for first in range(0, len(row), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        rate, at = rates[row[part]], moment[part]
        total = (rate * whole[at]).sum(axis=1)
        some = total > 0
        shares[part] = np.where(some, (rate * behind[at]).sum(axis=1) / np.where(some, total, 1), np.nan)
    return np.clip(shares, 0, 1)
