"""The values topic of a catalog as it grows, until it says what an oracle expects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from engine.catalog.model import Catalog
from sinks.names import values_topic
from tests.oracle.answers import Answer
from tests.oracle.comparing import Difference, Key, Published

SILENT_SECONDS = 60.0  # nothing comes any more, even of workers that have just begun
QUIET_SECONDS = 10.0  # what differs after so long a silence stays so


class Reader:
    """The values topic, as it grows. ``heard`` is set whenever something came."""

    def __init__(self, catalog: Catalog) -> None:
        self.published = Published(catalog)
        self.heard = asyncio.Event()


@asynccontextmanager
async def reading(kafka: str, catalog: Catalog, partitions: int) -> AsyncIterator[Reader]:
    reader = Reader(catalog)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()

    async def read() -> None:
        consumer.assign([TopicPartition(values_topic(catalog.name), number) for number in range(partitions)])
        while True:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=20_000)).values():
                reader.published.add(record.value for record in records)
                reader.heard.set()

    task = asyncio.create_task(read())
    try:
        yield reader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.stop()


async def until_published(
    reader: Reader, expected: Sequence[Answer], differences: Callable[[Published], list[Difference]]
) -> None:
    """Until all is as expected. What differs once everything is there, and nothing has come for a while, fails."""
    missing: set[Key] = {(answer.kpi, answer.dims, answer.start_us, answer.end_us) for answer in expected}
    assert len(missing) == len(expected)
    closed = reader.published.closed
    with suppress(TimeoutError):
        while missing := {key for key in missing if key not in closed}:
            reader.heard.clear()
            await asyncio.wait_for(reader.heard.wait(), SILENT_SECONDS)
    while found := differences(reader.published):
        reader.heard.clear()
        try:
            await asyncio.wait_for(reader.heard.wait(), QUIET_SECONDS)
        except TimeoutError:
            shown = "\n".join(map(str, found[:20]))
            raise AssertionError(f"{len(found)} of {len(expected)} differ:\n{shown}") from None


async def ends(kafka: str, topic: str, partitions: int) -> list[int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        return list((await consumer.end_offsets(places)).values())
    finally:
        await consumer.stop()
