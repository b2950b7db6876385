"""Who delivers: of all workers the one that the group `NAME-alerts` gives the partition of `NAME.alerts`.

It reads alerts, silences and what was told from their beginnings, then delivers. A worker that sleeps too long loses
the partition without knowing: so nothing is sent unless a commit, which only a member can make, lately succeeded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import ConsumerRecord, TopicPartition

from engine.blocks import UnknownVersion
from engine.catalog.model import Catalog
from sinks.alerting.active import ActiveInRedis
from sinks.alerting.content import Links
from sinks.alerting.metrics import AlertMetrics
from sinks.alerting.notices import NotAnAlert, notice
from sinks.alerting.silence_records import NotASilence, decode_silence
from sinks.names import alerts_group, alerts_topic, notifications_changelog, silences_topic
from sinks.redis.connection import RedisAddress
from streams.alerting.contributing import Contributing
from streams.alerting.decisions import Bounds
from streams.alerting.delivering import Delivery, Outlets, Surroundings
from streams.alerting.told import Told
from streams.producing import BulkWriter
from streams.security import KafkaSecurity
from streams.transport import committing_as_member

POLL_MS: Final = 200
PAUSE_S: Final = 0.5
_MEMBERSHIP: Final = (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """What delivery is told. ``session_timeout`` in seconds."""

    outlets: Outlets
    links: Links
    bounds: Bounds = Bounds()
    session_timeout: float = 10.0


class AlertFollower(ConsumerRebalanceListener):
    """`run` for ever; raises what goes wrong, but not what is wrong with receivers or Redis."""

    def __init__(
        self,
        catalog: Catalog,
        brokers: str,
        security: KafkaSecurity,
        writer: BulkWriter,
        settings: AlertSettings,
        metrics: AlertMetrics,
        redis: RedisAddress | None,
    ) -> None:
        self._catalog = catalog
        self._brokers = brokers
        self._security = security
        self._settings = settings
        self._told = Told(notifications_changelog(catalog.name), writer)
        self._alerts = TopicPartition(alerts_topic(catalog.name), 0)
        self._silences = TopicPartition(silences_topic(catalog.name), 0)
        self._active = ActiveInRedis(catalog.name, redis) if redis is not None else None
        self._at = Surroundings(
            catalog,
            settings.outlets,
            settings.links,
            settings.bounds,
            metrics,
            Contributing(catalog, redis),
            self._active,
            self._confirmed,
        )
        metrics.begin([receiver.name for receiver in settings.outlets.receivers.receivers])
        self._delivery: Delivery | None = None
        self._ends: dict[TopicPartition, int] = {}  # up to where has to be read before anything is sent
        self._delivering: asyncio.Task[None] | None = None
        self._begun = False
        self._confirmed_at = 0.0
        self._confirmation = asyncio.Event()

    async def run(self) -> None:
        timeout_ms = int(self._settings.session_timeout * 1000)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._brokers,
            group_id=alerts_group(self._catalog.name),
            partition_assignment_strategy=(RangePartitionAssignor,),  # both topics to the same worker
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=timeout_ms,
            heartbeat_interval_ms=timeout_ms // 5,
            max_poll_interval_ms=3_600_000,
            **self._security.client_options(),
        )
        try:
            consumer.subscribe([self._alerts.topic, self._silences.topic], listener=self)
            await consumer.start()
            consumer._coordinator._do_commit_offsets = committing_as_member(consumer._coordinator)
            while True:
                await self._round(consumer)
        finally:
            await self._stop()
            await consumer.stop()
            await self._at.contributing.close()
            await self._settings.outlets.close()
            if self._active is not None:
                await self._active.close()

    # -- assignment ----------------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._stop()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        if self._alerts in assigned:
            self._begun = False
            self._delivery = Delivery(self._at, self._told)

    async def _stop(self) -> None:
        self._delivery, delivering = None, self._delivering
        while delivering is not None and not delivering.done():
            delivering.cancel()  # again, since redis-py may lose one
            await asyncio.wait([delivering], timeout=0.1)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _round(self, consumer: AIOKafkaConsumer) -> None:
        if self._delivering is not None and self._delivering.done():
            delivering, self._delivering = self._delivering, None
            if not delivering.cancelled():
                delivering.result()
        delivery = self._delivery
        try:
            if delivery is not None and not self._begun:
                self._ends = await consumer.end_offsets([self._alerts, self._silences])
                await consumer.seek_to_beginning(self._alerts, self._silences)
                self._begun = True
            found = await consumer.getmany(timeout_ms=POLL_MS)
            if delivery is None or delivery is not self._delivery:
                return  # what came is read anew by who has the partition next
            for tp, records in found.items():
                for record in records:
                    self._take(delivery, tp, record)
            await self._confirm(consumer)
            if self._delivering is None and await self._has_all(consumer):
                await self._told.read(self._brokers, self._security)
                if delivery is self._delivery:
                    _log.info("delivering alerts to %s", self._named() or "no receivers")
                    self._delivering = asyncio.create_task(delivery.run())
        except _MEMBERSHIP:
            return  # a rebalance is under way
        except KafkaError as error:
            if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise
            await asyncio.sleep(PAUSE_S)  # a broker that is away: nothing is sent meanwhile

    async def _has_all(self, consumer: AIOKafkaConsumer) -> bool:
        return all([await consumer.position(tp) >= end for tp, end in self._ends.items()])

    def _take(self, delivery: Delivery, tp: TopicPartition, record: ConsumerRecord[Any, Any]) -> None:
        key = (record.key or b"").decode()
        try:
            if tp == self._silences:
                delivery.take_silence(key, None if record.value is None else decode_silence(record.value))
            elif record.value is None:
                delivery.drop_alert(key)
            else:
                delivery.take_alert(notice(key, record.value))
        except (NotAnAlert, NotASilence) as error:
            raise UnknownVersion(f"{tp.topic}, offset {record.offset}: {error}") from error

    def _named(self) -> str:
        return ", ".join(receiver.name for receiver in self._settings.outlets.receivers.receivers)

    # -- being the one -------------------------------------------------------------------------------------------------

    @property
    def _lease_s(self) -> float:
        return self._settings.session_timeout / 2

    async def _confirm(self, consumer: AIOKafkaConsumer) -> None:
        """Commit where we are, which only a member can, unless that was done a moment ago."""
        began = asyncio.get_running_loop().time()
        if began - self._confirmed_at < self._lease_s / 3:
            return
        await consumer.commit({self._alerts: await consumer.position(self._alerts)})
        self._confirmed_at = began
        self._confirmation.set()

    async def _confirmed(self) -> None:
        clock = asyncio.get_running_loop().time
        while clock() - self._confirmed_at >= self._lease_s:
            self._confirmation.clear()
            await self._confirmation.wait()
