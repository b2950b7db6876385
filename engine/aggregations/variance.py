"""variance: of a sample, (n sum(x^2) - sum(x)^2) / (n (n - 1)) of exact sums, divided once. Null below two events."""

from __future__ import annotations

from fractions import Fraction

import polars as pl

from engine.aggregations.base import Aggregation, States, column, counted
from engine.aggregations.exact import Exact
from engine.aggregations.numerals import quotient
from engine.aggregations.squares import MOST_WIDE, Squares
from engine.catalog.model import FieldType, Metric


class Variance(Aggregation):
    name = "variance"

    def __init__(self, metric: Metric, value: FieldType | None) -> None:
        super().__init__(metric, value)
        assert value is not None
        self.exact = Exact.of(value)
        self.squares = Squares(self.exact)
        self.state = {"n": pl.Int64(), **self.exact.state, **self.squares.state}
        self.parameters = self.exact.parameters

    def fold(self, prefix: str, value: pl.Expr | None, keep: pl.Expr | None) -> list[pl.Expr]:
        assert value is not None
        return [
            counted(value, keep).alias(column(prefix, "n")),
            *self.exact.fold(prefix, value, keep),
            *self.squares.fold(prefix, value, keep),
        ]

    def merge(self, prefix: str) -> list[pl.Expr]:
        return [pl.col(column(prefix, "n")).sum(), *self.exact.merge(prefix), *self.squares.merge(prefix)]

    def result(self, states: States) -> pl.Series:
        texts = [None if parts is None else self.divided(*parts) for parts in self._quotients(states)]
        return pl.Series("value", texts, dtype=pl.String)

    def numeric(self, states: States) -> list[Fraction | None]:
        return [None if parts is None else Fraction(*parts) for parts in self._quotients(states)]

    @staticmethod
    def divided(numerator: int, denominator: int) -> str:
        """The value's text, given the variance as a quotient."""
        return quotient(numerator, denominator)

    def _quotients(self, states: States) -> list[tuple[int, int] | None]:
        per_unit = self.exact.unit.denominator
        most = MOST_WIDE if self.exact.wide else 2**62
        counts = states["n"].fill_null(0).to_list()
        return [
            None
            if total is None or not 1 < n < most
            else (n * square - total * total, n * (n - 1) * per_unit * per_unit)
            for n, total, square in zip(counts, self.exact.totals(states), self.squares.totals(states), strict=True)
        ]
