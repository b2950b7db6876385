"""Where events go: a topic's partitions, how long each is, and which one a key belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from aiokafka.partitioner import murmur2

from streamgauge.settings import KafkaAddress
from streams.reading import topic_reader


class UnknownTopic(Exception):
    """The topic is not there, and is not made by sending to it."""


async def partition_ends(topic: str, kafka: KafkaAddress) -> list[int]:
    """The end offset of each partition. Raises UnknownTopic, and KafkaError when no broker answers."""
    async with topic_reader(kafka.brokers, kafka.security) as reader:
        places = await reader.partitions(topic)
        if not places:
            raise UnknownTopic(f"topic {topic} does not exist; make it with `streamgauge topics`")
        ends = await reader.ends(places)
    return [ends[place] for place in places]


def by_partition(
    values: Sequence[bytes], keys: Sequence[bytes | None] | None, partitions: int, turn: int
) -> dict[int, list[tuple[bytes | None, bytes]]]:
    """Events of one key to the partition that Kafka's own clients choose for it; others to the `turn`'s."""
    rest = turn % partitions
    if keys is None:
        return {rest: [(None, value) for value in values]}
    chosen: dict[bytes | None, int] = {None: rest}
    parts: defaultdict[int, list[tuple[bytes | None, bytes]]] = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        partition = chosen.get(key)
        if partition is None and key is not None:
            partition = chosen[key] = (murmur2(key) & 0x7FFFFFFF) % partitions
        parts[rest if partition is None else partition].append((key, value))
    return parts
