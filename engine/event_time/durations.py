"""Lengths of time as the catalog writes them: ``30s``, ``5m``, ``1h``, ``7d``, ``2w``; offsets also ``1 month``.

``s``, ``m`` and ``h`` are exact. ``d`` and ``w`` are local calendar days and weeks, 23 to 25 hours a day across a
change of clocks, so they have no length in microseconds of their own: `calendars` gives them one.
"""

from __future__ import annotations

import re
from typing import Final

from engine.catalog.model import Duration, DurationUnit, Offset, OffsetUnit

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US  # of a day without a change of clocks
WEEK_US: Final = 7 * DAY_US

_NOMINAL_US: Final[dict[OffsetUnit, int]] = {
    "s": SECOND_US,
    "m": MINUTE_US,
    "h": HOUR_US,
    "d": DAY_US,
    "w": WEEK_US,
    "month": 31 * DAY_US,
    "quarter": 92 * DAY_US,
    "year": 366 * DAY_US,
}
_SHORT_UNITS: Final[dict[str, DurationUnit]] = {"s": "s", "m": "m", "h": "h", "d": "d", "w": "w"}
_WORDS: Final[dict[str, OffsetUnit]] = {
    "second": "s",
    "minute": "m",
    "hour": "h",
    "day": "d",
    "week": "w",
    "month": "month",
    "quarter": "quarter",
    "year": "year",
}
_DAYS_OF_A_YEAR: Final = 366
_NUMBER_AND_UNIT: Final = re.compile(r"([0-9]+)( ?)([A-Za-z]+)")
_MOST_DIGITS: Final = 18
_LONGEST_US: Final = 100 * _DAYS_OF_A_YEAR * DAY_US


def parse_duration(text: str, *, allow_zero: bool = False) -> Duration:
    """Read ``<whole number><s|m|h|d|w>``; zero only where ``allow_zero``; at most 100 years.

    Raises ValueError with a message for the author of the catalog.
    """
    match = _NUMBER_AND_UNIT.fullmatch(text)
    unit = _SHORT_UNITS.get(match[3]) if match is not None and not match[2] else None
    if match is None or unit is None:
        raise ValueError(
            f"{text!r} is not a duration; write a whole number and one of s, m, h, d, w, as in 90s, 5m, 1h, 30d"
        )
    duration = Duration(_amount(match[1], text, allow_zero=allow_zero), unit)
    _refuse_longer(text, nominal_us(duration))
    return duration


def parse_expiry(text: str) -> Duration:
    """Read a duration, or whole years as in ``3y``, taken as 366 days each so that nothing expires early."""
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or match[2] or match[3] != "y":
        return parse_duration(text)
    duration = Duration(_amount(match[1], text, allow_zero=False) * _DAYS_OF_A_YEAR, "d")
    _refuse_longer(text, nominal_us(duration))
    return duration


def parse_offset(text: str) -> Offset:
    """Read a duration (``30d``), or a number and a calendar unit in words (``1 week``, ``2 months``, ``1 year``).

    Raises ValueError with a message for the author of the catalog.
    """
    match = _NUMBER_AND_UNIT.fullmatch(text)
    unit: OffsetUnit | None = None
    if match is not None:
        unit = _SHORT_UNITS.get(match[3]) if not match[2] else _WORDS.get(match[3].removesuffix("s"))
    if match is None or unit is None:
        raise ValueError(
            f"{text!r} is not an offset; write a duration as in 30d,"
            " or a number and a unit as in 1 week, 1 month, 1 quarter, 1 year"
        )
    offset = Offset(_amount(match[1], text, allow_zero=False), unit)
    _refuse_longer(text, offset.amount * _NOMINAL_US[unit])
    return offset


def exact_us(duration: Duration) -> int:
    """The length of an ``s``, ``m`` or ``h`` duration; ValueError for days and weeks, whose length varies."""
    if duration.unit in ("d", "w"):
        raise ValueError(f"{duration} has no exact length, a local day has 23 to 25 hours; write hours, as in 24h")
    return duration.amount * _NOMINAL_US[duration.unit]


def nominal_us(duration: Duration) -> int:
    """The length with every day counted as 24 hours: for limits and estimates, never for the bounds of a window."""
    return duration.amount * _NOMINAL_US[duration.unit]


def _amount(digits: str, text: str, *, allow_zero: bool) -> int:
    amount = int(digits) if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS
    if amount == 0 and not allow_zero:
        raise ValueError(f"{text!r} is nothing; write at least 1{text.lstrip('0')}")
    return amount


def _refuse_longer(text: str, length_us: int) -> None:
    if length_us > _LONGEST_US:
        raise ValueError(f"{text!r} is longer than 100 years")
