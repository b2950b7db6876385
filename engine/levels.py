"""Panes, or stretches of neighbouring panes, merged over source partitions: what windows are read out of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from engine.event_time.zones import Times
from engine.keyed_rows import Column as Integers
from engine.keyed_rows import Indexes, Keys, Mask, filtered, put_together, stretches
from engine.plan import Column

KEYS: Final = ("at", "bucket", "h")


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """A sum of stamps for each pane and bucket, or window and bucket (protocol rule 14)."""

    keys: Keys
    stamps: Times

    @classmethod
    def of(cls, keys: Keys, stamps: Times) -> Sums:
        """Added up where keys are equal."""
        distinct, row = keys.sorted_once()
        if distinct is keys:
            return cls(keys, stamps)
        sums = np.zeros(len(distinct), dtype=np.int64)
        np.add.at(sums, row, stamps)
        return cls(distinct, sums)

    def at(self, keys: Keys) -> Times:
        """Of these keys, 0 where there is none. Equal ones are neighbours, mostly."""
        if not len(self.stamps) or not len(keys):
            return np.zeros(len(keys), dtype=np.int64)
        first = np.flatnonzero(keys.changes())
        row = self.keys.find(keys.take(first))
        return np.repeat(np.where(row < 0, 0, self.stamps[row]), np.diff(first, append=len(keys)))

    def take(self, at: Indexes | Mask | slice) -> Sums:
        return Sums(self.keys.take(at), self.stamps[at])


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """All in order of ``at``, the pane or the stretch: ``rows`` (at, bucket, h, states), ``items`` by column id (at,
    bucket, h, item, k), ``stamps`` by (at, bucket).
    """

    rows: pl.DataFrame
    items: Mapping[str, pl.DataFrame]
    stamps: Sums

    @classmethod
    def concat(cls, levels: Sequence[Level]) -> Level:
        """Of levels that follow one another."""
        if len(levels) == 1:
            return levels[0]
        ids = {id_ for level in levels for id_ in level.items}
        return cls(
            pl.concat([level.rows for level in levels], how="diagonal"),
            {
                id_: pl.concat([level.items[id_] for level in levels if id_ in level.items], how="diagonal")
                for id_ in ids
            },
            Sums(
                put_together([level.stamps.keys for level in levels]),
                np.concatenate([level.stamps.stamps for level in levels]),
            ),
        )

    def cut(self, numbers: Sequence[int], size: int) -> dict[int, Level]:
        """Apart again by segment, of ``size`` places each."""
        if len(numbers) == 1:
            return {numbers[0]: self}
        bounds = [bound for number in numbers for bound in (number * size, (number + 1) * size)]
        rows, stamps = _bounds(self.rows["at"], bounds), np.searchsorted(self.stamps.keys.columns[0], bounds).tolist()
        items = {id_: _bounds(frame["at"], bounds) for id_, frame in self.items.items()}
        return {
            number: Level(
                self.rows[rows[2 * i] : rows[2 * i + 1]],
                {id_: frame[items[id_][2 * i] : items[id_][2 * i + 1]] for id_, frame in self.items.items()},
                self.stamps.take(slice(stamps[2 * i], stamps[2 * i + 1])),
            )
            for i, number in enumerate(numbers)
        }

    def joined_by(self, other: Level) -> Level:
        """With places that are not here."""
        ids = self.items.keys() | other.items.keys()
        parts = {id_: [level.items[id_] for level in (self, other) if id_ in level.items] for id_ in ids}
        keys = put_together([self.stamps.keys, other.stamps.keys])
        return Level(
            in_order(pl.concat([self.rows, other.rows], how="diagonal")),
            {id_: in_order(pl.concat(frames, how="diagonal")) for id_, frames in parts.items()},
            Sums.of(keys, np.concatenate((self.stamps.stamps, other.stamps.stamps))),
        )

    def read(self, w: Times, at: Times, names: Collection[str], series: Keys | None) -> pl.DataFrame:
        """w, bucket, h and the states of these names that are here, for every pair of a window and a place it reads.

        ``series`` (bucket, h) narrows it.
        """
        rows = self.rows[["at", "bucket", "h", *(name for name in self.rows.columns if name in names)]]
        return _read(narrowed(rows, series), w, at)

    def read_items(self, column: str, w: Times, at: Times, series: Keys | None) -> pl.DataFrame | None:
        """w, bucket, h, item, k."""
        items = self.items.get(column)
        return None if items is None else _read(narrowed(items, series), w, at)

    def read_stamps(self, w: Times, at: Times) -> tuple[Keys, Times]:
        """(w, bucket), and the sum of the stamps behind each."""
        places, bucket = self.stamps.keys.columns
        row, pair = _rows_of(places, at)
        return Keys(w[pair], bucket[row]), self.stamps.stamps[row]


class Rolling:
    """How rows of the same place and series are merged into one."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._merges = {column.id: column.aggregation.merge(column.id) for column in columns}

    def rolled(self, rows: pl.DataFrame, items: Mapping[str, pl.DataFrame], stamps: Sums, *, blocks: int) -> Level:
        """``rows`` and ``items`` as in a level, but in any order and of so many blocks."""
        once = len(stamps.keys) == blocks  # no place has two
        have = set(rows.columns)
        present = [column for column in self._columns if column.samples in have]
        if not once or any(column.null_count() for column in rows.get_columns()):
            rows = rows.group_by(KEYS).agg(*(merge for column in present for merge in self._merges[column.id]))
        merged = {}
        for column in self._columns:
            if column.id in items:
                of = items[column.id]
                merged[column.id] = in_order(of if once else column.aggregation.merge_items(of, list(KEYS)))
        return Level(in_order(rows), merged, stamps)


def in_order(frame: pl.DataFrame, by: str = "at") -> pl.DataFrame:
    at = frame[by].to_numpy()
    return frame if (at[1:] >= at[:-1]).all() else frame[Keys(at).order()]


def _bounds(at: pl.Series, bounds: Sequence[int]) -> list[int]:
    found: list[int] = np.searchsorted(at.to_numpy(), bounds).tolist()
    return found


def _rows_of(places: Integers, at: Times) -> tuple[Indexes, Indexes]:
    """The rows of each place asked for, and which of those asked for it is."""
    first = np.searchsorted(places, at)
    return stretches(first, np.searchsorted(places, at, side="right") - first)


def _read(frame: pl.DataFrame, w: Times, at: Times) -> pl.DataFrame:
    row, pair = _rows_of(frame["at"].to_numpy(), at)
    found = frame[row] if len(row) else frame.clear()
    return found.replace_column(0, pl.Series("w", w[pair]))


def narrowed(frame: pl.DataFrame, series: Keys | None) -> pl.DataFrame:
    return frame if series is None else filtered(frame, series.has(Keys.of(frame, ("bucket", "h"))))
