"""rate: the sum of the expression, or the count of events where there is none, by the elapsed time of the window."""

from __future__ import annotations

from fractions import Fraction

import polars as pl

from engine.aggregations.base import Aggregation, States, column, counted
from engine.aggregations.exact import Exact
from engine.aggregations.numerals import quotient
from engine.catalog.model import FieldType, Metric

_UNIT_US = {"second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000}


class Rate(Aggregation):
    name = "rate"
    needs_value = False

    def __init__(self, metric: Metric, value: FieldType | None) -> None:
        super().__init__(metric, value)
        self.exact = None if value is None else Exact.of(value)
        self.state = {"n": pl.Int64(), **(self.exact.state if self.exact else {})}
        self.parameters = f"{metric.per}/{self.exact.parameters if self.exact else ''}"

    def fold(self, prefix: str, value: pl.Expr | None, keep: pl.Expr | None) -> list[pl.Expr]:
        n = counted(value, keep).alias(column(prefix, "n"))
        return [n] if self.exact is None or value is None else [n, *self.exact.fold(prefix, value, keep)]

    def merge(self, prefix: str) -> list[pl.Expr]:
        return [pl.col(column(prefix, "n")).sum(), *(self.exact.merge(prefix) if self.exact else [])]

    def result(self, states: States) -> pl.Series:
        texts = [None if parts is None else quotient(*parts) for parts in self._quotients(states)]
        return pl.Series("value", texts, dtype=pl.String)

    def numeric(self, states: States) -> list[Fraction | None]:
        return [None if parts is None else Fraction(*parts) for parts in self._quotients(states)]

    def _quotients(self, states: States) -> list[tuple[int, int] | None]:
        if states.elapsed_us is None:
            raise TypeError("a rate needs the elapsed time of its windows")
        elapsed = states.frame.with_columns(states.elapsed_us.alias("_elapsed_us"))["_elapsed_us"].to_list()
        n = states["n"].fill_null(0).to_list()
        totals = self.exact.totals(states) if self.exact else n
        per_unit = self.exact.unit.denominator if self.exact else 1
        unit_us = _UNIT_US[self.metric.per]
        return [
            None
            if total is None or not us or us < 0 or (self.exact and not events)
            else (total * unit_us, us * per_unit)
            for total, events, us in zip(totals, n, elapsed, strict=True)
        ]
