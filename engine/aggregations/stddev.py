"""stddev: the square root of the sample variance, rounded once."""

from __future__ import annotations

from fractions import Fraction

import polars as pl

from engine.aggregations.base import Aggregation
from engine.aggregations.numerals import square_root
from engine.aggregations.variance import Variance


class Stddev(Variance):
    name = "stddev"

    def numeric(
        self,
        frame: pl.DataFrame,
        prefix: str,
        items: pl.DataFrame | None = None,
        keys: list[str] | None = None,
        elapsed_us: pl.Expr | None = None,
    ) -> list[Fraction | None]:
        """As rounded: the root is no fraction."""
        return Aggregation.numeric(self, frame, prefix, items, keys, elapsed_us)

    @staticmethod
    def divided(numerator: int, denominator: int) -> str:
        return square_root(numerator, denominator)
