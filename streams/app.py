"""The Faust app: group membership, assignment and agents. State, offsets and writes are the streams' own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import faust

from streams.fetching import BatchedTopics
from streams.security import KafkaSecurity
from streams.transport import SCHEME, BatchSchema, Consumer, FetchSettings, Scheduler, register

# Fetched partitions that may wait in an agent's queue: each is up to `FetchSettings.partition_bytes`.
QUEUED_BATCHES = 16


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach Kafka, and how soon a dead worker is noticed (times in seconds).

    `group` is the consumer group. Its broker allows a `session_timeout` within group.min/max.session.timeout.ms.
    """

    brokers: str
    group: str
    security: KafkaSecurity = KafkaSecurity()
    fetch: FetchSettings = FetchSettings()
    session_timeout: float = 10.0
    heartbeat_interval: float = 2.0
    rebalance_timeout: float = 30.0
    request_timeout: float = 40.0
    instance: str | None = None  # static membership
    data_dir: Path = field(default_factory=lambda: Path(gettempdir()) / "streamgauge")

    @property
    def write_timeout(self) -> float:
        """A flush that is not acknowledged within half the session timeout ends the process (protocol rule 3)."""
        return self.session_timeout / 2


class StreamApp(faust.App):
    """A Faust app over the batch transport. `topics` says which topics come as batches."""

    def __init__(self, settings: KafkaSettings, topics: BatchedTopics) -> None:
        register()
        self.fetch_settings = settings.fetch
        self.batched_topics = topics
        super().__init__(
            settings.group,
            broker=[f"{SCHEME}://{address.strip()}" for address in settings.brokers.split(",")],
            broker_credentials=settings.security.credentials(),
            broker_session_timeout=settings.session_timeout,
            broker_heartbeat_interval=settings.heartbeat_interval,
            broker_rebalance_timeout=settings.rebalance_timeout,
            broker_request_timeout=settings.request_timeout,
            broker_commit_interval=60.0,  # of Faust's own commits, which have nothing to commit
            broker_max_poll_interval=3600.0,
            consumer_group_instance_id=settings.instance or "",
            ConsumerScheduler=Scheduler,
            stream_buffer_maxsize=QUEUED_BATCHES,
            stream_wait_empty=False,
            store="memory://",
            datadir=str(settings.data_dir),
            table_standby_replicas=0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            autodiscover=False,
        )

    def batches(self, topic: str, read: Callable[[Any], Any]) -> None:
        """Have `read(stream)` consume a topic as batches. Nothing is acknowledged to Faust; see `Consumer`."""
        channel = self.topic(topic, schema=BatchSchema(), acks=False)
        self.agent(channel, name=f"{self.conf.id}.{topic}", isolated_partitions=False)(read)

    @property
    def batch_consumer(self) -> Consumer:
        consumer = self.consumer
        assert isinstance(consumer, Consumer)
        return consumer
