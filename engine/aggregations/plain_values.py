"""Single values kept as they are, in a state column: for min, max, first and last."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import polars as pl

from engine.aggregations.numerals import double_text, unscaled_text
from engine.catalog.model import FieldType

_STATES: dict[str, pl.DataType] = {
    "integer": pl.Int64(),
    "timestamp": pl.Int64(),  # microseconds
    "decimal": pl.Int128(),  # unscaled
    "number": pl.Float64(),
    "boolean": pl.Int64(),
}


def state_type(value: FieldType) -> pl.DataType:
    """ValueError for strings: they are no KPI value."""
    if value.kind not in _STATES:
        raise ValueError(f"values of type {value} cannot be kept")
    return _STATES[value.kind]


def as_state(value: pl.Expr, kind: str) -> pl.Expr:
    """The value as its state column holds it. -0.0 becomes 0.0, so that it does not matter which comes first."""
    if kind == "number":
        return pl.when(value == 0).then(0.0).otherwise(value)
    return value.to_physical().cast(_STATES[kind])


def state_text(frame: pl.DataFrame, name: str, value: FieldType) -> pl.Series:
    if value.kind == "number":
        return double_text(frame[name]).alias("value")
    return frame.select(unscaled_text(pl.col(name), value.scale).alias("value")).to_series()


def state_numbers(frame: pl.DataFrame, name: str, value: FieldType) -> list[Fraction | None]:
    if value.kind == "number":
        texts = double_text(frame[name])
        return [None if text is None else Fraction(Decimal(text)) for text in texts]
    unit = Fraction(1, 10**value.scale)
    return [None if count is None else count * unit for count in frame[name].to_list()]
