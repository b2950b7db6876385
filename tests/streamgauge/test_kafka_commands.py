"""topics, send and dlq against a real Kafka."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

from sinks.names import DEAD_LETTER_HEADERS
from streamgauge.catalog_files import read_catalog
from streams.producing import BulkWriter
from streams.reading import topic_reader
from tests.streamgauge.conftest import Run

Message = tuple[int, bytes | None, bytes | None]


def name_of(catalog: Path) -> str:
    loaded = read_catalog(catalog).catalog
    assert loaded is not None
    return loaded.name


def written(brokers: str, topic: str) -> list[Message]:
    """(partition, key, value) of everything in a topic."""

    async def read() -> list[Message]:
        async with topic_reader(brokers) as reader:
            ends = await reader.ends(await reader.partitions(topic))
            return [(tp.partition, one.key, one.value) async for tp, found in reader.messages(ends) for one in found]

    return asyncio.run(read())


def write(brokers: str, topic: str, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
    async def send() -> None:
        async with BulkWriter(brokers, timeout=20) as writer:
            await writer.write_with_headers({(topic, partition): [(b"k", value, headers)]})

    asyncio.run(send())


def test_topics_are_made_once_checked_and_named_where_they_differ(streamgauge: Run, orders: Path, kafka: str) -> None:
    missing = streamgauge("topics", orders, "--brokers", kafka, "--check")
    assert missing.code == 1 and f"{name_of(orders)}.orders" in missing.err
    made = streamgauge("topics", orders, "--brokers", kafka, "--partitions", 3, "--format", "json")
    assert made.code == 0, made.err
    states = {row["topic"]: row for row in json.loads(made.out)}
    assert states[f"{name_of(orders)}.orders"] == {
        "topic": f"{name_of(orders)}.orders", "partitions": 3, "state": "made", "difference": None,
    }  # fmt: skip
    again = streamgauge("topics", orders, "--brokers", kafka, "--check")
    assert again.code == 0 and again.out.count("  present  ") == len(states)


def test_send_spreads_keeps_bytes_and_acknowledges(streamgauge: Run, orders: Path, kafka: str, tmp_path: Path) -> None:
    streamgauge("topics", orders, "--brokers", kafka, "--partitions", 2)
    lines = [json.dumps({"id": str(number), "at": "2026-01-01T00:00:00Z", "region": "EU"}) for number in range(3_000)]
    file = tmp_path / "orders.jsonl"
    file.write_text("\n".join(lines))
    ended = streamgauge("send", orders, "orders", file, "--brokers", kafka)
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert "sent 3,000 events" in ended.err
    found = written(kafka, f"{name_of(orders)}.orders")
    assert sorted(value for _, _, value in found if value) == sorted(line.encode() for line in lines)
    assert {partition for partition, _, _ in found} == {0, 1}
    assert all(key == json.loads(value or b"")["id"].encode() for _, key, value in found)


def test_send_with_a_key_keeps_a_key_together(streamgauge: Run, orders: Path, kafka: str, tmp_path: Path) -> None:
    streamgauge("topics", orders, "--brokers", kafka, "--partitions", 3)
    file = tmp_path / "orders.csv"
    file.write_text("id,at,region,amount\n" + "".join(f"{n},2026-01-01T00:00:00Z,r{n % 20},1.10\n" for n in range(200)))
    ended = streamgauge("send", orders, "orders", file, "--brokers", kafka, "--key", "region", "--rate", 2000)
    assert ended.code == 0, ended.err
    found = written(kafka, f"{name_of(orders)}.orders")
    places: dict[bytes | None, set[int]] = {}
    for partition, key, value in found:
        assert value is not None and json.loads(value)["region"].encode() == key
        places.setdefault(key, set()).add(partition)
    assert len(found) == 200 and len(places) == 20
    assert all(len(partitions) == 1 for partitions in places.values())


def test_send_shifts_to_now(streamgauge: Run, orders: Path, kafka: str, tmp_path: Path) -> None:
    streamgauge("topics", orders, "--brokers", kafka)
    file = tmp_path / "orders.jsonl"
    file.write_text('{"id":"1","at":"2020-01-06T10:00:00Z"}\n{"id":"2","at":"2020-01-07T10:00:00+01:00"}\n')
    before = datetime.now(UTC)
    ended = streamgauge("send", orders, "orders", file, "--brokers", kafka, "--shift-to-now")
    assert ended.code == 0 and "event times are moved by" in ended.err
    times = [
        datetime.fromisoformat(json.loads(value or b"")["at"])
        for _, _, value in written(kafka, f"{name_of(orders)}.orders")
    ]
    assert before <= max(times) and (max(times) - before).days < 7
    assert [moment.weekday() for moment in sorted(times)] == [0, 1]


def test_send_says_what_it_cannot_do(streamgauge: Run, orders: Path, kafka: str, tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    assert streamgauge("send", orders, "orders", file, "--brokers", kafka).code == 1
    file.write_text('{"id":"1"}\n')
    no_topic = streamgauge("send", orders, "orders", file, "--brokers", kafka)
    assert no_topic.code == 1 and "streamgauge topics" in no_topic.err
    assert streamgauge("send", orders, "visits", file, "--brokers", kafka).code == 2
    assert streamgauge("send", orders, "orders", file, "--brokers", kafka, "--key", "nope").code == 2
    assert streamgauge("send", orders, "orders", file, "--brokers", "127.0.0.1:1").code == 3
    assert streamgauge("send", orders, "orders", file, "--brokers", kafka, "--shift-to-now").code == 1


def test_dead_letters_are_listed_and_go_back_where_they_came_from(streamgauge: Run, orders: Path, kafka: str) -> None:
    streamgauge("topics", orders, "--brokers", kafka, "--partitions", 2)
    topic = f"{name_of(orders)}.orders"
    nothing = streamgauge("dlq", "replay", orders, "orders", "--brokers", kafka)
    assert nothing.code == 1 and "no such dead letters" in nothing.err
    why = (topic, "1", "7", "admit", "late", "26 h behind the watermark")
    headers = [(name, text.encode()) for name, text in zip(DEAD_LETTER_HEADERS, why, strict=True)]
    write(kafka, f"{topic}.dlq", 1, b'{"id":"1"}', [("trace", b"x"), *headers])
    shown = streamgauge("dlq", "list", orders, "orders", "--brokers", kafka)
    assert shown.code == 0 and "26 h behind the watermark" in shown.out
    as_json = streamgauge("dlq", "list", orders, "orders", "--brokers", kafka, "--reason", "future", "--format", "json")
    assert json.loads(as_json.out) == []
    replayed = streamgauge("dlq", "replay", orders, "orders", "--reason", "late", "--brokers", kafka)
    assert replayed.code == 0 and "sent 1 dead letter" in replayed.err
    assert written(kafka, topic) == [(1, b"k", b'{"id":"1"}')]
