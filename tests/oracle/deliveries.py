"""How events come to the engine: over partitions, and perhaps out of order within the allowed lateness and twice.

A series' events are on every partition. A repeated event follows its first on the same partition, since that is how
far duplicates are known (protocol rule 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.catalog.model import Source
from streamgauge.sending.event_files import json_values

HOUR_US = 3_600_000_000
_ONE_IN = 10


@dataclass(frozen=True, slots=True)
class Deliveries:
    """``rows[i]`` is the event delivered i-th, to partition ``partition[i]``, as its record ``offset[i]``."""

    source: Source
    events: pl.DataFrame
    times_us: npt.NDArray[np.int64]
    partitions: int
    rows: npt.NDArray[np.int64]
    partition: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def chunks(self, size: int) -> Iterator[list[list[bytes]]]:
        """The values of ``size`` deliveries after the other, by partition."""
        for first in range(0, len(self), size):
            values = np.array(json_values(self.events[self.rows[first : first + size]]), dtype=object)
            partition = self.partition[first : first + size]
            yield [values[partition == number].tolist() for number in range(self.partitions)]

    def accepted(self) -> pl.DataFrame:
        """The events, each with the `_partition` and `_offset` of its first delivery: what the oracle takes."""
        row, first = np.unique(self.rows, return_index=True)
        assert len(row) == self.events.height
        return self.events.with_columns(
            pl.Series("_partition", self.partition[first]), pl.Series("_offset", self.offset[first])
        )

    def closed_upto_us(self) -> int:
        """The watermark that every partition has reached at the end: windows that end by then are closed."""
        times = self.times_us[self.rows]
        reached = min(int(times[self.partition == number].max()) for number in range(self.partitions))
        return reached - self.source.watermark.delay_us


def deliveries(
    source: Source,
    events: pl.DataFrame,
    times_us: npt.NDArray[np.int64],
    partitions: int,
    *,
    disorder_us: int = 0,
    twice: bool = False,
    seed: int = 1,
) -> Deliveries:
    """In the order of ``events``, or each up to ``disorder_us`` later; with ``twice`` every tenth comes once more."""
    random = np.random.default_rng(seed)
    rows = np.arange(events.height, dtype=np.int64)
    when = times_us + random.integers(0, disorder_us + 1, len(rows))
    if twice:
        again = rows[::_ONE_IN]
        rows = np.concatenate([rows, again])
        when = np.concatenate([when, times_us[again] + random.integers(0, disorder_us + HOUR_US, len(again))])
    order = np.argsort(when, kind="stable")
    rows = rows[order]
    partition = rows % partitions
    offset = np.empty(len(rows), dtype=np.int64)
    for number in range(partitions):
        mine = partition == number
        offset[mine] = np.arange(int(mine.sum()))
    return Deliveries(source, events, times_us, partitions, rows, partition, offset)
