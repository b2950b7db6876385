"""What tests read back from Kafka with a plain client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord, TopicPartition

MakeTopic = Callable[..., Awaitable[str]]


async def read_all(brokers: str, topic: str, partitions: int = 1) -> list[ConsumerRecord[bytes, bytes]]:
    """Every record of a topic, partition by partition, from its start to its end now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in range(partitions)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        found: list[ConsumerRecord[bytes, bytes]] = []
        for tp in tps:
            while await consumer.position(tp) < ends[tp]:
                found.extend((await consumer.getmany(tp, timeout_ms=1000)).get(tp, []))
        return found
    finally:
        await consumer.stop()


async def eventually(met: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Ask again and again until it is so."""
    async with asyncio.timeout(seconds):
        while not await met():
            await asyncio.sleep(0.1)


async def delete_topic(brokers: str, topic: str) -> None:
    """Returns once it is gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.delete_topics([topic])
        await eventually(lambda: _is_listed(admin, topic, False))
    finally:
        await admin.close()


async def create_topic(brokers: str, topic: str) -> None:
    """Of one partition; returns once it is there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
        await eventually(lambda: _is_listed(admin, topic, True))
    finally:
        await admin.close()


async def _is_listed(admin: AIOKafkaAdminClient, topic: str, wanted: bool) -> bool:
    return (topic in await admin.list_topics()) is wanted
