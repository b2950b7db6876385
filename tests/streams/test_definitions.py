"""Which catalog is the newest, and its sequence (protocol rule 19)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.definitions import Definitions
from streams.producing import BulkWriter
from streams.security import KafkaSecurity


@pytest.fixture
async def name(kafka: str) -> AsyncIterator[str]:
    """Of a catalog whose topic of definitions is there."""
    made = f"c{uuid.uuid4().hex[:10]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(f"{made}.definitions", 1, 1)])
    yield made
    await admin.close()


async def test_a_text_that_is_the_newest_keeps_its_sequence(kafka: str, name: str, writer: BulkWriter) -> None:
    def catalog(text: str, folder: str = "/here") -> Definitions:
        return Definitions(name, [(f"{folder}/shop.yaml", text)], kafka, KafkaSecurity())

    assert await catalog("one").sequence() is None
    assert await catalog("one").register(writer) == 0
    assert await catalog("one", "/elsewhere").register(writer) == 0
    assert await catalog("two").register(writer) == 1
    assert await catalog("one").sequence() is None
    assert await catalog("one").register(writer) == 2
    assert await catalog("one").sequence() == 2


async def test_workers_that_start_together_with_one_text_agree_on_its_sequence(
    kafka: str, name: str, writer: BulkWriter
) -> None:
    ours = Definitions(name, [("shop.yaml", "same")], kafka, KafkaSecurity())
    await writer.write({(f"{name}.definitions", 0): [(name.encode(), ours._ours), (name.encode(), ours._ours)]})
    assert await ours.register(writer) == 0
