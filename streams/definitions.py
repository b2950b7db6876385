"""`NAME.definitions`: which catalog is the newest (protocol rule 19).

The definition sequence is the offset of a catalog's text in that topic. A worker whose text is the newest goes by its
offset; one with a text that was never there appends it when it starts, and so becomes the newest. A text that was there
and was replaced is an old file: it becomes the newest again only where that is asked for, naming the one it replaces.
Since compaction leaves the newest alone, each record carries the ids of those before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import msgspec
from aiokafka.structs import TopicPartition

from engine.blocks import UnknownVersion
from sinks.names import definitions_topic
from streams.producing import BulkWriter
from streams.reading import topic_reader
from streams.security import KafkaSecurity

VERSION = 1
MOST_EARLIER = 1_000  # ids that a record carries; of more changes the first are forgotten


class OldCatalog(Exception):
    """A newer catalog of the same name is in use; the message says what to do."""


class _File(msgspec.Struct):
    name: str
    text: str


class _Definition(msgspec.Struct):
    files: list[_File]
    version: int = VERSION
    earlier: list[str] = []

    @property
    def id(self) -> str:
        """12 hex digits that follow from names and texts of the files alone."""
        return hashlib.sha256(msgspec.json.encode(self.files)).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the topic says: the newest catalog's id and sequence, and the ids of those that were the newest before."""

    newest: str | None
    sequence: int
    earlier: tuple[str, ...]


class Definitions:
    """The definitions of one catalog name. ``files`` are (name, text) of the catalog that this worker goes by;
    ``roll_back_from`` is the id of the newest one where this one, which was replaced by it, is to be the newest again.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[tuple[str, str]],
        brokers: str,
        security: KafkaSecurity,
        *,
        roll_back_from: str | None = None,
    ) -> None:
        self._name = name
        self._topic = definitions_topic(name)
        self._brokers = brokers
        self._security = security
        self._roll_back_from = roll_back_from
        self._files = [_File(PurePath(file).name, text) for file, text in files]
        self.id = _Definition(self._files).id

    async def sequence(self) -> int:
        """The offset of our text; of several equal ones in a row, the first's. Raises OldCatalog where another text is
        the newest.
        """
        known = await self._read()
        if known.newest != self.id:
            raise OldCatalog(
                f"catalog {self._name}: another catalog of this name was started later than this one ({self.id}): "
                f"{known.newest or 'none is known any more'}; start this worker again, with the newest catalog"
            )
        return known.sequence

    async def replaced_by(self) -> str | None:
        """The id of the newest, where ours was in use and has been replaced."""
        known = await self._read()
        return known.newest if self.id in known.earlier else None

    async def register(self, writer: BulkWriter) -> int:
        """Make our text the newest, unless it is; its sequence.

        Raises OldCatalog where it was replaced already, and where another one is registered at the same time.
        """
        known = await self._read()
        if known.newest != self.id:
            if self.id in known.earlier and known.newest != self._roll_back_from:
                raise OldCatalog(
                    f"catalog {self._name}: this catalog ({self.id}) was in use and has been replaced by a newer one "
                    f"({known.newest}): start this worker with that one; to go back to this one all the same, add "
                    f"--roll-back-from {known.newest}"
                )
            before = dict.fromkeys((*known.earlier, known.newest))
            earlier = [id_ for id_ in before if id_ is not None and id_ != self.id]
            record = msgspec.json.encode(_Definition(self._files, earlier=earlier[-MOST_EARLIER:]))
            await writer.write({(self._topic, 0): [(self._name.encode(), record)]})
        return await self.sequence()

    async def _read(self) -> _Known:
        """All that the topic still holds."""
        newest, sequence = None, -1
        earlier: dict[str, None] = {}
        tp = TopicPartition(self._topic, 0)
        async with topic_reader(self._brokers, self._security, batched=[self._topic]) as reader:
            async for _, records in reader.records(await reader.ends([tp])):
                for _, value, offset in records:
                    if value is None:
                        continue
                    found = _decode(value)
                    earlier |= dict.fromkeys(found.earlier)
                    if found.id == newest:
                        continue
                    if newest is not None:
                        earlier[newest] = None
                    newest, sequence = found.id, offset
                    earlier.pop(newest, None)
        return _Known(newest, sequence, tuple(earlier))


def _decode(value: bytes) -> _Definition:
    try:
        found = msgspec.json.decode(value, type=_Definition)
    except msgspec.DecodeError as error:
        raise UnknownVersion(f"a catalog in another form than this program writes: {error}") from error
    if found.version != VERSION:
        raise UnknownVersion(f"a catalog's record of version {found.version}; this program reads version {VERSION}")
    return found
