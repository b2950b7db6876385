"""What waits for Redis: bounded, with the newest value of each series always among it.

The law (protocol rule 15): of what is offered, the newest value of each series is never dropped, and values of past
windows wait as long as there is room; the oldest windows go first, and are counted.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from engine.values import FEW, KpiFacts, ValueRows
from sinks.newest import ORDER

_REDUCE_AT_ROWS: Final = 20_000
_SPLIT_ABOVE_ROWS: Final = 5_000
_PAST_AT_ONCE: Final = 2_000


class Pending:
    """Rows by KPI. ``room`` is how many rows of past windows may wait, over all KPIs."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting: dict[tuple[str, int], _Waiting] = {}
        self._past: list[ValueRows] = []  # of past windows, set aside so that current values go first
        self.dropped = 0

    @property
    def rows(self) -> int:
        return sum(waiting.rows for waiting in self._waiting.values()) + sum(rows.frame.height for rows in self._past)

    def offer(self, rows: ValueRows) -> None:
        if rows.frame.is_empty():
            return
        key = (rows.kpi.name, rows.kpi.definition_sequence)
        waiting = self._waiting.setdefault(key, _Waiting(rows.kpi))
        waiting.frames.append(rows.frame)
        waiting.rows += rows.frame.height
        if waiting.rows > max(_REDUCE_AT_ROWS, 2 * waiting.reduced_rows):
            waiting.reduce()
            self.make_room()

    def take(self) -> ValueRows | None:
        """The rows to write next, of the KPI that waits longest; past windows in bulk while no current value waits."""
        if self._waiting:
            key = next(iter(self._waiting))
            waiting = self._waiting.pop(key)
            frame = waiting.frames[0] if waiting.is_plain() else waiting.reduce()
            if frame.height <= _SPLIT_ABOVE_ROWS:
                return ValueRows(waiting.kpi, frame)
            self._past.append(ValueRows(waiting.kpi, frame.filter(~pl.col("_newest"))))
            return ValueRows(waiting.kpi, frame.filter(pl.col("_newest")))
        while self._past:
            rows = self._past.pop()
            if rows.frame.height > _PAST_AT_ONCE:
                self._past.append(ValueRows(rows.kpi, rows.frame.slice(_PAST_AT_ONCE)))
            if not rows.frame.is_empty():
                return ValueRows(rows.kpi, rows.frame.head(_PAST_AT_ONCE))
        return None

    def make_room(self) -> None:
        """Drop the oldest of the past windows beyond the room."""
        excess = self._past_rows() - self._room
        while excess > 0 and self._past:
            excess -= self._past[0].frame.height
            self.dropped += self._past.pop(0).frame.height
        for waiting in self._waiting.values():
            if excess <= 0:
                return
            dropped = waiting.drop_oldest(excess)
            excess -= dropped
            self.dropped += dropped

    def _past_rows(self) -> int:
        return sum(waiting.past_rows for waiting in self._waiting.values()) + sum(
            rows.frame.height for rows in self._past
        )


class _Waiting:
    def __init__(self, kpi: KpiFacts) -> None:
        self.kpi = kpi
        self.frames: list[pl.DataFrame] = []
        self.rows = 0
        self.reduced_rows = 0
        self.past_rows = 0

    def is_plain(self) -> bool:
        """Whether it is one small frame with one row a series, as it is when Redis keeps up: nothing to reduce."""
        return len(self.frames) == 1 and self.rows <= FEW and self.frames[0]["h"].n_unique() == self.rows

    def reduce(self) -> pl.DataFrame:
        """One frame, in the order of values, of what is worth writing: the newest value of each series, and the last
        closed or revised value of each past window. Column ``_newest`` tells them apart.
        """
        frame = pl.concat([frame.drop("_newest", strict=False) for frame in self.frames])
        frame = frame.sort(*ORDER, maintain_order=True)
        newest = frame["h"].is_last_distinct()
        past = frame["state"] != "open"
        last_of_window = frame.select(pl.struct("h", "window_end", past.alias("past")).is_last_distinct()).to_series()
        frame = frame.with_columns(_newest=newest).filter(newest | (last_of_window & past))
        self.frames = [frame]
        self.rows = self.reduced_rows = frame.height
        self.past_rows = frame.height - int(frame["_newest"].sum())
        return frame

    def drop_oldest(self, count: int) -> int:
        frame = self.reduce()
        past = frame.select((~pl.col("_newest")).arg_true()).to_series()
        dropped = past.head(count)
        if not dropped.is_empty():
            keep = pl.Series([True]).new_from_index(0, frame.height).scatter(dropped, False)
            self.frames = [frame.filter(keep)]
            self.rows -= len(dropped)
            self.reduced_rows -= len(dropped)
            self.past_rows -= len(dropped)
        return len(dropped)
