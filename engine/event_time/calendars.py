"""Local calendars: when days, weeks, months, quarters and years of a KPI begin, DST and fiscal years included.

Days, weeks (from the first ``week_start`` day of 1970), months, quarters and years are numbered by integers, one after
the other, so that arithmetic on them is arithmetic on arrays. A day begins at the first instant whose wall clock shows
it (protocol rule 10): at 01:00 where the clocks skip midnight, and not at all (an empty day) where they skip the date.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from engine.catalog.model import Calendar, Grain, Offset
from engine.event_time.durations import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from engine.event_time.zones import Times, Zone, zone

_FIRST_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday
_DAYS_OF_A_WEEK: Final = 7
_MONTHS: Final[dict[str, int]] = {"month": 1, "quarter": 3, "year": 12}
_LONGEST_DAYS: Final[dict[Grain, int]] = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}
# What an offset counts in, for the grains where it leads from the start of one to the start of another.
_DAYS_OF_OFFSET: Final[dict[str, int]] = {"d": 1, "w": 7}


class LocalCalendar:
    """The calendar of one time zone, week start and fiscal year. Arrays are int64 microseconds since 1970, UTC.

    Raises ValueError for an unknown time zone.
    """

    def __init__(self, calendar: Calendar) -> None:
        self.zone: Final[Zone] = zone(calendar.timezone)
        self.anchor_day: Final = (calendar.week_start - _FIRST_WEEKDAY) % _DAYS_OF_A_WEEK
        self._fiscal_month: Final = calendar.fiscal_year_start - 1

    # Numbered days and grains

    def day_starts(self, days: Times) -> Times:
        """The first instants of local days, given as days since 1970-01-01."""
        return self.zone.to_utc(days * DAY_US)

    def days_of(self, instants: Times) -> Times:
        """The local days that instants belong to: the last that began at or before each.

        Not simply the wall clock's date: where clocks go back across midnight, the hour before it comes again after it.
        """
        days = self.zone.to_local(instants) // DAY_US
        return days + (self.day_starts(days + 1) <= instants)

    def grain_starts(self, grain: Grain, numbers: Times) -> Times:
        """The first instants of the grains of these numbers."""
        return self.day_starts(self._first_days(grain, numbers))

    def begin_grains(self, grain: Grain, instants: Times) -> npt.NDArray[np.bool_]:
        """Which instants are the first of a grain, and so the end of the one before."""
        begin: npt.NDArray[np.bool_] = self.grain_starts(grain, self.grains_of(grain, instants)) == instants
        return begin

    def grains_of(self, grain: Grain, instants: Times) -> Times:
        """The numbers of the grains that instants belong to."""
        days = self.days_of(instants)
        if grain == "day":
            return days
        if grain == "week":
            return (days - self.anchor_day) // _DAYS_OF_A_WEEK
        months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        return (months - self._fiscal_months(grain)) // _MONTHS[grain]

    def _first_days(self, grain: Grain, numbers: Times) -> Times:
        if grain == "day":
            return numbers
        if grain == "week":
            return numbers * _DAYS_OF_A_WEEK + self.anchor_day
        return _first_days_of_months(numbers * _MONTHS[grain] + self._fiscal_months(grain))

    def _fiscal_months(self, grain: Grain) -> int:
        return 0 if grain == "month" else self._fiscal_month

    # Spans of local time

    def wall_times(self, instants: Times) -> Times:
        """What the local clock shows, but midnight for the first instant of a day, even where clocks skip midnight."""
        days = self.days_of(instants)
        return np.where(self.day_starts(days) == instants, days * DAY_US, self.zone.to_local(instants))

    def earlier(self, instants: Times, offset: Offset, *, midnights: bool = False) -> Times:
        """Instants one offset earlier: exactly for s, m, h, at the same wall time for the rest.

        Months, quarters and years keep the day of the month, or take the last one of a shorter month. ``midnights``:
        starts of days lead to starts of days (where clocks skip midnight, wall time cannot tell).
        """
        if (exact := exact_offset_us(offset)) is not None:
            return instants - exact
        local = self.wall_times(instants) if midnights else self.zone.to_local(instants)
        if (days := _DAYS_OF_OFFSET.get(offset.unit)) is not None:
            return self.zone.to_utc(local - offset.amount * days * DAY_US)
        days_since_1970, time_of_day = np.divmod(local, DAY_US)
        months = days_since_1970.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        day_of_month = days_since_1970 - _first_days_of_months(months)
        months -= offset.amount * _MONTHS[offset.unit]
        last_days = _first_days_of_months(months + 1) - 1
        return self.zone.to_utc(
            np.minimum(_first_days_of_months(months) + day_of_month, last_days) * DAY_US + time_of_day
        )

    def leads_to_a_grain(self, grain: Grain, offset: Offset) -> bool:
        """Whether this offset leads from the start of every such grain to the start of an earlier one."""
        days = offset.amount * _DAYS_OF_OFFSET.get(offset.unit, 0)
        months = offset.amount * _MONTHS.get(offset.unit, 0)
        if grain == "day":
            return days > 0 or months > 0
        if grain == "week":
            return days > 0 and days % _DAYS_OF_A_WEEK == 0
        return months > 0 and months % _MONTHS[grain] == 0

    def longest_days_us(self, days: int) -> int:
        """An upper bound of the length of so many local days."""
        return days * DAY_US + self.zone.spread_us

    def longest_us(self, grain: Grain) -> int:
        """An upper bound of a grain's length."""
        return self.longest_days_us(_LONGEST_DAYS[grain])


def exact_offset_us(offset: Offset) -> int | None:
    """The length of an offset in s, m or h; None for calendar units."""
    units: dict[str, int] = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US}
    return offset.amount * units[offset.unit] if offset.unit in units else None


def _first_days_of_months(months: Times) -> Times:
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
