"""date_trunc and extract over timestamps, by the wall clocks of a time zone."""

from __future__ import annotations

from typing import Final

import polars as pl

from engine.expressions.syntax import ExpressionError

_SECOND_US: Final = 1_000_000
_WITHIN_A_DAY_US: Final = {
    "second": _SECOND_US,
    "minute": 60 * _SECOND_US,
    "hour": 3_600 * _SECOND_US,
}
_FROM_A_DAY_ON: Final = {"day": "1d", "week": "1w", "month": "1mo", "quarter": "1q", "year": "1y"}
TRUNCATIONS: Final = (*_WITHIN_A_DAY_US, *_FROM_A_DAY_ON)
PARTS: Final = ("year", "quarter", "month", "week", "day", "dow", "isodow", "doy", "hour", "minute", "second")


def _unit(given: str, known: tuple[str, ...], function: str) -> str:
    unit = given.lower()
    unit = {"weekday": "dow", "dayofweek": "dow", "dayofyear": "doy"}.get(unit, unit)
    if unit not in known:
        raise ExpressionError(f"{function} knows no unit {given.lower()}", f"use one of {', '.join(known)}")
    return unit


def truncated(instant: pl.Expr, unit: str, timezone: str) -> tuple[pl.Expr, str]:
    """The start of the local second ... year that holds the instant, and the unit's name.

    A start that the clocks skip is the first instant after the gap, one that they repeat is the first of the two.
    """
    unit = _unit(unit, TRUNCATIONS, "date_trunc")
    local = instant.dt.convert_time_zone(timezone)
    if unit in _WITHIN_A_DAY_US:
        # Subtracted from the instant itself, so that the two 02:30 of an autumn night stay apart.
        into = local.dt.replace_time_zone(None).to_physical() % _WITHIN_A_DAY_US[unit]
        return instant - into.cast(pl.Duration("us")), unit
    wall = local.dt.replace_time_zone(None).dt.truncate(_FROM_A_DAY_ON[unit])
    start = wall.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    # Read by the offset of the day before, a skipped midnight is the first instant after the gap.
    eve = wall.dt.offset_by("-1d").dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    skipped = eve.dt.convert_time_zone("UTC") + pl.duration(days=1)
    return pl.coalesce(start.dt.convert_time_zone("UTC"), skipped), unit


def extracted(instant: pl.Expr, unit: str, timezone: str) -> tuple[pl.Expr, str]:
    """A part of the local date or time as Int64; ``week`` is ISO's, ``dow`` has Sunday = 0, ``isodow`` Monday = 1."""
    unit = _unit(unit, PARTS, "extract")
    local = instant.dt.convert_time_zone(timezone).dt
    parts = {
        "year": local.year(),
        "quarter": local.quarter(),
        "month": local.month(),
        "week": local.week(),
        "day": local.day(),
        "dow": local.weekday() % 7,
        "isodow": local.weekday(),
        "doy": local.ordinal_day(),
        "hour": local.hour(),
        "minute": local.minute(),
        "second": local.second(),
    }
    return parts[unit].cast(pl.Int64), unit
