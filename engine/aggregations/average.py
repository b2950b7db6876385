"""average: the exact sum over the count, divided once, to 12 significant digits."""

from __future__ import annotations

from fractions import Fraction

import polars as pl

from engine.aggregations.base import States
from engine.aggregations.numerals import quotient
from engine.aggregations.sum import Sum


class Average(Sum):
    name = "average"

    def result(self, states: States) -> pl.Series:
        per_unit = self.exact.unit.denominator
        texts = [
            None if total is None or not n else quotient(total, n * per_unit)
            for total, n in zip(self.exact.totals(states), states["n"], strict=True)
        ]
        return pl.Series("value", texts, dtype=pl.String)

    def numeric(self, states: States) -> list[Fraction | None]:
        sums = super().numeric(states)
        return [None if total is None else total / n for total, n in zip(sums, states["n"], strict=True)]
