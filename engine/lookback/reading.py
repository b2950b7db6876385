"""Values of a KPI over any spans, for the series that are asked about, as numbers in a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.event_time.windows import Spans
from engine.event_time.zones import Times
from engine.keyed_rows import Indexes, Keys, Mask
from engine.kpis import Gathered, KpiEvaluator, Reads

Floats = npt.NDArray[np.float64]

_SPANS_AT_ONCE: Final = 2_000
_ROWS_AT_ONCE: Final = 1_000_000  # what is merged at once, were every series in every span


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """What is looked back at from some window ends: ``at[i, k]`` is the span of the kth look from ``end_us[i]``.

    Neighbouring ends share most of their spans; ``spans`` has each once, in order of their ends.
    """

    end_us: Times
    spans: Spans
    at: Indexes

    @classmethod
    def of(cls, end_us: Times, looks: Sequence[Spans]) -> Grid:
        """``end_us`` ascends; each look has one span for each of them."""
        ends = np.concatenate([look.end_us for look in looks])
        starts = np.concatenate([look.start_us for look in looks])
        distinct, row = Keys(ends, starts).sorted_once()
        end, start = distinct.columns
        return cls(end_us, Spans(start, end, start), row.reshape(len(looks), len(end_us)).T)

    def rows(self, end_us: Times) -> Indexes | None:
        """Where these ends are; None where one of them is not."""
        at = np.minimum(np.searchsorted(self.end_us, end_us), max(0, len(self.end_us) - 1))
        return at if len(self.end_us) and bool((self.end_us[at] == end_us).all()) else None


@dataclass(frozen=True, slots=True)
class SpanReader:
    """Reads what a publication's stores hold; all spans at once where they are few."""

    evaluator: KpiEvaluator

    def ask(self, spans: Spans) -> None:
        """Have it merged with what others ask for. Of too many spans nothing is asked: they are read bit by bit."""
        if 0 < len(spans) <= self._at_once():
            self.evaluator.ask(self._reads(spans), "all")

    def values(self, spans: Spans, series: Keys, wanted: Mask) -> tuple[Floats, Mask]:
        """By (span, series) where ``wanted``: the value, NaN where there is none, and whether there are any events.

        ``series`` are (bucket, h) in order. Spans must have passed.
        """
        values, present = np.full(wanted.shape, np.nan), np.zeros(wanted.shape, dtype=np.bool_)
        for at, keys, gathered in self._parts(spans, series, wanted):
            found = self.evaluator.values(keys, gathered, int(gathered.spans.end_us.max()))
            values[at] = numbers(found.value)
            present[at] = self.evaluator.keys(gathered).find(keys) >= 0
        return values, present

    def present(self, spans: Spans, series: Keys, wanted: Mask) -> Mask:
        """By (span, series) where ``wanted``: whether there are any events."""
        present = np.zeros(wanted.shape, dtype=np.bool_)
        for at, keys, gathered in self._parts(spans, series, wanted):
            present[at] = self.evaluator.keys(gathered).find(keys) >= 0
        return present

    def _parts(
        self, spans: Spans, series: Keys, wanted: Mask
    ) -> Iterator[tuple[tuple[Indexes, Indexes], Keys, Gathered]]:
        """Some spans at a time: which places of the table are wanted, their keys (w, bucket, h) in order, what is
        there.
        """
        step = self._at_once()
        for first in range(0, len(spans), step):
            w, of = np.nonzero(wanted[first : first + step])
            if not len(w):
                continue
            reads = self._reads(spans.take(np.arange(first, min(first + step, len(spans)))))
            yield (first + w, of), Keys(w, *series.take(of).columns), self.evaluator.gather(reads, "all")
            if len(spans) > step:
                self.evaluator.let_go(reads, "all")

    def _reads(self, spans: Spans) -> Reads:
        return self.evaluator.reads(spans, compared=False)

    def _at_once(self) -> int:
        series = max(len(self.evaluator.stores[term.view.id].directory) for term in self.evaluator.plan.terms)
        return max(1, min(_SPANS_AT_ONCE, _ROWS_AT_ONCE // max(1, series)))


def numbers(values: pl.Series) -> Floats:
    """Values as texts, or as numbers: NaN where there is none, or none that a double can hold."""
    found = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.where(np.isfinite(found), found, np.nan)
