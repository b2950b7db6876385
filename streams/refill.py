"""Redis' history, made whole from `NAME.values` after Redis was away so long that values were given up (rule 15)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from sinks.errors import SinkError
from sinks.redis.sink import RedisSink
from streams.reading import topic_reader
from streams.security import KafkaSecurity

LOOK_SECONDS = 2.0
_log = logging.getLogger(__name__)


async def refilling(sink: RedisSink, topic: str, brokers: str, security: KafkaSecurity) -> None:
    """Refill whenever the sink notes a gap, once it can write again; for ever. Raises KafkaError, ReadStalled."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        since_ms = sink.gap_since_ms
        if since_ms is None or sink.problem is not None or sink.queue_rows:
            continue  # while values wait for Redis, more of them may be given up
        try:
            async with aclosing(values_since(topic, since_ms, brokers, security)) as messages:
                changed = await sink.refill(messages)
        except SinkError as error:
            _log.warning("%s; history is completed later", error)
        else:
            _log.info("history of %d series in Redis completed from %s", changed, topic)


async def values_since(
    topic: str, time_ms: int, brokers: str, security: KafkaSecurity
) -> AsyncGenerator[tuple[bytes, bytes], None]:
    """(key, value) of the values that were written at this time, in milliseconds since the epoch, or later."""
    async with topic_reader(brokers, security, batched=[topic]) as reader:
        tps = await reader.partitions(topic)
        starts = await reader.since(tps, time_ms)
        ends = {tp: end for tp, end in (await reader.ends(tps)).items() if tp in starts}
        async with aclosing(reader.records(ends, starts)) as found:  # whoever asked may not want them all
            async for _, records in found:
                for key, value, _ in records:
                    if key is not None and value is not None:
                        yield key, value
