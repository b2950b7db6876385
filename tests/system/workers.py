"""Worker processes, events for them, and what they published."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from engine.catalog.loader import parse
from streamgauge.services import free_port
from streams.producing import BulkWriter
from streams.topics import ensure_topics
from tests.system.processes import Process, running

T0 = 1_760_000_400_000_000  # a full minute, in microseconds
MINUTE = 60_000_000
REGIONS = ("EU", "US", "APAC", "LATAM", "MEA")

CATALOG = """\
version: 1
name: {name}
sources:
  orders:
    topic: {name}.orders
    format: json
    event_time: at
    identity: id
    dedupe: 48h
    watermark: {{delay: 0s, idle_after: 2s}}
    fields:
      at: {{type: timestamp, unit: us}}
      id: string
      region: string
      amount: decimal(12,2)
metrics:
  revenue: {{source: orders, agg: sum, expr: amount, unit: EUR}}
  orders: {{source: orders, agg: count}}
kpis:
  revenue: {{metric: revenue, group_by: [region], window: {{type: tumble, size: 1m}}}}
  orders: {{metric: orders, window: {{type: hop, size: 5m, slide: 1m}}}}
"""


@dataclass
class Shop:
    """A catalog of its own with its topics, events sent to it, and the values that came of them."""

    name: str
    kafka: str
    redis: str
    folder: Path
    partitions: int
    writer: BulkWriter
    sent: list[dict[str, Any]] = field(default_factory=list)
    values: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)  # (key, window start) -> newest
    seen: int = 0

    @property
    def catalog(self) -> Path:
        return self.folder / "catalog.yaml"

    async def make_topics(self) -> None:
        """Those that are missing."""
        loaded = parse([("catalog.yaml", self.catalog.read_text())]).catalog
        assert loaded is not None
        await ensure_topics(loaded, self.kafka, partitions=self.partitions, replication=1)

    def worker(self, *options: str, redis: str | None = None, **variables: str) -> AbstractContextManager[Process]:
        """A worker with `variables` in its environment, killed at the end unless it ended before."""
        port = free_port(0)
        given = (self.catalog, "--brokers", self.kafka, "--redis", redis or self.redis)
        where = ("--data-dir", self.folder / str(port))
        return running(self.folder, "worker", *given, *where, *options, port=port, **variables)

    async def send(self, events: Sequence[dict[str, Any]], *, count: bool = True) -> None:
        """Send to partitions by identity, so that a duplicate meets its first; ``count``: they belong to the answer."""
        places: dict[tuple[str, int], list[tuple[None, bytes]]] = defaultdict(list)
        for event in events:
            place = (f"{self.name}.orders", int(event["id"]) % self.partitions)
            places[place].append((None, json.dumps(event).encode()))
        await self.writer.write(places)
        if count:
            self.sent.extend(events)

    async def send_raw(self, values: Iterable[tuple[bytes | None, bytes | None]], partition: int = 0) -> None:
        await self.writer.write({(f"{self.name}.orders", partition): list(values)})

    async def finish(self) -> None:
        """An event in each partition, far beyond all others, that closes their windows; none of them is waited for."""
        last = max(event["at"] for event in self.sent) + 10 * MINUTE
        closers = [
            {"at": last, "id": str(10**9 + partition - 10**9 % self.partitions), "region": "last", "amount": 0}
            for partition in range(self.partitions)
        ]
        await self.send(closers, count=False)

    def expected(self) -> dict[tuple[str, int], tuple[Decimal, int]]:
        """(key, window start) -> (value, samples) of every window with events, duplicates counted once."""
        found: dict[tuple[str, int], tuple[Decimal, int]] = defaultdict(lambda: (Decimal(0), 0))
        for event in {event["id"]: event for event in reversed(self.sent)}.values():
            minute = event["at"] // MINUTE
            amount, count = found[f"revenue|region={event['region']}", minute * MINUTE]
            found[f"revenue|region={event['region']}", minute * MINUTE] = (
                amount + Decimal(str(event["amount"])),
                count + 1,
            )
            for start in range(minute - 4, minute + 1):
                value, _ = found["orders|-", start * MINUTE]
                found["orders|-", start * MINUTE] = (value + 1, int(value) + 1)
        return dict(found)

    def differences(self) -> list[str]:
        """Where the closed values published so far are not the expected ones."""
        wrong = []
        for key, (value, samples) in self.expected().items():
            found = self.values.get(key)
            if found is None or found["state"] == "open":
                wrong.append(f"{key}: {'open' if found else 'missing'}, expected {value}")
            elif (found["value"], found["samples"]) != (value, samples):
                wrong.append(f"{key}: {found['value']} ({found['samples']}), expected {value} ({samples})")
        return wrong

    async def until_right(self, seconds: float = 60) -> None:
        """Until every closed window says what it should; for a moment longer, to see that it stays so."""
        try:
            async with asyncio.timeout(seconds):
                while self.differences():
                    await asyncio.sleep(0.2)
        except TimeoutError:
            wrong = self.differences()
            logs = "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("worker-*.log")))
            raise AssertionError(f"{len(wrong)} wrong: {wrong[:10]}\n{logs}") from None
        await asyncio.sleep(1.5)
        assert self.differences() == []

    async def until(self, met: Callable[[], bool], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not met():
                await asyncio.sleep(0.05)

    def take(self, key: bytes, raw: bytes) -> None:
        value = json.loads(raw, parse_float=Decimal, parse_int=Decimal)
        start = round(_seconds(value["window"]["start"]) * 1e6)
        self.seen += 1
        place = (key.decode(), start)
        known = self.values.get(place)
        if known is None or (value["progress"], value["revision"]) >= (known["progress"], known["revision"]):
            self.values[place] = value


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


@asynccontextmanager
async def open_shop(
    kafka: str, redis: str, folder: Path, partitions: int = 4, catalog: str = CATALOG
) -> AsyncIterator[Shop]:
    """Topics are made, and values read as they come."""
    name = f"s{uuid.uuid4().hex[:10]}"
    text = catalog.format(name=name)
    (folder / "catalog.yaml").write_text(text)
    async with BulkWriter(kafka, timeout=30) as writer:
        shop = Shop(name, kafka, redis, folder, partitions, writer)
        await shop.make_topics()
        reading = asyncio.create_task(_read(shop))
        try:
            yield shop
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _read(shop: Shop) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=shop.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(f"{shop.name}.values", number) for number in range(shop.partitions)])
        async for record in consumer:
            shop.take(record.key, record.value)
    finally:
        await consumer.stop()


def orders(count: int, first: int = 0, *, seed: int = 1, start_us: int = T0, span_us: int = 20 * MINUTE) -> list[Any]:
    """Events evenly over time, with a little disorder; one in twenty is sent again."""
    rng = random.Random(seed)
    events: list[dict[str, Any]] = []
    for number in range(count):
        if events and rng.random() < 0.05:
            events.append(rng.choice(events[-200:]))
            continue
        events.append(
            {
                "at": start_us + span_us * number // count + rng.randrange(5_000_000),
                "id": str(first + number),
                "region": rng.choice(REGIONS),
                "amount": rng.randrange(100_000) / 100,
            }
        )
    return events
