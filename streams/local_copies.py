"""Local copies of what this worker reads at recovery, so that after a restart it reads only what came since.

One RocksDB for each partition of a changelog or of partials: key -> (offset, value) of the newest record of each key,
and a mark that says up to which offset of which topic that is complete. Both change in one atomic write. Copies are
worth nothing but time: whoever uses one checks it against the topic, and one that cannot be read or written is left.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import xxhash
from aiokafka.structs import TopicPartition

from streams.fetching import Record

T = TypeVar("T")
CACHE_BYTES = 8 * 1024 * 1024  # of blocks read, for all partitions: a copy is read once, from beginning to end
BUFFER_BYTES = 8 * 1024 * 1024  # of a partition's newest writes, twice at most
PORTION_BYTES = 8 * 1024 * 1024  # written at once where nothing depends on it yet
_MARK = struct.Struct(">16sQQ16s")
_OFFSET = struct.Struct(">Q")
_MARK_KEY, _RECORD = b"m", b"r"
_log = logging.getLogger(__name__)


class StoreUnusable(Exception):
    """Copies cannot be kept; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a copy goes: complete below ``end``. ``last``: offset and digest of the log's last record below it."""

    topic_id: bytes
    end: int
    last: int
    digest: bytes

    @classmethod
    def of_nothing(cls, topic_id: bytes) -> Mark:
        return cls(topic_id, 0, 0, bytes(16))

    def pack(self) -> bytes:
        return _MARK.pack(self.topic_id, self.end, self.last, self.digest)


@dataclass(frozen=True, slots=True)
class Copy:
    """The newest (value, offset) of each key, in the order of offsets."""

    mark: Mark
    table: dict[bytes, tuple[bytes, int]]


def digest_of(key: bytes | None, value: bytes | None) -> bytes:
    """16 bytes that tell one record from another."""
    digest = xxhash.xxh3_128()
    for part in (key, value):
        digest.update(b"\0" if part is None else b"\1" + len(part).to_bytes(8, "big") + part)
    return digest.digest()


class LocalCopies:
    """The copies in one folder, which belongs to this process as long as it runs."""

    def __init__(self, folder: Path) -> None:
        """Raises StoreUnusable when rocksdict is not installed, or another process has the folder."""
        try:
            import rocksdict
        except ImportError as error:
            raise StoreUnusable("rocksdict is not installed: pip install 'streamgauge[rocksdb]'") from error
        self._rocks: Any = rocksdict
        self._folder = folder
        self._lock = _locked(folder)
        self._cache = rocksdict.Cache(CACHE_BYTES)
        self._open: dict[TopicPartition, Any] = {}
        self._marks: dict[TopicPartition, Mark] = {}  # of copies that are kept up to date
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="copies")

    async def load(self, tp: TopicPartition, topic_id: bytes, end: int) -> Copy | None:
        """The copy of a partition whose log ends at `end`; None where there is none of this topic."""
        self._marks.pop(tp, None)
        return await self._run(tp, lambda: self._load(tp, topic_id, end))

    async def replace(self, tp: TopicPartition, mark: Mark, table: Mapping[bytes, tuple[bytes, int]]) -> None:
        """Make the copy anew."""
        self._marks.pop(tp, None)
        await self._run(tp, lambda: self._replace(tp, mark, table))

    def keep(self, tp: TopicPartition, mark: Mark) -> None:
        """Go on with a copy that was loaded, and is right."""
        self._marks[tp] = mark

    async def extend(self, tp: TopicPartition, start: int, records: Sequence[Record]) -> None:
        """Add what the log holds from `start` on, every record of it. Ignored where the copy does not end there."""
        mark = self._marks.get(tp)
        if mark is None or not records or mark.end != start:
            return
        key, value, last = records[-1]
        if last != start + len(records) - 1:
            return  # some are missing
        extended = Mark(mark.topic_id, last + 1, last, digest_of(key, value))
        del self._marks[tp]  # until it is done
        if await self._run(tp, lambda: self._extend(tp, extended, records)):
            self._marks[tp] = extended

    async def close(self, tps: Collection[TopicPartition]) -> None:
        """Free what open copies take; they are opened again when they are needed."""
        for tp in tps:
            await self._run(tp, lambda tp=tp: self._shut(tp))  # type: ignore[misc]

    def end(self) -> None:
        """Waits for what is under way."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        for tp in list(self._open):
            try:
                self._shut(tp)
            except Exception as error:  # noqa: BLE001  # as in `_run`: a disk that was full lets none of it end well
                _log.warning("%s[%d]: the local copy is not used: %s", tp.topic, tp.partition, error)
        os.close(self._lock)

    # -- in the thread -----------------------------------------------------------------------------------------------

    async def _run(self, tp: TopicPartition, work: Callable[[], T]) -> T | None:
        """What goes wrong costs the copy, never the worker."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except Exception as error:  # noqa: BLE001  # rocksdict raises nothing narrower
            self._marks.pop(tp, None)
            _log.warning("%s[%d]: the local copy is not used: %s", tp.topic, tp.partition, error)
            return None

    def _path(self, tp: TopicPartition) -> Path:
        return self._folder / f"{tp.topic}-{tp.partition}"

    def _database(self, tp: TopicPartition) -> Any:
        found = self._open.get(tp)
        if found is None:
            found = self._open[tp] = self._rocks.Rdict(str(self._path(tp)), self._options())
        return found

    def _options(self) -> Any:
        options = self._rocks.Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(BUFFER_BYTES)
        options.set_keep_log_file_num(1)
        options.set_max_open_files(64)
        options.set_stats_dump_period_sec(0)
        table = self._rocks.BlockBasedOptions()
        table.set_block_cache(self._cache)
        options.set_block_based_table_factory(table)
        return options

    def _load(self, tp: TopicPartition, topic_id: bytes, end: int) -> Copy | None:
        if not self._path(tp).exists():
            return None
        database = self._database(tp)
        packed = database.get(_MARK_KEY)
        if packed is None:
            return None
        mark = Mark(*_MARK.unpack(packed))
        if mark.end == 0:
            return None
        if mark.topic_id != topic_id or mark.end > end:
            why = "it is of another topic of this name" if mark.topic_id != topic_id else "it goes beyond the log"
            self.note_discarded(tp, why)
            return None
        found = []
        for key, value in database.items(from_key=_RECORD):
            found.append((key[1:], value[_OFFSET.size :], _OFFSET.unpack_from(value)[0]))
        found.sort(key=_offset)
        return Copy(mark, {key: (value, offset) for key, value, offset in found})

    def _replace(self, tp: TopicPartition, mark: Mark, table: Mapping[bytes, tuple[bytes, int]]) -> None:
        self._shut(tp)
        if self._path(tp).exists():
            shutil.rmtree(self._path(tp))
        database, batch = self._database(tp), self._rocks.WriteBatch(raw_mode=True)
        for key, (value, offset) in table.items():
            batch.put(_RECORD + key, _OFFSET.pack(offset) + value)
            if batch.size_in_bytes() > PORTION_BYTES:
                database.write(batch)
                batch = self._rocks.WriteBatch(raw_mode=True)
        batch.put(_MARK_KEY, mark.pack())
        database.write(batch)
        self._marks[tp] = mark

    def _extend(self, tp: TopicPartition, mark: Mark, records: Sequence[Record]) -> bool:
        batch = self._rocks.WriteBatch(raw_mode=True)
        for key, value, offset in records:
            if key is None:
                continue
            if value is None:
                batch.delete(_RECORD + key)
            else:
                batch.put(_RECORD + key, _OFFSET.pack(offset) + value)
        batch.put(_MARK_KEY, mark.pack())
        self._database(tp).write(batch)
        return True

    def _shut(self, tp: TopicPartition) -> None:
        database = self._open.pop(tp, None)
        if database is not None:
            database.close()

    @staticmethod
    def note_discarded(tp: TopicPartition, why: str) -> None:
        _log.warning("%s[%d]: the local copy is discarded: %s; everything is read", tp.topic, tp.partition, why)


def _offset(record: tuple[bytes, bytes, int]) -> int:
    return record[2]


def _locked(folder: Path) -> int:
    """A descriptor that holds the folder's lock until it is closed, or the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StoreUnusable(
            f"--data-dir {folder.parent} is in use by another worker; with --store rocksdb each needs one of its own"
        ) from error
    return lock
