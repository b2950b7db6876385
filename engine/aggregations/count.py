"""count: events, or non-null values of an expression."""

from __future__ import annotations

from fractions import Fraction

import polars as pl

from engine.aggregations.base import Aggregation, States, column, counted
from engine.catalog.model import FieldType, Metric


class Count(Aggregation):
    name = "count"
    needs_value = False

    def __init__(self, metric: Metric, value: FieldType | None) -> None:
        super().__init__(metric, value)
        self.state = {"n": pl.Int64()}
        self.parameters = ""

    def fold(self, prefix: str, value: pl.Expr | None, keep: pl.Expr | None) -> list[pl.Expr]:
        return [counted(value, keep).alias(column(prefix, "n"))]

    def merge(self, prefix: str) -> list[pl.Expr]:
        return [pl.col(column(prefix, "n")).sum()]

    def result(self, states: States) -> pl.Series:
        n = states["n"]
        return (n.fill_null(0) if n.null_count() else n).cast(pl.String).alias("value")

    def numeric(self, states: States) -> list[Fraction | None]:
        return [Fraction(n) for n in states["n"].fill_null(0).to_list()]
