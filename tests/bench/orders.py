"""Orders as JSON, made in columns, and what every window of a minute must say of them.

An event is ``{"event_id", "ts" (epoch ms), "type", "region", "customer_id", "amount", "cost", "channel"}``, about
190 bytes, with
up to 2 s of disorder either way. Two closing events follow on every key or partition, so that the last windows close.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Ints = npt.NDArray[np.int64]
By = Literal["region", "customer"]

REGIONS = ("north", "south", "east", "west", "emea", "apac", "latam", "nordics")
CHANNELS = ("web", "mobile", "store", "partner")
TYPES = (*("order",) * 8, "refund", "page_view")
MINUTE_MS = 60_000
DISORDER_MS = 2_000
CHUNK = 500_000


@dataclass(frozen=True)
class Orders:
    """``count`` orders spread over ``minutes``, keyed by region or by one of ``customers``; ``base_ms`` starts a
    minute."""

    by: By
    count: int
    base_ms: int
    minutes: int = 10
    partitions: int = 2
    customers: int = 100_000
    seed: int = 7

    @property
    def keys(self) -> int:
        return len(REGIONS) if self.by == "region" else self.customers


@dataclass
class Expected:
    """Per key (region's or customer's number) and minute: orders and cents."""

    counts: Ints
    cents: Ints
    base_ms: int = 0

    @property
    def windows(self) -> int:
        return int(np.count_nonzero(self.counts))


@dataclass(frozen=True)
class Chunk:
    """Events in the order of their offsets, each list per partition."""

    times: list[list[int]] = field(default_factory=list)
    keys: list[list[bytes]] = field(default_factory=list)
    values: list[list[bytes]] = field(default_factory=list)


def made(orders: Orders, expected: Expected) -> Iterator[Chunk]:
    """All events, chunk by chunk; ``expected`` is filled on the way and complete after the last one."""
    random = np.random.default_rng(orders.seed)
    span = orders.minutes * MINUTE_MS
    for start in range(0, orders.count, CHUNK):
        n = min(CHUNK, orders.count - start)
        even = orders.base_ms + (np.arange(start, start + n, dtype=np.int64) * span) // orders.count
        times = np.clip(even + random.integers(-DISORDER_MS, DISORDER_MS, n), orders.base_ms, orders.base_ms + span - 1)
        regions = random.integers(0, len(REGIONS), n)
        customers = random.integers(0, orders.customers, n)
        cents = np.maximum(np.rint(random.lognormal(3.5, 1.0, n) * 100).astype(np.int64), 1)
        keys = regions if orders.by == "region" else customers
        flat = keys * orders.minutes + (times - orders.base_ms) // MINUTE_MS
        np.add.at(expected.counts.reshape(-1), flat, 1)
        np.add.at(expected.cents.reshape(-1), flat, cents)
        yield _chunk(orders, random, times, regions, customers, cents)
    for late in (1, 2):
        closing = np.arange(len(REGIONS) if orders.by == "region" else orders.partitions, dtype=np.int64)
        at = np.full(len(closing), orders.base_ms + span + 2 * late * MINUTE_MS)
        yield _chunk(orders, random, at, closing % len(REGIONS), closing, np.ones(len(closing), dtype=np.int64))


def nothing_yet(orders: Orders) -> Expected:
    shape = (orders.keys, orders.minutes)
    return Expected(np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64), orders.base_ms)


def _chunk(
    orders: Orders, random: np.random.Generator, times: Ints, regions: Ints, customers: Ints, cents: Ints
) -> Chunk:
    n = len(times)
    costs = cents * 6 // 10
    columns = pl.DataFrame(
        {
            "time": times,
            "identity": _identities(random, n),
            "kind": pl.Series(TYPES).gather(random.integers(0, len(TYPES), n)),
            "region": pl.Series(REGIONS).gather(regions),
            "customer": customers,
            "amount": _money(cents),
            "cost": _money(costs),
            "channel": pl.Series(CHANNELS).gather(random.integers(0, len(CHANNELS), n)),
            "partition": (regions if orders.by == "region" else customers) % orders.partitions,
        }
    )
    events = columns.select(
        "time",
        "partition",
        key=(pl.col("region") if orders.by == "region" else pl.col("customer").cast(pl.String)).cast(pl.Binary),
        value=pl.concat_str(
            pl.lit('{"event_id":"'),
            "identity",
            pl.lit('","ts":'),
            "time",
            pl.lit(',"type":"'),
            "kind",
            pl.lit('","region":"'),
            "region",
            pl.lit('","customer_id":'),
            "customer",
            pl.lit(',"amount":'),
            "amount",
            pl.lit(',"cost":'),
            "cost",
            pl.lit(',"channel":"'),
            "channel",
            pl.lit('"}'),
        ).cast(pl.Binary),  # fmt: skip
    )
    chunk = Chunk()
    for partition in range(orders.partitions):
        mine = events.filter(pl.col("partition") == partition)
        chunk.times.append(mine["time"].to_list())
        chunk.keys.append(mine["key"].to_list())
        chunk.values.append(mine["value"].to_list())
    return chunk


def _money(cents: Ints) -> pl.Series:
    series = pl.Series(cents)
    return pl.select(
        pl.format("{}.{}", pl.lit(series // 100), pl.lit(series % 100).cast(pl.String).str.zfill(2))
    ).to_series()


def _identities(random: np.random.Generator, n: int) -> pl.Series:
    """``n`` random texts in the shape of a UUID."""
    digits = np.frombuffer(random.bytes(16 * n).hex().encode(), dtype=np.uint8).reshape(n, 32)
    dash = np.full((n, 1), ord("-"), dtype=np.uint8)
    parts = (digits[:, :8], dash, digits[:, 8:12], dash, digits[:, 12:16], dash, digits[:, 16:20], dash, digits[:, 20:])
    text = np.ascontiguousarray(np.concatenate(parts, axis=1))
    offsets = np.arange(0, 36 * (n + 1), 36, dtype=np.int32)
    return pl.Series(pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(text)))
