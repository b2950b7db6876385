"""Both stages of the engine in this process, over deliveries: what the worker does, without Kafka in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from engine.accumulating import Progress, SourcePartition
from engine.admission import Batch
from engine.catalog.model import Catalog
from engine.merging import MergePartition
from engine.plan import plan_catalog
from engine.records import HEARTBEAT, encode, record_key
from engine.values import render
from tests.oracle.comparing import Published
from tests.oracle.deliveries import Deliveries

SENT_MS = 2_000_000_000_000  # Kafka's timestamp of every record: after all events
Chunk = Mapping[str, Sequence[Sequence[bytes]]]  # by source: the values of each of its partitions


def published(catalog: Catalog, given: Deliveries, *, merges: int = 2, chunk: int = 20_000) -> Published:
    """What is published of ``given``, with a flush of each partition and a publication after every ``chunk``."""
    chunks = ({given.source.name: values} for values in given.chunks(chunk))
    return published_of(catalog, {given.source.name: given.partitions}, chunks, merges=merges)


def published_of(
    catalog: Catalog, partitions: Mapping[str, int], chunks: Iterable[Chunk], *, merges: int = 2
) -> Published:
    """The same of several sources, of which each has so many partitions."""
    plan = plan_catalog(catalog)
    found = Published(catalog)
    log: list[list[tuple[bytes, bytes | None, int]]] = [[] for _ in range(merges)]
    merging = [MergePartition(plan, number, merges) for number in range(merges)]

    def write(to: int, key: bytes, value: bytes | None) -> None:
        log[to].append((key, value, len(log[to])))

    parts = {
        source: [
            SourcePartition(plan, source, number, partitions=count, merge_partitions=merges) for number in range(count)
        ]
        for source, count in partitions.items()
    }
    for part in (part for of_source in parts.values() for part in of_source):
        beat = part.heartbeat(Progress())
        for to in range(merges):
            write(to, record_key(HEARTBEAT, beat.partition, 0, beat.epoch, beat.source), encode(beat))
    for chunk in chunks:
        of_all = (
            (part, mine) for source, values in chunk.items() for part, mine in zip(parts[source], values, strict=True)
        )
        for part, mine in of_all:
            offsets = np.arange(part.offset, part.offset + len(mine), dtype=np.int64)
            timestamps = np.full(len(mine), SENT_MS, dtype=np.int64)
            rejects = part.fold(
                Batch(
                    values=list(mine),
                    offsets=offsets,
                    timestamps=timestamps,
                    partition=part.partition,
                    next_offset=part.offset + len(mine),
                )
            )
            assert not rejects, rejects[0]
            flush = part.flush(Progress())
            for to, key, value in flush.partials:
                write(to, key, value)
            for to, key, beat_value in flush.heartbeats(merges):
                write(to, key, beat_value)
        for merge in merging:
            merge.apply(log[merge.partition][merge.offset :])
            publication = merge.publish(open_windows=False)
            for to, key, value in publication.shares:
                write(to, key, value)
            for rows in publication.values:
                found.add(value for _, value in render(rows))
    return found
