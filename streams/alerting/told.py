"""What receivers were told, and are still to be told: rows in `NAME-notifications-changelog`, by receiver and alert."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
from aiokafka.structs import TopicPartition

from engine.blocks import UnknownVersion
from sinks.alerting.notices import Notice, notice
from streams.alerting.decisions import Place, Row
from streams.producing import BulkWriter
from streams.reading import topic_reader
from streams.security import KafkaSecurity

VERSION: Final = 1


class _Stored(msgspec.Struct, omit_defaults=True):
    version: int
    open: list[msgspec.Raw] = []  # one, or none
    due: list[msgspec.Raw] = []
    over: list[msgspec.Raw] = []  # one, or none
    over_us: int = 0


_decode: Final = msgspec.json.Decoder(_Stored).decode


class Told:
    """The rows. Who changes one sees it at once; when `put` returns, Kafka has it."""

    def __init__(self, topic: str, writer: BulkWriter) -> None:
        self._topic = topic
        self._writer = writer
        self._lock = asyncio.Lock()
        self.rows: dict[Place, Row] = {}

    async def read(self, brokers: str, security: KafkaSecurity) -> None:
        """Everything anew. Raises KafkaError, ReadStalled, UnknownVersion."""
        self.rows.clear()
        tp = TopicPartition(self._topic, 0)
        async with topic_reader(brokers, security, batched=[self._topic]) as reader:
            async for _, records in reader.records(await reader.ends([tp])):
                for key, value, _ in records:
                    receiver, _, alert = (key or b"").decode().partition("|")
                    if value is None:
                        self.rows.pop((receiver, alert), None)
                    else:
                        self.rows[receiver, alert] = decode_row(alert, value)

    async def put(self, changed: Mapping[Place, Row | None]) -> None:
        """Raises WriteFailed."""
        for place, row in changed.items():
            if row is None:
                self.rows.pop(place, None)
            else:
                self.rows[place] = row
        async with self._lock:  # a row that was changed again meanwhile is written as it is by now
            records = [(f"{receiver}|{alert}".encode(), self._text((receiver, alert))) for receiver, alert in changed]
            await self._writer.write({(self._topic, 0): records})

    def _text(self, place: Place) -> bytes | None:
        row = self.rows.get(place)
        return None if row is None else encode_row(row)


def encode_row(row: Row) -> bytes:
    def raw(*held: Notice | None) -> list[msgspec.Raw]:
        return [msgspec.Raw(one.text) for one in held if one is not None]

    return msgspec.json.encode(_Stored(VERSION, raw(row.open), raw(*row.due), raw(row.over), row.over_us))


def decode_row(key: str, text: bytes) -> Row:
    """Raises UnknownVersion, NotAnAlert."""

    def held(raw: list[msgspec.Raw]) -> tuple[Notice, ...]:
        return tuple(notice(key, bytes(one)) for one in raw)

    try:
        stored = _decode(text)
    except msgspec.DecodeError as error:
        raise UnknownVersion(
            f"what receivers were told is in another form than this program writes: {error}"
        ) from error
    if stored.version != VERSION:
        raise UnknownVersion(f"what receivers were told has version {stored.version}; this program reads {VERSION}")
    return Row(
        next(iter(held(stored.open)), None), held(stored.due), next(iter(held(stored.over)), None), stored.over_us
    )
