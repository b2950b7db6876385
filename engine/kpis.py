"""From merged windows to KPI values: terms, ratios, derived expressions, the compared window, empty series.

Frames here are keyed (w, bucket, h): the window's number in the spans asked for, the hash bucket, the series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl

from engine.aggregations import States, number_text
from engine.catalog.model import Offset
from engine.event_time.windows import Spans
from engine.event_time.zones import Times
from engine.expressions import ZeroDenominator
from engine.pane_store import Merged, PaneStore
from engine.plan import Column, KpiPlan, Term
from engine.series import OTHER

KEYS = ["w", "bucket", "h"]


TermKey = tuple[str, Offset | None]  # view id, offset


@dataclass(frozen=True, slots=True)
class Gathered:
    """The merged panes of some windows of a KPI, by (view, offset); ``earlier`` those of the windows they are compared
    with.
    """

    spans: Spans
    now: Mapping[TermKey, Merged]
    earlier: Mapping[TermKey, Merged] | None


@dataclass(slots=True)
class KpiEvaluator:
    """Values of one KPI out of the pane stores of its views."""

    plan: KpiPlan
    stores: Mapping[str, PaneStore]
    columns: Mapping[str, Sequence[Column]]  # view id -> what to merge, for all KPIs over the same windows together

    def gather(self, spans: Spans, series: pl.DataFrame | None = None) -> Gathered:
        """What the windows, and those they are compared with, hold. ``series`` (bucket, h), sorted, narrows it to
        those.
        """
        compare = self.plan.kpi.compare
        earlier = self._merge(spans, compare, series) if compare is not None else None
        return Gathered(spans, self._merge(spans, None, series), earlier)

    def keys(self, gathered: Gathered, *, succeeding: bool = False) -> pl.DataFrame:
        """KEYS of the series that have events in each window.

        With ``succeeding``, the first window only tells which series the second one had before it: it is not in the
        answer, and a series that has events in a window and none in the next is there for that one too (protocol rule
        11).
        """
        keys = self._present(gathered.now)
        if succeeding:
            after = (
                keys.filter(pl.col("h") != OTHER)
                .with_columns(pl.col("w") + 1)
                .filter(pl.col("w") < len(gathered.spans))
            )
            keys = pl.concat([keys, after]).unique().filter(pl.col("w") > 0)
        return keys.sort(KEYS)

    def progress(self, gathered: Gathered) -> pl.DataFrame:
        """w, bucket, progress: the sum of the stamps of all blocks behind a value (protocol rule 14)."""
        parts = [*gathered.now.values(), *(gathered.earlier or {}).values()]
        if len(parts) == 1:
            return parts[0].progress
        return pl.concat([part.progress for part in parts]).group_by("w", "bucket").agg(pl.col("progress").sum())

    def values(self, keys: pl.DataFrame, gathered: Gathered, watermark_us: int) -> pl.DataFrame:
        """KEYS, value, reason, samples, compare_value, compare_change, progress of these series.

        A rate is taken over the part of its window that has passed at ``watermark_us``; one of an earlier window over
        all of that.
        """
        frame = keys.with_columns(self._values(keys, gathered.now, gathered.spans, watermark_us))
        if gathered.earlier is None:
            none = [
                pl.lit(None, dtype=pl.String).alias("compare_value"),
                pl.lit(None, dtype=pl.Float64).alias("compare_change"),
            ]
            frame = frame.with_columns(none)
        else:
            assert self.plan.kpi.compare is not None
            # The earlier window has passed as a whole, or is the part of a grain that has passed now.
            before = self.plan.windows.shifted(gathered.spans, self.plan.kpi.compare)
            compared = self._values(keys, gathered.earlier, before, None)[0].alias("compare_value")
            change = (pl.col("value").cast(pl.Float64) / compared.cast(pl.Float64) - 1).round(6)
            frame = frame.with_columns(compared, pl.when(change.is_finite()).then(change).alias("compare_change"))
        frame = frame.join(self.progress(gathered), on=["w", "bucket"], how="left", maintain_order="left")
        return frame.with_columns(pl.col("progress").fill_null(0)) if frame["progress"].null_count() else frame

    def asked(self, spans: Spans) -> list[tuple[str, Times, Times, Sequence[Column]]]:
        """What `gather` asks the stores for: (view id, starts, ends, columns)."""
        compare, windows = self.plan.kpi.compare, self.plan.windows
        found = []
        for base in (spans, windows.shifted(spans, compare)) if compare is not None else (spans,):
            for view, offset in self.plan.parts:
                at = windows.shifted(base, offset) if offset is not None else base
                found.append((view, at.start_us, at.end_us, self.columns[view]))
        return found

    # -- terms ---------------------------------------------------------------------------------------------------------

    def _merge(self, spans: Spans, shift: Offset | None, series: pl.DataFrame | None) -> dict[TermKey, Merged]:
        """The merged windows of every (view, offset) among the terms, the windows moved back by ``shift`` first."""
        base = self.plan.windows.shifted(spans, shift) if shift is not None else spans
        merged = {}
        for view, offset in self.plan.parts:
            at = self.plan.windows.shifted(base, offset) if offset is not None else base
            merged[view, offset] = self.stores[view].windows(at.start_us, at.end_us, self.columns[view], series)
        return merged

    def _present(self, merged: Mapping[TermKey, Merged]) -> pl.DataFrame:
        found = [
            merged[term.view.id, term.offset].rows.filter(pl.col(term.column.samples) > 0).select(KEYS)
            for term in self.plan.terms
            if term.offset is None or all(other.offset is not None for other in self.plan.terms)
        ]
        return pl.concat(found).unique(KEYS)

    def _values(
        self, keys: pl.DataFrame, merged: Mapping[TermKey, Merged], spans: Spans, upto_us: int | None
    ) -> list[pl.Series]:
        """value, reason, samples, one for each row of ``keys``. ``upto_us``: until when the windows have passed, None
        where they have as a whole.
        """
        terms = self.plan.terms
        rows = {}
        for part in self.plan.parts:
            used = tuple(f"{term.column.id}." for term in terms if (term.view.id, term.offset) == part)
            whole = merged[part].rows
            own = whole.select(*KEYS, *(name for name in whole.columns if name.startswith(used)))
            offset = part[1]
            elapsed = (
                _elapsed(keys, spans, upto_us)
                if offset is None
                else _elapsed(keys, self.plan.windows.shifted(spans, offset), None)
            )
            rows[part] = keys.join(own, on=KEYS, how="left", maintain_order="left").with_columns(elapsed)
        counts = [rows[term.view.id, term.offset][term.column.samples].fill_null(0) for term in terms]
        samples = counts[0]
        for count in counts[1:]:
            samples = samples.zip_with(samples <= count, count)
        samples = samples.alias("samples")
        if self.plan.kpi.type == "simple":
            value = self._text(terms[0], rows, merged).alias("value")
            return [value, _reasons(terms[0], value, samples), samples]
        numbers = [self._fractions(term, rows, merged) for term in terms]
        values, reasons = self._combine(numbers, keys.height)
        return [pl.Series("value", values, dtype=pl.String), pl.Series("reason", reasons, dtype=pl.String), samples]

    def _text(
        self,
        term: Term,
        rows: Mapping[TermKey, pl.DataFrame],
        merged: Mapping[TermKey, Merged],
    ) -> pl.Series:
        result = term.column.aggregation.result(_states(term, rows, merged))
        fill = term.metric.fill_nulls_with
        return result if fill is None else result.fill_null(_plain(fill))

    def _fractions(
        self,
        term: Term,
        rows: Mapping[TermKey, pl.DataFrame],
        merged: Mapping[TermKey, Merged],
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


def _reasons(term: Term, value: pl.Series, samples: pl.Series) -> pl.Series:
    """Why a value is null: nothing to compute it from, too little, or a number beyond what can be summed."""
    if not value.null_count():
        return pl.Series("reason", [None] * len(value), dtype=pl.String)
    few = "too_few_samples" if term.metric.agg in ("variance", "stddev") else "out_of_range"
    none, one = pl.when(samples == 0).then(pl.lit("no_data")), pl.lit(samples == 1)
    why = none.when(one).then(pl.lit(few)).otherwise(pl.lit("out_of_range"))
    return pl.select(pl.when(value.is_null()).then(why).otherwise(None).alias("reason")).to_series()


def _elapsed(keys: pl.DataFrame, spans: Spans, upto_us: int | None) -> pl.Series:
    ends = spans.end_us if upto_us is None else np.minimum(spans.end_us, upto_us)
    lengths = np.maximum(ends - spans.start_us, 1)
    return pl.Series("_elapsed", lengths[keys["w"].to_numpy()])


def _plain(value: Decimal) -> str:
    return format(value, "f")
