"""What comes in: a batch of records of one partition, and what decoding makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.dead_letters import Fault

Int64s = npt.NDArray[np.int64]
Headers = Sequence[tuple[str, bytes | None]]


def no_headers(index: int) -> Headers:
    return ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, in the order of their offsets, which may have gaps.

    ``timestamps`` are the Kafka records' own, in ms. ``headed`` are the indices of the records that have headers at
    all, ascending; None when that is not known: each record is then asked. ``next_offset`` is where the next batch
    begins.
    """

    partition: int
    values: Sequence[bytes | None]
    offsets: Int64s
    timestamps: Int64s | Callable[[], Int64s]
    next_offset: int
    headers: Callable[[int], Headers] = no_headers
    headed: Sequence[int] | None = None

    def since(self, offset: int) -> Batch:
        """The records from ``offset`` on."""
        first = int(np.searchsorted(self.offsets, offset))
        if first == 0:
            return self
        timestamps, headers = self.timestamps, self.headers
        return Batch(
            self.partition,
            self.values[first:],
            self.offsets[first:],
            (lambda: timestamps()[first:]) if callable(timestamps) else timestamps[first:],
            self.next_offset,
            lambda index: headers(index + first),
            None if self.headed is None else [index - first for index in self.headed if index >= first],
        )

    def until(self, offset: int) -> Batch:
        """The records below ``offset``; there are some at or above it."""
        count = int(np.searchsorted(self.offsets, offset))
        timestamps = self.timestamps
        return Batch(
            self.partition,
            self.values[:count],
            self.offsets[:count],
            (lambda: timestamps()[:count]) if callable(timestamps) else timestamps[:count],
            offset,
            self.headers,
            None if self.headed is None else [index for index in self.headed if index < count],
        )

    def with_headers(self) -> Sequence[int]:
        """Indices of the records that may have headers."""
        if self.headed is not None:
            return self.headed
        return () if self.headers is no_headers else range(len(self.values))


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch as columns (of the fields that are wanted, and more), one row per record; rows of records with a fault
    hold anything.

    ``times`` are event times in microseconds. ``identities`` gives what makes the events at some indices the same
    event if it is equal; None for an event without.
    """

    columns: dict[str, pl.Series]
    times: Int64s
    faults: dict[int, Fault]
    identities: Callable[[Sequence[int] | None], list[str | None]]


class Decoder(Protocol):
    def decode(self, batch: Batch) -> Decoded: ...
