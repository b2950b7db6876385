"""Silences made by command, in the topic `NAME.silences`."""

from __future__ import annotations

from sinks.alerting.silence_records import SilenceRecord, decode_silence
from sinks.names import silences_topic
from streams.producing import BulkWriter
from streams.reading import topic_reader
from streams.security import KafkaSecurity

WRITE_SECONDS = 20.0


class NoTopic(Exception):
    """The topic is not there; the message says how it is made."""


async def read_silences(name: str, brokers: str, security: KafkaSecurity | None = None) -> dict[str, SilenceRecord]:
    """Of a catalog, by their ids; those that have ended among them. Raises NoTopic, NotASilence, KafkaError."""
    topic = silences_topic(name)
    found: dict[str, SilenceRecord] = {}
    async with topic_reader(brokers, security, batched=[topic]) as reader:
        tps = await reader.partitions(topic)
        if not tps:
            raise NoTopic(f"topic {topic} does not exist; make it with `streamgauge topics`")
        async for _, records in reader.records(await reader.ends(tps)):
            for key, value, _ in records:
                id_ = (key or b"").decode(errors="replace")
                if value is None:
                    found.pop(id_, None)
                else:
                    found[id_] = decode_silence(value)
    return found


async def write_silence(
    name: str, id_: str, silence: SilenceRecord | None, brokers: str, security: KafkaSecurity | None = None
) -> None:
    """Stored when it returns; None takes one back. Raises WriteFailed, KafkaError."""
    value = None if silence is None else silence.encode()
    async with BulkWriter(brokers, security, timeout=WRITE_SECONDS) as writer:
        await writer.write({(silences_topic(name), 0): [(id_.encode(), value)]})
