"""date_trunc and extract over timestamps, by the wall clocks of a time zone.

The zone's rules are those of the pinned ``tzdata`` package (`engine.event_time.zones`), as everywhere in the engine,
not those that polars carries. A start that the clocks skip is the first instant after the gap, one that they repeat is
the first of the two (protocol rule 10).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.event_time.durations import HOUR_US, MINUTE_US, SECOND_US
from engine.event_time.zones import zone
from engine.expressions.syntax import ExpressionError

_WITHIN_A_DAY_US: Final = {"second": SECOND_US, "minute": MINUTE_US, "hour": HOUR_US}
_FROM_A_DAY_ON: Final = {"day": "1d", "week": "1w", "month": "1mo", "quarter": "1q", "year": "1y"}
TRUNCATIONS: Final = (*_WITHIN_A_DAY_US, *_FROM_A_DAY_ON)
PARTS: Final = ("year", "quarter", "month", "week", "day", "dow", "isodow", "doy", "hour", "minute", "second")
_OTHER_NAMES: Final = {"weekday": "dow", "dayofweek": "dow", "dayofyear": "doy"}

Convert = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]


def truncated(instant: pl.Expr, unit: str, timezone: str) -> tuple[pl.Expr, str]:
    """The start of the local second ... year that holds the instant, and the unit's name."""
    unit = _unit(unit, TRUNCATIONS, "date_trunc")
    rules = zone(timezone)
    wall = _converted(instant, rules.to_local)
    if unit in _WITHIN_A_DAY_US:
        # Subtracted from the instant itself, so that the two 02:30 of an autumn night stay apart.
        start = instant.to_physical() - wall % _WITHIN_A_DAY_US[unit]
    else:
        start = _converted(_as_datetime(wall).dt.truncate(_FROM_A_DAY_ON[unit]), rules.to_utc)
    return _as_datetime(start).dt.replace_time_zone("UTC"), unit


def extracted(instant: pl.Expr, unit: str, timezone: str) -> tuple[pl.Expr, str]:
    """A part of the local date or time as Int64; ``week`` is ISO's, ``dow`` has Sunday = 0, ``isodow`` Monday = 1."""
    unit = _unit(unit, PARTS, "extract")
    local = _as_datetime(_converted(instant, zone(timezone).to_local)).dt
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


def _unit(given: str, known: tuple[str, ...], function: str) -> str:
    unit = _OTHER_NAMES.get(given.lower(), given.lower())
    if unit not in known:
        raise ExpressionError(f"{function} knows no unit {given.lower()}", f"use one of {', '.join(known)}")
    return unit


def _as_datetime(microseconds: pl.Expr) -> pl.Expr:
    return microseconds.cast(pl.Datetime("us"))


def _converted(instant: pl.Expr, convert: Convert) -> pl.Expr:
    """Instants or wall times as Int64 microseconds, converted all at once; null stays null."""

    def of_series(series: pl.Series) -> pl.Series:
        microseconds = series.to_physical()
        converted = pl.Series(series.name, convert(microseconds.fill_null(0).to_numpy()), dtype=pl.Int64)
        return converted if not microseconds.null_count() else converted.zip_with(microseconds.is_not_null(), _NULL)

    return instant.map_batches(of_series, return_dtype=pl.Int64, is_elementwise=True)


_NULL: Final = pl.Series([None], dtype=pl.Int64)
