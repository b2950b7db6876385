"""stddev: the square root of the sample variance, rounded once."""

from __future__ import annotations

from fractions import Fraction

from engine.aggregations.base import Aggregation, States
from engine.aggregations.numerals import square_root
from engine.aggregations.variance import Variance


class Stddev(Variance):
    name = "stddev"

    def numeric(self, states: States) -> list[Fraction | None]:
        """As rounded: the root is no fraction."""
        return Aggregation.numeric(self, states)

    @staticmethod
    def divided(numerator: int, denominator: int) -> str:
        return square_root(numerator, denominator)
