"""Tables kept in compacted topics: the newest record of each key, and who may write them (protocol rule 3).

An owner announces itself with an assignment record; the offset of that record is its epoch. What an earlier owner
writes after it, woken up too late, does not count.
"""

from __future__ import annotations

import struct
import uuid
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka.structs import TopicPartition

from engine.accumulating import TableRecord
from streams.producing import BulkWriter, Pair, Place
from streams.reading import TopicReader

_EPOCH = struct.Struct(">Q")
_ASSIGNMENT = b"\xff" * _EPOCH.size


async def newest_records(
    reader: TopicReader, ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, list[TableRecord]]:
    """Of each key below the partition's end the newest (key, value, offset), in the order of offsets; deleted keys are
    left out. The topics must be read in bulk.
    """
    tables: dict[TopicPartition, dict[bytes, tuple[bytes, int]]] = {tp: {} for tp in ends}
    async for tp, records in reader.records(ends):
        table = tables[tp]
        for key, value, offset in records:
            if key is None:
                continue
            table.pop(key, None)
            if value is not None:
                table[key] = (value, offset)
    return {tp: [(key, value, offset) for key, (value, offset) in table.items()] for tp, table in tables.items()}


@dataclass(slots=True)
class OwnedLog:
    """A changelog partition that is ours. ``end``: behind our last write; ``alone``: nobody wrote in between."""

    tp: TopicPartition
    epoch: int
    end: int
    alone: bool = True

    @property
    def place(self) -> Place:
        return self.tp.topic, self.tp.partition

    def untouched(self, end: int) -> bool:
        """Whether all since our assignment is ours, given the log's end now: then nobody took it over meanwhile."""
        return self.alone and self.end == end


async def assign(writer: BulkWriter, places: Mapping[TopicPartition, bytes]) -> dict[TopicPartition, OwnedLog]:
    """Write an assignment record of the given key to each partition, which makes it ours."""
    ends = await writer.write({(tp.topic, tp.partition): [(key, b"assigned")] for tp, key in places.items()})
    owned = {tp: ends[tp.topic, tp.partition] for tp in places}
    return {tp: OwnedLog(tp, end - 1, end) for tp, end in owned.items()}


async def write(writer: BulkWriter, records: Mapping[Place, Sequence[Pair]], logs: Iterable[OwnedLog]) -> None:
    """Write, and take note of what went to logs of ours."""
    ends = await writer.write({place: pairs for place, pairs in records.items() if pairs})
    for log in logs:
        if log.place in ends:
            log.alone = log.alone and ends[log.place] == log.end + len(records[log.place])
            log.end = ends[log.place]


class FencedTable:
    """A table whose keys say nothing of their writer: the writer's epoch goes before each key in the topic."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    @staticmethod
    def assignment_key() -> bytes:
        """One for each assignment, so that compaction keeps them all."""
        return _ASSIGNMENT + uuid.uuid4().bytes

    def take_over(self, records: Sequence[TableRecord]) -> tuple[dict[bytes, bytes], list[Pair]]:
        """The table as its last rightful owner left it, and what to write so that it does not depend on that owner's
        keys any more, which it could still overwrite.
        """
        assigned = [offset for key, _, offset in records if key.startswith(_ASSIGNMENT)]
        table: dict[bytes, bytes] = {}
        former: list[Pair] = []
        for key, value, offset in records:
            if key.startswith(_ASSIGNMENT):
                continue  # all are kept: each fences those before it
            writer = _EPOCH.unpack_from(key)[0]
            former.append((key, None))
            newer = bisect_right(assigned, writer)
            if newer == len(assigned) or assigned[newer] > offset:
                table[key[_EPOCH.size :]] = value
        return table, [*self.pairs(table.items()), *former]

    def pairs(self, records: Iterable[tuple[bytes, bytes | None]]) -> list[Pair]:
        """The records as they are written."""
        epoch = _EPOCH.pack(self.epoch)
        return [(epoch + key, value) for key, value in records]
