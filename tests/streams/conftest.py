"""Topics and clients for the tests against a real Kafka."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.producing import BulkWriter
from tests.streams.reading import MakeTopic


@pytest.fixture
async def make_topic(kafka: str) -> AsyncIterator[MakeTopic]:
    """`await make_topic(partitions=2, **configuration)` -> the name of a new topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()

    async def make(partitions: int = 1, **configuration: str) -> str:
        name = f"t-{uuid.uuid4().hex[:12]}"
        configs = {key.replace("_", "."): text for key, text in configuration.items()}
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        return name

    yield make
    await admin.close()


@pytest.fixture
async def make_topic_named(kafka: str, make_topic: MakeTopic) -> MakeTopic:
    """`await make_topic_named("orders", 2)` -> the name of a new topic that begins so, with its dead letters."""

    async def make(begin: str, partitions: int) -> str:
        name = f"{begin}-{uuid.uuid4().hex[:12]}"
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        await admin.create_topics([NewTopic(name, partitions, 1), NewTopic(f"{name}.dlq", partitions, 1)])
        await admin.close()
        return name

    return make


@pytest.fixture
async def writer(kafka: str) -> AsyncIterator[BulkWriter]:
    async with BulkWriter(kafka, timeout=10) as started:
        yield started
