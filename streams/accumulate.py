"""The first stage at work: source partitions of this worker, from their assignment to their revocation.

A batch is folded as it comes. At a flush, what was folded is written, each step acknowledged before the next: dead
letters; state; partials; the manifest; the heartbeat; tombstones and the commit (protocol rule 1). Partials follow the
state, so that a new owner has read all that merge was told before (rule 3). Folding goes on while a flush is being
written.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from aiokafka.structs import TopicPartition
from faust.types import TP

from engine.accumulating import Flush, Progress, SourcePartition, TableRecord
from engine.catalog.model import Source
from engine.decoding.batch import Batch
from engine.event_time import NEVER
from engine.plan import Plan
from engine.records import ASSIGNMENT, HEARTBEAT, Heartbeat, announcement, encode, record_key, record_kind
from sinks.names import EventOutcome, dead_letter_topic, partials_topic
from streams.dead_letters import DeadLetterLimit, TooManyDeadLetters, dead_letter_records
from streams.fetching import Fetched
from streams.parts import Parts
from streams.producing import Pair, Place
from streams.reading import TopicReader
from streams.state_checks import check_source, check_topic
from streams.tables import OwnedLog, assign, delete, newest_records, write
from streams.topics import blocks_changelog
from streams.transport import Lag

# A flush is due when so much waits. Of each event, its id for deduplication is written, 28 bytes.
PENDING_ROWS = 1_000_000
PENDING_EVENTS = 200_000
LITTLE = 5_000  # so many events more to read, or as many as came since the last flush: that is not being behind
QUIET_SECONDS = 1.0  # heartbeats of a partition that has nothing
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Owned:
    """One source partition of ours. Times in seconds since the epoch."""

    tp: TP
    source: str
    state: SourcePartition
    log: OwnedLog
    arrived: float
    limit: DeadLetterLimit = field(default_factory=DeadLetterLimit)
    letters: list[Any] = field(default_factory=list)  # of what was folded since the last flush
    expected: int = 0
    flushed: int = -1  # the offset of the last flush
    events: int = 0  # folded since the last flush
    told: float = 0.0  # when the last heartbeat went out
    at_end: bool = False

    def fold(self, fetched: Fetched[Batch]) -> str | None:
        """Fold a batch. What is wrong, when too much of it is refused."""
        rejects = self.state.fold(fetched.content)
        self.events += len(fetched.content.offsets)
        if rejects:
            originals = {found.offset: found for found in fetched.originals([reject.offset for reject in rejects])}
            self.letters.extend(dead_letter_records(self.tp.topic, self.tp.partition, rejects, originals))
        return self.limit.observe(fetched.content.offsets, rejects)  # type: ignore[arg-type]  # integers all the same


@dataclass(frozen=True, slots=True)
class _Made:
    """What one partition has to write: a flush, or a heartbeat alone."""

    owned: _Owned
    flush: Flush | None
    heartbeats: list[tuple[int, bytes, bytes]]
    letters: list[Any] = field(default_factory=list)
    counts: Mapping[str, int] = field(default_factory=dict)
    by_clock: bool = False  # the clock raises the floor: only an owner that was not superseded may say so (rule 8)


class Accumulate:
    """All source partitions of this worker.

    `fresh` is set when something was folded, `due` when a flush should not wait.
    """

    def __init__(self, parts: Parts) -> None:
        self._catalog = parts.catalog
        self._partials = partials_topic(parts.catalog.name)
        self._layout = parts.layout
        self._consumer = parts.consumer
        self._writer = parts.writer
        self._engine = parts.engine
        self._metrics = parts.metrics
        self._copies = parts.copies
        self._dedupe = parts.dedupe
        self._owned: dict[TP, _Owned] = {}
        self._released: dict[TP, _Owned] = {}  # by the last rebalance: it may give some of them back
        self._round = asyncio.Lock()
        self.due = asyncio.Event()
        self.fresh = asyncio.Event()

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
        """Take up the state of partitions that are ours now (protocol rules 2 and 3). Raises StateLost."""
        again = await self._take_back(wanted, reader)
        await self._recover(plan, [tp for tp in wanted if tp not in again], reader)

    async def _take_back(self, wanted: Collection[TP], reader: TopicReader) -> set[TP]:
        """Go on with the partitions that nobody else had meanwhile: nobody wrote to their changelogs."""
        released, self._released = self._released, {}
        known = [owned for tp, owned in released.items() if tp in wanted]
        if not known:
            return set()
        ids = await reader.topic_id_texts({owned.tp.topic for owned in known})
        for owned in known:
            check_topic(owned.tp.topic, owned.state.topic_id, ids.get(owned.tp.topic, ""))
        ends = await reader.ends([owned.log.tp for owned in known])
        again = {owned.tp: owned for owned in known if owned.log.untouched(ends[owned.log.tp])}
        self._owned.update(again)
        return set(again)

    async def _recover(self, plan: Plan, wanted: Collection[TP], reader: TopicReader) -> None:
        if not wanted:
            return
        began = time.monotonic()
        sources = {source.topic: source for source in plan.catalog.sources.values()}
        logs = {tp: TopicPartition(blocks_changelog(plan.catalog, sources[tp.topic]), tp.partition) for tp in wanted}
        keys = {  # each of its own, so that compaction keeps them all
            log: record_key(ASSIGNMENT, log.partition, 0, 0, uuid.uuid4().hex) for log in logs.values()
        }
        assigned = await assign(self._writer, keys, self._copies)
        await self._announce({tp: assigned[log].epoch for tp, log in logs.items()}, sources)
        upto = await reader.ends(list(assigned))
        tables = await newest_records(reader, upto, self._copies)
        for log, owned_log in assigned.items():
            newer = [key for key, _, offset in tables[log] if offset > owned_log.epoch]
            owned_log.has_read(upto[log], newer=any(record_kind(key) == ASSIGNMENT for key in newer))
        topics = [TopicPartition(*tp) for tp in wanted]
        ids = await reader.topic_id_texts({tp.topic for tp in wanted})
        starts, ends = await reader.starts(topics), await reader.ends(topics)
        committed = await self._consumer().committed_offsets(set(wanted))
        records = sum(len(table) for table in tables.values())
        found: list[_Owned] = []
        for tp, log in logs.items():
            source = sources[tp.topic].name
            id_, end = ids.get(tp.topic, ""), ends[TopicPartition(*tp)]
            restored = tables.pop(log)
            state = await self._engine.run(self._restore(plan, source, tp, id_, assigned[log].epoch, restored))
            check_source(
                tp, state.manifest, partitions=state.partitions, topic_id=id_, committed=committed[tp], end=end
            )
            _go_on(tp, state, starts[TopicPartition(*tp)])
            found.append(_Owned(tp, source, state, assigned[log], time.time(), expected=state.offset))
        made = [
            _Made(owned, owned.state.take_over(), _heartbeats(owned.state.heartbeat(Progress()), self._layout.merge))
            for owned in found
        ]
        await self._write_all(made)
        former: dict[Place, list[Pair]] = {}
        for owned in found:
            for partition, key, value in self._former_heartbeats(owned):
                former.setdefault((self._partials, partition), []).append((key, value))
        await self._writer.write(former)
        self._owned.update({owned.tp: owned for owned in found})
        _log.info("%s: recovered from %d records in %.1f s", listed(wanted), records, time.monotonic() - began)

    async def _announce(self, epochs: Mapping[TP, int], sources: Mapping[str, Source]) -> None:
        """To merge, which ignores from then on what earlier owners of these partitions still send."""
        told = [announcement(sources[tp.topic].name, tp.partition, epoch) for tp, epoch in epochs.items()]
        await self._writer.write({(self._partials, partition): told for partition in range(self._layout.merge)})

    def _former_heartbeats(self, owned: _Owned) -> list[tuple[int, bytes, None]]:
        """Those of the owner before, to tombstone: their keys end in an epoch that is over."""
        manifest = owned.state.manifest
        if manifest is None or manifest.epoch == owned.log.epoch:
            return []
        key = record_key(HEARTBEAT, owned.tp.partition, 0, manifest.epoch, owned.source)
        return [(partition, key, None) for partition in range(self._layout.merge)]

    def _restore(
        self, plan: Plan, source: str, tp: TP, topic_id: str, epoch: int, restored: list[TableRecord]
    ) -> Callable[[], SourcePartition]:
        return lambda: SourcePartition(
            plan,
            source,
            tp.partition,
            partitions=self._layout.sources[source],
            merge_partitions=self._layout.merge,
            topic_id=topic_id,
            epoch=epoch,
            restored=restored,
            store=self._dedupe,
        )

    async def release(self, tps: Collection[TP]) -> None:
        """Make durable what was folded of partitions that go, and let go of them."""
        going = [owned for tp in tps if (owned := self._owned.get(tp))]
        if not going:
            return
        await self.flush()
        for owned in going:
            self._released[owned.tp] = self._owned.pop(owned.tp)
            self._metrics.no_lag(owned.tp.topic, owned.tp.partition)
        if self._copies is not None:
            await self._copies.close([owned.log.tp for owned in going])

    # -- events ------------------------------------------------------------------------------------------------------

    async def take(self, tp: TP, fetched: Fetched[Batch]) -> None:
        """Fold one fetched batch. Raises TooManyDeadLetters."""
        owned = self._owned.get(tp)
        if owned is None:
            return  # gone while the batch waited
        owned.arrived = time.time()
        if fetched.asked > owned.expected:
            await self._look_for_gap(owned, fetched.asked)
            if self._owned.get(tp) is not owned:
                return
        began = time.perf_counter()
        wrong = await self._engine.run(lambda: owned.fold(fetched))
        self._metrics.batch_seconds.observe(time.perf_counter() - began)
        self.fresh.set()
        owned.expected = max(owned.expected, fetched.next_offset)
        if wrong is not None:
            raise TooManyDeadLetters(f"{tp.topic}[{tp.partition}]: {wrong}")
        rows = sum(other.state.pending_rows for other in self._owned.values())
        if rows > PENDING_ROWS or owned.events > PENDING_EVENTS:
            self.due.set()
        if rows > 2 * PENDING_ROWS or owned.events > 2 * PENDING_EVENTS:
            await self.flush()

    async def _look_for_gap(self, owned: _Owned, asked: int) -> None:
        """Offsets may be passed over that hold no events; unless the log begins above them now."""
        start = await self._consumer().earliest_offsets(owned.tp)
        if start.get(owned.tp, 0) > owned.expected:
            _lost(owned.tp, owned.expected, asked)
            owned.state.lost_history()

    # -- flushing ----------------------------------------------------------------------------------------------------

    async def flush(self) -> bool:
        """Make everything durable that was folded so far, and say how far each partition is. Raises WriteFailed.

        False when there was nothing to make durable.
        """
        async with self._round:
            self.due.clear()
            self.fresh.clear()
            owned = list(self._owned.values())
            if not owned:
                return False
            consumer = self._consumer()
            lags = {part.tp: consumer.lag(part.tp) for part in owned}
            began = time.perf_counter()
            now = time.time()
            made = await self._engine.run(lambda: [found for part in owned if (found := self._make(part, lags, now))])
            folded = [part.state.take_folded() for part in owned]
            await self._write(made)
            flushed = any(part.flush for part in made)
            if flushed:
                self._metrics.flush_seconds.observe(time.perf_counter() - began)
            self._count(made, lags, now)
            self._count_folded(folded)
            return flushed

    def _make(self, owned: _Owned, lags: Mapping[TP, Lag | None], now: float) -> _Made | None:
        progress = _progress(owned, lags[owned.tp], now)
        letters, owned.letters = owned.letters, []
        counts = owned.state.take_counts()
        if owned.state.offset > owned.flushed or owned.state.floor_is_due(progress):
            owned.flushed, owned.events = owned.state.offset, 0
            flush = owned.state.flush(progress)
            owned.told, owned.at_end = now, progress.at_end
            by_clock = progress.silent_us >= owned.state.source.watermark.seal_idle_after_us
            return _Made(owned, flush, flush.heartbeats(self._layout.merge), letters, counts, by_clock)
        if progress.at_end and (not owned.at_end or now - owned.told >= QUIET_SECONDS):
            owned.told, owned.at_end = now, True
            beats = _heartbeats(owned.state.heartbeat(progress), self._layout.merge)
            return _Made(owned, None, beats, letters, counts)
        return None

    async def _write(self, made: list[_Made]) -> None:
        letters = {
            (dead_letter_topic(part.owned.tp.topic), part.owned.tp.partition): part.letters
            for part in made
            if part.letters
        }
        if letters:
            await self._writer.write_with_headers(letters)
        await self._write_all(made)

    async def _write_all(self, made: Sequence[_Made]) -> None:
        """Flushes and heartbeats, in their order."""
        flushed = [(part.owned, part.flush) for part in made if part.flush is not None]
        logs = [owned.log for owned, _ in flushed]
        partials: dict[Place, list[Pair]] = {}
        for _, flush in flushed:
            for partition, key, value in flush.partials:
                partials.setdefault((self._partials, partition), []).append((key, value))
        await write(self._writer, {owned.log.place: flush.state for owned, flush in flushed}, logs)
        if partials:
            await self._writer.write(partials)
        if flushed:
            await write(self._writer, {owned.log.place: [flush.manifest] for owned, flush in flushed}, logs)
        beats: dict[Place, list[Pair]] = {}
        for part in made:
            if part.by_clock and not await self._is_owner(part.owned):
                continue
            for partition, key, value in part.heartbeats:
                beats.setdefault((self._partials, partition), []).append((key, value))
        if beats:
            await self._writer.write(beats)
        if flushed:
            committed = {owned.tp: flush.offset for owned, flush in flushed}
            gone = [(owned.log, flush.tombstones) for owned, flush in flushed]
            await asyncio.gather(delete(self._writer, gone), self._consumer().commit_offsets(committed))

    async def _is_owner(self, owned: _Owned) -> bool:
        """Whether nobody else wrote to the changelog since the partition was assigned to us."""
        ends = await self._consumer().highwaters(TP(*owned.log.place))
        return owned.log.untouched(ends[TP(*owned.log.place)])

    def _count(self, made: Collection[_Made], lags: Mapping[TP, Lag | None], now: float) -> None:
        for part in made:
            for outcome, count in part.counts.items():
                if count:
                    self._metrics.events(part.owned.source, cast(EventOutcome, outcome), count)
        for tp, lag in lags.items():
            if lag is not None and lag.end is not None:
                self._metrics.lag(tp.topic, tp.partition, max(0, lag.end - self._owned[tp].state.offset))
        parts = [
            (
                owned.source,
                owned.state.admission.state.watermark_us,
                owned.state.is_idle(_progress(owned, lags.get(tp), now)),
            )
            for tp, owned in self._owned.items()
        ]
        for source, delay in watermark_delays(parts, now).items():
            self._metrics.watermark_delay(source, delay)

    def _count_folded(self, folded: Collection[Mapping[str, int]]) -> None:
        for counts in folded:
            for kpi, count in counts.items():
                self._metrics.folded(kpi, count)


def _progress(owned: _Owned, lag: Lag | None, now: float) -> Progress:
    """What the log's end and the clock say of a partition. Silence is counted up to the last answered fetch."""
    if lag is None or lag.end is None or lag.at is None:
        return Progress()
    quiet = lag.at - owned.arrived
    # What is at the end may be no event (the mark of a transaction): then the reader is past it, and nothing comes.
    at_end = owned.state.offset >= lag.end or (lag.position >= lag.end and quiet > QUIET_SECONDS)
    behind = not at_end and lag.end - owned.state.offset > max(owned.events, LITTLE)
    return Progress(at_end, int(max(0.0, quiet) * 1e6) if at_end else 0, int(now * 1e6), behind)


def watermark_delays(parts: Iterable[tuple[str, int, bool]], now: float) -> dict[str, float]:
    """Source -> seconds that its slowest partition is behind the clock; 0 where all are idle, which delay nobody.

    Of each partition: its source, its watermark in us, whether it is idle. ``now``: seconds since the epoch.
    """
    delays: dict[str, float] = {}
    for source, watermark_us, idle in parts:
        if idle:
            delays.setdefault(source, 0.0)
        elif watermark_us != NEVER:
            delays[source] = max(delays.get(source, 0.0), now - watermark_us / 1e6)
    return delays


def _heartbeats(beat: Heartbeat, partitions: int) -> list[tuple[int, bytes, bytes]]:
    """A heartbeat alone, for each partition of partials."""
    key, value = record_key(HEARTBEAT, beat.partition, 0, beat.epoch, beat.source), encode(beat)
    return [(partition, key, value) for partition in range(partitions)]


def _go_on(tp: TP, state: SourcePartition, start: int) -> None:
    """From where the log begins, when it lost what comes next."""
    if state.manifest is None:
        state.offset = max(state.offset, start)
    elif start > state.manifest.offset:
        _lost(tp, state.manifest.offset, start)
        state.lost_history()
        state.offset = start


def _lost(tp: TP, expected: int, found: int) -> None:
    _log.error(
        "%s[%d]: offsets %d to %d were deleted before they were read (retention); values say incomplete_history",
        tp.topic, tp.partition, expected, found - 1,
    )  # fmt: skip


def listed(tps: Collection[TP]) -> str:
    """``orders[0,1] returns[1]``."""
    topics: dict[str, list[str]] = {}
    for topic, partition in sorted(tps):
        topics.setdefault(topic, []).append(str(partition))
    return " ".join(f"{topic}[{','.join(partitions)}]" for topic, partitions in topics.items())
