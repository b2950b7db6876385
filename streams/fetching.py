"""Records as they come out of a fetch, a batch at a time: raw values without a Python object per Kafka record.

aiokafka makes a `ConsumerRecord` of every record, which costs more than everything the engine does with it. For the
topics named by a `BatchedTopics`, one fetched partition becomes one `ConsumerRecord` instead, whose value holds the
whole of it. Record batches keep the original's treatment: checksums, control batches, aborted transactions, offsets
below the position asked for.

`BatchedTopics` is handed to a consumer as its `value_deserializer`, so that only this consumer is affected.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from aiokafka import conn
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import ConsumerRecord

from engine.decoding.batch import Batch
from streams.receiving import Connection
from streams.record_format import Headers, is_whole, lenient_records, record_batch, slices

T = TypeVar("T")
Int64s = npt.NDArray[np.int64]
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
class Original:
    """One event as Kafka holds it. ``timestamp`` in milliseconds since the epoch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """One fetched partition. From the offset `asked` for to `next_offset` the topic holds nothing but this.

    `originals` gives the events at some offsets, each of which must be here; reading them takes a while.
    """

    content: T
    asked: int
    next_offset: int
    originals: Callable[[Collection[int]], list[Original]]


def install() -> None:
    """Make aiokafka's fetchers know `BatchedTopics`. Consumers with any other deserializer are as before."""
    fetcher.PartitionRecords = _partition_records
    fetcher.MemoryRecords = _KeptRecords
    conn.AIOKafkaConnection = Connection


def _partition_records(*arguments: Any) -> Any:
    topic, deserializer = arguments[0].topic, arguments[5]
    if isinstance(deserializer, BatchedTopics):
        if topic in deserializer.events:
            return _EventRecords(*arguments)
        if topic in deserializer.records:
            return _FieldRecords(*arguments)
    return _Original(*arguments)


class _KeptRecords:
    """`MemoryRecords` that do not copy what they are made of, and keep it for a second look at a few records."""

    def __init__(self, raw: bytes | memoryview) -> None:
        self.batches = slices(raw)
        self._size = len(raw)
        self._number = 0

    def has_next(self) -> bool:
        return self._number < len(self.batches)

    def next_batch(self) -> Any:
        """None behind the last one."""
        if not self.has_next():
            return None
        batch = self.batches[self._number]
        self._number += 1
        return record_batch(batch)

    def size_in_bytes(self) -> int:
        return self._size


class _BatchedRecords(_Original):
    """The record batches of one fetched partition that count, as one `ConsumerRecord`."""

    def _unpack_records(self) -> Iterator[ConsumerRecord[None, Any]]:
        kept = _Kept(self._records.batches, self.next_fetch_offset)
        content, newest = self._collect(kept)
        if content is not None:
            tp, end = self._tp, self.next_fetch_offset
            fetched = Fetched(content, kept.asked, end, kept.originals)
            yield ConsumerRecord(tp.topic, tp.partition, end - 1, newest, 0, None, fetched, None, -1, -1, ())

    def _collect(self, kept: _Kept) -> tuple[Any, int]:
        """The content, None when no record is left, and the newest timestamp."""
        raise NotImplementedError

    def _counting(self) -> Iterator[tuple[int, Any]]:
        """(number, record batch) of those whose records count, in order; moves the position behind each."""
        number = -1
        parts = self._records.batches
        while self._records.has_next():
            batch = self._records.next_batch()
            number += 1
            if self._check_crcs and not is_whole(parts[number]):
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
    def _collect(self, kept: _Kept) -> tuple[Batch | None, int]:
        values: list[bytes | None] = []
        stamps: list[int] = []
        offsets: list[Int64s] = []
        headed: list[int] = []
        newest = -1
        for number, records in self._counting():
            kept.numbers.append(number)
            start, end = records.base_offset, records.next_offset
            before = len(values)
            add_value, add_stamp = values.append, stamps.append  # one pass, since a second one costs as much again
            with suppress(UnicodeDecodeError):  # a header whose name is not text
                for record in records:
                    if not record.headers:
                        add_value(record.value)
                        add_stamp(record.timestamp)
            if start < kept.asked or len(values) - before != end - start:  # begun in the middle, compacted, headers
                del values[before:], stamps[before:]
                fields = kept.fields(number)
                headed.extend(before + index for index, field in enumerate(fields) if field[4])
                values.extend(field[3] for field in fields)
                stamps.extend(field[1] for field in fields)
                offsets.append(np.array([field[0] for field in fields], dtype=np.int64))
            else:
                offsets.append(np.arange(start, end, dtype=np.int64))
            newest = max(newest, records.max_timestamp)
        if not values:
            return None, newest
        batch = Batch(
            partition=self._tp.partition,
            values=values,
            offsets=np.concatenate(offsets),
            timestamps=np.array(stamps, dtype=np.int64),
            next_offset=self.next_fetch_offset,
            headers=kept.headers,
            headed=headed,
        )
        return batch, newest


class _FieldRecords(_BatchedRecords):
    def _collect(self, kept: _Kept) -> tuple[list[Record] | None, int]:
        found: list[Record] = []
        newest = -1
        for number, records in self._counting():
            kept.numbers.append(number)
            found.extend((r.key, r.value, r.offset) for r in records if r.offset >= kept.asked)
            newest = max(newest, records.max_timestamp)
        return found or None, newest


Fields = tuple[int, int, bytes | None, bytes | None, Headers]  # offset, timestamp, key, value, headers


class _Kept:
    """The raw record batches behind a `Fetched`: what is seldom needed is read when somebody asks."""

    def __init__(self, batches: Sequence[memoryview], asked: int) -> None:
        self.asked = asked
        self.numbers: list[int] = []  # of the record batches that count
        self._batches = batches
        self._fields: dict[int, list[Fields]] = {}

    def headers(self, index: int) -> Headers:
        return self._all[index][4]

    def originals(self, offsets: Collection[int]) -> list[Original]:
        """The events at `offsets`, in the order of the topic."""
        wanted = set(offsets)
        return [Original(*field) for field in self._all if field[0] in wanted]

    def fields(self, number: int) -> list[Fields]:
        """The records of one record batch from the offset asked for, whatever the names of their headers."""
        known = self._fields.get(number)
        if known is None:
            try:
                found = [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in self._batch(number)]
            except UnicodeDecodeError:
                found = list(lenient_records(self._batches[number]))
            known = self._fields[number] = [field for field in found if field[0] >= self.asked]
        return known

    @cached_property
    def _all(self) -> list[Fields]:
        return [field for number in self.numbers for field in self.fields(number)]

    def _batch(self, number: int) -> Iterable[Any]:
        records: Iterable[Any] = record_batch(self._batches[number])
        return records
