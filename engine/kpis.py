"""From merged windows to KPI values: terms, ratios, derived expressions, the compared window, empty series.

Rows here are keyed (w, bucket, h): the window's number in the spans asked for, the hash bucket, the series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

import numpy as np
import polars as pl

from engine.aggregations import States, number_text
from engine.asked_windows import KEYS, Ask, Merged, Scope
from engine.catalog.model import Offset
from engine.event_time.windows import Spans
from engine.event_time.zones import Times
from engine.expressions import ZeroDenominator
from engine.finishing import Evaluated
from engine.keyed_rows import Indexes, Keys, put_together, rows_at
from engine.pane_store import PaneStore
from engine.plan import Column, KpiPlan, Term
from engine.series import OTHER

_READS_KEPT: Final = 16
_NO_TEXT: Final = pl.Series([None], dtype=pl.String)


TermKey = tuple[str, Offset | None]  # view id, offset


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Windows of a KPI, or those they are compared with: what is asked of the stores, by (view, offset)."""

    spans: Spans
    parts: Mapping[TermKey, Spans]  # the windows moved back by the part's offset
    asks: Mapping[TermKey, Ask]


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """What the values of some windows are made of; ``earlier``: of the windows they are compared with."""

    now: Read
    earlier: Read | None

    @property
    def spans(self) -> Spans:
        return self.now.spans


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """The merged panes of some windows of a KPI, by (view, offset); ``earlier`` those of the windows they are compared
    with.
    """

    reads: Reads
    now: Mapping[TermKey, Merged]
    earlier: Mapping[TermKey, Merged] | None

    @property
    def spans(self) -> Spans:
        return self.reads.spans


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """Values of these series, out of what was merged of earlier windows."""

    keys: Keys
    earlier: Mapping[TermKey, Merged]
    values: pl.Series


@dataclass(slots=True)
class KpiEvaluator:
    """Values of one KPI out of the pane stores of its views."""

    plan: KpiPlan
    stores: Mapping[str, PaneStore]
    columns: Mapping[str, Sequence[Column]]  # view id -> what to merge, for all KPIs over the same windows together
    _states: dict[TermKey, list[str]] = field(init=False)  # names of the columns that the terms are computed from
    _known: dict[tuple[bytes, bytes, bool], Reads] = field(default_factory=dict)  # by starts and ends
    _compared: _Compared | None = None

    def __post_init__(self) -> None:
        used = {
            part: {term.column.id: term.column for term in self.plan.terms if (term.view.id, term.offset) == part}
            for part in self.plan.parts
        }
        self._states = {
            part: [f"{id_}.{suffix}" for id_, column in columns.items() for suffix in column.aggregation.state]
            for part, columns in used.items()
        }

    # -- windows -------------------------------------------------------------------------------------------------------

    def reads(self, spans: Spans, *, compared: bool = True) -> Reads:
        """What any spans of whole panes are made of, the KPI's windows or others; in any order. Without ``compared``,
        what they are compared with is left out.

        Publications ask for the same open windows again and again.
        """
        key = spans.start_us.tobytes(), spans.end_us.tobytes(), compared
        if key not in self._known:
            if len(self._known) >= _READS_KEPT:
                del self._known[next(iter(self._known))]
            compare = self.plan.kpi.compare if compared else None
            earlier = None if compare is None else self._read(self.plan.windows.shifted(spans, compare))
            self._known[key] = Reads(self._read(spans), earlier)
        return self._known[key]

    def _read(self, spans: Spans) -> Read:
        parts = {
            (view, offset): spans if offset is None else self.plan.windows.shifted(spans, offset)
            for view, offset in self.plan.parts
        }
        return Read(spans, parts, {key: Ask(at.start_us, at.end_us, self.columns[key[0]]) for key, at in parts.items()})

    def ask(self, reads: Reads, scope: Scope, series: Keys | None = None) -> None:
        """Say that `gather` will be called. ``series`` (bucket, h) are those that it must hold at least; None: all."""
        for read in (reads.now, reads.earlier):
            if read is not None:
                for (view, _), ask in read.asks.items():
                    self.stores[view].windows.ask(ask, scope, series)

    def gather(self, reads: Reads, scope: Scope) -> Gathered:
        """What the windows, and those they are compared with, hold."""

        def of(read: Read) -> dict[TermKey, Merged]:
            return {key: self.stores[key[0]].windows.of(ask, scope) for key, ask in read.asks.items()}

        return Gathered(reads, of(reads.now), None if reads.earlier is None else of(reads.earlier))

    def let_go(self, reads: Reads, scope: Scope) -> None:
        """Do not keep until the next publication what was gathered: of windows too many to be held at once."""
        for read in (reads.now, reads.earlier):
            if read is not None:
                for (view, _), ask in read.asks.items():
                    self.stores[view].windows.let_go(ask, scope)

    # -- values --------------------------------------------------------------------------------------------------------

    def keys(self, gathered: Gathered, *, succeeding: bool = False) -> Keys:
        """KEYS of the series that have events in each window, in order.

        With ``succeeding``, the first window only tells which series the second one had before it: it is not in the
        answer, and a series that has events in a window and none in the next is there for that one too (protocol rule
        11).
        """
        keys = self._present(gathered.now)
        if not succeeding:
            return keys
        w, bucket, h = keys.columns
        after = Keys(w + 1, bucket, h).take((h != OTHER) & (w + 1 < len(gathered.spans)))
        keys = put_together([keys, after]).sorted_once()[0]
        return keys.take(keys.columns[0] > 0)

    def _present(self, merged: Mapping[TermKey, Merged]) -> Keys:
        found: dict[TermKey, list[Times]] = {}
        for term in self.plan.terms:
            if term.offset is None or all(other.offset is not None for other in self.plan.terms):
                key = term.view.id, term.offset
                found.setdefault(key, []).append(merged[key].counts(term.column))
        parts = []
        for key, counts in found.items():
            some = np.logical_or.reduce([count > 0 for count in counts])
            parts.append(merged[key].keys if some.all() else merged[key].keys.take(some))
        return put_together(parts).sorted_once()[0]

    def progress(self, gathered: Gathered, keys: Keys) -> Times:
        """For each (w, bucket) the sum of the stamps of all blocks behind a value (protocol rule 14)."""
        parts = [*gathered.now.values(), *(gathered.earlier or {}).values()]
        total = parts[0].progress.at(keys)
        for part in parts[1:]:
            total = total + part.progress.at(keys)
        return total

    def values(self, keys: Keys, gathered: Gathered, watermark_us: int) -> Evaluated:
        """Values of these series.

        A rate is taken over the part of its window that has passed at ``watermark_us``; one of an earlier window over
        all of that.
        """
        w, bucket, h = keys.columns
        value, reason, samples = self._values(keys, gathered.now, gathered.reads.now, watermark_us)
        compared = _no_text(len(keys))
        before = gathered.reads.earlier
        if before is not None and gathered.earlier is not None:
            compared = self._compared_with(keys, gathered.earlier, before)
        spans = gathered.spans
        progress = self.progress(gathered, Keys(w, bucket))
        return Evaluated(h, spans.start_us[w], spans.end_us[w], value, reason, samples, compared, progress)

    def _compared_with(self, keys: Keys, earlier: Mapping[TermKey, Merged], before: Read) -> pl.Series:
        """Values of the earlier windows, which mostly stand still.

        Such a window has passed as a whole, or is the part of a grain that has passed now.
        """
        known = self._compared
        if known is None or known.earlier != earlier or not known.keys.same_as(keys):
            known = self._compared = _Compared(keys, earlier, self._values(keys, earlier, before, None)[0])
        return known.values

    # -- terms ---------------------------------------------------------------------------------------------------------

    def _values(
        self, keys: Keys, merged: Mapping[TermKey, Merged], read: Read, upto_us: int | None
    ) -> tuple[pl.Series, pl.Series, Times]:
        """value, reason, samples, one for each of the keys. ``upto_us``: until when the windows have passed, None
        where they have as a whole.
        """
        terms = self.plan.terms
        rows: dict[TermKey, pl.DataFrame] = {}
        at: dict[TermKey, Indexes] = {}
        for part in self.plan.parts:
            at[part] = merged[part].keys.find(keys)
            mine = [term for term in terms if (term.view.id, term.offset) == part]
            columns = rows_at([merged[part].rows.get_column(name) for name in self._states[part]], at[part])
            if any(term.column.aggregation.items is not None for term in mine):
                columns += keys.series(KEYS)
            if any(term.metric.agg == "rate" for term in mine):
                columns.append(_elapsed(keys, read.parts[part], upto_us if part[1] is None else None))
            rows[part] = pl.DataFrame(columns)
        samples: Times | None = None
        for term in terms:
            part = term.view.id, term.offset
            count = _counts(merged[part], term.column, at[part])
            samples = count if samples is None else np.minimum(samples, count)
        assert samples is not None
        if self.plan.kpi.type == "simple":
            value = self._text(terms[0], rows, merged)
            return value, _reasons(terms[0], value, samples), samples
        numbers = [self._fractions(term, rows, merged) for term in terms]
        values, reasons = self._combine(numbers, len(keys))
        return pl.Series("value", values, dtype=pl.String), pl.Series("reason", reasons, dtype=pl.String), samples

    def _text(self, term: Term, rows: Mapping[TermKey, pl.DataFrame], merged: Mapping[TermKey, Merged]) -> pl.Series:
        result = term.column.aggregation.result(_states(term, rows, merged))
        fill = term.metric.fill_nulls_with
        return result if fill is None or not result.null_count() else result.fill_null(_plain(fill))

    def _fractions(
        self, term: Term, rows: Mapping[TermKey, pl.DataFrame], merged: Mapping[TermKey, Merged]
    ) -> list[Fraction | None]:
        found = term.column.aggregation.numeric(_states(term, rows, merged))
        fill = term.metric.fill_nulls_with
        if fill is None:
            return found
        default = Fraction(fill)
        return [default if number is None else number for number in found]

    def _combine(
        self, numbers: Sequence[Sequence[Fraction | None]], height: int
    ) -> tuple[list[str | None], list[str | None]]:
        values: list[str | None] = []
        reasons: list[str | None] = []
        derived = self.plan.derived
        names = [(term.metric.name, term.offset) for term in self.plan.terms]
        divides = derived is None or derived.divides
        kinds = {term.column.value_type.kind for term in self.plan.terms if term.column.value_type is not None}
        doubles = "number" in kinds
        for row in range(height):
            parts = [column[row] for column in numbers]
            try:
                if derived is not None:
                    value = derived.evaluate(dict(zip(names, parts, strict=True)))
                else:
                    value = _ratio(parts[0], parts[1])
            except ZeroDenominator:
                values.append(None)
                reasons.append("zero_denominator")
                continue
            values.append(None if value is None else number_text(value, divided=divides, doubles=doubles))
            reasons.append("no_data" if value is None else None)
        return values, reasons


def _states(term: Term, rows: Mapping[TermKey, pl.DataFrame], merged: Mapping[TermKey, Merged]) -> States:
    part, column = (term.view.id, term.offset), term.column.id
    return States(rows[part], column, merged[part].items.get(column), KEYS, pl.col("_elapsed"))


def _ratio(numerator: Fraction | None, denominator: Fraction | None) -> Fraction | None:
    if denominator is None:
        return None
    if denominator == 0:
        raise ZeroDenominator
    return None if numerator is None else numerator / denominator


def _reasons(term: Term, value: pl.Series, samples: Times) -> pl.Series:
    """Why a value is null: nothing to compute it from, too little, or a number beyond what can be summed."""
    if not value.null_count():
        return _no_text(len(value))
    few = "too_few_samples" if term.metric.agg in ("variance", "stddev") else "out_of_range"
    why = pl.Series(["no_data", few, "out_of_range", None], dtype=pl.String)
    return why.gather(np.where(value.is_null().to_numpy(), np.minimum(samples, 2), 3))


def _counts(merged: Merged, column: Column, at: Indexes) -> Times:
    """The samples of these rows, 0 where there is none."""
    counts = merged.counts(column)
    return np.where(at < 0, 0, counts[at]) if len(counts) else np.zeros(len(at), dtype=np.int64)


def _elapsed(keys: Keys, spans: Spans, upto_us: int | None) -> pl.Series:
    ends = spans.end_us if upto_us is None else np.minimum(spans.end_us, upto_us)
    lengths = np.maximum(ends - spans.start_us, 1)
    return pl.Series("_elapsed", lengths[keys.columns[0]])


def _no_text(count: int) -> pl.Series:
    return _NO_TEXT.new_from_index(0, count)


def _plain(value: Decimal) -> str:
    return format(value, "f")
