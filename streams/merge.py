"""The second stage at work: partitions of partials of this worker, from their assignment to their revocation.

Records are taken in as they come, and published together: revisions, states of alerts and shares; values to
`NAME.values` and alerts to `NAME.alerts`, values then to the sinks; the manifest; tombstones and the commit; each step
acknowledged before the next (protocol rules 12 and 14).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import zlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from aiokafka.structs import TopicPartition
from faust.types import TP

from engine.merging import MergePartition, Publication
from engine.plan import Plan
from engine.records import MANIFEST, MergeManifest, decode_merge_manifest, record_kind
from engine.values import ValueRows
from sinks import kafka
from sinks.names import alerts_topic, partials_topic, values_topic
from streams.accumulate import listed
from streams.fetching import Fetched, Record
from streams.local_copies import LocalCopies
from streams.parts import Parts
from streams.producing import Pair, Place
from streams.reading import TopicReader
from streams.state_checks import check_partials, check_topic
from streams.tables import FencedTable, OwnedLog, assign, newest_records, write
from streams.topics import windows_changelog

CATCHING_UP_SECONDS = 2.0  # while sources are behind, nothing is published more often
BEHIND_SECONDS = 5.0  # while sources are behind, windows that are open are shown so often
MANIFEST_SECONDS = 1.0  # the least often that progress without values is made durable
_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where values are offered, without waiting."""

    def offer(self, rows: ValueRows, partition: int = 0) -> None: ...
    def drop(self, partition: int) -> None: ...


@dataclass(slots=True)
class _Owned:
    """One partition of partials of ours. Times of the event loop's clock."""

    tp: TP
    state: MergePartition
    log: OwnedLog
    table: FencedTable
    complete_at: int  # below are records that were there at the assignment: nothing is published without them
    fresh: bool = True  # nothing was published yet
    changed: bool = True
    held: bool = False  # open windows wait
    published: float = 0.0
    shown: float = 0.0  # when open windows were published last
    kept: float = 0.0  # when the manifest was written last
    kept_offset: int = -1
    uncopied: list[Record] = field(default_factory=list)  # behind what the last manifest says


@dataclass(slots=True)
class Published:
    """Values written to `NAME.values`. A write that fails ends the worker, and nothing waits or is dropped."""

    written: int = 0
    failed: int = 0
    dropped: int = 0
    queue_rows: int = 0

    @property
    def counts(self) -> Published:
        return self


@dataclass(frozen=True, slots=True)
class _Made:
    owned: _Owned
    publication: Publication
    values: dict[Place, list[Pair]]
    states: list[tuple[str, str, int]]  # KPI, state of the window, how many values


class Merge:
    """All partitions of partials of this worker."""

    def __init__(self, parts: Parts, sinks: Sequence[Sink]) -> None:
        self._partials = partials_topic(parts.catalog.name)
        self._windows = windows_changelog(parts.catalog)
        self._values = values_topic(parts.catalog.name)
        self._alerts: Place = (alerts_topic(parts.catalog.name), 0)
        self._partitions = parts.layout.merge
        self._consumer = parts.consumer
        self._writer = parts.writer
        self._engine = parts.engine
        self._metrics = parts.metrics
        self._copies = parts.copies
        self._sinks = sinks
        self._published = Published()
        parts.metrics.watch("kafka", self._published)
        self._owned: dict[TP, _Owned] = {}
        self._released: dict[TP, _Owned] = {}  # by the last rebalance: it may give some of them back
        self._round = asyncio.Lock()
        self._wake = asyncio.Event()
        self._clock = time.monotonic

    @property
    def tps(self) -> set[TP]:
        return set(self._owned)

    def positions(self) -> dict[TP, int]:
        """Where each partition goes on."""
        return {tp: owned.state.offset for tp, owned in self._owned.items()}

    def topic_ids(self) -> dict[str, str]:
        """The ids, as text, of the topics that the state is of; "" where brokers give none."""
        return {tp.topic: owned.state.topic_id for tp, owned in self._owned.items()}

    # -- assignment and revocation -----------------------------------------------------------------------------------

    async def recover(self, plan: Plan, wanted: Collection[TP], reader: TopicReader) -> None:
        """Take up the state of partitions that are ours now. Raises StateLost."""
        again = await self._take_back(plan, wanted, reader)
        await self._recover(plan, [tp for tp in wanted if tp not in again], reader)

    async def _take_back(self, plan: Plan, wanted: Collection[TP], reader: TopicReader) -> set[TP]:
        """Go on with the partitions that nobody else had meanwhile: nobody wrote to their changelogs."""
        released, self._released = self._released, {}
        known = [owned for tp, owned in released.items() if tp in wanted and owned.state.plan is plan]
        if not known:
            return set()
        id_ = (await reader.topic_id_texts([self._partials])).get(self._partials, "")
        for owned in known:
            check_topic(self._partials, owned.state.topic_id, id_)
        ends = await reader.ends([owned.log.tp for owned in known])
        for owned in known:
            if owned.log.untouched(ends[owned.log.tp]):
                owned.fresh = owned.changed = True
                self._owned[owned.tp] = owned
        return {owned.tp for owned in known if owned.tp in self._owned}

    async def _recover(self, plan: Plan, wanted: Collection[TP], reader: TopicReader) -> None:
        if not wanted:
            return
        began = self._clock()
        logs = {tp: TopicPartition(self._windows, tp.partition) for tp in wanted}
        assigned = await assign(
            self._writer, {log: FencedTable.assignment_key() for log in logs.values()}, self._copies
        )
        tables = await newest_records(reader, {log: owned.end for log, owned in assigned.items()}, self._copies)
        fenced = {tp: FencedTable(assigned[log].epoch) for tp, log in logs.items()}
        states: dict[TP, dict[bytes, bytes]] = {}
        rewritten: dict[Place, list[Pair]] = {}
        for tp, log in logs.items():
            states[tp], rewritten[assigned[log].place] = fenced[tp].take_over(tables[log])
        await write(self._writer, rewritten, assigned.values())
        topics = {tp: TopicPartition(*tp) for tp in wanted}
        ends = await reader.ends(list(topics.values()))
        committed = await self._consumer().committed_offsets(set(wanted))
        id_ = (await reader.topic_id_texts([self._partials])).get(self._partials, "")
        upto: dict[TopicPartition, int] = {}
        for tp in wanted:
            manifest = _manifest(states[tp])
            check_partials(tp, manifest, topic_id=id_, committed=committed[tp], end=ends[topics[tp]])
            upto[topics[tp]] = manifest.offset if manifest else 0
        partials = await newest_records(reader, upto, self._copies)
        for tp, log in logs.items():
            records = [(key, value) for key, value, _ in partials[topics[tp]]]
            state = MergePartition(plan, tp.partition, self._partitions, epoch=assigned[log].epoch)
            await self._engine.run(partial(state.restore, states[tp].items(), records))
            state.topic_id = id_ or state.topic_id
            self._owned[tp] = _Owned(tp, state, assigned[log], fenced[tp], ends[topics[tp]])
        blocks = sum(len(records) for records in partials.values())
        _log.info("%s: recovered %d blocks in %.1f s", listed(wanted), blocks, self._clock() - began)

    async def release(self, tps: Collection[TP]) -> None:
        """Let go of partitions, once what is being published is durable."""
        async with self._round:
            for tp in tps:
                owned = self._owned.pop(tp, None)
                if owned is not None:
                    self._released[tp] = owned
                    for sink in self._sinks:
                        sink.drop(tp.partition)
                    if self._copies is not None:
                        await self._copies.close([owned.log.tp, TopicPartition(*tp)])

    def count_series(self) -> None:
        """Tell the metrics how many series there are, of each KPI."""
        counts: dict[str, int] = {}
        for owned in self._owned.values():
            for kpi, count in owned.state.series().items():
                counts[kpi] = counts.get(kpi, 0) + count
        for kpi, count in counts.items():
            self._metrics.series(kpi, count)

    # -- records -----------------------------------------------------------------------------------------------------

    async def take(self, tp: TP, fetched: Fetched[list[Record]]) -> None:
        """Take in one fetched batch; it is published by the loop of `publishing`."""
        owned = self._owned.get(tp)
        if owned is None:
            return  # gone while the batch waited
        if self._copies is not None:
            owned.uncopied.extend(fetched.content)
        records = [(key, value, offset) for key, value, offset in fetched.content if key is not None]
        await self._engine.run(lambda: owned.state.apply(records))
        owned.changed = True
        self._wake.set()

    async def publishing(self, round_done: Callable[[], None]) -> None:
        """Publish whenever something came, for ever."""
        while True:
            waiting = any(owned.held or owned.state.offset > owned.kept_offset for owned in self._owned.values())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 0.25 if waiting else 1.0)
            self._wake.clear()
            await self.publish()
            round_done()

    async def publish(self, *, final: bool = False) -> None:
        """Publish what is to be published now. Raises WriteFailed."""
        async with self._round:
            now = self._clock()
            due = [owned for owned in self._owned.values() if self._is_due(owned, now)]
            if not due:
                return
            made = await self._engine.run(lambda: [self._make(owned, now, final) for owned in due])
            await self._write(made, now, final)

    def _is_due(self, owned: _Owned, now: float) -> bool:
        if owned.state.offset < owned.complete_at:
            lag = self._consumer().lag(owned.tp)
            if lag is None or lag.position < owned.complete_at:
                return False
        if owned.state.behind and now - owned.published < CATCHING_UP_SECONDS:
            return False  # each publication merges windows anew: fewer are cheaper
        return (
            owned.changed
            or (owned.held and now - owned.shown >= BEHIND_SECONDS)
            or (owned.state.offset > owned.kept_offset and now - owned.kept >= MANIFEST_SECONDS)
        )

    def _make(self, owned: _Owned, now: float, final: bool) -> _Made:
        open_windows = final or not owned.state.behind or now - owned.shown >= BEHIND_SECONDS
        owned.changed, owned.published = False, now
        if owned.fresh:
            owned.state.republish()
            owned.fresh = False
            open_windows = True
        publication = owned.state.publish(open_windows=open_windows)
        owned.held = not open_windows
        if open_windows:
            owned.shown = now
        values: dict[Place, list[Pair]] = {}
        for key, value in kafka.records(publication.values):
            values.setdefault((self._values, zlib.crc32(key) % self._partitions), []).append((key, value))
        states = [
            (rows.kpi.name, state, count)
            for rows in publication.values
            for state, count in rows.frame["state"].value_counts().iter_rows()
        ]
        return _Made(owned, publication, values, states)

    async def _write(self, made: Sequence[_Made], now: float, final: bool) -> None:
        first: dict[Place, list[Pair]] = {}
        values: dict[Place, list[Pair]] = {}
        for part in made:
            if part.publication.revisions:
                first[part.owned.log.place] = part.owned.table.pairs(part.publication.revisions)
            for partition, key, value in part.publication.shares:
                first.setdefault((self._partials, partition), []).append((key, value))
            for place, pairs in part.values.items():
                values.setdefault(place, []).extend(pairs)
        logs = [part.owned.log for part in made]
        if first:
            await write(self._writer, first, logs)
        alerts: list[Pair] = [pair for part in made for pair in part.publication.alerts]
        if values or alerts:
            await self._writer.write({**values, self._alerts: alerts} if alerts else values)
            self._published.written += sum(map(len, values.values()))
            for part in made:
                for kpi, state, count in part.states:
                    self._metrics.published(kpi, state, count)
        for part in made:
            for kpi, count in part.owned.state.take_folded().items():
                self._metrics.folded(kpi, count)
            for rows in part.publication.values:
                for sink in self._sinks:
                    sink.offer(rows, part.owned.tp.partition)
        durable = [part for part in made if final or self._is_worth(part, now)]
        if not durable:
            return
        manifests = {part.owned.log.place: part.owned.table.pairs([part.publication.manifest]) for part in durable}
        await write(self._writer, manifests, logs)
        gone: dict[Place, list[Pair]] = {
            (self._partials, part.owned.tp.partition): [(key, None) for key in part.publication.tombstones]
            for part in durable
            if part.publication.tombstones and part.owned.log.alone  # else see `streams.tables.delete`
        }
        committed = {part.owned.tp: part.publication.offset for part in durable}
        await asyncio.gather(self._writer.write(gone), self._consumer().commit_offsets(committed))
        for part in durable:
            part.owned.kept, part.owned.kept_offset = now, part.publication.offset
        if self._copies is not None:
            for part in durable:
                await self._copy(self._copies, part.owned, part.publication.offset)

    async def _copy(self, copies: LocalCopies, owned: _Owned, end: int) -> None:
        """Partials below the manifest's offset: recovery reads no others."""
        count = bisect_left(owned.uncopied, end, key=lambda record: record[2])
        records, owned.uncopied = owned.uncopied[:count], owned.uncopied[count:]
        if records:
            await copies.extend(TopicPartition(*owned.tp), records[0][2], records)

    def _is_worth(self, part: _Made, now: float) -> bool:
        """Whether the publication's manifest should be written: it has content, or the last one is old."""
        publication = part.publication
        content = publication.values or publication.revisions or publication.shares or publication.tombstones
        return bool(content or publication.alerts) or now - part.owned.kept >= MANIFEST_SECONDS


def _manifest(states: dict[bytes, bytes]) -> MergeManifest | None:
    return next((decode_merge_manifest(value) for key, value in states.items() if record_kind(key) == MANIFEST), None)
