"""Bulk writes to Kafka: records go into record batches of our own making, about 1 us each instead of about 40.

Writes are idempotent, and a write has happened when it returns: every record was acknowledged by all in-sync replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from streams.security import KafkaSecurity

Compression = Literal["gzip", "snappy", "lz4", "zstd"]
# Below the broker's default message.max.bytes (1,048,588), which counts a record batch after compression.
BATCH_BYTES = 1_000_000
# What is written and waited for at once: little enough that an acknowledgement says whether Kafka is there.
PORTION_BYTES = 16 * 1024 * 1024
RECORD_BYTES = 64  # what a record costs beside its value, about


class WriteFailed(Exception):
    """Kafka did not acknowledge a write; nobody knows whether it happened. What depends on it must not go on."""


Pair = tuple[bytes | None, bytes | None]
Headers = Sequence[tuple[str, bytes]]
Place = tuple[str, int]  # topic, partition
Fields = tuple[bytes | None, bytes | None, Headers]  # key, value, headers


def _portions(records: Mapping[Place, Iterable[Fields]]) -> Iterator[dict[Place, list[Fields]]]:
    """What is written at once, in order within a place."""
    portion: dict[Place, list[Fields]] = {}
    size = 0
    for place, part in records.items():
        into = portion.setdefault(place, [])
        for record in part:
            into.append(record)
            size += len(record[1] or b"") + RECORD_BYTES
            if size >= PORTION_BYTES:
                yield portion
                into, size = [], 0
                portion = {place: into}
    yield portion


class BulkWriter:
    """Writes records in bulk; order is kept within a partition.

    `timeout` is how long, in seconds, a write may go without an acknowledgement before it counts as failed: the
    idempotent producer itself never gives up.
    """

    def __init__(
        self,
        brokers: str,
        security: KafkaSecurity | None = None,
        *,
        timeout: float,
        compression: Compression | None = None,
        client_id: str = "streamgauge",
    ) -> None:
        self._timeout = timeout
        self._settings: dict[str, Any] = {
            "bootstrap_servers": brokers,
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": compression,
            "max_batch_size": BATCH_BYTES,
            "linger_ms": 0,
            **(security or KafkaSecurity()).client_options(),
        }
        self._started: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Raises KafkaError when no broker can be reached or the credentials are refused."""
        producer = AIOKafkaProducer(**self._settings)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._started = producer

    async def stop(self) -> None:
        """Writes under way are given `timeout` to end."""
        producer, self._started = self._started, None
        if producer is not None:
            try:
                await asyncio.wait_for(producer.stop(), self._timeout)
            except TimeoutError as error:
                raise WriteFailed(f"Kafka did not acknowledge all writes within {self._timeout:g} s") from error

    async def __aenter__(self) -> BulkWriter:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def _producer(self) -> AIOKafkaProducer:
        if self._started is None:
            raise WriteFailed("the writer is not started")
        return self._started

    async def write(self, records: Mapping[Place, Iterable[Pair]]) -> dict[Place, int]:
        """Write (key, value) pairs; returns when all are acknowledged, with the next offset behind each place's last.

        Raises WriteFailed when one of them is refused or the timeout passes.
        """
        return await self._write({place: ((k, v, ()) for k, v in pairs) for place, pairs in records.items()})

    async def write_with_headers(self, records: Mapping[Place, Iterable[Fields]]) -> dict[Place, int]:
        """As `write`, of (key, value, headers)."""
        return await self._write(records)

    async def _write(self, records: Mapping[Place, Iterable[Fields]]) -> dict[Place, int]:
        ends: dict[Place, int] = {}
        for portion in _portions(records):
            ends.update(await self._write_portion(portion))
        return ends

    async def _write_portion(self, records: Mapping[Place, list[Fields]]) -> dict[Place, int]:
        try:
            async with asyncio.timeout(self._timeout):
                ends = await asyncio.gather(*(self._write_place(place, part) for place, part in records.items()))
        except TimeoutError as error:
            topics = ", ".join(sorted({topic for topic, _ in records}))
            raise WriteFailed(f"Kafka did not acknowledge a write to {topics} within {self._timeout:g} s") from error
        except KafkaError as error:
            raise WriteFailed(f"Kafka refused a write: {error}") from error
        return {place: end for place, end in zip(records, ends, strict=True) if end is not None}

    async def _write_place(self, place: Place, records: list[Fields]) -> int | None:
        if not records:
            return None
        producer = self._producer
        pending: list[asyncio.Future[RecordMetadata]] = []
        batch = producer.create_batch()
        for key, value, headers in records:
            if batch.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
                pending.append(await self._send(batch, place))
                batch = producer.create_batch()  # which takes any record, being empty
                batch.append(timestamp=None, key=key, value=value, headers=list(headers))
        count = batch.record_count()
        pending.append(await self._send(batch, place))
        written = await asyncio.gather(*pending)
        end: int = written[-1].offset + count
        return end

    async def _send(self, batch: Any, place: Place) -> asyncio.Future[RecordMetadata]:
        topic, partition = place
        batch.close()
        try:
            future: asyncio.Future[RecordMetadata] = await self._producer.send_batch(batch, topic, partition=partition)
        except AssertionError as error:  # aiokafka's way to say so
            raise WriteFailed(f"topic {topic} has no partition {partition}") from error
        return future
