"""The batch transport in real Faust apps on a real Kafka: nothing lost, nothing twice, commits where they belong."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from faust.types import TP

from engine.decoding.batch import Batch
from streams.app import KafkaSettings, StreamApp
from streams.fetching import BatchedTopics, Fetched
from streams.producing import BulkWriter
from tests.streams.reading import MakeTopic, read_all

PARTITIONS = 4
EVENTS = 20_000  # per partition


class Reader:
    """Collects offsets as they come, and commits them when asked or when partitions are revoked."""

    def __init__(self, settings: KafkaSettings, topic: str, *, slow: float = 0.0) -> None:
        self.topic = topic
        self.slow = slow
        self.offsets: dict[int, list[int]] = {}
        self.gaps: list[tuple[int, int, int]] = []
        self.next: dict[TP, int] = {}
        self.revoked: list[set[TP]] = []
        self.commits: list[bool] = []
        self.changed = asyncio.Condition()
        self.app = StreamApp(settings, BatchedTopics(events=frozenset({topic})))
        self.app.batches(topic, self._read)
        self.app.batch_consumer.before_revoke = self._before_revoke

    async def _read(self, stream: Any) -> None:
        async for event in stream.noack().events():
            await asyncio.sleep(self.slow)
            fetched: Fetched[Batch] = event.value
            tp = event.message.tp
            if tp in self.next and self.next[tp] != fetched.asked:
                self.gaps.append((tp.partition, self.next[tp], fetched.asked))
            self.offsets.setdefault(tp.partition, []).extend(fetched.content.offsets.tolist())
            async with self.changed:
                self.next[tp] = fetched.next_offset
                self.changed.notify_all()

    async def _before_revoke(self, revoked: set[TP]) -> None:
        self.revoked.append(revoked)
        if self.next:
            self.commits.append(await self.commit())
        self.next.clear()

    async def commit(self) -> bool:
        return await self.app.batch_consumer.commit_offsets(dict(self.next))

    async def until(self, met: Callable[[], bool], seconds: float = 30) -> None:
        async with self.changed, asyncio.timeout(seconds):
            await self.changed.wait_for(met)

    async def until_count(self, count: int, seconds: float = 30) -> None:
        await self.until(lambda: self.count >= count, seconds)

    async def until_assigned(self, partitions: int, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while len(self.app.batch_consumer.assignment()) != partitions:
                await asyncio.sleep(0.01)

    @property
    def count(self) -> int:
        return sum(len(offsets) for offsets in self.offsets.values())


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Iterator[KafkaSettings]:
    yield KafkaSettings(kafka, f"g-{uuid.uuid4().hex[:12]}", session_timeout=6.0, data_dir=tmp_path)


@asynccontextmanager
async def reading(settings: KafkaSettings, topic: str, **options: Any) -> AsyncIterator[Reader]:
    reader = Reader(settings, topic, **options)
    await reader.app.start()
    try:
        yield reader
    finally:
        await reader.app.stop()


async def fill(writer: BulkWriter, topic: str, *, count: int = EVENTS, partitions: int = PARTITIONS) -> None:
    await writer.write({(topic, p): [(None, b"%d" % n) for n in range(count)] for p in range(partitions)})


async def test_every_event_comes_once_and_a_restart_goes_on_at_the_committed_offset(
    settings: KafkaSettings, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic(partitions=PARTITIONS)
    await fill(writer, topic)
    async with reading(settings, topic) as first:
        await first.until_count(PARTITIONS * EVENTS)
        assert await first.commit()
    await fill(writer, topic, count=10)
    async with reading(settings, topic) as second:
        await second.until_count(PARTITIONS * 10)
    assert first.gaps == second.gaps == []
    assert first.offsets == {p: list(range(EVENTS)) for p in range(PARTITIONS)}
    assert second.offsets == {p: list(range(EVENTS, EVENTS + 10)) for p in range(PARTITIONS)}


async def test_what_is_not_committed_comes_again(
    settings: KafkaSettings, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic(partitions=1)
    await fill(writer, topic, count=100, partitions=1)
    for _ in range(2):
        async with reading(settings, topic) as reader:
            await reader.until_count(100)
        assert reader.offsets == {0: list(range(100))}


async def test_a_second_worker_takes_over_exactly_where_the_first_committed_on_revocation(
    settings: KafkaSettings, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic(partitions=PARTITIONS)
    await fill(writer, topic)
    async with reading(settings, topic, slow=0.01) as first:
        await first.until_count(EVENTS)
        async with reading(settings, topic, slow=0.01) as second:
            await fill(writer, topic)
            async with asyncio.timeout(30):
                while first.count + second.count < 2 * PARTITIONS * EVENTS:
                    await asyncio.sleep(0.01)
            assert second.count > 0
    assert first.commits[0] is True
    assert first.gaps == second.gaps == []
    for partition in range(PARTITIONS):
        both = first.offsets.get(partition, []) + second.offsets.get(partition, [])
        assert both == list(range(2 * EVENTS))


async def test_a_worker_that_leaves_hands_over_at_once(
    settings: KafkaSettings, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic(partitions=2)
    async with reading(settings, topic) as first:
        async with reading(settings, topic) as second:
            await asyncio.gather(first.until_assigned(1), second.until_assigned(1))
            await fill(writer, topic, count=10, partitions=2)
            await asyncio.gather(first.until_count(10), second.until_count(10))
            await second.commit()
        await fill(writer, topic, count=10, partitions=2)
        # Sooner than the session of one who died would end.
        await first.until_count(30, seconds=settings.session_timeout - 1)
    assert second.count == 10


async def test_the_reader_can_say_where_partitions_go_on(
    settings: KafkaSettings, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic(partitions=2)
    await fill(writer, topic, count=100, partitions=2)
    reader = Reader(settings, topic)
    reader.app.batch_consumer.positions = lambda: {TP(topic, 1): 60}
    await reader.app.start()
    try:
        await reader.until_count(140)
    finally:
        await reader.app.stop()
    assert reader.offsets == {0: list(range(100)), 1: list(range(60, 100))}


async def test_lag_tells_position_and_end(settings: KafkaSettings, make_topic: MakeTopic, writer: BulkWriter) -> None:
    topic = await make_topic(partitions=1)
    await fill(writer, topic, count=100, partitions=1)
    async with reading(settings, topic) as reader:
        await reader.until_count(100)
        lag = reader.app.batch_consumer.lag(TP(topic, 0))
        assert lag is not None
        assert (lag.position, lag.end) == (100, 100)
        assert lag.at is not None
        assert reader.app.batch_consumer.lag(TP(topic, 1)) is None


async def test_a_slow_reader_is_not_slowed_down_further_by_its_full_queue(
    settings: KafkaSettings, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic(partitions=2)
    async with reading(settings, topic, slow=0.005) as reader:
        for _ in range(60):
            await fill(writer, topic, count=1, partitions=1)
        started = asyncio.get_running_loop().time()
        await fill(writer, topic, count=2 * EVENTS, partitions=1)
        await reader.until_count(60 + 2 * EVENTS)
        assert asyncio.get_running_loop().time() - started < 5


async def test_other_consumers_in_the_process_are_as_always(
    kafka: str, settings: KafkaSettings, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    topic = await make_topic()
    Reader(settings, topic)
    await fill(writer, topic, count=3, partitions=1)
    assert [record.value for record in await read_all(kafka, topic)] == [b"0", b"1", b"2"]


async def test_who_is_no_member_any_more_commits_nothing_even_while_the_group_is_empty(
    settings: KafkaSettings, make_topic: MakeTopic, writer: BulkWriter
) -> None:
    """Kafka takes a commit without a generation for one from outside any group, while that group has no members."""
    topic = await make_topic(partitions=1)
    await fill(writer, topic, count=100, partitions=1)
    async with reading(settings, topic) as reader:
        await reader.until_count(100)
        thread = reader.app.batch_consumer._thread
        coordinator = thread._ensure_consumer()._coordinator

        async def leave_and_commit() -> bool:
            await coordinator._maybe_leave_group()
            return await thread._commit_offsets(dict(reader.next))

        assert not await thread.call_thread(leave_and_commit)
        tp = TP(topic, 0)
        assert await reader.app.batch_consumer.committed_offsets({tp}) == {tp: None}


async def test_the_app_crashes_when_answers_cannot_be_read_for_a_reason_nobody_expected(
    settings: KafkaSettings, make_topic: MakeTopic, writer: BulkWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await make_topic(partitions=1)
    await fill(writer, topic, count=1, partitions=1)

    def unreadable(raw: bytes) -> None:
        raise ArithmeticError("nobody expected this")

    async with reading(settings, topic) as reader:
        monkeypatch.setattr(fetcher, "MemoryRecords", unreadable)
        await fill(writer, topic, count=1, partitions=1)
        async with asyncio.timeout(30):
            while not reader.app.crashed:
                await asyncio.sleep(0.01)
        assert "data retrieval" in str(reader.app.crash_reason)
