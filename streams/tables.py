"""Tables kept in compacted topics: the newest record of each key, and who may write them (protocol rule 3).

An owner begins with an assignment record; the offset of that record is its epoch, which its keys carry. Once it has
written under its own keys what it took over, what an earlier owner writes, woken up too late, does not count any more.
"""

from __future__ import annotations

import logging
import struct
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka.structs import TopicPartition

from engine.accumulating import TableRecord
from streams.fetching import Record
from streams.local_copies import Copy, LocalCopies, Mark, digest_of
from streams.producing import BulkWriter, Pair, Place
from streams.reading import TopicReader

_EPOCH = struct.Struct(">Q")
_ASSIGNMENT = b"\xff" * _EPOCH.size
_ESTABLISHED = b""  # the key of what an owner writes behind all that it took over
_log = logging.getLogger(__name__)


async def newest_records(
    reader: TopicReader, ends: Mapping[TopicPartition, int], copies: LocalCopies | None = None
) -> dict[TopicPartition, list[TableRecord]]:
    """Of each key below the partition's end the newest (key, value, offset), in the order of offsets; deleted keys are
    left out. The topics must be read in bulk.

    With `copies`, only what they lack is read, and they are complete up to the end afterwards. A copy is used only
    where nothing is missing between it and the end: of what compaction took out, some may have been tombstones.
    """
    ids = await reader.topic_ids({tp.topic for tp in ends}) if copies is not None and ends else {}
    tables = {tp: _Table(await copies.load(tp, ids[tp.topic], ends[tp])) if copies and tp.topic in ids else _Table()
              for tp in ends}  # fmt: skip
    starts = {tp: table.copy.mark.last for tp, table in tables.items() if table.copy is not None}
    async for tp, records in reader.records(ends, starts):
        tables[tp].take(records)
    useless = {tp: _Table() for tp in starts if not tables[tp].is_complete(ends[tp])}
    if useless:
        for tp in useless:
            LocalCopies.note_discarded(tp, "records between it and the log's end are gone, or others")
        tables.update(useless)
        async for tp, records in reader.records({tp: ends[tp] for tp in useless}):
            tables[tp].take(records)
    if copies is not None:
        copied, read = sum(table.copied for table in tables.values()), sum(table.read for table in tables.values())
        _log.info("%s: %d records of local copies, %d read", ", ".join(sorted(ids)), copied, read)
        for tp, table in tables.items():
            if tp.topic in ids:
                await table.keep(copies, tp, ids[tp.topic], ends[tp])
    return {tp: [(key, value, offset) for key, (value, offset) in table.newest.items()] for tp, table in tables.items()}


class _Table:
    """One partition while it is read: from its start, or from the last record of a copy."""

    def __init__(self, copy: Copy | None = None) -> None:
        self.copy = copy
        self.newest: dict[bytes, tuple[bytes, int]] = copy.table if copy else {}
        self.copied = len(self.newest)
        self.read = 0
        self._last: Record | None = None
        self._since: list[Record] = []  # what the copy lacks
        self._expected = copy.mark.last if copy else 0
        self._fits = True

    def take(self, records: list[Record]) -> None:
        if not records:
            return
        self.read += len(records)
        if self.copy is not None:
            mark = self.copy.mark
            first, last = records[0], records[-1]
            self._fits = self._fits and first[2] == self._expected
            if self._expected == mark.last:
                self._fits = self._fits and digest_of(*first[:2]) == mark.digest
                self._expected, records = mark.end, records[1:]
            gapless = last[2] - self._expected + 1 == len(records)
            self._fits = self._fits and (not records or (records[0][2] == self._expected and gapless))
            if not self._fits:
                return
            self._expected += len(records)
            self._since.extend(records)
        table = self.newest
        for key, value, offset in records:
            if key is None:
                continue
            table.pop(key, None)
            if value is not None:
                table[key] = (value, offset)
        self._last = records[-1] if records else self._last

    def is_complete(self, end: int) -> bool:
        """Whether the copy was the log's beginning, and everything since then was read."""
        return self._fits and self._expected == end

    async def keep(self, copies: LocalCopies, tp: TopicPartition, topic_id: bytes, end: int) -> None:
        """Have a copy that is complete up to the end."""
        if self.copy is not None:
            copies.keep(tp, self.copy.mark)
            await copies.extend(tp, self.copy.mark.end, self._since)
        elif self._last is not None:
            key, value, offset = self._last
            await copies.replace(tp, Mark(topic_id, end, offset, digest_of(key, value)), self.newest)
        elif end == 0:
            await copies.replace(tp, Mark.of_nothing(topic_id), {})


@dataclass(slots=True)
class OwnedLog:
    """A changelog partition that is ours. ``end``: behind our last write; ``alone``: no newer owner, nor anybody else
    whom we have not read, wrote before that.
    """

    tp: TopicPartition
    epoch: int
    end: int
    alone: bool = True
    copies: LocalCopies | None = None  # which get what is written

    @property
    def place(self) -> Place:
        return self.tp.topic, self.tp.partition

    def has_read(self, end: int, *, newer: bool) -> None:
        """What was there up to an end, whether or not ``newer`` owners are among those who wrote it."""
        self.end = end
        self.alone = not newer

    def untouched(self, end: int) -> bool:
        """Whether all since our assignment is ours, given the log's end now: then nobody took it over meanwhile."""
        return self.alone and self.end == end


async def assign(
    writer: BulkWriter, places: Mapping[TopicPartition, bytes], copies: LocalCopies | None = None
) -> dict[TopicPartition, OwnedLog]:
    """Write an assignment record of the given key to each partition, which makes it ours."""
    ends = await writer.write({(tp.topic, tp.partition): [(key, b"assigned")] for tp, key in places.items()})
    owned = {tp: ends[tp.topic, tp.partition] for tp in places}
    return {tp: OwnedLog(tp, end - 1, end, copies=copies) for tp, end in owned.items()}


async def write(writer: BulkWriter, records: Mapping[Place, Sequence[Pair]], logs: Iterable[OwnedLog]) -> None:
    """Write, and take note of what went to logs of ours."""
    ends = await writer.write({place: pairs for place, pairs in records.items() if pairs})
    for log in logs:
        if log.place in ends:
            pairs, start, end = records[log.place], log.end, ends[log.place]
            log.alone = log.alone and end == start + len(pairs)
            log.end = end
            if log.copies is not None and log.alone:
                written = [(key, value, start + index) for index, (key, value) in enumerate(pairs)]
                await log.copies.extend(log.tp, start, written)


async def delete(writer: BulkWriter, keys: Iterable[tuple[OwnedLog, Sequence[bytes]]]) -> None:
    """Delete what our last write, a manifest, has made needless.

    Not where somebody else wrote before it: a newer owner, if that is who it was, goes on from the manifest before,
    for which it is needed. So a deletion may come as late as it will; and the next owner makes up for those left out.
    """
    gone = [(log, [(key, None) for key in found]) for log, found in keys if log.alone]
    await write(writer, {log.place: pairs for log, pairs in gone}, [log for log, _ in gone])


class FencedTable:
    """A table whose keys say nothing of their writer: the writer's epoch goes before each key in the topic.

    An owner is established by a record of its own behind its copy of the table. The newest one that is wrote the whole
    table: what earlier owners, or newer ones that were never established, wrote does not count.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    @staticmethod
    def assignment_key() -> bytes:
        """One for each assignment, so that compaction keeps them all."""
        return _ASSIGNMENT + uuid.uuid4().bytes

    def take_over(self, records: Sequence[TableRecord]) -> tuple[dict[bytes, bytes], list[Pair]]:
        """The table as its last rightful owner left it, and what to write, in this order, before anything else: so
        that it does not depend on that owner's keys any more, which it could still overwrite.
        """
        former = [key for key, _, offset in records if offset != self.epoch]
        written = [(_EPOCH.unpack_from(key)[0], key[_EPOCH.size :], value)
                   for key, value, _ in records if not key.startswith(_ASSIGNMENT)]  # fmt: skip
        established = [writer for writer, key, _ in written if key == _ESTABLISHED]
        owner = max(established or [writer for writer, _, _ in written], default=None)
        table = {key: value for writer, key, value in written if writer == owner and key != _ESTABLISHED}
        own = self.pairs([*table.items(), (_ESTABLISHED, b"established")])
        return table, [*own, *((key, None) for key in former)]

    def pairs(self, records: Iterable[tuple[bytes, bytes | None]]) -> list[Pair]:
        """The records as they are written."""
        epoch = _EPOCH.pack(self.epoch)
        return [(epoch + key, value) for key, value in records]
