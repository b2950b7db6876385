"""What sketches share: a main state that is ``n`` alone, and items beside it."""

from __future__ import annotations

import numpy as np
import polars as pl

from engine.aggregations.base import Aggregation, States, column, counted
from engine.keyed_rows import Indexes, Keys

VALUE = "_value"


class Sketch(Aggregation):
    def fold(self, prefix: str, value: pl.Expr | None, keep: pl.Expr | None) -> list[pl.Expr]:
        return [counted(value, keep).alias(column(prefix, "n"))]

    def merge(self, prefix: str) -> list[pl.Expr]:
        return [pl.col(column(prefix, "n")).sum()]


def kept_values(
    events: pl.DataFrame | pl.LazyFrame, keys: list[str], value: pl.Expr, keep: pl.Expr | None
) -> pl.DataFrame:
    """``keys..., _value`` of the events that count."""
    there = value.is_not_null() if keep is None else keep & value.is_not_null()
    return events.lazy().filter(there).select(*keys, value.alias(VALUE)).collect()


def owners(states: States) -> Indexes:
    """For each item its row of the frame, whose keys are integers and differ; -1 where it is of none."""
    assert states.items is not None
    distinct, row = Keys.of(states.frame, states.keys).sorted_once()
    at = np.empty_like(row)
    at[row] = np.arange(len(row))
    found = distinct.find(Keys.of(states.items, states.keys))
    return np.where(found < 0, -1, at[found]) if len(at) else found
