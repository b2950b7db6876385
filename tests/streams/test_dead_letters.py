"""Dead letters on a real Kafka: kept as they came, listed oldest first, sent back where they came from."""

from __future__ import annotations

from dataclasses import replace

from aiokafka.structs import TopicPartition

from engine.dead_letters import Reject
from streams.dead_letters import (
    DeadLetter,
    DeadLetterLimit,
    dead_letter_records,
    list_dead_letters,
    replay_dead_letters,
)
from streams.fetching import Original
from streams.producing import BulkWriter
from streams.reading import topic_reader
from tests.streams.reading import MakeTopic, read_all


def reject(offset: int, reason: str = "malformed") -> Reject:
    return Reject(offset, offset, reason, "decode", f"offset {offset} is odd")  # type: ignore[arg-type]


async def test_dead_letters_are_listed_as_they_came_and_replayed_to_their_partition(
    kafka: str, make_topic_named: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic_named("orders", 2)
    originals = {
        5: Original(5, 1, b"k5", b"{bad", [("trace", b"1"), ("kpi.errors.reason", b"late")]),
        6: Original(6, 1, None, None, []),
    }
    place = (f"{topic}.dlq", 1)
    await writer.write_with_headers({place: dead_letter_records(topic, 1, [reject(5)], originals)})
    await writer.write_with_headers({place: dead_letter_records(topic, 1, [reject(6, "tombstone")], originals)})
    await writer.write({place: [(b"stranger", b"no headers")]})
    found = await list_dead_letters(topic, kafka)
    assert [x.timestamp_ms for x in found] == sorted(x.timestamp_ms for x in found)
    assert [replace(x, timestamp_ms=0) for x in found] == [
        DeadLetter(topic, 1, 5, "decode", "malformed", "offset 5 is odd", 0, b"k5", b"{bad", [("trace", b"1")]),
        DeadLetter(topic, 1, 6, "decode", "tombstone", "offset 6 is odd", 0, None, None, []),
    ]
    assert [x.offset for x in await list_dead_letters(topic, kafka, reasons=["tombstone"])] == [6]
    assert [x.offset for x in await list_dead_letters(topic, kafka, limit=1)] == [5]
    assert await replay_dead_letters(topic, kafka, reasons=["malformed"]) == 1
    sent = await read_all(kafka, topic, partitions=2)
    assert [(r.partition, r.key, r.value, r.headers) for r in sent] == [(1, b"k5", b"{bad", (("trace", b"1"),))]


async def test_a_topic_without_dead_letters_has_none(kafka: str) -> None:
    assert await list_dead_letters("never-made", kafka) == []


async def test_whole_partitions_are_read_in_bulk_to_the_end_asked_for(
    kafka: str, make_topic_named: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic_named("log", 3)
    await writer.write({(topic, p): [(b"%d" % n, bytes(1000)) for n in range(5000 * p)] for p in (1, 2)})
    async with topic_reader(kafka, batched=[topic]) as reader:
        tps = await reader.partitions(topic)
        ends = await reader.ends(tps)
        assert {tp.partition: end for tp, end in ends.items()} == {0: 0, 1: 5000, 2: 10_000}
        ends[TopicPartition(topic, 2)] = 7000
        found: dict[int, list[bytes | None]] = {}
        async for tp, records in reader.records(ends, {TopicPartition(topic, 1): 4990}):
            found.setdefault(tp.partition, []).extend(key for key, _, _ in records)
    assert found == {1: [b"%d" % n for n in range(4990, 5000)], 2: [b"%d" % n for n in range(7000)]}


def test_few_refusals_are_no_reason_to_stop() -> None:
    limit = DeadLetterLimit(ratio=0.5, window=100, run=20)
    for begin in range(0, 1000, 10):
        assert limit.observe(range(begin, begin + 10), [reject(begin + n) for n in range(5)]) is None


def test_a_run_of_refusals_over_batches_stops() -> None:
    limit = DeadLetterLimit(ratio=1.0, window=10_000, run=20)
    assert limit.observe(range(10), [reject(n) for n in range(5, 10)]) is None
    assert limit.observe(range(10, 24), [reject(n) for n in range(10, 24)]) is None
    told = limit.observe(range(24, 30), [reject(24)])
    assert told == "20 events in a row were refused, the last at offset 24: offset 24 is odd"


def test_a_large_share_of_refusals_stops_once_there_are_enough_events() -> None:
    limit = DeadLetterLimit(ratio=0.5, window=100, run=1000)
    told = [limit.observe(range(b, b + 10), [reject(n) for n in range(b, b + 6)]) for b in range(0, 100, 10)]
    assert told[:-1] == [None] * 9
    assert told[-1] == "60 of the last 100 events were refused, the last at offset 95: offset 95 is odd"


def test_late_events_are_not_held_against_the_producer() -> None:
    limit = DeadLetterLimit(ratio=0.1, window=10, run=10)
    assert limit.observe(range(100), [reject(n, "late") for n in range(100)]) is None
