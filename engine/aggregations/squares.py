"""Sums of squares that are exact and never wrap: values cut into limbs, the products of limbs added up in 128 bits.

- below 2^63: x = a 2^32 + b; products below 2^65, so that 2^62 of them fit;
- wider (below 2^127): x = a 2^86 + b 2^43 + c; products below 2^88, so that 2^39 of them fit: half a million million.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from engine.aggregations.base import States, column
from engine.aggregations.exact import I128, Exact

_NARROW = 32
_WIDE = 43
_WEIGHTS = {
    False: {"aa": 2 * _NARROW, "ab": _NARROW, "bb": 0},
    True: {"aa": 4 * _WIDE, "ab": 3 * _WIDE, "ac_bb": 2 * _WIDE, "bc": _WIDE, "cc": 0},
}
MOST_WIDE = 2**39


class Squares:
    """The sum of the squares of what an `Exact` adds up, in its counts squared."""

    def __init__(self, exact: Exact) -> None:
        self._exact = exact
        self._weights = _WEIGHTS[exact.wide]
        self.state: Mapping[str, pl.DataType] = dict.fromkeys(self._weights, I128)

    def fold(self, prefix: str, value: pl.Expr, keep: pl.Expr | None) -> list[pl.Expr]:
        count = self._exact.counts(value, keep)
        two = pl.lit(2, dtype=I128)
        if not self._exact.wide:
            base = pl.lit(2**_NARROW, dtype=I128)
            a, b = count // base, count % base
            products = {"aa": a * a, "ab": two * a * b, "bb": b * b}
        else:
            base = pl.lit(2**_WIDE, dtype=I128)
            top = count // base
            a, b, c = top // base, top % base, count % base
            products = {"aa": a * a, "ab": two * a * b, "ac_bb": two * a * c + b * b, "bc": two * b * c, "cc": c * c}
        return [product.sum().alias(column(prefix, suffix)) for suffix, product in products.items()]

    def merge(self, prefix: str) -> list[pl.Expr]:
        return [pl.col(column(prefix, suffix)).sum() for suffix in self.state]

    def totals(self, states: States) -> list[int]:
        """The sum of squares of each row; without meaning where the sum is out of range."""
        totals = [0] * states.frame.height
        for suffix, shift in self._weights.items():
            lane = states[suffix].fill_null(0).to_list()
            totals = [total + (part << shift) for total, part in zip(totals, lane, strict=True)]
        return totals
