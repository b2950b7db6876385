"""Reading whole partitions outside any consumer group: changelogs at recovery, dead letters, definitions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from streams.fetching import BatchedTopics, Fetched, Record, install
from streams.security import KafkaSecurity
from streams.topic_ids import topic_id_texts, topic_ids

STALLED_SECONDS = 30.0
FETCH_BYTES = 8 * 1024 * 1024


class ReadStalled(Exception):
    """Kafka has not given the next records of a partition for a long time, though they are there."""


class TopicReader:
    """Reads partitions from an offset to an end. `batched` topics are read in bulk, as (key, value, offset)."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """Of a topic; none where there is no such topic."""
        cluster = await self._consumer._client.fetch_all_metadata()  # asking by name might make the topic
        return [TopicPartition(topic, number) for number in sorted(cluster.partitions_for_topic(topic) or ())]

    async def ends(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The next offset that will be written to each partition."""
        found: dict[TopicPartition, int] = await self._consumer.end_offsets(list(tps)) if tps else {}
        return found

    async def starts(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset that each partition still holds."""
        found: dict[TopicPartition, int] = await self._consumer.beginning_offsets(list(tps)) if tps else {}
        return found

    async def topic_ids(self, topics: Collection[str]) -> dict[str, bytes]:
        """What tells topics from others of the same name; none from old brokers."""
        return await topic_ids(self._consumer._client, topics)

    async def topic_id_texts(self, topics: Collection[str]) -> dict[str, str]:
        """The same, as Kafka's tools show them and manifests keep them."""
        return await topic_id_texts(self._consumer._client, topics)

    async def since(self, tps: Collection[TopicPartition], time_ms: int) -> dict[TopicPartition, int]:
        """The first offset of each partition whose record is not older than this; none where all are."""
        found = await self._consumer.offsets_for_times(dict.fromkeys(tps, time_ms)) if tps else {}
        return {tp: at.offset for tp, at in found.items() if at is not None}

    async def records(
        self, ends: Mapping[TopicPartition, int], starts: Mapping[TopicPartition, int] | None = None
    ) -> AsyncGenerator[tuple[TopicPartition, list[Record]], None]:
        """Of batched topics: every record below its partition's end, in order within a partition."""
        async with aclosing(self.messages(ends, starts)) as found:
            async for tp, messages in found:
                for message in messages:
                    fetched: Fetched[list[Record]] = message.value
                    yield tp, [record for record in fetched.content if record[2] < ends[tp]]

    async def messages(
        self, ends: Mapping[TopicPartition, int], starts: Mapping[TopicPartition, int] | None = None
    ) -> AsyncGenerator[tuple[TopicPartition, list[ConsumerRecord[Any, Any]]], None]:
        """Every message of the partitions up to their ends, from `starts`, else from what they still hold.

        Raises ReadStalled, KafkaError.
        """
        consumer = self._consumer
        firsts = await self.starts(list(ends))
        begin = {tp: max(first, (starts or {}).get(tp, first)) for tp, first in firsts.items()}
        left = {tp for tp in ends if begin[tp] < ends[tp]}
        if not left:
            return
        consumer.assign(list(left))
        for tp in left:
            consumer.seek(tp, begin[tp])
        clock = asyncio.get_running_loop().time
        moved = clock()
        while left:
            found = await consumer.getmany(*left, timeout_ms=500)
            for tp, messages in found.items():
                moved = clock()
                yield tp, messages
            for tp in [tp for tp in left if await consumer.position(tp) >= ends[tp]]:
                left.discard(tp)
                consumer.pause(tp)
                moved = clock()
            if clock() - moved > STALLED_SECONDS:
                waiting = ", ".join(f"{tp.topic}[{tp.partition}]" for tp in sorted(left))
                raise ReadStalled(f"Kafka has not given the records of {waiting} for {STALLED_SECONDS:.0f} s")


@asynccontextmanager
async def topic_reader(
    brokers: str, security: KafkaSecurity | None = None, *, batched: Iterable[str] = ()
) -> AsyncIterator[TopicReader]:
    """A reader of its own connection. Raises KafkaError when Kafka cannot be reached."""
    install()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers,
        value_deserializer=BatchedTopics(frozenset(), frozenset(batched)),
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=FETCH_BYTES,
        **(security or KafkaSecurity()).client_options(),
    )
    try:
        await consumer.start()
        yield TopicReader(consumer)
    finally:
        await consumer.stop()
