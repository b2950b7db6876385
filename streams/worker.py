"""One worker: both stages, their sinks, health and metrics, from the first connection to the last commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from engine.blocks import UnknownVersion
from engine.catalog.model import Catalog
from engine.plan import Plan, plan_catalog
from sinks.alerting.metrics import AlertMetrics
from sinks.errors import SinkError
from sinks.names import consumer_group, partials_topic, values_topic
from sinks.prometheus import EngineMetrics, PrometheusSink
from sinks.redis.connection import RedisAddress
from sinks.redis.sink import RedisSink
from streams.accumulate import Accumulate, listed
from streams.alerting.following import AlertFollower, AlertSettings
from streams.app import KafkaSettings, StreamApp
from streams.dead_letters import TooManyDeadLetters
from streams.dedupe_files import DedupeFiles
from streams.definitions import Definitions, OldCatalog
from streams.engine_thread import EngineThread
from streams.fetching import BatchedTopics
from streams.health import Health, PortTaken, health_server
from streams.local_copies import LocalCopies, StoreUnusable
from streams.log_lines import configure_logging, silence_libraries
from streams.merge import Merge, Sink
from streams.parts import Parts
from streams.producing import BulkWriter
from streams.reading import topic_reader
from streams.refill import refilling
from streams.security import KafkaSecurity
from streams.state_checks import StateLost, check_topic
from streams.topics import TopicsDiffer, blocks_changelog, check_topics, windows_changelog

STOP_SECONDS = 7.0
FAILED_SECONDS = 3.0  # for leaving the group, when something went wrong
CATALOG_LOOK_SECONDS = 5.0
TOPIC_LOOK_SECONDS = 5.0
HEALTH_LOOK_SECONDS = 0.5
PUBLISH_SECONDS = 3.0  # for the last publication
LEFT_SECONDS = 0.5
DRAIN_SECONDS = 1.0  # what Redis gets for what still waits, when the worker ends
_log = logging.getLogger(__name__)

Files = Sequence[tuple[str, str]]


class WorkerCrashed(Exception):
    """Faust ended by itself; the message says why."""


# What ends a worker for a reason that its message explains.
REFUSALS = (
    StoreUnusable,
    TopicsDiffer,
    StateLost,
    UnknownVersion,
    OldCatalog,
    TooManyDeadLetters,
    PortTaken,
    WorkerCrashed,
)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is told. ``files`` are the catalog's (name, text), ``reread`` gives them anew; times in seconds."""

    catalog: Catalog
    brokers: str
    security: KafkaSecurity
    redis: RedisAddress | None
    data_dir: Path
    files: Files = ()
    reread: Callable[[], Files] | None = None
    host: str = "127.0.0.1"
    port: int = 9108
    flush_interval: float = 0.5
    session_timeout: float = 10.0
    rebalance_timeout: float = 30.0
    local_copies: bool = False
    dedupe_memory_bytes: int = 512 * 1024 * 1024
    alerts: AlertSettings | None = None  # without, this worker delivers no alerts
    roll_back_from: str | None = None  # the id of the newest catalog, where this one was replaced by it


def run_worker(settings: WorkerSettings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises KafkaError, WriteFailed, SinkError, and those of REFUSALS.
    """
    configure_logging()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_Worker(settings).run())
    finally:
        # What is left belongs to Faust, part of which does not let itself be cancelled: asyncio.run would wait for it.
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=LEFT_SECONDS))
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        loop.close()


class _Worker:
    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._catalog = settings.catalog
        self._health = Health()
        self._metrics = EngineMetrics()
        self._metrics.begin(settings.catalog)
        self._metrics.watch_process()
        self._failure: BaseException | None = None
        self._ending = asyncio.Event()
        self._cut_off = False  # what fails from now on fails because the worker ends
        self._engine = EngineThread()
        self._app: StreamApp
        self._accumulate: Accumulate
        self._merge: Merge
        self._definitions: Definitions
        self._plan: tuple[int, Plan] | None = None  # by its sequence
        self._topic_ids: dict[str, str] = {}  # of the topics that the state is of
        self._recovery: asyncio.Task[None] | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ending.set)
        settings, catalog = self._settings, self._catalog
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        layout = await check_topics(catalog, settings.brokers, settings.security)
        kafka = KafkaSettings(
            settings.brokers,
            consumer_group(catalog.name),
            settings.security,
            session_timeout=settings.session_timeout,
            rebalance_timeout=settings.rebalance_timeout,
            data_dir=settings.data_dir,
        )
        async with AsyncExitStack() as stack:
            stack.callback(self._engine.close)
            copies = LocalCopies(settings.data_dir / "store") if settings.local_copies else None
            if copies is not None:
                stack.callback(copies.end)
            redis = await self._redis(stack)
            prometheus = PrometheusSink(self._metrics.registry)
            writer = await stack.enter_async_context(
                BulkWriter(settings.brokers, settings.security, timeout=kafka.write_timeout)
            )
            self._definitions = Definitions(
                catalog.name,
                settings.files,
                settings.brokers,
                settings.security,
                roll_back_from=settings.roll_back_from,
            )
            await self._definitions.register(writer)
            topics = [source.topic for source in catalog.sources.values()]
            partials = partials_topic(catalog.name)
            self._app = app = StreamApp(kafka, BatchedTopics(frozenset(topics), frozenset([partials])))
            sinks: list[Sink] = [prometheus, *([redis] if redis else [])]
            dedupe = DedupeFiles(settings.data_dir, settings.dedupe_memory_bytes)
            at = Parts(catalog, layout, lambda: app.batch_consumer, writer, self._engine, self._metrics, dedupe, copies)
            self._accumulate = Accumulate(at)
            self._merge = Merge(at, sinks)
            for topic in topics:
                app.batches(topic, self._reader(self._accumulate.take))
            app.batches(partials, self._reader(self._merge.take))
            app.batch_consumer.before_revoke = self._revoked
            app.batch_consumer.positions = lambda: self._accumulate.positions() | self._merge.positions()
            app.on_rebalance_complete.connect(self._assigned)

            async def exposition(gzipped: bool) -> bytes:
                return await prometheus.exposition(gzipped=gzipped)

            port = await stack.enter_async_context(
                health_server(self._health, exposition, settings.host, settings.port)
            )
            _log.info(
                "catalog %s (%s): metrics and health at http://%s:%d",
                catalog.name, self._definitions.id, settings.host, port,
            )  # fmt: skip
            await self._work(app, redis, writer)
            if redis is not None and self._failure is None:
                await redis.drained(DRAIN_SECONDS)
        if self._failure is not None:
            raise self._failure

    async def _redis(self, stack: AsyncExitStack) -> RedisSink | None:
        if self._settings.redis is None:
            return None
        sink = RedisSink(self._catalog.name, self._settings.redis)
        try:
            await sink.check()
        except SinkError as error:
            if not error.retryable:
                raise
            _log.warning("%s; values wait until it can", error)
        self._metrics.watch("redis", sink)
        return await stack.enter_async_context(sink)

    async def _work(self, app: StreamApp, redis: RedisSink | None, writer: BulkWriter) -> None:
        """From joining the group to leaving it."""
        self._health.unready = {"assignment": "no partitions are assigned yet"}
        loops = [
            self._flushing(),
            self._publishing(),
            self._watching(app, redis),
            self._watching_catalog(),
            self._watching_topics(),
        ]
        if redis is not None:
            topic = values_topic(self._catalog.name)
            loops.append(refilling(redis, topic, self._settings.brokers, self._settings.security))
        if self._settings.alerts is not None:
            loops.append(self._delivering_alerts(self._settings.alerts, writer))
        tasks = [asyncio.create_task(self._guarded(loop)) for loop in loops]
        starting = asyncio.create_task(self._guarded(app.start()))
        await self._ending.wait()
        _log.info("ending")
        silence_libraries()
        self._health.unready = {"ending": "the worker is ending"}
        try:
            async with asyncio.timeout(STOP_SECONDS if self._failure is None else FAILED_SECONDS):
                if self._failure is None:
                    await self._settle()
                running = [*tasks, starting, *([self._recovery] if self._recovery else [])]
                self._cut_off = True
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
                await app.stop()
        except TimeoutError:
            _log.error("not everything ended in time")

    async def _settle(self) -> None:
        """Make all that was folded durable, and publish what there is, before the group is left."""
        await self._accumulate.flush()
        with contextlib.suppress(TimeoutError):  # what is not published now is published by the next owner
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._merge.publish(final=True)

    # -- what Faust calls --------------------------------------------------------------------------------------------

    def _reader(self, take: Callable[[TP, Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        async def read(stream: Any) -> None:
            async for event in stream.noack().events():
                if self._ending.is_set():
                    continue
                await self._guarded(take(event.message.tp, event.value))

        return read

    async def _assigned(self, *_: Any, **__: Any) -> None:
        """After each rebalance, before anything is read."""
        self._recovery = asyncio.create_task(self._guarded(self._recover()))
        await asyncio.wait([self._recovery])

    async def _recover(self) -> None:
        assigned: set[TP] = set(self._app.batch_consumer.assignment())
        sequence = await self._definitions.sequence()
        if self._plan is None or self._plan[0] != sequence:
            self._plan = sequence, plan_catalog(self._catalog, sequence)
        plan = self._plan[1]
        partials = partials_topic(self._catalog.name)
        if assigned:
            self._health.unready["recovery"] = f"recovering {listed(assigned)}"
        changelogs = [blocks_changelog(self._catalog, source) for source in self._catalog.sources.values()]
        batched = [*changelogs, windows_changelog(self._catalog), partials]
        settings = self._settings
        async with topic_reader(settings.brokers, settings.security, batched=batched) as reader:
            merges = {tp for tp in assigned if tp.topic == partials}
            await self._merge.recover(plan, merges - self._merge.tps, reader)
            await self._accumulate.recover(plan, assigned - merges - self._accumulate.tps, reader)
        self._topic_ids |= self._accumulate.topic_ids() | self._merge.topic_ids()
        if assigned != self._app.batch_consumer.assignment():
            return  # another rebalance came meanwhile, and another call comes after it
        self._health.unready.pop("assignment", None)
        self._health.unready.pop("recovery", None)
        _log.info("assigned %s", listed(assigned) or "no partitions: there are more workers than partitions")

    async def _revoked(self, tps: set[TP]) -> None:
        self._health.unready["assignment"] = "partitions are being assigned anew"
        if self._recovery is not None and not self._recovery.done():
            self._recovery.cancel()  # of partitions that are gone already
            await asyncio.wait([self._recovery])
        await self._guarded(self._release(tps))

    async def _release(self, tps: set[TP]) -> None:
        await self._accumulate.release(tps)
        await self._merge.release(tps)
        if tps:
            _log.info("revoked %s", listed(tps))

    # -- loops -------------------------------------------------------------------------------------------------------

    async def _flushing(self) -> None:
        """What comes after a silence is flushed at once; otherwise flushes are an interval apart."""
        interval, clock = self._settings.flush_interval, time.monotonic
        last = clock() - interval
        while True:
            await _came(self._accumulate.fresh, interval)
            await _came(self._accumulate.due, last + interval - clock())
            began = clock()
            if await self._accumulate.flush():
                last = began
            self._health.round("flushing")

    async def _publishing(self) -> None:
        await self._merge.publishing(lambda: self._health.round("publishing"))

    async def _watching(self, app: StreamApp, redis: RedisSink | None) -> None:
        """Looks after what runs by itself: Faust, and the way to Redis."""
        while True:
            await asyncio.sleep(HEALTH_LOOK_SECONDS)
            if app.crashed:
                reason = app.crash_reason
                raise WorkerCrashed(f"Faust ended: {reason or 'for no known reason'}") from reason
            if redis is not None:
                if redis.problem is not None:
                    self._health.unready["redis"] = str(redis.problem)
                else:
                    self._health.unready.pop("redis", None)
            self._merge.count_series()
            if not app.started:
                continue
            logging.getLogger("aiokafka").setLevel(logging.ERROR)

    async def _delivering_alerts(self, alerts: AlertSettings, writer: BulkWriter) -> None:
        settings, metrics = self._settings, AlertMetrics(self._metrics.registry)
        follower = AlertFollower(
            self._catalog, settings.brokers, settings.security, writer, alerts, metrics, settings.redis
        )
        await follower.run()

    async def _watching_catalog(self) -> None:
        """Warns once when the catalog's files are not what this worker goes by any more."""
        reread = self._settings.reread
        if reread is None:
            return
        before = list(self._settings.files)
        while list(await asyncio.to_thread(reread)) == before:
            await asyncio.sleep(CATALOG_LOOK_SECONDS)
        _log.warning("the catalog's files have changed; this worker keeps the one it began with until it is restarted")

    async def _watching_topics(self) -> None:
        """A topic that is deleted and made again while it is read: its offsets mean other events. Raises StateLost."""
        while True:
            await asyncio.sleep(TOPIC_LOOK_SECONDS)
            if not self._topic_ids:
                continue
            with contextlib.suppress(KafkaError):  # a broker that is away is what others look after
                for topic, now in (await self._app.batch_consumer.topic_ids(self._topic_ids)).items():
                    check_topic(topic, self._topic_ids[topic], now)

    async def _guarded(self, work: Awaitable[Any]) -> None:
        """The first thing that goes wrong anywhere ends the worker."""
        try:
            await work
        except Exception as error:  # noqa: BLE001  # kept, and raised again at the end of `run`
            if self._failure is None and not self._cut_off:
                self._failure = error
            self._ending.set()


async def _came(event: asyncio.Event, seconds: float) -> bool:
    if event.is_set() or seconds <= 0:
        return event.is_set()
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
