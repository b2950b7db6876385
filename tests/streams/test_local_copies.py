"""Local copies change how much is read at recovery, never what comes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from engine.accumulating import TableRecord
from streams.local_copies import LocalCopies, StoreUnusable
from streams.producing import BulkWriter, Pair
from streams.reading import TopicReader, topic_reader
from streams.tables import assign, newest_records, write
from tests.streams.reading import MakeTopic, eventually


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def copies(folder: Path) -> Iterator[LocalCopies]:
    opened = LocalCopies(folder)
    yield opened
    opened.end()


class Counting:
    """How many records a reader gave."""

    def __init__(self, reader: TopicReader) -> None:
        self.read = 0
        records = reader.records

        async def counted(*arguments):  # type: ignore[no-untyped-def]
            async for tp, found in records(*arguments):
                self.read += len(found)
                yield tp, found

        reader.records = counted  # type: ignore[method-assign]


async def both(kafka: str, tp: TopicPartition, copies: LocalCopies, end: int | None = None) -> tuple[int, int]:
    """Recover with and without copies, which must be the same; how many records each read."""
    async with topic_reader(kafka, batched=[tp.topic]) as reader:
        counting = Counting(reader)
        ends = {tp: (await reader.ends([tp]))[tp] if end is None else end}
        with_copies: dict[TopicPartition, list[TableRecord]] = await newest_records(reader, ends, copies)
        read = counting.read
        assert with_copies == await newest_records(reader, ends)
        return read, counting.read - read


def numbered(count: int, first: int = 0, text: bytes = b"v") -> list[Pair]:
    return [(b"k%d" % (first + number), text * 10) for number in range(count)]


async def test_only_what_came_since_is_read(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter, copies: LocalCopies
) -> None:
    tp = TopicPartition(await make_topic(), 0)
    await writer.write({tp: [*numbered(500), (b"k7", None), (None, b"no key"), (b"k9", b"new")]})
    assert await both(kafka, tp, copies) == (503, 503)
    assert await both(kafka, tp, copies) == (1, 503)
    await writer.write({tp: [(b"k1", None), (b"k2", b"newer"), (None, None), (b"k7", b"again"), (b"k8", None)]})
    assert await both(kafka, tp, copies) == (6, 508)
    assert await both(kafka, tp, copies) == (1, 508)


async def test_copies_outlive_the_process(kafka: str, make_topic: MakeTopic, writer: BulkWriter, folder: Path) -> None:
    tp = TopicPartition(await make_topic(), 0)
    await writer.write({tp: numbered(100)})
    for expected in (100, 1):
        copies = LocalCopies(folder)
        assert (await both(kafka, tp, copies))[0] == expected
        copies.end()


def test_a_full_disk_costs_the_copies_and_nothing_else(folder: Path) -> None:
    """The disk is full for one process: no file of it may grow beyond a few bytes more than RocksDB begins with."""
    program = """
import asyncio, os, resource, sys
from pathlib import Path
from aiokafka.structs import TopicPartition
from streams.local_copies import LocalCopies, Mark

async def fill(copies):
    tp, mark = TopicPartition("orders", 0), Mark(bytes(16), 1, 0, bytes(16))
    await copies.replace(tp, mark, {b"0": (b"0", 0)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, resource.RLIM_INFINITY))
    await copies.extend(tp, 1, [(b"%d" % at, os.urandom(1_000), at) for at in range(1, 1_000)])

copies = LocalCopies(Path(sys.argv[1]))
asyncio.run(fill(copies))
copies.end()
"""
    ended = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "orders[0]: the local copy is not used: IO error" in ended.stderr
    copies = LocalCopies(folder)  # nobody holds the folder any more
    copies.end()


async def test_what_we_write_is_copied_and_what_another_owner_wrote_is_read(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter, copies: LocalCopies
) -> None:
    tp = TopicPartition(await make_topic(), 0)
    assert await both(kafka, tp, copies) == (0, 0)
    log = (await assign(writer, {tp: b"first"}, copies))[tp]
    await both(kafka, tp, copies, log.end)
    await write(writer, {tp: numbered(200)}, [log])
    await write(writer, {tp: [(b"k3", None), (b"k4", b"new")]}, [log])
    assert (await both(kafka, tp, copies))[0] == 1
    await writer.write({tp: [(b"k5", None), (b"k6", b"of another owner")]})
    await write(writer, {tp: [(b"k6", b"of an owner that was superseded")]}, [log])
    assert (await both(kafka, tp, copies))[0] == 4
    await copies.close([tp])
    assert (await both(kafka, tp, copies))[0] == 1


async def test_below_the_copys_end_everything_is_read(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter, copies: LocalCopies, caplog: pytest.LogCaptureFixture
) -> None:
    tp = TopicPartition(await make_topic(), 0)
    await writer.write({tp: [*numbered(50), *numbered(50, text=b"w")]})
    await both(kafka, tp, copies)
    assert await both(kafka, tp, copies, 60) == (60, 60)
    assert len(caplog.records) == 1
    assert "goes beyond the log" in caplog.text


async def test_a_topic_made_anew_is_another_one(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter, copies: LocalCopies, caplog: pytest.LogCaptureFixture
) -> None:
    tp = TopicPartition(await make_topic(), 0)
    await writer.write({tp: numbered(50)})
    await both(kafka, tp, copies)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics([tp.topic])

        async def made() -> bool:
            answer = await admin.create_topics([NewTopic(tp.topic, 1, 1)])
            return bool(answer.topic_errors[0][1] == 0)

        await eventually(made)
    finally:
        await admin.close()
    async with BulkWriter(kafka, timeout=10) as another:
        await another.write({tp: [*numbered(49, 1), (b"k49", b"v" * 10), *numbered(9)]})
    assert (await both(kafka, tp, copies))[0] == 59
    assert "another topic of this name" in caplog.text
    assert (await both(kafka, tp, copies))[0] == 1


async def test_what_compaction_or_retention_took_out_is_not_missed(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter, copies: LocalCopies, caplog: pytest.LogCaptureFixture
) -> None:
    """A tombstone that is gone again would leave its key in the copy for ever."""
    tp = TopicPartition(await make_topic(), 0)
    await writer.write({tp: numbered(50)})
    await both(kafka, tp, copies)
    await writer.write({tp: [(b"k1", None), (b"k2", b"x")]})
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_records({tp: RecordsToDelete(before_offset=51)})
    finally:
        await admin.close()
    assert await both(kafka, tp, copies) == (1 + 1, 1)
    assert "are gone" in caplog.text
    await writer.write({tp: numbered(3)})
    assert (await both(kafka, tp, copies))[0] == 4


async def test_a_compacted_log(kafka: str, make_topic: MakeTopic, writer: BulkWriter, copies: LocalCopies) -> None:
    topic = await make_topic(
        cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.001", delete_retention_ms="0"
    )
    tp = TopicPartition(topic, 0)
    await writer.write({tp: numbered(20)})
    await both(kafka, tp, copies)
    await writer.write({tp: [(b"k1", None), *numbered(10, 10, b"w")]})

    async def compacted() -> bool:
        await writer.write({tp: [(b"again", b"x")]})
        async with topic_reader(kafka, batched=[topic]) as reader:
            counting = Counting(reader)
            async for _ in reader.records(await reader.ends([tp])):
                pass
            return counting.read < 25

    await eventually(compacted, seconds=40)
    await both(kafka, tp, copies)
    await both(kafka, tp, copies)


async def test_a_broken_copy_is_made_anew(
    kafka: str, make_topic: MakeTopic, writer: BulkWriter, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tp = TopicPartition(await make_topic(), 0)
    await writer.write({tp: numbered(50)})
    copies = LocalCopies(folder)
    await both(kafka, tp, copies)
    copies.end()
    (folder / f"{tp.topic}-0" / "CURRENT").write_text("nonsense")
    copies = LocalCopies(folder)
    try:
        assert (await both(kafka, tp, copies))[0] == 50
        assert "the local copy is not used" in caplog.text
        assert (await both(kafka, tp, copies))[0] == 1
    finally:
        copies.end()


def test_a_folder_belongs_to_one_worker(folder: Path, copies: LocalCopies) -> None:
    with pytest.raises(StoreUnusable, match="in use by another worker"):
        LocalCopies(folder)
