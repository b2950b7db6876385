"""The verdict of a rule on rows of values: breach, recovered, between the two, or unknown.

A null says nothing: neither does a value of fewer samples than the rule wants, nor one whose history is incomplete. No
verdict is ever given on a missing number as if it were 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.alerts.states import BETWEEN, BREACH, RECOVERED, UNKNOWN
from engine.catalog.alerting import Alert, Anomaly, BurnRate, Change, PaceBelow, Threshold
from engine.catalog.model import Calendar, Cumulate, Window
from engine.event_time.calendars import LocalCalendar
from engine.event_time.zones import Times
from engine.lookback.robust import Scores
from engine.series import OTHER
from engine.values import NULL

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_INCOMPLETE: Final = "incomplete_history"


def steps_are_judged(alert: Alert) -> bool:
    """Whether each step of a grain to date is judged, or only the finished grain."""
    return alert.evaluate == "open" or isinstance(alert.when, PaceBelow)


def whole_grains(window: Window, calendar: Calendar, end_us: Times) -> Mask:
    """Which of these windows are finished: all, but of a grain to date those that end with their grain."""
    if not isinstance(window, Cumulate):
        return np.ones(len(end_us), dtype=np.bool_)
    return LocalCalendar(calendar).begin_grains(window.grain, end_us)


def concerned(alert: Alert, rows: pl.DataFrame) -> Mask:
    """The rows of the series that the rule is about; the folded rest, `OTHER`, is no series."""
    found: Mask = rows["h"].to_numpy() != np.uint64(OTHER)
    for name, value in alert.where.items():
        shown = rows[f"dim.{name}"]
        found &= (shown.is_null() if value == NULL else (shown == value).fill_null(False)).to_numpy()
    return found


def speaking(alert: Alert, rows: pl.DataFrame) -> Mask:
    """The rows whose value says something."""
    found = rows["value"].is_not_null() & (rows["samples"] >= alert.min_sample)
    return (found & rows["reason"].ne_missing(_INCOMPLETE)).to_numpy()


def of_values(alert: Alert, rows: pl.DataFrame) -> Codes:
    """Verdicts of thresholds, changes and pace, one for each row."""
    match alert.when:
        case Threshold():
            codes = _held_to(alert.when, rows["value"].cast(pl.Float64, strict=False), lambda i: rows["value"][i])
        case Change(bounds, relative):
            codes = _held_to(bounds, _change(rows, relative=relative), None)
        case PaceBelow(share, recover):
            held = Threshold(lower=share, recover_lower=recover)
            codes = _held_to(held, rows["pace_share"], None)
            codes[rows["status"].is_null().to_numpy()] = UNKNOWN  # too early in the grain: pace gives no verdict yet
        case _:
            raise TypeError(f"{alert.when} needs more than the rows")
    codes[~speaking(alert, rows)] = UNKNOWN
    return codes


def of_scores(alert: Alert, scores: Scores, rows: pl.DataFrame) -> Codes:
    """Verdicts of an anomaly rule; no score is unknown."""
    assert isinstance(alert.when, Anomaly)
    way = alert.when.direction
    score = np.abs(scores.score) if way == "both" else scores.score if way == "up" else -scores.score
    threshold, recover = float(alert.when.score), float(alert.when.recover)
    with np.errstate(invalid="ignore"):
        codes = np.where(score > threshold, BREACH, np.where(score > recover, BETWEEN, RECOVERED)).astype(np.int8)
    codes[np.isnan(score) | ~speaking(alert, rows)] = UNKNOWN
    return codes


def of_burns(alert: Alert, burn: BurnRate, long: Floats, short: Floats, rows: pl.DataFrame) -> Codes:
    """Verdicts of burn rates by (row, pair): a pair raises where both of its windows burn faster than its rate."""
    rates = np.array([float(pair.rate) for pair in burn.windows])
    with np.errstate(invalid="ignore"):
        fast = (long > rates) & (short > rates)
    codes = np.where(fast.any(axis=1), BREACH, RECOVERED).astype(np.int8)
    unknown = (np.isnan(long) | np.isnan(short)).all(axis=1) | (rows["samples"] < alert.min_sample).to_numpy()
    codes[unknown] = UNKNOWN
    return codes


def by_target(rows: pl.DataFrame) -> Iterator[tuple[Decimal, Times]]:
    """The targets that rows are held to, and the rows of each."""
    targets = rows["target"]
    for target in targets.drop_nulls().unique(maintain_order=True).to_list():
        yield Decimal(target), np.flatnonzero((targets == target).fill_null(False).to_numpy())


def _change(rows: pl.DataFrame, *, relative: bool) -> pl.Series:
    if relative:
        return rows["compare_change"]
    return rows["value"].cast(pl.Float64, strict=False) - rows["compare_value"].cast(pl.Float64, strict=False)


def _held_to(bounds: Threshold, numbers: pl.Series, text: Callable[[int], str | None] | None) -> Codes:
    """``text``: the digits of a row's number, where they decide: rounding to a double keeps the order of all others."""
    x = numbers.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    codes = np.full(len(x), BETWEEN, dtype=np.int8)
    breach, recovered = np.zeros(len(x), dtype=np.bool_), np.ones(len(x), dtype=np.bool_)
    edges: list[float] = []
    with np.errstate(invalid="ignore"):
        if bounds.lower is not None:
            inner = bounds.lower if bounds.recover_lower is None else bounds.recover_lower
            breach |= x < float(bounds.lower)
            recovered &= x >= float(inner)
            edges += [float(bounds.lower), float(inner)]
        if bounds.upper is not None:
            inner = bounds.upper if bounds.recover_upper is None else bounds.recover_upper
            breach |= x > float(bounds.upper)
            recovered &= x <= float(inner)
            edges += [float(bounds.upper), float(inner)]
    codes[recovered] = RECOVERED
    codes[breach] = BREACH
    codes[~np.isfinite(x)] = UNKNOWN
    if text is not None:
        for i in np.flatnonzero(np.isin(x, edges)).tolist():
            codes[i] = _exactly(bounds, Decimal(text(i) or "nan"))
    return codes


def _exactly(bounds: Threshold, value: Decimal) -> int:
    lower, upper = bounds.lower, bounds.upper
    if (lower is not None and value < lower) or (upper is not None and value > upper):
        return BREACH
    inner_lower = lower if bounds.recover_lower is None else bounds.recover_lower
    inner_upper = upper if bounds.recover_upper is None else bounds.recover_upper
    low_enough = inner_upper is None or upper is None or value <= inner_upper
    high_enough = inner_lower is None or lower is None or value >= inner_lower
    return RECOVERED if low_enough and high_enough else BETWEEN
