"""What first and last share: the value of the event that comes first or last by (event time, partition, offset).

Rule 18 of protocol.md. Events carry ``_time``, ``_partition`` and ``_offset``; those of one fold are of one partition.
"""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from engine.aggregations.base import anchored, column, counted
from engine.aggregations.plain_values import PlainValue, as_state

_TWO_64 = pl.lit(2**64, dtype=pl.Int128)
_ORDER = ("time", "partition", "offset")


class Ordered(PlainValue):
    latest: ClassVar[bool]
    place = _ORDER

    def fold(self, prefix: str, value: pl.Expr | None, keep: pl.Expr | None) -> list[pl.Expr]:
        assert value is not None
        value, keep = anchored(value), None if keep is None else anchored(keep)
        there = value.is_not_null() if keep is None else keep & value.is_not_null()
        place = pl.col("_time").cast(pl.Int128) * _TWO_64 + pl.col("_offset").cast(pl.Int128)
        place = pl.when(there).then(place)
        chosen = place.max() if self.latest else place.min()
        kept_value = as_state(value, self.type.kind)
        any_value = kept_value.max_by(place) if self.latest else kept_value.min_by(place)
        partition = pl.when(there).then(pl.col("_partition")).max()
        return [
            counted(value, keep).alias(column(prefix, "n")),
            (chosen // _TWO_64).cast(pl.Int64).alias(column(prefix, "time")),
            partition.cast(pl.Int64).alias(column(prefix, "partition")),
            (chosen % _TWO_64).cast(pl.Int64).alias(column(prefix, "offset")),
            pl.when(there.any()).then(any_value).alias(column(prefix, "value")),
        ]

    def merge(self, prefix: str) -> list[pl.Expr]:
        order = [pl.col(column(prefix, part)) for part in _ORDER]
        # Nulls, which are states without events, come first, so that the last row is the one chosen if there is one.
        chosen = [
            pl.col(column(prefix, suffix)).sort_by(order, descending=not self.latest, nulls_last=False).last()
            for suffix in (*_ORDER, "value")
        ]
        return [pl.col(column(prefix, "n")).sum(), *chosen]
