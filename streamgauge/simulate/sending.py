"""Sending the events to their topics: history as fast as it goes, then what comes as time passes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from engine.catalog.model import Source
from streamgauge.demo.waiting import came
from streamgauge.sending.partitions import by_partition, partition_ends
from streamgauge.sending.shifting import time_field
from streamgauge.settings import KafkaAddress
from streamgauge.simulate.business import EPOCH, Business, DaySent
from streams.producing import BulkWriter, Pair, Place
from streams.reading import topic_reader

EVENTS_AT_ONCE: Final = 20_000
TAIL_SECONDS: Final = 0.25
WRITE_SECONDS: Final = 60.0
MICROSECOND: Final = timedelta(microseconds=1)


class TooFarAhead(Exception):
    """The simulated time is so far ahead of the clock that workers would refuse the events; the message says more."""


@dataclass
class Sending:
    """What is sent, and how far that is. ``told`` is called whenever there is something new to show.

    ``rate``: at most so many events a second while history is sent. ``speed``: how fast time passes after it.
    """

    business: Business
    sources: Mapping[str, Source]
    kafka: KafkaAddress
    rate: float | None = None
    speed: float = 1.0
    told: Callable[[Sending], None] = lambda _: None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0
    days: int = 0  # of history that are through
    now_us: int = 0  # up to when everything is sent
    _partitions: dict[str, int] = field(default_factory=dict)

    async def run(self, *, live: bool) -> None:
        """Sends history, and with ``live`` what follows, until ``stopping``.

        What the topics hold already is not sent again: the newest event in them is where it goes on. Raises
        UnknownTopic, TooFarAhead, and what Kafka raises.
        """
        for name, source in self.sources.items():
            self._partitions[name] = len(await partition_ends(source.topic, self.kafka))
        began, until = time.monotonic(), self.business.settings.until_us
        self.now_us = await self.newest_us()
        async with BulkWriter(
            self.kafka.brokers, self.kafka.security, timeout=WRITE_SECONDS, client_id="streamgauge-simulate"
        ) as writer:
            following = self.business.days()
            today = next(following)
            while not self.stopping.is_set():
                await self._history(writer, today, until, began)
                self.days += 1
                if today.day.end_us > until:
                    break
                today = await asyncio.to_thread(next, following)
            self.told(self)
            if live and not self.stopping.is_set():
                await self._live(writer, today, following, max(until, self.now_us), began)

    async def newest_us(self) -> int:
        """Event time of the newest event that the topics hold; -1 where they hold none."""
        newest = -1
        async with topic_reader(self.kafka.brokers, self.kafka.security) as reader:
            for source in self.sources.values():
                ends = await reader.ends(await reader.partitions(source.topic))
                async for _, messages in reader.messages(ends, {place: end - 1 for place, end in ends.items()}):
                    newest = max(newest, *(_time_us(source, message.value) for message in messages))
        return newest

    async def _history(self, writer: BulkWriter, today: DaySent, until: int, began: float) -> None:
        """A day in equal stretches of time, each written before the next."""
        upto = min(today.day.end_us - 1, until)
        at_once = max(1.0, self.rate / 10) if self.rate else EVENTS_AT_ONCE
        parts = int(today.events // at_once) + 1
        length = today.day.end_us - today.day.start_us
        for part in range(1, parts + 1):
            if self.stopping.is_set():
                return
            await self._write(writer, today, min(upto, today.day.start_us + length * part // parts - 1))
            if self.rate and (early := self.sent / self.rate - (time.monotonic() - began)) > 0:
                await came(self.stopping, early)

    async def _live(
        self, writer: BulkWriter, today: DaySent, following: Iterator[DaySent], start_us: int, began: float
    ) -> None:
        ahead = min(source.watermark.max_future_us for source in self.sources.values())
        while not await came(self.stopping, TAIL_SECONDS):
            now = start_us + int((time.monotonic() - began) * self.speed * 1e6)
            if now - (datetime.now(UTC) - EPOCH) // MICROSECOND > ahead:
                raise TooFarAhead(
                    f"the simulated time is {ahead // 3_600_000_000} h ahead of the clock, and workers would refuse "
                    "what follows (max_future in the catalog)"
                )
            while today.day.end_us <= now:
                await self._write(writer, today, today.day.end_us - 1)
                today = await asyncio.to_thread(next, following)
            await self._write(writer, today, now)

    async def _write(self, writer: BulkWriter, today: DaySent, upto_us: int) -> None:
        """Everything of the day up to a moment that is not sent yet."""
        records: dict[Place, list[Pair]] = {}
        count = 0
        for sent in today.sources:
            part, topic = sent.between(self.now_us, upto_us), self.sources[sent.source].topic
            count += len(part)
            # By identity, so that an event that is sent again meets its first: partitions know no other's.
            for partition, pairs in by_partition(part.values, part.ids, self._partitions[sent.source], 0).items():
                records[topic, partition] = list(pairs)
        if count:
            await writer.write(records)
        self.now_us = max(self.now_us, upto_us)
        self.sent += count
        self.told(self)


def _time_us(source: Source, value: Any) -> int:
    """The event time of a record; -1 of one that is no such event."""
    where = time_field(source)
    try:
        found = msgspec.json.decode(value)
        for name in where.path:
            found = found[name]
        return (where.moment(found) - EPOCH) // MICROSECOND
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return -1
