"""A producer that is there while Kafka is, and comes back with it.

aiokafka's idempotent producer tries for ever to write what it was given, also while brokers restart. It is replaced
when it cannot go on: behind a batch that was refused for good, the numbers that make it idempotent have a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.producing import BATCH_BYTES
from streams.reaching import NotReached, reach
from streams.security import KafkaSecurity

START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


class Away(Exception):
    """Nothing can be stored at the moment; the message is for who sends events."""


class Connection:
    """``task`` keeps it up while the connection is entered."""

    def __init__(self, brokers: str, security: KafkaSecurity | None, client_id: str) -> None:
        self._brokers = brokers
        self._security = security or KafkaSecurity()
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._settled = asyncio.Event()  # whether it is known if Kafka is there
        self._broken = asyncio.Event()
        self._partitions: dict[str, int] = {}
        self._looking = asyncio.Lock()
        self._looked = -_AGAIN_SECONDS
        self._ending: set[asyncio.Task[None]] = set()
        self.task: asyncio.Task[None]

    async def __aenter__(self) -> Connection:
        self.task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await asyncio.gather(*self._ending)

    async def producer(self) -> AIOKafkaProducer:
        """Waits for the end of an attempt to connect, the first one or after a failure. Raises Away."""
        await self._settled.wait()
        if self._producer is None:
            raise Away("Kafka cannot be reached")
        return self._producer

    async def partitions(self, topic: str) -> int:
        """How many a topic has. Raises Away where it is not there, or nobody answers."""
        producer = await self.producer()
        async with self._looking:
            if topic not in self._partitions and time.monotonic() - self._looked >= _AGAIN_SECONDS:
                self._partitions = await _partition_counts(producer)
                self._looked = time.monotonic()
        found = self._partitions.get(topic)
        if not found:
            raise Away(f"topic {topic} does not exist; it is made with `streamgauge topics`")
        return found

    def broke(self, producer: AIOKafkaProducer) -> None:
        """The producer cannot go on; another one takes its place."""
        if producer is self._producer:
            self._producer = None
            self._settled.clear()
            self._broken.set()

    async def _keep(self) -> None:
        told = ""
        while True:
            try:
                producer = await self._start()
            except (KafkaError, OSError, TimeoutError) as error:
                why = (
                    f"Kafka cannot be reached at {error.why}"
                    if isinstance(error, NotReached)
                    else f"Kafka at {self._brokers} says {error}"
                )
                if why != told:
                    _log.warning("events cannot be taken: %s", why)
                told = why
                self._settled.set()
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if told:
                _log.info("Kafka is there again: events are taken")
            told = ""
            self._broken.clear()
            self._partitions = {}
            self._looked = -_AGAIN_SECONDS
            self._producer = producer
            self._settled.set()
            try:
                await self._broken.wait()
            finally:
                self._producer = None
                ending = asyncio.create_task(_stop(producer))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)

    async def _start(self) -> AIOKafkaProducer:
        await reach(self._brokers, self._security)
        settings: dict[str, Any] = {
            "bootstrap_servers": self._brokers,
            "client_id": self._client_id,
            "acks": "all",
            "enable_idempotence": True,
            "max_batch_size": BATCH_BYTES,
            "linger_ms": 0,
            **self._security.client_options(),
        }
        producer = AIOKafkaProducer(**settings)
        try:
            async with asyncio.timeout(START_SECONDS):
                await producer.start()
        except BaseException:
            await _stop(producer)
            raise
        return producer


async def _partition_counts(producer: AIOKafkaProducer) -> dict[str, int]:
    """Of all topics: asking for one by name would make it, on brokers that create topics by themselves. Raises Away."""
    try:
        cluster = await producer.client.fetch_all_metadata()
    except KafkaError as error:
        raise Away("Kafka does not answer") from error
    return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}


async def _stop(producer: AIOKafkaProducer) -> None:
    """What is under way may end; after `STOP_SECONDS` it is given up."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await producer.stop()
    except TimeoutError:
        # aiokafka itself would go on trying for ever.
        sender = producer._sender.sender_task
        if sender is not None:
            sender.cancel()
        producer._message_accumulator.fail_all(KafkaError("given up"))
        await producer.client.close()
