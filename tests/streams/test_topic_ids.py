"""Kafka's ids of topics, of a real Kafka: another topic of the same name has another."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from streams.reading import topic_reader
from tests.streams.reading import MakeTopic, create_topic, delete_topic, eventually


async def test_the_text_is_the_one_that_the_broker_keeps(
    kafka: str, make_topic: MakeTopic, tmp_path_factory: pytest.TempPathFactory
) -> None:
    topic = await make_topic()

    async def is_kept() -> bool:
        return bool(kept())

    def kept() -> list[Path]:
        return list(tmp_path_factory.getbasetemp().glob(f"kafka[0-9]*/**/{topic}-0/partition.metadata"))

    await eventually(is_kept)
    async with topic_reader(kafka) as reader:
        found = await reader.topic_id_texts([topic, f"{topic}-not-there"])
    assert found == {topic: kept()[0].read_text().rpartition("topic_id:")[2].strip()}


async def test_a_topic_that_is_made_again_has_another_id(kafka: str) -> None:
    topic = f"t-{uuid.uuid4().hex[:12]}"
    await create_topic(kafka, topic)
    async with topic_reader(kafka) as reader:
        before = await reader.topic_ids([topic])
        await delete_topic(kafka, topic)
        assert await reader.topic_ids([topic]) == {}
        await create_topic(kafka, topic)
        after = await reader.topic_ids([topic])
    assert after.keys() == before.keys()
    assert after != before
