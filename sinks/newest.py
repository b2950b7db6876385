"""The newest value of each series this process owns: what Prometheus shows, and what an emptied Redis gets again.

Values are kept as frames, not as Python objects, so that 100,000 series cost little to replace and to read.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from engine.values import KpiFacts, ValueRows

ORDER: Final = ("window_end", "progress", "revision")
_MERGE_AT_ROWS: Final = 20_000


class NewestValues:
    """Newest value by (definition sequence, window end, progress, revision) of each series of each KPI.

    ``partition`` is whatever owns series together, and loses them together: see `drop`.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], _Kept] = {}
        self.version = 0  # changes with the content

    def offer(self, rows: ValueRows, partition: int) -> None:
        if rows.frame.is_empty():
            return
        key = (rows.kpi.name, partition)
        kept = self._kept.get(key)
        if kept is None or rows.kpi.definition_sequence > kept.kpi.definition_sequence:
            kept = self._kept[key] = _Kept(rows.kpi)
        if rows.kpi.definition_sequence == kept.kpi.definition_sequence:
            kept.add(rows.frame)
            self.version += 1

    def drop(self, partition: int) -> None:
        """Forget the series of a partition that another process owns from now on."""
        for key in [key for key in self._kept if key[1] == partition]:
            del self._kept[key]
        self.version += 1

    def rows(self) -> list[ValueRows]:
        """The newest values, one frame per KPI and partition."""
        return [ValueRows(kept.kpi, kept.merged()) for kept in self._kept.values()]


class _Kept:
    """One KPI's series of one partition: a merged frame, and what came since."""

    def __init__(self, kpi: KpiFacts) -> None:
        self.kpi = kpi
        self._frames: list[pl.DataFrame] = []
        self._since = 0
        self._merged_rows = 0
        self._ends: list[int] = []  # the two newest window ends, newest first

    def add(self, frame: pl.DataFrame) -> None:
        self._frames.append(frame)
        self._since += frame.height
        if self._since > max(_MERGE_AT_ROWS, self._merged_rows):
            self.merged()

    def merged(self) -> pl.DataFrame:
        if len(self._frames) > 1 or self._since:
            frame = pl.concat(self._frames)
            ends = {*self._ends, *frame["window_end"].unique().top_k(2).to_list()}
            self._ends = sorted(ends, reverse=True)[:2]
            # A series without a value in the newest window, nor in the one before it, has fallen silent.
            frame = newest_of(frame).filter(pl.col("window_end") >= self._ends[-1])
            self._frames = [frame]
            self._since, self._merged_rows = 0, frame.height
        return self._frames[0]


def newest_of(frame: pl.DataFrame) -> pl.DataFrame:
    """One row of each series: the newest; of rows that are equally new, the last."""
    if frame["h"].is_unique().all():
        return frame
    return frame.sort(*ORDER, maintain_order=True).unique("h", keep="last", maintain_order=True)
