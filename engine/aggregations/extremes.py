"""What min and max share: one nullable value, exact for every type."""

from __future__ import annotations

from abc import abstractmethod
from fractions import Fraction

import polars as pl

from engine.aggregations.base import Aggregation, column, counted, kept
from engine.aggregations.plain_values import as_state, state_numbers, state_text, state_type
from engine.catalog.model import FieldType, Metric


class Extreme(Aggregation):
    def __init__(self, metric: Metric, value: FieldType | None) -> None:
        super().__init__(metric, value)
        assert value is not None
        self.type = value
        self.state = {"n": pl.Int64(), "value": state_type(value)}
        self.parameters = f"{value.kind}/{value.scale}"

    @staticmethod
    @abstractmethod
    def pick(values: pl.Expr) -> pl.Expr:
        """The one of many that stays."""

    def fold(self, prefix: str, value: pl.Expr | None, keep: pl.Expr | None) -> list[pl.Expr]:
        assert value is not None
        picked = self.pick(as_state(kept(value, keep), self.type.kind))
        return [counted(value, keep).alias(column(prefix, "n")), picked.alias(column(prefix, "value"))]

    def merge(self, prefix: str) -> list[pl.Expr]:
        return [pl.col(column(prefix, "n")).sum(), self.pick(pl.col(column(prefix, "value")))]

    def result(
        self,
        frame: pl.DataFrame,
        prefix: str,
        items: pl.DataFrame | None = None,
        keys: list[str] | None = None,
        elapsed_us: pl.Expr | None = None,
    ) -> pl.Series:
        return state_text(frame, column(prefix, "value"), self.type)

    def numeric(
        self,
        frame: pl.DataFrame,
        prefix: str,
        items: pl.DataFrame | None = None,
        keys: list[str] | None = None,
        elapsed_us: pl.Expr | None = None,
    ) -> list[Fraction | None]:
        return state_numbers(frame, column(prefix, "value"), self.type)
