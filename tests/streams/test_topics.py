"""Topics on a real Kafka: made once, checked ever after, and every difference named."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.new_partitions import NewPartitions

from engine.catalog.model import Calendar, Catalog, Source, Watermark
from streams.topics import TopicsDiffer, check_topics, ensure_topics, needed_topics


def catalog(topic: str, name: str | None = None) -> Catalog:
    source = Source("orders", topic, "json", "UTC", None, None, None, Watermark(), 0, {})
    return Catalog(name or f"n-{uuid.uuid4().hex[:8]}", Calendar(), {}, {"orders": source}, {}, {})


def test_partition_counts_belong_together() -> None:
    found = {t.topic: t.partitions for t in needed_topics(catalog("o", "shop"), {"o": 5, "shop.partials": 3}, 9)}
    assert found == {
        "o": 5,
        "o.dlq": 5,
        "shop-blocks-orders-changelog": 5,
        "shop.partials": 3,
        "shop-windows-changelog": 3,
        "shop.values": 3,
        "shop.definitions": 1,
        "shop.alerts": 1,
        "shop.silences": 1,
        "shop-notifications-changelog": 1,
    }


async def test_topics_are_made_once_and_then_present(kafka: str) -> None:
    wanted = catalog(f"o-{uuid.uuid4().hex[:8]}")
    states = await ensure_topics(wanted, kafka, create=False)
    assert {state.state for state in states} == {"missing"}
    with pytest.raises(TopicsDiffer, match=f"{wanted.name}.partials is missing"):
        await check_topics(wanted, kafka)
    states = await ensure_topics(wanted, kafka, partitions=3)
    assert {state.state for state in states} == {"made"}
    states = await ensure_topics(wanted, kafka, partitions=7)
    assert {state.state for state in states} == {"present"}
    layout = await check_topics(wanted, kafka)
    assert (dict(layout.sources), layout.merge) == ({"orders": 3}, 3)


async def test_every_difference_is_named_in_one_message(kafka: str) -> None:
    topic = f"o-{uuid.uuid4().hex[:8]}"
    wanted = catalog(topic)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(f"{wanted.name}.partials", 2, 1)])
    await ensure_topics(wanted, kafka, partitions=2)
    await admin.create_partitions({topic: NewPartitions(4)})
    async with asyncio.timeout(10):
        while len((await admin.describe_topics([topic]))[0]["partitions"]) != 4:
            await asyncio.sleep(0.01)
    await admin.close()
    with pytest.raises(TopicsDiffer) as refused:
        await check_topics(wanted, kafka)
    assert str(refused.value) == (
        f"topics are not as the catalog needs them: {topic}.dlq has 2 partitions instead of 4; "
        f"{wanted.name}-blocks-orders-changelog has 2 partitions instead of 4; "
        f"{wanted.name}.partials has cleanup.policy delete instead of compact; run `streamgauge topics` first"
    )
