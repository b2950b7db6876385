"""percentile: of n values in order, the one at rank ceil(q n), to a stated relative accuracy (protocol.md, rule 18)."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from engine.aggregations.base import ItemKind, States
from engine.aggregations.log_buckets import LogBuckets
from engine.aggregations.numerals import rounded_double
from engine.aggregations.sketch import VALUE, Sketch, kept_values
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
        items, keys = states.items, states.keys
        if items is None or not items.height:
            return pl.repeat(None, states.frame.height, dtype=pl.String, eager=True).alias("value")
        numerator, denominator = (pl.lit(part, dtype=pl.Int128) for part in self.share.as_integer_ratio())
        one = pl.lit(1, dtype=pl.Int128)
        rank = (pl.col("k").sum().cast(pl.Int128) * numerator + denominator - one) // denominator
        at = (
            items.sort("item")
            .group_by(keys)
            .agg(pl.col("item").get((pl.col("k").cum_sum() < rank).sum().cast(pl.Int64)))
        )
        chosen = states.joined(at, "item")
        middles = {item: self.buckets.middle(item) for item in chosen.drop_nulls().unique().to_list()}
        texts = {item: None if middle is None else rounded_double(middle) for item, middle in middles.items()}
        return chosen.replace_strict(
            list(texts), pl.Series(list(texts.values()), dtype=pl.String), default=None, return_dtype=pl.String
        )
