"""Faust's Kafka transport, a fetched partition at a time.

What differs from Faust's own aiokafka driver, and why:

- Source topics and partials come as one message per fetched partition (`streams.fetching`).
- Offsets are committed by whoever made a prefix durable, as one offset per partition (`Consumer.commit_offsets`). The
  topics are read without acknowledgements, so Faust's own list of acknowledged offsets stays empty: it can commit past
  a message in flight, loses acknowledgements when partitions are revoked, acknowledges events whose processing raised,
  and costs time per offset.
- Before partitions are revoked, `before_revoke` is awaited while commits still work. Who is no member of the group any
  more commits nothing.
- After an assignment the reader says where each partition goes on (`positions`), where it knows better than the group.
- Fetches wait as long as the settings say, and full buffers are waited for without sleeping a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, UnknownMemberIdError
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import WorkerThread

from streams import fetching
from streams.fetching import BatchedTopics
from streams.topic_ids import topic_id_texts

SCHEME = "batch"
# A partition whose buffer is full is asked again this soon while the others have nothing.
CROWDED_WAIT_SECONDS = 0.05
# The event loop waits as long for the thread to leave the group and end.
LEAVE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How fetches wait. With little traffic a fetch returns after `wait_ms`; with more, once `min_bytes` are there."""

    min_bytes: int = 32 * 1024
    wait_ms: int = 100
    partition_bytes: int = 4 * 1024 * 1024
    max_bytes: int = 50 * 1024 * 1024
    check_checksums: bool = True


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a partition's reader is: `position` is the next offset to hand on, `end` the log's end.

    `end` is what the last answered fetch said, at `at` in seconds since the epoch; both None before the first.
    """

    position: int
    end: int | None
    at: float | None


class Scheduler:
    """Hands on what was fetched, partition by partition."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        for tp, found in records.items():
            for record in found:
                yield tp, record


class BatchSchema(faust.Schema[None, Any]):
    """Passes keys and values through: they were never serialized as one message."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        return None

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        return message.value


class FetchingThread(WorkerThread):
    """Ends with the process, however long Kafka takes to answer its last requests."""

    def __init__(self, service: Any, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True

    def stop(self) -> None:
        self.is_stopped.wait(LEAVE_SECONDS)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that fetches, keeps the group membership alive and commits."""

    Worker = FetchingThread

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf, fetch = self.app.conf, transport.fetch_settings
        self._assignor = RoundRobinPartitionAssignor
        return AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id or None,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[self._assignor],
            value_deserializer=transport.batched,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 0) * 1000),
            max_partition_fetch_bytes=fetch.partition_bytes,
            fetch_max_bytes=fetch.max_bytes,
            fetch_min_bytes=fetch.min_bytes,
            fetch_max_wait_ms=fetch.wait_ms,
            check_crcs=fetch.check_checksums,
            isolation_level="read_committed",
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def on_start(self) -> None:
        await super().on_start()
        consumer = self._ensure_consumer()
        consumer._fetcher.error_future.add_done_callback(self._fetching_ended)
        consumer._coordinator._do_commit_offsets = committing_as_member(consumer._coordinator)

    def _fetching_ended(self, fetching: asyncio.Task[None]) -> None:
        """aiokafka tells nobody that its fetching failed: whoever waits for records would wait for ever."""
        if not fetching.cancelled() and (error := fetching.exception()) is not None:
            self._crashing = asyncio.ensure_future(self.crash(error))

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        committed: bool = await self.call_thread(self._commit_offsets, offsets)
        return committed

    async def _commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        structs = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        try:
            await self._ensure_consumer().commit(structs)
        except (CommitFailedError, IllegalStateError):  # the partitions are another worker's, or about to be
            return False
        now = asyncio.get_running_loop().time()
        self.tp_last_committed_at.update(dict.fromkeys(offsets, now))
        return True

    async def committed_offsets(self, tps: set[TP]) -> dict[TP, int | None]:
        found: dict[TP, int | None] = await self.call_thread(self._committed_offsets, tps)
        return found

    async def _committed_offsets(self, tps: set[TP]) -> dict[TP, int | None]:
        consumer = self._ensure_consumer()
        return {tp: await consumer.committed(TopicPartition(*tp)) for tp in tps}

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = await self.call_thread(self._topic_ids, topics)
        return found

    async def _topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        return await topic_id_texts(self._ensure_consumer()._client, topics)

    def lag(self, tp: TP) -> Lag | None:
        """None while the partition is not assigned or its position not yet known. Safe to call from any thread."""
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        key = TopicPartition(*tp)
        if assignment is None or key not in assignment.tps:
            return None
        state = assignment.state_value(key)
        if not state.has_valid_position:
            return None
        polled = state.timestamp / 1000 if state.timestamp is not None else None
        return Lag(state.position, state.highwater, polled)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's warnings of slow streams look at acknowledgements that this transport does not keep."""


def committing_as_member(coordinator: Any) -> Callable[..., Awaitable[None]]:
    """What sends a commit, but not of one who is no member any more.

    Such a one, as a worker that wakes up too late, would commit without a generation; and Kafka takes that for a
    consumer outside any group while the group has no members: the offset would be ahead of the state of the next owner.
    """
    send: Callable[..., Awaitable[None]] = coordinator._do_commit_offsets

    async def commit(assignment: Any, offsets: Any) -> None:
        if coordinator.generation == OffsetCommitRequest.DEFAULT_GENERATION_ID:
            raise UnknownMemberIdError
        await send(assignment, offsets)

    return commit


class Consumer(driver.Consumer):
    """Faust's consumer with commits by offset and a say before partitions go."""

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before_revoke: Callable[[set[TP]], Awaitable[None]] | None = None
        self.positions: Callable[[], Mapping[TP, int]] | None = None
        self._room = asyncio.Event()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets. False when the partitions are no longer ours: their next owner goes on from before."""
        return await self._thread.commit_offsets(offsets)

    async def committed_offsets(self, tps: set[TP]) -> dict[TP, int | None]:
        """The group's committed next offsets; None where there is none."""
        return await self._thread.committed_offsets(tps)

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """The ids of the topics that there are, as text. Raises KafkaError when no broker answers."""
        return await self._thread.topic_ids(topics)

    def lag(self, tp: TP) -> Lag | None:
        return self._thread.lag(tp)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        if self.before_revoke is not None:
            await self.before_revoke(revoked)
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        await super().perform_seek()
        wanted = self.positions() if self.positions is not None else {}
        positions = {TP(*tp): offset for tp, offset in wanted.items() if tp in self.assignment()}
        if positions:
            await self.seek_wait(positions)

    def on_buffer_drop(self, tp: TP) -> None:
        super().on_buffer_drop(tp)
        self._room.set()

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        """As the original, but woken when a full buffer has room again."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        active = self._get_active_partitions()
        if active:
            crowded = bool(self._buffered_partitions)
            return await self._getmany(active, CROWDED_WAIT_SECONDS if crowded else timeout), active
        self._room.clear()
        await self.wait_first(self._room.wait(), timeout=timeout)
        return {}, active

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Without acknowledgements there is nothing to fill."""


class Transport(driver.Transport):
    """`batch://host:port`. Settings come from the app: `app.fetch_settings` and `app.batched_topics`."""

    Consumer = Consumer

    @property
    def fetch_settings(self) -> FetchSettings:
        settings: FetchSettings = getattr(self.app, "fetch_settings", FetchSettings())
        return settings

    @property
    def batched(self) -> BatchedTopics:
        topics: BatchedTopics = getattr(self.app, "batched_topics", BatchedTopics(frozenset()))
        return topics


def register() -> None:
    """Make Faust know the scheme, and aiokafka the batches."""
    TRANSPORTS.aliases[SCHEME] = "streams.transport:Transport"
    fetching.install()
