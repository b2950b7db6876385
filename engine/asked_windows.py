"""What is asked of the windows of a view, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from engine.event_time.zones import Times
from engine.keyed_rows import Keys
from engine.levels import Sums
from engine.plan import Column

KEYS: Final = ("w", "bucket", "h")

# Which series a window is merged for: all of them, or those that changed in windows that are open, or closed.
Scope = Literal["all", "open", "closed"]
AskKey = tuple[bytes, bytes, tuple[str, ...]]


class Merged:
    """Windows merged: ``rows`` (w, bucket, h, states) in order, ``items`` by column id (w, bucket, h, item, k) in order
    of w, ``progress`` by (w, bucket); ``folded``: how many series of each window went into `OTHER` here.
    """

    __slots__ = ("_counts", "_keys", "folded", "items", "progress", "rows")

    def __init__(self, rows: pl.DataFrame, items: Mapping[str, pl.DataFrame], progress: Sums, folded: Times) -> None:
        self.folded = folded
        self.rows = rows
        self.items = items
        self.progress = progress
        self._keys: Keys | None = None
        self._counts: dict[str, Times] = {}

    @property
    def keys(self) -> Keys:
        if self._keys is None:
            self._keys = Keys.of(self.rows, KEYS)
        return self._keys

    def counts(self, column: Column) -> Times:
        """The samples of each row."""
        if column.id not in self._counts:
            self._counts[column.id] = self.rows[column.samples].to_numpy()
        return self._counts[column.id]


class Ask:
    """Windows [start, end), bounds in microseconds, and the columns to merge."""

    __slots__ = ("columns", "ends_us", "key", "starts_us")

    def __init__(self, starts_us: Times, ends_us: Times, columns: Sequence[Column]) -> None:
        self.starts_us = starts_us
        self.ends_us = ends_us
        self.columns = columns
        self.key: AskKey = (starts_us.tobytes(), ends_us.tobytes(), tuple(column.id for column in columns))


@dataclass(frozen=True, slots=True, eq=False)
class AskedWindows:
    """Windows of several asks as panes [start, end), numbered; ``wanted``: by sketch, the windows it is asked for."""

    asks: Sequence[Ask]
    numbers: Times
    starts: Times
    ends: Times
    columns: Sequence[Column]
    wanted: Mapping[str, Times]

    @classmethod
    def of(cls, asks: Sequence[Ask], pane_us: int) -> AskedWindows:
        used: dict[str, Column] = {}
        wanted: dict[str, list[Times]] = {}
        first = 0
        for ask in asks:
            numbers = np.arange(first, first + len(ask.starts_us), dtype=np.int64)
            first += len(numbers)
            for column in ask.columns:
                used[column.id] = column
                wanted.setdefault(column.id, []).append(numbers)
        return cls(
            asks,
            np.arange(first, dtype=np.int64),
            np.concatenate([ask.starts_us for ask in asks]) // pane_us,
            -(-np.concatenate([ask.ends_us for ask in asks]) // pane_us),
            list(used.values()),
            {id_: np.concatenate(of) for id_, of in wanted.items()},
        )

    def part(self, which: slice) -> AskedWindows:
        return AskedWindows(
            self.asks, self.numbers[which], self.starts[which], self.ends[which], self.columns, self.wanted
        )

    def apart(self, merged: Merged) -> Iterator[tuple[AskKey, Merged]]:
        """What each ask gets of all of them."""
        if len(self.asks) == 1:
            yield self.asks[0].key, merged
            return
        first = np.cumsum([0, *(len(ask.starts_us) for ask in self.asks)]).tolist()
        rows, progress = _Cut(merged.rows), merged.progress
        items = {id_: _Cut(frame) for id_, frame in merged.items.items()}
        sums = np.searchsorted(progress.keys.columns[0], first).tolist()
        for i, ask in enumerate(self.asks):
            start, end = first[i], first[i + 1]
            of = progress.take(slice(sums[i], sums[i + 1]))
            yield (
                ask.key,
                Merged(
                    rows.part(start, end),
                    {column.id: items[column.id].part(start, end) for column in ask.columns if column.id in items},
                    Sums(Keys(of.keys.columns[0] - start, of.keys.columns[1]), of.stamps),
                    merged.folded[start:end],
                ),
            )


class _Cut:
    """A frame in order of ``w``, to be cut by window."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame
        self._w = frame["w"].to_numpy()

    def part(self, start: int, end: int) -> pl.DataFrame:
        """The rows of windows [start, end), which are numbered from 0 then."""
        first, last = np.searchsorted(self._w, [start, end]).tolist()
        part = self._frame[first:last]
        return part.replace_column(0, pl.Series("w", self._w[first:last] - start)) if start else part
