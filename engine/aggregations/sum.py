"""sum: exact for integers and decimals, for doubles from their scaling by 2^40 on. Null over nothing, as in SQL."""

from __future__ import annotations

from fractions import Fraction

import polars as pl

from engine.aggregations.base import Aggregation, States, column, counted
from engine.aggregations.exact import Exact
from engine.catalog.model import FieldType, Metric


class Sum(Aggregation):
    name = "sum"

    def __init__(self, metric: Metric, value: FieldType | None) -> None:
        super().__init__(metric, value)
        assert value is not None
        self.exact = Exact.of(value)
        self.state = {"n": pl.Int64(), **self.exact.state}
        self.parameters = self.exact.parameters

    def fold(self, prefix: str, value: pl.Expr | None, keep: pl.Expr | None) -> list[pl.Expr]:
        assert value is not None
        return [counted(value, keep).alias(column(prefix, "n")), *self.exact.fold(prefix, value, keep)]

    def merge(self, prefix: str) -> list[pl.Expr]:
        return [pl.col(column(prefix, "n")).sum(), *self.exact.merge(prefix)]

    def result(self, states: States) -> pl.Series:
        return self.exact.text(states)

    def numeric(self, states: States) -> list[Fraction | None]:
        unit = self.exact.unit
        return [
            None if total is None or not n else total * unit
            for total, n in zip(self.exact.totals(states), states["n"], strict=True)
        ]
