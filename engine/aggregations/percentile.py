"""percentile: of n values in order, the one at rank ceil(q n), to a stated relative accuracy (protocol.md, rule 18)."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl

from engine.aggregations.base import ItemKind, States
from engine.aggregations.log_buckets import LogBuckets
from engine.aggregations.numerals import rounded_double
from engine.aggregations.sketch import VALUE, Sketch, kept_values, owners
from engine.catalog.model import FieldType, Metric

DEFAULT_ACCURACY = Decimal("0.01")
_KINDS = ("integer", "decimal", "number")


class Percentile(Sketch):
    name = "percentile"
    items = ItemKind.BUCKETS

    def __init__(self, metric: Metric, value: FieldType | None) -> None:
        super().__init__(metric, value)
        if value is None or value.kind not in _KINDS:
            raise ValueError(f"values of type {value} have no percentiles")
        accuracy = metric.accuracy or DEFAULT_ACCURACY
        self.buckets = LogBuckets.of(accuracy)
        self.parameters = f"{self.share.normalize()}/{accuracy.normalize()}"
        self.state = {"n": pl.Int64()}

    @property
    def share(self) -> Decimal:
        """q, from 0 to 1."""
        assert self.metric.percentile is not None
        return self.metric.percentile

    def fold_items(
        self, events: pl.DataFrame | pl.LazyFrame, keys: list[str], value: pl.Expr, keep: pl.Expr | None
    ) -> pl.DataFrame:
        values = kept_values(events, keys, value, keep)
        item = pl.Series("item", self.buckets.items(values[VALUE].cast(pl.Float64).to_numpy()))
        return values.drop(VALUE).with_columns(item).group_by([*keys, "item"]).agg(pl.len().cast(pl.Int64).alias("k"))

    def merge_items(self, frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
        return frame.group_by([*keys, "item"]).agg(pl.col("k").sum())

    def result(self, states: States) -> pl.Series:
        items, rows = states.items, states.frame.height
        if items is None or not items.height:
            return pl.repeat(None, rows, dtype=pl.String, eager=True).alias("value")
        row = owners(states)
        order = np.lexsort((items["item"].to_numpy(), row))
        order = order[np.searchsorted(row[order], 0) :]
        of, item = row[order], items["item"].to_numpy()[order]
        upto = np.cumsum(items["k"].to_numpy()[order])
        last = np.flatnonzero(np.append(of[1:] != of[:-1], True)) if len(of) else order
        totals = np.diff(upto[last], prepend=0)
        numerator, denominator = self.share.as_integer_ratio()
        ranks = [max(1, -(-total * numerator // denominator)) for total in totals.tolist()]
        at = np.searchsorted(upto, upto[last] - totals + np.array(ranks, dtype=np.int64))
        texts: list[str | None] = [None] * rows
        known: dict[int, str | None] = {}
        for found, chosen in zip(of[last].tolist(), item[at].tolist(), strict=True):
            if chosen not in known:
                middle = self.buckets.middle(chosen)
                known[chosen] = None if middle is None else rounded_double(middle)
            texts[found] = known[chosen]
        return pl.Series("value", texts, dtype=pl.String)
