"""Rows that are told apart by integer keys: which row of one table is which of another.

A join of Polars costs half a millisecond however few its rows are, and a publication looks up hundreds of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Indexes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Column = npt.NDArray[Any]  # of int64 or uint64


class Keys:
    """One key a row: columns of integers, of which the first counts most. Not to be changed once made."""

    __slots__ = ("_rising", "columns")

    def __init__(self, *columns: Column) -> None:
        self.columns = columns
        self._rising: bool | None = None

    @classmethod
    def of(cls, frame: pl.DataFrame, names: Sequence[str]) -> Keys:
        return cls(*(frame.get_column(name).to_numpy() for name in names))

    def __len__(self) -> int:
        return len(self.columns[0])

    def take(self, at: Indexes | Mask | slice) -> Keys:
        """The keys at these positions, or where a mask is true."""
        return Keys(*(column[at] for column in self.columns))

    def series(self, names: Sequence[str]) -> list[pl.Series]:
        return [pl.Series(name, column) for name, column in zip(names, self.columns, strict=True)]

    def same_as(self, other: Keys) -> bool:
        """Whether both have the same keys in the same order."""
        if len(self) != len(other):
            return False
        return all(a is b or bool((a == b).all()) for a, b in zip(self.columns, other.columns, strict=True))

    def order(self) -> Indexes:
        """The positions of the keys, in their order."""
        order: Indexes = np.argsort(self.columns[-1])
        for column in reversed(self.columns[:-1]):
            values = column[order]
            if not (values[1:] >= values[:-1]).all():
                order = order[np.argsort(_narrowed(values), kind="stable")]
        return order

    def sorted_once(self) -> tuple[Keys, Indexes]:
        """These keys in order, each once; and for each of them as they are, its row there."""
        if len(self) < 2:
            return self, np.zeros(len(self), dtype=np.int64)
        order = self.order()
        ordered = self.take(order)
        first = ordered.changes()
        if first.all() and (order[1:] > order[:-1]).all():
            return self, order
        row = np.empty(len(self), dtype=np.int64)
        row[order] = np.cumsum(first) - 1
        return ordered.take(first), row

    def changes(self) -> Mask:
        """Where a key differs from the one before it."""
        found = np.ones(len(self), dtype=np.bool_)
        steps = found[1:]
        np.not_equal(self.columns[0][1:], self.columns[0][:-1], out=steps)
        for column in self.columns[1:]:
            steps |= column[1:] != column[:-1]
        return found

    def find(self, wanted: Keys) -> Indexes:
        """For each wanted key its row here, where each key is there once; -1 where there is none."""
        if not len(self) or not len(wanted):
            return np.full(len(wanted), -1, dtype=np.int64)
        if self.same_as(wanted):
            return np.arange(len(wanted), dtype=np.int64)
        if self._is_rising():
            at, here = self._search(wanted)
            return np.where(here, at, -1)
        distinct, row = put_together([self, wanted]).sorted_once()
        at = np.full(len(distinct), -1, dtype=np.int64)
        at[row[: len(self)]] = np.arange(len(self), dtype=np.int64)
        return at[row[len(self) :]]

    def has(self, wanted: Keys) -> Mask:
        """Which of the wanted keys are here, where each is there once."""
        if not len(self) or not len(wanted):
            return np.zeros(len(wanted), dtype=np.bool_)
        return self._search(wanted)[1] if self._is_rising() else self.find(wanted) >= 0

    def _is_rising(self) -> bool:
        """Whether the last column alone tells the keys apart, and is in order."""
        if self._rising is None:
            last = self.columns[-1]
            self._rising = bool((last[1:] > last[:-1]).all())
        return self._rising

    def _search(self, wanted: Keys) -> tuple[Indexes, Mask]:
        """Where each wanted key is if it is here, and whether it is. Only where the last column rises."""
        at = np.searchsorted(self.columns[-1], wanted.columns[-1])
        np.minimum(at, len(self) - 1, out=at)
        here = self.columns[0][at] == wanted.columns[0]
        for column, of in zip(self.columns[1:], wanted.columns[1:], strict=True):
            here &= column[at] == of
        return at, here


def put_together(parts: Sequence[Keys]) -> Keys:
    """The keys of all parts, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    return Keys(*(np.concatenate(columns) for columns in zip(*(part.columns for part in parts), strict=True)))


def _narrowed(values: Column) -> Column:
    """In 16 bits where they fit: these are sorted in one pass."""
    low, high = values.min(), values.max()
    return (values - low).astype(np.int16) if int(high) - int(low) < 2**15 else values


def stretches(first: Indexes, count: Indexes) -> tuple[Indexes, Indexes]:
    """Every position of the stretches [first, first + count), one after the other, and which stretch each is of."""
    of = np.repeat(np.arange(len(count), dtype=np.int64), count)
    before = np.cumsum(count) - count
    return np.arange(len(of), dtype=np.int64) - np.repeat(before - first, count), of


def filtered(frame: pl.DataFrame, mask: Mask) -> pl.DataFrame:
    """`DataFrame.filter` at a tenth of its price for few rows."""
    if mask.all():
        return frame
    kept = pl.Series(mask)
    return pl.DataFrame([column.filter(kept) for column in frame.get_columns()])


def sorted_by(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """`DataFrame.sort` by integers without nulls, at a quarter of its price."""
    if frame.height < 2:
        return frame
    order = Keys.of(frame, names).order()
    return frame if _is_range(order) else frame[order]


def rows_at(columns: Sequence[pl.Series], at: Indexes) -> list[pl.Series]:
    """The rows at these positions of columns of the same length; null for -1."""
    if not columns or (len(at) == len(columns[0]) and _is_range(at)):
        return list(columns)
    rows = pl.Series(at)
    missing = at < 0
    if missing.any():
        rows = rows.zip_with(pl.Series(~missing), pl.Series([None], dtype=pl.Int64).new_from_index(0, len(at)))
    return [column.gather(rows) for column in columns]


def _is_range(at: Indexes) -> bool:
    return bool((at == np.arange(len(at))).all())
