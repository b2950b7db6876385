"""What every aggregation is: a state that folds events, merges in any order, and yields one exact value.

State columns are named ``<prefix>.<suffix>``; every aggregation has the suffix ``n`` (Int64), the events behind it:
those that pass the filter and, where there is an expression, have a non-null value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import ClassVar

import polars as pl

from engine.catalog.model import FieldType, Metric


class ItemKind(Enum):
    """How the long-form items ``(item, k)`` of a sketch merge."""

    BUCKETS = "buckets"  # item: signed logarithmic bucket, k: events in it; merging adds
    DISTINCT = "distinct"  # k = 0: item is a hash; k > 0: item is a register, k its rank; merging takes the highest


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """Merged states of one aggregation, one a row of ``frame``, in columns named by ``prefix``.

    ``items`` are the merged items of a sketch, joined to the rows by ``keys``; only rates read ``elapsed_us``.
    """

    frame: pl.DataFrame
    prefix: str
    items: pl.DataFrame | None = None
    keys: Sequence[str] = ()
    elapsed_us: pl.Expr | None = None

    def __getitem__(self, suffix: str) -> pl.Series:
        return self.frame[column(self.prefix, suffix)]


class Aggregation(ABC):
    """One aggregation of one value type, with its parameters. Instances are immutable.

    Laws: ``merge(fold(a), fold(b)) == fold(a + b)`` for every split; merging is associative and commutative.
    """

    name: ClassVar[str]
    needs_value: ClassVar[bool] = True

    #: suffix -> dtype, ``n`` included
    state: Mapping[str, pl.DataType]
    #: set for sketches, whose main state is ``n`` alone
    items: ItemKind | None = None
    #: canonical text of all that state and result depend on beside source, filter, expression and name
    parameters: str

    def __init__(self, metric: Metric, value: FieldType | None) -> None:
        if self.needs_value and value is None:
            raise ValueError(f"{self.name} needs an expression")
        self.metric = metric
        self.value = value

    @abstractmethod
    def fold(self, prefix: str, value: pl.Expr | None, keep: pl.Expr | None) -> list[pl.Expr]:
        """Aggregate expressions over events, for ``group_by(...).agg(...)``."""

    @abstractmethod
    def merge(self, prefix: str) -> list[pl.Expr]:
        """Aggregate expressions over rows of this state; the order of rows does not matter."""

    @abstractmethod
    def result(self, states: States) -> pl.Series:
        """The value of each row as the text of a JSON number (String), null where there is none."""

    def numeric(self, states: States) -> list[Fraction | None]:
        """The value of each row as a number, for ratios and derived KPIs: unrounded where the aggregation is exact."""
        return [None if text is None else Fraction(text) for text in self.result(states).to_list()]

    def fold_items(
        self, events: pl.DataFrame | pl.LazyFrame, keys: list[str], value: pl.Expr, keep: pl.Expr | None
    ) -> pl.DataFrame:
        """Items of a sketch: ``keys..., item, k``, each (keys, item) once."""
        raise TypeError(f"{self.name} has no items")

    def merge_items(self, frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
        """Items of several states as those of one, per ``keys``; the order of rows does not matter."""
        raise TypeError(f"{self.name} has no items")


def kept(value: pl.Expr, keep: pl.Expr | None) -> pl.Expr:
    """The value where the filter holds, else null (a filter that is null does not hold, as in SQL)."""
    return anchored(value) if keep is None else pl.when(anchored(keep)).then(value)


def anchored(expression: pl.Expr) -> pl.Expr:
    """A constant as one value an event: aggregated as it is, it would be one value a group."""
    return expression if expression.meta.root_names() else pl.when(pl.col("_time").is_not_null()).then(expression)


def counted(value: pl.Expr | None, keep: pl.Expr | None) -> pl.Expr:
    """The number of events behind a state."""
    keep = None if keep is None else anchored(keep)
    value = None if value is None else anchored(value)
    if value is None:
        return (pl.len() if keep is None else keep.sum()).cast(pl.Int64)
    if keep is None:
        return value.count().cast(pl.Int64)
    return (keep & value.is_not_null()).sum().cast(pl.Int64)


def column(prefix: str, suffix: str) -> str:
    return f"{prefix}.{suffix}"
