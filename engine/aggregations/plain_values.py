"""Single values kept as they are, in a state column: for min, max, first and last."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import ClassVar

import polars as pl

from engine.aggregations.base import Aggregation, States
from engine.aggregations.numerals import double_text, unscaled_text
from engine.catalog.model import FieldType, Metric

_STATES: dict[str, pl.DataType] = {
    "integer": pl.Int64(),
    "timestamp": pl.Int64(),  # microseconds
    "decimal": pl.Int128(),  # unscaled
    "number": pl.Float64(),
    "boolean": pl.Int64(),
}


class PlainValue(Aggregation):
    """The result is the value in the state, exact for every type; ``place`` are whole numbers beside it."""

    place: ClassVar[tuple[str, ...]] = ()

    def __init__(self, metric: Metric, value: FieldType | None) -> None:
        """ValueError for strings: they are no KPI value."""
        super().__init__(metric, value)
        assert value is not None
        if value.kind not in _STATES:
            raise ValueError(f"values of type {value} cannot be kept")
        self.type = value
        self.state = {"n": pl.Int64(), **dict.fromkeys(self.place, pl.Int64()), "value": _STATES[value.kind]}
        self.parameters = f"{value.kind}/{value.scale}"

    def result(self, states: States) -> pl.Series:
        return _texts(states["value"], self.type).alias("value")

    def numeric(self, states: States) -> list[Fraction | None]:
        return _numbers(states["value"], self.type)


def as_state(value: pl.Expr, kind: str) -> pl.Expr:
    """The value as its state column holds it. -0.0 becomes 0.0, so that it does not matter which comes first."""
    if kind == "number":
        return pl.when(value == 0).then(0.0).otherwise(value)
    return value.to_physical().cast(_STATES[kind])


def _texts(states: pl.Series, value: FieldType) -> pl.Series:
    if value.kind == "number":
        return double_text(states)
    return states.to_frame("unscaled").select(unscaled_text(pl.col("unscaled"), value.scale)).to_series()


def _numbers(states: pl.Series, value: FieldType) -> list[Fraction | None]:
    if value.kind == "number":
        return [None if text is None else Fraction(Decimal(text)) for text in double_text(states)]
    unit = Fraction(1, 10**value.scale)
    return [None if count is None else count * unit for count in states.to_list()]
