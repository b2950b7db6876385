"""max: the highest value."""

from __future__ import annotations

import polars as pl

from engine.aggregations.extremes import Extreme


class Max(Extreme):
    name = "max"

    @staticmethod
    def pick(values: pl.Expr) -> pl.Expr:
        return values.max()
