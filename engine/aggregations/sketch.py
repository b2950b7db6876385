"""What sketches share: a main state that is ``n`` alone, and items beside it."""

from __future__ import annotations

import polars as pl

from engine.aggregations.base import Aggregation, column, counted

VALUE = "_value"


class Sketch(Aggregation):
    def fold(self, prefix: str, value: pl.Expr | None, keep: pl.Expr | None) -> list[pl.Expr]:
        return [counted(value, keep).alias(column(prefix, "n"))]

    def merge(self, prefix: str) -> list[pl.Expr]:
        return [pl.col(column(prefix, "n")).sum()]


def kept_values(
    events: pl.DataFrame | pl.LazyFrame, keys: list[str], value: pl.Expr, keep: pl.Expr | None
) -> pl.DataFrame:
    """``keys..., _value`` of the events that count."""
    there = value.is_not_null() if keep is None else keep & value.is_not_null()
    return events.lazy().filter(there).select(*keys, value.alias(VALUE)).collect()
