"""Records as they come out of a fetch, a batch at a time: raw values without a Python object per Kafka record.

aiokafka makes a `ConsumerRecord` of every record, which costs more than everything the engine does with it. For the
topics named by a `BatchedTopics`, one fetched partition becomes one `ConsumerRecord` instead, whose value holds the
whole of it. Record batches keep the original's treatment: checksums, control batches, aborted transactions, offsets
below the position asked for.

`BatchedTopics` is handed to a consumer as its `value_deserializer`, so that only this consumer is affected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Generic, TypeVar

import numpy as np
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord
from engine.admission import Batch

from streams.record_format import Headers, lenient_records, slices

T = TypeVar("T")
_Original: Any = fetcher.PartitionRecords


@dataclass(frozen=True)
class BatchedTopics:
    """Which topics come as batches: `events` as `Batch`, `records` as lists of `Record`; others as always."""

    events: frozenset[str]
    records: frozenset[str] = frozenset()

    def __call__(self, value: bytes | None) -> bytes | None:
        """The deserializer of single records: none."""
        return value


Record = tuple[bytes | None, bytes | None, int]  # key, value, offset


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """One fetched partition. From the offset `asked` for to `next_offset` the topic holds nothing but this."""

    content: T
    asked: int
    next_offset: int


def install() -> None:
    """Make aiokafka's fetchers know `BatchedTopics`. Consumers with any other deserializer are as before."""
    fetcher.PartitionRecords = _partition_records
    fetcher.MemoryRecords = _KeptRecords


def _partition_records(*arguments: Any) -> Any:
    topic, deserializer = arguments[0].topic, arguments[5]
    if isinstance(deserializer, BatchedTopics):
        if topic in deserializer.events:
            return _EventRecords(*arguments)
        if topic in deserializer.records:
            return _FieldRecords(*arguments)
    return _Original(*arguments)


class _KeptRecords:
    """`MemoryRecords` that keep the bytes they were made of, for a second look at a few records."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        records = MemoryRecords(raw)
        self.has_next, self.next_batch, self.size_in_bytes = records.has_next, records.next_batch, records.size_in_bytes


class _BatchedRecords(_Original):  # type: ignore[misc]  # aiokafka's fetcher has no types
    """The record batches of one fetched partition that count, as one `ConsumerRecord`."""

    def _unpack_records(self) -> Iterator[ConsumerRecord[None, Any]]:
        asked = self.next_fetch_offset
        content, newest = self._collect(asked)
        if content is not None:
            tp, end = self._tp, self.next_fetch_offset
            fetched = Fetched(content, asked, end)
            yield ConsumerRecord(tp.topic, tp.partition, end - 1, newest, 0, None, fetched, None, -1, -1, ())

    def _collect(self, asked: int) -> tuple[Any, int]:
        """The content, None when no record is left, and the newest timestamp."""
        raise NotImplementedError

    def _counting(self) -> Iterator[tuple[int, Any]]:
        """(number, record batch) of those whose records count, in order; moves the position behind each."""
        number = -1
        while self._records.has_next():
            batch = self._records.next_batch()
            number += 1
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if self._isolation_level == fetcher.READ_COMMITTED and batch.producer_id is not None:
                self._consume_aborted_up_to(batch.base_offset)
                if batch.is_control_batch and self._contains_abort_marker(batch):
                    self._aborted_producers.discard(batch.producer_id)
                if batch.is_transactional and batch.producer_id in self._aborted_producers:
                    self.next_fetch_offset = batch.next_offset
                    continue
            if not batch.is_control_batch:
                yield number, batch
            self.next_fetch_offset = batch.next_offset


class _EventRecords(_BatchedRecords):
    def _collect(self, asked: int) -> tuple[Batch | None, int]:
        kept = _Kept(self._records.raw, asked)
        values: list[bytes | None] = []
        offsets: list[np.ndarray] = []
        newest = -1
        for number, records in self._counting():
            start, end = records.base_offset, records.next_offset
            try:
                found = [record.value for record in records]
            except UnicodeDecodeError:  # a header whose name is not text
                found = []
            if start < asked or len(found) != end - start:  # begun in the middle, compacted, or unreadable
                fields = [field for field in kept.fields_of(number) if field[0] >= asked]
                found = [field[3] for field in fields]
                offsets.append(np.array([field[0] for field in fields], dtype=np.int64))
            else:
                offsets.append(np.arange(start, end, dtype=np.int64))
            values.extend(found)
            kept.numbers.append(number)
            newest = max(newest, records.max_timestamp)
        if not values:
            return None, newest
        batch = Batch(
            values=values,
            offsets=np.concatenate(offsets),
            timestamps=kept.timestamps,
            headers=kept.headers,
            key=kept.key,
            partition=self._tp.partition,
            next_offset=self.next_fetch_offset,
        )
        return batch, newest


class _FieldRecords(_BatchedRecords):
    def _collect(self, asked: int) -> tuple[list[Record] | None, int]:
        records: list[Record] = []
        newest = -1
        for _, batch in self._counting():
            records.extend((record.key, record.value, record.offset) for record in batch if record.offset >= asked)
            newest = max(newest, batch.max_timestamp)
        return records or None, newest


class _Kept:
    """The raw record batches behind a `Batch`: timestamps, keys and headers are read when somebody asks."""

    def __init__(self, raw: bytes, asked: int) -> None:
        self._raw = raw
        self._asked = asked
        self.numbers: list[int] = []  # of the record batches that count

    def timestamps(self) -> np.ndarray:
        """Milliseconds since the epoch, one per value."""
        asked = self._asked
        try:
            found = [r.timestamp for batch in self._batches() for r in batch if r.offset >= asked]
        except UnicodeDecodeError:
            found = [field[1] for field in self._fields]
        return np.array(found, dtype=np.int64)

    def key(self, index: int) -> bytes | None:
        return self._fields[index][2]

    def headers(self, index: int) -> Headers:
        return self._fields[index][4]

    def fields_of(self, number: int) -> Iterable[tuple[int, int, bytes | None, bytes | None, Headers]]:
        """(offset, timestamp, key, value, headers) of one record batch, whatever the names of its headers."""
        return lenient_records(slices(self._raw)[number])

    def _batches(self) -> Iterator[Any]:
        wanted = set(self.numbers)
        records = MemoryRecords(self._raw)
        number = -1
        while records.has_next():
            batch, number = records.next_batch(), number + 1
            if number in wanted:
                yield batch

    @cached_property
    def _fields(self) -> list[tuple[int, int, bytes | None, bytes | None, Headers]]:
        asked = self._asked
        try:
            records = chain.from_iterable(self._batches())
            return [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in records if r.offset >= asked]
        except UnicodeDecodeError:
            return [field for number in self.numbers for field in self.fields_of(number) if field[0] >= asked]
