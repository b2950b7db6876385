"""Sums that are exact and never wrap: values as integers, added up in one or two 128-bit lanes.

- integers, booleans and decimals of up to 18 digits are below 2^63, so that 2^63 of them fit one lane;
- wider decimals, and doubles scaled by 2^40 (below 2^120), are split at 2^62 into ``hi`` and ``lo``,
  value = hi 2^62 + lo, each lane below 2^66 an event.

A double outside the range (|x| >= 2^80 or not finite; fields are refused as such, but an expression may yield one)
marks its sum as out of range: its result is null while ``n`` is not 0. Polars wraps 128-bit sums silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import polars as pl

from engine.aggregations.base import States, column, kept
from engine.aggregations.numerals import double_sum, int_text, unscaled_text
from engine.catalog.model import FieldType

I128 = pl.Int128()
NARROW_DIGITS = 18
DOUBLE_SHIFT = 40
SPLIT = 62
_TWO_62 = pl.lit(2**SPLIT, dtype=I128)
_FEW = 64  # up to so many sums are quicker one by one
_LIMIT = 2.0**120  # of a scaled double
# one such value moves the hi lane (below 2^58 an event, so 2^98 for 2^40 events) to where no sum of valid ones gets
_OUT_OF_RANGE = 2**100


@dataclass(frozen=True, slots=True)
class Exact:
    """How a value type is counted: in units of 10^-scale (integers, decimals) or 2^-40 (doubles)."""

    kind: str
    scale: int
    wide: bool

    @classmethod
    def of(cls, value: FieldType) -> Exact:
        """ValueError for kinds that cannot be added. A decimal of unknown precision (0) counts as wide."""
        if value.kind in ("integer", "boolean"):
            return cls("integer", 0, False)
        if value.kind == "decimal":
            return cls("decimal", value.scale, not 0 < value.precision <= NARROW_DIGITS)
        if value.kind == "number":
            return cls("number", 0, True)
        raise ValueError(f"values of type {value} cannot be added")

    @property
    def parameters(self) -> str:
        return f"{self.kind}/{self.scale}/{2 if self.wide else 1}"

    @property
    def unit(self) -> Fraction:
        """What one count is worth."""
        return Fraction(1, 2**DOUBLE_SHIFT) if self.kind == "number" else Fraction(1, 10**self.scale)

    @property
    def state(self) -> Mapping[str, pl.DataType]:
        return {"hi": I128, "lo": I128} if self.wide else {"sum": I128}

    def fold(self, prefix: str, value: pl.Expr, keep: pl.Expr | None) -> list[pl.Expr]:
        value = kept(value, keep)
        if self.kind == "number":
            scaled = scaled_double(value)
            valid = scaled.abs() < _LIMIT  # not true of NaN as polars orders it: above everything
            high = (scaled * 2.0**-SPLIT).truncate()
            hi = (
                pl.when(valid)
                .then(high.cast(pl.Int64, strict=False).cast(I128))
                .when(value.is_not_null())
                .then(pl.lit(_OUT_OF_RANGE, dtype=I128))
            )
            lo = pl.when(valid).then((scaled - high * 2.0**SPLIT).cast(pl.Int64, strict=False).cast(I128))
            return [hi.sum().alias(column(prefix, "hi")), lo.sum().alias(column(prefix, "lo"))]
        count = self.counts(value, None)
        if not self.wide:
            return [count.sum().alias(column(prefix, "sum"))]
        return [
            (count // _TWO_62).sum().alias(column(prefix, "hi")),
            (count % _TWO_62).sum().alias(column(prefix, "lo")),
        ]

    def counts(self, value: pl.Expr, keep: pl.Expr | None) -> pl.Expr:
        """The value as an integer number of units (Int128); null for doubles out of range."""
        value = kept(value, keep)
        if self.kind == "number":
            scaled = scaled_double(value)
            return pl.when(scaled.abs() < _LIMIT).then(scaled.cast(I128, strict=False))
        return value.to_physical().cast(I128)

    def merge(self, prefix: str) -> list[pl.Expr]:
        return [pl.col(column(prefix, suffix)).sum() for suffix in self.state]

    def totals(self, states: States) -> list[int | None]:
        """The sum of each row in counts; null where it is out of range or the row has no state."""
        if not self.wide:
            return states["sum"].to_list()
        limit = _OUT_OF_RANGE // 2 if self.kind == "number" else None
        return [
            None if h is None or lo is None or (limit is not None and h >= limit) else (h << SPLIT) + lo
            for h, lo in zip(states["hi"], states["lo"], strict=True)
        ]

    def text(self, states: States) -> pl.Series:
        """The sum of each row as text: decimals with exactly their scale's digits; null where ``n`` is 0."""
        frame, some = states.frame, pl.col(column(states.prefix, "n")) > 0
        if self.kind != "number" and frame.height > _FEW:
            unscaled = self._in_one_lane(frame, states.prefix)
            if unscaled is not None:
                return frame.select(pl.when(some).then(unscaled_text(unscaled, self.scale)).alias("value")).to_series()
        texts = [
            None if total is None or not n else self._one_text(total)
            for total, n in zip(self.totals(states), states["n"], strict=True)
        ]
        return pl.Series("value", texts, dtype=pl.String)

    def _in_one_lane(self, frame: pl.DataFrame, prefix: str) -> pl.Expr | None:
        if not self.wide:
            return pl.col(column(prefix, "sum"))
        hi, lo = pl.col(column(prefix, "hi")), pl.col(column(prefix, "lo"))
        carried = hi + lo // _TWO_62
        if frame.select((carried.abs() < pl.lit(2**64, dtype=I128)).all()).item():
            return hi * _TWO_62 + lo
        return None

    def _one_text(self, total: int) -> str:
        if self.kind != "number":
            return int_text(total, self.scale)
        return double_sum(total, 2**DOUBLE_SHIFT)


def scaled_double(value: pl.Expr) -> pl.Expr:
    """A double in counts of 2^-40, rounded half even; still a double, which holds it exactly."""
    return (value * 2.0**DOUBLE_SHIFT).round(0, mode="half_to_even")
