"""min: the lowest value."""

from __future__ import annotations

import polars as pl

from engine.aggregations.extremes import Extreme


class Min(Extreme):
    name = "min"

    @staticmethod
    def pick(values: pl.Expr) -> pl.Expr:
        return values.min()
