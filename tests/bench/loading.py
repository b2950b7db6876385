"""Topics, and events into them in whole record batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.bench.orders import Expected, Orders, made, nothing_yet

_BATCH_BYTES = 500_000
_WEEK_MS = "604800000"


def load(brokers: str, topic: str, orders: Orders) -> Expected:
    """Makes ``topic`` and fills it with ``orders``; returns what its windows must say."""
    return asyncio.run(_load(brokers, topic, orders))


def make_topics(brokers: str, topics: Mapping[str, int]) -> None:
    """Makes the topics, name -> partitions."""
    asyncio.run(_make_topics(brokers, topics))


async def _make_topics(brokers: str, topics: Mapping[str, int]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.create_topics(
            [
                NewTopic(name, partitions, 1, topic_configs={"retention.ms": _WEEK_MS})
                for name, partitions in topics.items()
            ]
        )
    finally:
        await admin.close()


async def _load(brokers: str, topic: str, orders: Orders) -> Expected:
    await _make_topics(brokers, {topic: orders.partitions})
    expected = nothing_yet(orders)
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers, max_batch_size=_BATCH_BYTES, max_request_size=2 * _BATCH_BYTES
    )
    await producer.start()
    try:
        sent = []
        for chunk in made(orders, expected):
            for partition, (times, keys, values) in enumerate(zip(chunk.times, chunk.keys, chunk.values, strict=True)):
                batch = producer.create_batch()
                for time, key, value in zip(times, keys, values, strict=True):
                    if batch.append(timestamp=time, key=key, value=value) is None:
                        batch.close()
                        sent.append(await producer.send_batch(batch, topic, partition=partition))
                        batch = producer.create_batch()
                        batch.append(timestamp=time, key=key, value=value)
                if batch.record_count():
                    batch.close()
                    sent.append(await producer.send_batch(batch, topic, partition=partition))
            await asyncio.gather(*sent)
            sent.clear()
    finally:
        await producer.stop()
    return expected
