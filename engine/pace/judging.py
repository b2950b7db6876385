"""Pace beside a value: what is expected by now, the share of it that is there, where it will end, and the verdict.

The law: the bounds of the objective, times the share of the grain that is behind the moment a value is judged at, are
its bounds for now. Between those the status is told as `engine.targets` tells it at the grain's end, where its verdict
alone counts. There is none before ``quiet_until``, none while nothing is expected yet, and none of a missing or
incomplete value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
import polars as pl

from engine.catalog.model import Cumulate, Grain, Kpi, Objective
from engine.event_time.calendars import LocalCalendar
from engine.keyed_rows import Indexes, Mask
from engine.pace.forecasts import forecast
from engine.pace.profiles import LEAST_DAYS, DayKinds, Profiles, hours_behind, seasonal_shares
from engine.pace.shares import Floats, Moments, moments, places
from engine.series import Hashes
from engine.targets import Bounds, by_rank, held, unfinished

_DIGITS: Final = ".12g"  # of what is expected and foretold: products of doubles have no more to say
_MOST_SHOWN: Final = 1_000_000  # per cent
_NOTHING_SEASONAL: Final = "linear: nothing in its history"


@dataclass(frozen=True, slots=True, eq=False)
class Weeks:
    """The profiles of the grains that rows belong to, by the grain's start; none of a grain: no history is known."""

    kinds: DayKinds
    of: Mapping[int, Profiles]


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """Of each row: the share of its grain behind it, whether that is seasonal, the days of history, spread, rising."""

    share: Floats
    seasonal: Mask
    known_days: Indexes
    spread: Floats
    rising: Mask


def is_paced(kpi: Kpi) -> bool:
    return isinstance(kpi.window, Cumulate) and any(objective.pacing for objective in kpi.objectives)


def with_pace(frame: pl.DataFrame, kpi: Kpi, calendar: LocalCalendar, weeks: Weeks) -> pl.DataFrame:
    """Fill the pace columns of a frame of values that has its targets, and the status of what is not finished."""
    assert isinstance(kpi.window, Cumulate)
    ranked, holding = by_rank(kpi), held(frame, kpi)
    open_ = unfinished(frame, kpi)
    for position, objective in enumerate(ranked):
        rows = np.flatnonzero(holding == position)
        if objective.pacing is not None and len(rows):
            frame = _beside(
                frame, rows, open_[rows], _judged(frame[rows], objective, kpi.window.grain, calendar, weeks)
            )
    return frame


def _judged(
    frame: pl.DataFrame, objective: Objective, grain: Grain, calendar: LocalCalendar, weeks: Weeks
) -> pl.DataFrame:
    """The pace columns of rows that are held to this objective, with ``target``, ``status`` and ``status_reason`` for
    those of unfinished grains.
    """
    times = [frame[name].to_numpy() for name in ("window_start", "window_end", "watermark")]
    at = moments(calendar, grain, *times)
    elapsed = at.elapsed[at.of]
    course = _course(objective, calendar, at, frame["h"].to_numpy(), weeks)
    given = frame["value"].cast(pl.Float64, strict=False).fill_null(math.nan).to_numpy()
    value = np.where(np.isfinite(given) & frame["reason"].is_null().to_numpy(), given, math.nan)
    there = np.isfinite(value)

    bounds = Bounds.of(objective)
    lower, upper = _now(bounds.lower, course.share), _now(bounds.upper, course.share)
    above = np.full(len(value), bounds.lower is None)
    if bounds.lower is not None and bounds.upper is not None:
        above = value > (lower + upper) / 2
    expected = np.where(above, upper, lower)
    ratio = np.where(expected == 0, math.nan, value / np.where(expected == 0, 1.0, expected))
    judged = there & (course.share > 0) & (elapsed >= float(objective.quiet_until or 0))
    beyond = (value < _now(bounds.warn_lower, course.share)) | (value > _now(bounds.warn_upper, course.share))
    outside = (value < lower) | (value > upper)
    status = np.where(beyond, "critical", np.where(outside, "warning", "ok")).tolist()
    within = objective.op == "between"

    days = (calendar.days_of(at.end_us) - calendar.days_of(at.start_us))[at.of].astype(np.float64)
    ends = forecast(value, course.share, days, course.spread, course.rising)
    reasons = []
    why, words = frame["reason"].to_list(), places(calendar, grain, at)
    where = [words[moment] for moment in at.of.tolist()]
    numbers = zip(ratio.tolist(), (there & ~outside).tolist(), strict=True)
    for row, (share, inside) in enumerate(numbers):
        if not there[row]:
            reasons.append(why[row] or "no value")
        elif within and inside and course.share[row] > 0:
            reasons.append(f"within the pace for {where[row]}")
        elif math.isfinite(share):
            reasons.append(f"{_percent(share)} of the pace for {where[row]}")
        else:
            reasons.append(f"nothing is expected by {where[row]}")
    notes = [note if is_ else "" for note, is_ in zip(_notes(objective, course, elapsed, grain), there, strict=True)]
    targets = [None if bound is None else format(bound, "f") for bound in (bounds.lower, bounds.upper)]
    return pl.DataFrame(
        {
            "pace_share": pl.Series(ratio.round(6), nan_to_null=True),
            "pace_expected": pl.Series(_texts(expected), dtype=pl.String),
            "pace_elapsed": pl.Series(elapsed.round(6)),
            "pace_forecast": pl.Series(_texts(ends.value), dtype=pl.String),
            "pace_low": pl.Series(_texts(ends.low), dtype=pl.String),
            "pace_high": pl.Series(_texts(ends.high), dtype=pl.String),
            "pace_way": pl.Series(["seasonal" if is_ else "linear" for is_ in course.seasonal.tolist()]),
            "pace_reason": pl.Series([one + note for one, note in zip(reasons, notes, strict=True)]),
            "target": pl.Series([targets[side] for side in above.astype(int).tolist()], dtype=pl.String),
            "status": pl.Series([one if ok else None for one, ok in zip(status, judged, strict=True)], dtype=pl.String),
        }
    ).with_columns(status_reason="pace_reason")


def _beside(frame: pl.DataFrame, rows: Indexes, open_: Mask, judged: pl.DataFrame) -> pl.DataFrame:
    """``judged`` in these rows; what is the plain objective's only where the grain is ``open_``."""
    columns = []
    for column in judged.get_columns():
        plain = column.name in ("target", "status", "status_reason")
        at, of = (rows[open_], column.filter(pl.Series(open_))) if plain else (rows, column)
        before = (
            frame[column.name].clone()
            if column.name in frame.columns
            else pl.Series(column.name, [None], dtype=column.dtype).new_from_index(0, frame.height)
        )
        columns.append(before.scatter(at, of) if len(at) else before)
    return frame.with_columns(columns)


def _course(objective: Objective, calendar: LocalCalendar, at: Moments, h: Hashes, weeks: Weeks) -> _Course:
    flat = at.elapsed[at.of]
    seasonal, known = np.zeros(len(h), dtype=np.bool_), np.zeros(len(h), dtype=np.int64)
    share, spread, rising = flat.copy(), np.full(len(h), math.nan), np.zeros(len(h), dtype=np.bool_)
    by_week = objective.pacing == "seasonal"
    behind, whole = hours_behind(calendar, weeks.kinds, at) if by_week and weeks.of else (None, None)
    starts = at.start_us[at.of]
    for start, profiles in weeks.of.items():
        rows = np.flatnonzero(starts == start)
        found = profiles.find(h[rows])
        rows, found = rows[found >= 0], found[found >= 0]
        if not len(rows):
            continue
        known[rows], rising[rows] = profiles.days[found], profiles.rising[found]
        spread[rows] = profiles.flat_spread[found]
        if behind is None or whole is None:
            continue
        enough = profiles.days[found] >= LEAST_DAYS
        rows, found = rows[enough], found[enough]
        shares = seasonal_shares(profiles.rates, found, behind, whole, at.of[rows])
        some = np.isfinite(shares)
        rows, found = rows[some], found[some]
        seasonal[rows], share[rows], spread[rows] = True, shares[some], profiles.spread[found]
    return _Course(share, seasonal, known, spread, rising)


def _notes(objective: Objective, course: _Course, elapsed: Floats, grain: Grain) -> list[str]:
    """What is to be said behind the reason: that it is not seasonal, that it is too early for a verdict."""
    notes = [""] * len(elapsed)
    if objective.pacing == "seasonal":
        for row in np.flatnonzero(~course.seasonal).tolist():
            days = int(course.known_days[row])
            few = f"linear: {days} day{'' if days == 1 else 's'} of history, seasonal needs {LEAST_DAYS}"
            notes[row] += f"; {few if days < LEAST_DAYS else _NOTHING_SEASONAL}"
    if objective.quiet_until is not None:
        until = f"; no verdict before {format((objective.quiet_until * 100).normalize(), 'f')} % of the {grain}"
        for row in np.flatnonzero(elapsed < float(objective.quiet_until)).tolist():
            notes[row] += until
    return notes


def _now(bound: Decimal | None, share: Floats) -> Floats:
    """What the bound comes to by now; nan where there is none: nothing is beyond that."""
    if bound is None:
        return np.full(len(share), math.nan)
    return np.array([float(format(number, _DIGITS)) for number in (float(bound) * share).tolist()])


def _texts(numbers: Floats) -> list[str | None]:
    """Plain numbers as `engine.values` has them."""
    return [_plain(number) if math.isfinite(number) else None for number in numbers.tolist()]


def _plain(number: float) -> str:
    shown = format(number, _DIGITS)
    return format(Decimal(shown), "f") if "e" in shown else shown


def _percent(share: float) -> str:
    """Whole, and rounded away from 100: only what is on pace says so."""
    near = round(share * 100, 6)
    if abs(near) > _MOST_SHOWN:
        return f"{'less than -' if near < 0 else 'more than '}{_MOST_SHOWN} %"
    return f"{math.floor(near) if near < 100 else math.ceil(near)} %"
