"""A retailer's year, all KPIs of retail.yaml: from the start of a worker until the last closed window is in Kafka."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from sinks.names import values_topic
from streamgauge import retail
from streamgauge.sending.shifting import WEEK, Shift
from streams.producing import BulkWriter, Pair
from tests.bench.soak.answers import Place, Published, expected
from tests.bench.workers import Catalog, made_catalog

PARTITIONS = 2
_CHUNK = 20_000
_PATIENCE = 120.0
_QUIET_SECONDS = 5.0


@dataclass(frozen=True)
class Year:
    """Seconds from the process's start to the last closed value, start-up included; seconds of CPU; bytes."""

    wall: float
    cpu: float
    memory: int
    lines: int
    values: int
    compared: int


class Wrong(Exception):
    """What was published is not what DuckDB says."""


@dataclass(frozen=True)
class Retailer:
    """The year in a topic, and what its windows must say."""

    lines: retail.TillLines
    brokers: str
    redis: str
    topic: str = "retail.till-lines"

    def prepare(self, folder: Path) -> Catalog:
        catalog = self._catalog("retail-year", folder, None)
        asyncio.run(self._send())
        return catalog

    def answers(self) -> dict[Place, Decimal]:
        """What must be closed once all lines are read: every window that ends by the partitions' common watermark."""
        last = [int(self.lines.sold_us[self._of(partition)][-1]) for partition in range(PARTITIONS)]
        return expected(self.lines, datetime.fromtimestamp(min(last) / 1e6, UTC) - timedelta(seconds=30))

    def run(self, name: str, folder: Path, answers: dict[Place, Decimal], *, redis: bool) -> Year:
        """One worker from nothing over the whole year. Raises Wrong."""
        catalog = self._catalog(name, folder, self.redis if redis else None)
        last = max(end for _, _, _, end in answers)
        published, times = Published(), dict[str, int]()
        consumer = Consumer(
            {"bootstrap.servers": self.brokers, "group.id": f"year-{name}", "enable.auto.commit": False}
        )
        consumer.assign([TopicPartition(values_topic(name), n, OFFSET_BEGINNING) for n in range(PARTITIONS)])
        started, ended, memory, cpu = time.time(), 0.0, 0, 0.0
        with catalog.worker(folder / "worker") as worker:
            quiet = time.monotonic()
            while True:
                now = time.monotonic()
                memory = max(memory, worker.group.resident_bytes())
                messages = consumer.consume(10_000, 0.2)
                for message in messages:
                    key, value = message.key(), message.value()
                    assert message.error() is None and key is not None and value is not None
                    end = published.take(key, value, times)
                    if end <= last and b'"state":"open"' not in value:
                        quiet, ended = time.monotonic(), message.timestamp()[1] / 1000
                if quiet > now:
                    cpu = worker.group.cpu_seconds()
                if (reason := worker.group.ended()) is not None:
                    raise Wrong(f"the worker ended with {reason}")
                if time.monotonic() - quiet > _QUIET_SECONDS and not published.differences(answers):
                    break
                if time.time() - started > _PATIENCE:
                    wrong = published.differences(answers)
                    raise Wrong(f"{len(wrong)} of {len(answers)} windows are not right: {wrong[:5]}")
        consumer.close()
        return Year(ended - started, cpu, memory, self.lines.rows, published.records, len(answers))

    def _of(self, partition: int) -> slice:
        runs = [(first, end) for number, first, end in self._runs() if number == partition]
        return slice(runs[-1][0], runs[-1][1])

    def _runs(self) -> list[tuple[int, int, int]]:
        return list(retail.partition_runs(0, self.lines.rows, PARTITIONS))

    def _catalog(self, name: str, folder: Path, redis: str | None) -> Catalog:
        text = retail.catalog_path().read_text(encoding="utf-8").replace("\nname: retail\n", f"\nname: {name}\n")
        return made_catalog(text, name, folder, self.brokers, redis, PARTITIONS)

    async def _send(self) -> None:
        async with BulkWriter(self.brokers, timeout=60, client_id="bench") as writer:
            for start in range(0, self.lines.rows, _CHUNK):
                stop = min(self.lines.rows, start + _CHUNK)
                values = self.lines.values(start, stop)
                parts: dict[tuple[str, int], list[Pair]] = {}
                for partition, first, end in retail.partition_runs(start, stop, PARTITIONS):
                    place = parts.setdefault((self.topic, partition), [])
                    place.extend((None, value) for value in values[first - start : end - start])
                await writer.write(parts)


def retailer(brokers: str, redis: str, folder: Path) -> Retailer:
    path = retail.till_lines(folder)
    weeks = (datetime.now(UTC) - timedelta(days=1) - retail.last_sold(path)) // WEEK
    return Retailer(retail.TillLines.open(path, Shift(retail.TIME_FIELD, weeks)), brokers, redis)
