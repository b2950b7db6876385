"""Bulk writes: in order, acknowledged, whole, with clear failures."""

from __future__ import annotations

import asyncio
import time

import pytest

from streams.producing import BulkWriter, WriteFailed
from tests.streams.reading import MakeTopic, read_all


async def test_writes_are_acknowledged_in_order_and_the_next_offset_is_told(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic(partitions=2)
    ends = await writer.write({(topic, 0): [(b"a", b"1"), (b"b", None)], (topic, 1): [(None, b"2")]})
    assert ends == {(topic, 0): 2, (topic, 1): 1}
    ends = await writer.write({(topic, 0): [(b"a", b"3")], (topic, 1): []})
    assert ends == {(topic, 0): 3}
    found = await read_all(kafka, topic, partitions=2)
    assert [(r.partition, r.offset, r.key, r.value) for r in found] == [
        (0, 0, b"a", b"1"),
        (0, 1, b"b", None),
        (0, 2, b"a", b"3"),
        (1, 0, None, b"2"),
    ]
    assert all(abs(r.timestamp / 1000 - time.time()) < 60 for r in found)


async def test_more_than_a_record_batch_holds_is_written_whole_and_in_order(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic()
    block = bytes(300_000)
    ends = await writer.write({(topic, 0): [(b"%d" % number, block) for number in range(20)]})
    assert ends == {(topic, 0): 20}
    assert [r.key for r in await read_all(kafka, topic)] == [b"%d" % number for number in range(20)]


async def test_headers_are_kept(kafka: str, make_topic: MakeTopic, writer: BulkWriter) -> None:
    topic = await make_topic()
    await writer.write_with_headers(
        {(topic, 0): [(b"k", b"v", [("why", b"because"), ("twice", b"1"), ("twice", b"2")])]}
    )
    assert (await read_all(kafka, topic))[0].headers == (("why", b"because"), ("twice", b"1"), ("twice", b"2"))


async def test_a_record_that_is_too_large_is_one_clear_failure(make_topic: MakeTopic, writer: BulkWriter) -> None:
    topic = await make_topic()
    with pytest.raises(WriteFailed, match="Kafka refused a write: .*[Tt]oo *[Ll]arge"):
        await writer.write({(topic, 0): [(b"k", bytes(2_000_000))]})


async def test_a_missing_partition_is_named(make_topic: MakeTopic, writer: BulkWriter) -> None:
    topic = await make_topic(partitions=2)
    with pytest.raises(WriteFailed, match=f"topic {topic} has no partition 2"):
        await writer.write({(topic, 2): [(b"k", b"v")]})


async def test_a_write_that_nobody_acknowledges_fails_after_the_timeout(kafka: str) -> None:
    async with BulkWriter(kafka, timeout=0.5) as writer:
        started = asyncio.get_running_loop().time()
        with pytest.raises(WriteFailed, match="did not acknowledge a write to no-such-topic within 0.5 s"):
            await writer.write({("no-such-topic", 0): [(b"k", b"v")]})
        assert asyncio.get_running_loop().time() - started < 3
