"""Public holidays as local dates, from the `holidays` library."""

from __future__ import annotations

import functools
from datetime import date

import holidays as library

from engine.catalog.alerting import Holidays


def is_holiday(of: Holidays, day: date) -> bool:
    """Whether the day is a public holiday there, moved ones included."""
    return day in _year(of, day.year)


@functools.lru_cache(maxsize=256)
def _year(of: Holidays, year: int) -> frozenset[date]:
    return frozenset(library.country_holidays(of.country, subdiv=of.subdivision, years=year))
