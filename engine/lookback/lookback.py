"""What anomaly and burn_rate rules of one KPI are judged by, beside the values of its own windows.

    lookback = Lookback(plan, evaluator)            # where `needs_of(plan.kpi)` is not None
    lookback.ask(ends)                              # with `KpiPublisher.prepare`: so all KPIs are merged at once
    lookback.scores(anomaly, h, end_us, value)      # after `merge_asked`, in the same publication
    lookback.burns(burn, objective, h, end_us)

Everything is read anew out of the panes, in every publication: what is answered follows from the events alone, whatever
was asked before and whether the process was restarted. Lengths and instants are microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import polars as pl

from engine.catalog.alerting import Anomaly, BurnRate
from engine.catalog.model import Objective, Offset
from engine.event_time import NEVER
from engine.event_time.windows import Spans
from engine.event_time.zones import Times
from engine.keyed_rows import Indexes, Keys, Mask
from engine.kpis import KpiEvaluator
from engine.lookback.budgets import Burns, burn_rates
from engine.lookback.needs import Needs, needs_of
from engine.lookback.reading import Floats, Grid, SpanReader, numbers
from engine.lookback.robust import Scores, robust_scores
from engine.plan import KpiPlan
from engine.series import OTHER, Hashes, buckets_of

_PLACES_AT_ONCE: Final = 8_000_000  # of a table of spans and series
Looks = Callable[[Times], Grid]


class Lookback:
    """Of one KPI in one partition of partials. ValueError for a KPI without alerts that look back."""

    def __init__(self, plan: KpiPlan, evaluator: KpiEvaluator) -> None:
        needs = needs_of(plan.kpi)
        if needs is None:
            raise ValueError(f"no alert of {plan.kpi.name} looks back")
        self._plan = plan
        self._needs: Needs = needs
        self._reader = SpanReader(evaluator)
        self._asked: dict[Looks, Grid] = {}
        self._past: tuple[Hashes, Times, int, Floats] | None = None  # of the rows asked about last

    def ask(self, end_us: Times) -> None:
        """Say that windows with these ends (in any order) are asked about in this publication. What was known of the
        publication before is forgotten: to be called in each, if only with no ends.
        """
        self._past = None
        self._asked.clear()
        ends = np.unique(end_us)
        if len(ends):
            for looks in self._looks():
                grid = self._asked[looks] = looks(ends)
                self._reader.ask(grid.spans)

    # -- answers -------------------------------------------------------------------------------------------------------

    def scores(
        self, anomaly: Anomaly, h: Hashes, end_us: Times, value: pl.Series | Floats, since_us: int = NEVER
    ) -> Scores:
        """One row for each series ``h`` and window end: its value (text or number; null or NaN: none) against those of
        the windows at the same local time 1 to ``anomaly.weeks`` weeks before (`Windows.shifted`, as ``compare`` has
        it).

        Weeks without a value do not count, nor do those of windows that begin at or before ``since_us``, when the
        history begins. A week without any event counts, with what the KPI says of nothing (a count of 0,
        ``fill_nulls_with``), only where the series had an event before, as far back as the alerts of the KPI look.
        `OTHER` has no score: it is not the same series from week to week.
        """
        past = self._weeks_before(h, end_us, since_us)[:, : anomaly.weeks]
        now = numbers(value) if isinstance(value, pl.Series) else value
        return robust_scores(now, past, anomaly.at_least)

    def burns(self, burn: BurnRate, objective: Objective, h: Hashes, end_us: Times, since_us: int = NEVER) -> Burns:
        """One row for each series ``h`` and window end e: the burn rates over [e - long, e) and [e - short, e) of each
        pair of windows, of a ratio KPI. NaN where there was no event or no denominator, where the span begins at or
        before ``since_us``, and for `OTHER`.
        """
        ratio = np.full((len(h), len(self._needs.lengths_us)), np.nan)
        for row, grid, at, series, of in self._tables(self._lengths, len(self._needs.lengths_us), h, end_us):
            values, present = self._reader.values(grid.spans, series, _wanted(grid, series, at, of))
            found = np.where(present, values, np.nan)[at, of[:, None]]
            ratio[row] = np.where(grid.spans.start_us[at] <= since_us, np.nan, found)
        rates = burn_rates(ratio, objective)
        lengths = self._needs.lengths_us
        return Burns(
            rates[:, [lengths.index(pair.long_us) for pair in burn.windows]],
            rates[:, [lengths.index(pair.short_us) for pair in burn.windows]],
        )

    # -- earlier weeks -------------------------------------------------------------------------------------------------

    def _weeks_before(self, h: Hashes, end_us: Times, since_us: int) -> Floats:
        """(rows, weeks): the values 1, 2, ... weeks before, NaN where there is none. Rules mostly ask about the same
        rows.
        """
        known = self._past
        if known is not None and known[2] == since_us and _same(known[0], h) and _same(known[1], end_us):
            return known[3]
        past = np.full((len(h), self._needs.weeks), np.nan)
        for row, grid, at, series, of in self._tables(self._weeks, self._needs.weeks, h, end_us):
            values, present = self._reader.values(grid.spans, series, _wanted(grid, series, at, of))
            found, some = values[at, of[:, None]], present[at, of[:, None]]
            existed = _from_then_on(some)
            unclear = np.isfinite(found) & ~existed
            if unclear.any():
                rows = unclear.any(axis=1)
                existed[rows] |= self._existed(end_us[row[rows]], series, of[rows], some[rows])
            found[~existed | (grid.spans.start_us[at] <= since_us)] = np.nan
            past[row] = found
        self._past = (h, end_us, since_us, past)
        return past

    def _existed(self, end_us: Times, series: Keys, of: Indexes, some: Mask) -> Mask:
        """(rows, weeks): whether the series had an event in the earliest of the windows, or from its end on until the
        end of the week's window.
        """
        ends = np.unique(end_us)
        looks = [look.end_us for look in self._weeks_of(ends)]
        between = [Spans(before, end, before) for end, before in zip(looks[:-1], looks[1:], strict=True)]
        found = some.copy()
        if between:
            grid = Grid.of(ends, between)
            at = grid.at[np.searchsorted(ends, end_us)]
            present = self._reader.present(grid.spans, series, _wanted(grid, series, at, of))
            found[:, :-1] = present[at, of[:, None]]
        return _from_then_on(found)

    # -- spans ---------------------------------------------------------------------------------------------------------

    def _looks(self) -> list[Looks]:
        return [*([self._weeks] if self._needs.weeks else []), *([self._lengths] if self._needs.lengths_us else [])]

    def _weeks(self, ends: Times) -> Grid:
        return Grid.of(ends, self._weeks_of(ends))

    def _weeks_of(self, ends: Times) -> list[Spans]:
        """The windows with these ends, 1, 2, ... weeks earlier."""
        windows = self._plan.windows
        own = windows.ending_at(ends)
        return [windows.shifted(own, Offset(week, "w")) for week in range(1, self._needs.weeks + 1)]

    def _lengths(self, ends: Times) -> Grid:
        return Grid.of(ends, [Spans(ends - length, ends, ends) for length in self._needs.lengths_us])

    def _tables(
        self, looks: Looks, width: int, h: Hashes, end_us: Times
    ) -> Iterator[tuple[Indexes, Grid, Indexes, Keys, Indexes]]:
        """Some rows at a time: their positions, what they look at, which of its spans (rows, looks), the series
        (bucket, h) in order, and which of them each row is about. Not of `OTHER`.
        """
        own = np.flatnonzero(h != np.uint64(OTHER))
        if not len(own):
            return
        own = own[np.argsort(end_us[own], kind="stable")]
        bucket = _buckets(h[own], self._plan.dimensions.buckets)
        series, of = Keys(bucket, h[own]).sorted_once()
        ends, first = np.unique(end_us[own], return_index=True)
        step = max(1, _PLACES_AT_ONCE // (width * len(series)))
        bounds = [*first[::step].tolist(), len(own)]
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
            row = own[begin:end]
            asked = self._asked.get(looks) if len(bounds) == 2 else None
            at = asked.rows(end_us[row]) if asked is not None else None
            if asked is None or at is None:
                asked = looks(np.unique(end_us[row]))
                at = asked.rows(end_us[row])
                assert at is not None
            yield row, asked, asked.at[at], series, of[begin:end]


def _wanted(grid: Grid, series: Keys, at: Indexes, of: Indexes) -> Mask:
    wanted = np.zeros((len(grid.spans), len(series)), dtype=np.bool_)
    wanted[at, of[:, None]] = True
    return wanted


def _from_then_on(some: Mask) -> Mask:
    """(rows, weeks before): whether there was anything that week or before."""
    return np.logical_or.accumulate(some[:, ::-1], axis=1)[:, ::-1].copy()


def _buckets(h: Hashes, buckets: int) -> Times:
    if buckets == 1:
        return np.zeros(len(h), dtype=np.int64)
    return pl.DataFrame({"h": h}).select(buckets_of(pl.col("h"), buckets)).to_series().to_numpy()


def _same(one: Hashes | Times, other: Hashes | Times) -> bool:
    return one is other or (len(one) == len(other) and bool((one == other).all()))
