"""`NAME.definitions`: which catalog is the newest (protocol rule 19).

The definition sequence is the offset of a catalog's text in that topic. A worker whose text is the newest goes by its
offset; one with another text appends it when it starts, and so becomes the newest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import msgspec
from aiokafka.structs import TopicPartition

from sinks.names import definitions_topic
from streams.producing import BulkWriter
from streams.reading import topic_reader
from streams.security import KafkaSecurity

VERSION = 1


class _File(msgspec.Struct):
    name: str
    text: str


class _Definition(msgspec.Struct):
    files: list[_File]
    version: int = VERSION


class Definitions:
    """The definitions of one catalog name. ``files`` are (name, text) of the catalog that this worker goes by."""

    def __init__(self, name: str, files: Sequence[tuple[str, str]], brokers: str, security: KafkaSecurity) -> None:
        self._name = name
        self._topic = definitions_topic(name)
        self._brokers = brokers
        self._security = security
        shown = [_File(PurePath(file).name, text) for file, text in files]
        self._ours = msgspec.json.encode(_Definition(shown))

    async def sequence(self) -> int | None:
        """The offset of our text, where it is the newest; of several equal ones in a row, the first's."""
        found = None
        tp = TopicPartition(self._topic, 0)
        async with topic_reader(self._brokers, self._security, batched=[self._topic]) as reader:
            async for _, records in reader.records(await reader.ends([tp])):
                for _, value, offset in records:
                    if value != self._ours:
                        found = None
                    elif found is None:
                        found = offset
        return found

    async def register(self, writer: BulkWriter) -> int:
        """Make our text the newest, unless it is; its sequence."""
        known = await self.sequence()
        if known is None:
            await writer.write({(self._topic, 0): [(self._name.encode(), self._ours)]})
            known = await self.sequence()
        return known if known is not None else -1
