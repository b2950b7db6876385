"""What min and max share: one nullable value, exact for every type."""

from __future__ import annotations

from abc import abstractmethod

import polars as pl

from engine.aggregations.base import column, counted, kept
from engine.aggregations.plain_values import PlainValue, as_state


class Extreme(PlainValue):
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
