"""Events to Kafka: stored means acknowledged by all in-sync replicas, and of every other it is said what is known.

A partition takes one write at a time; what comes meanwhile goes with the next, so that many small requests share a
record batch. While Kafka does not answer, one batch a partition is under way, and nothing more is given to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.partitioner import murmur2

from streams.gateway.connection import Away, Connection
from streams.producing import RECORD_BYTES
from streams.security import KafkaSecurity

WRITE_SECONDS: Final = 10.0
HELD_BYTES: Final = 64 * 2**20
"""What may wait for Kafka, over all partitions."""

T = TypeVar("T")
Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]  # key, value, headers
_log = logging.getLogger(__name__)


class Fate(Enum):
    """What became of an event."""

    STORED = "stored"
    NOT_STORED = "not_stored"  # Kafka never had it
    UNKNOWN = "unknown"  # Kafka had it, and did not answer in time: it may still be stored
    TOO_LARGE = "too_large"  # more bytes than the topic takes


@dataclass(slots=True, eq=False)
class _Part:
    """The records of one request for one partition. ``taken`` is how many of them Kafka was given."""

    records: Sequence[Record]
    fates: list[Fate]
    taken: int = 0
    answered: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Store:
    """Takes events while it is entered. ``timeout`` bounds the wait for Kafka, in seconds."""

    def __init__(self, brokers: str, security: KafkaSecurity | None = None, *, timeout: float = WRITE_SECONDS) -> None:
        self._timeout = timeout
        self._connection = Connection(brokers, security, "streamgauge-gateway")
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._held = 0
        self._turn = 0

    @property
    def task(self) -> asyncio.Task[None]:
        """Ends only when something is wrong with this program."""
        return self._connection.task

    async def __aenter__(self) -> Store:
        await self._connection.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._connection.__aexit__(*exception)
        for lane in self._lanes.values():
            await lane.end()

    async def ready(self) -> None:
        """Raises Away where it is known that nothing can be stored."""
        await self._within(self._connection.producer())

    async def store(self, topic: str, records: Mapping[int, Record]) -> dict[int, Fate]:
        """What became of each record, by its index. Records of one key go to one partition, in order; those without
        share the next partition in turn. Raises Away.
        """
        until = asyncio.get_running_loop().time() + self._timeout
        count = await self._within(self._connection.partitions(topic))
        places = self._places(records, count)
        size = sum(len(value or b"") + RECORD_BYTES for _, value, _ in records.values())
        if self._held + size > HELD_BYTES:
            raise Away("too many events wait for Kafka")
        self._held += size
        parts: dict[int, _Part] = {}
        try:
            for partition, indices in places.items():
                parts[partition] = self._lane(topic, partition).put([records[index] for index in indices])
            async with asyncio.timeout_at(until):
                for part in parts.values():
                    await part.done.wait()
        except TimeoutError:
            pass
        finally:
            self._held -= size
            for partition, part in parts.items():
                self._lane(topic, partition).give_up(part)
        return {
            index: fate
            for partition, indices in places.items()
            for index, fate in zip(indices, parts[partition].fates, strict=True)
        }

    def _places(self, records: Mapping[int, Record], count: int) -> dict[int, list[int]]:
        """The indices of records by partition, as Kafka's own clients choose it for their keys."""
        self._turn += 1
        chosen: dict[bytes | None, int] = {None: self._turn % count}
        places: dict[int, list[int]] = {}
        for index, (key, _, _) in records.items():
            partition = chosen.get(key)
            if partition is None:
                partition = chosen[key] = (murmur2(key) & 0x7FFFFFFF) % count
            places.setdefault(partition, []).append(index)
        return places

    async def _within(self, waited: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await waited
        except TimeoutError as error:
            raise Away("Kafka does not answer") from error

    def _lane(self, topic: str, partition: int) -> _Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(self._connection, topic, partition, self._timeout)
        return lane


class _Lane:
    """One partition."""

    def __init__(self, connection: Connection, topic: str, partition: int, timeout: float) -> None:
        self._connection = connection
        self._topic = topic
        self._partition = partition
        self._timeout = timeout
        self._parts: deque[_Part] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._since = 0.0  # when the write under way began; 0: there is none

    def put(self, records: Sequence[Record]) -> _Part:
        part = _Part(records, [Fate.NOT_STORED] * len(records))
        if self._since and asyncio.get_running_loop().time() - self._since > self._timeout:
            part.done.set()  # Kafka has not answered for so long that waiting in line is of no use
            return part
        self._parts.append(part)
        if self._writing is not None and self._writing.done():
            self._writing.result()  # raises what went wrong in this program
            self._writing = None
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return part

    def give_up(self, part: _Part) -> None:
        """What Kafka was not given of it by now it never is."""
        if part in self._parts:
            self._parts.remove(part)

    async def end(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        while self._parts:
            try:
                producer = await self._connection.producer()
            except Away:
                for part in self._parts:
                    part.done.set()
                self._parts.clear()
                return
            batch, spans = self._fill(producer)
            if not spans:
                continue
            self._since = asyncio.get_running_loop().time()
            fate = Fate.UNKNOWN
            try:
                await (await producer.send_batch(batch, self._topic, partition=self._partition))
                fate = Fate.STORED
            except MessageSizeTooLargeError:
                fate = Fate.TOO_LARGE
                self._connection.broke(producer)
            except (KafkaError, AssertionError) as error:  # the latter for a partition that is gone
                _log.warning("a write to %s/%d failed: %s", self._topic, self._partition, error or type(error).__name__)
                self._connection.broke(producer)
            finally:
                self._since = 0.0
            for part, first, end in spans:
                part.fates[first:end] = [fate] * (end - first)
                part.answered += end - first
                if part.answered == len(part.records):
                    part.done.set()

    def _fill(self, producer: AIOKafkaProducer) -> tuple[object, list[tuple[_Part, int, int]]]:
        """A batch of what waits, and which records of which parts are in it."""
        batch = producer.create_batch()
        spans: list[tuple[_Part, int, int]] = []
        while self._parts:
            part = self._parts[0]
            first = part.taken
            for key, value, headers in part.records[first:]:
                if batch.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
                    break
                part.fates[part.taken] = Fate.UNKNOWN
                part.taken += 1
            if part.taken > first:
                spans.append((part, first, part.taken))
            if part.taken < len(part.records):
                break
            self._parts.popleft()
        batch.close()
        return batch, spans
