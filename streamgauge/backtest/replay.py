"""Events of the past through both stages of the engine, in this process and without Kafka in between.

Where a publication is made follows from the events alone, never from how they were read: every four weeks of event
time, and every so many events; before an event that corrects a window that has ended, so that the window was judged
without it first; and when the minute of such a correction is over. Between those, rules see the ends of windows one by
one, as they do of a worker's publications.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.accumulating import Progress, SourcePartition
from engine.admission import Batch, decoder_of
from engine.alerts.objects import instant
from engine.catalog.model import Catalog
from engine.decoding.batch import Decoder, Int64s
from engine.event_time import NEVER
from engine.event_time.durations import DAY_US, HOUR_US, MINUTE_US
from engine.merging import MergePartition
from engine.plan import plan_catalog
from engine.records import HEARTBEAT, Heartbeat, encode, record_key

_NEVER_AGAIN: Final = 1 << 60  # a partition that has ended has been silent for longer than any `idle_after`
_MOST_AHEAD_US: Final = 366 * DAY_US
_MOST_US: Final = 28 * DAY_US  # of event time between two publications
_MOST_EVENTS: Final = 150_000  # of a partition between two publications
_SERIES: Final = (
    "h", "dims", "window_start", "window_end", "state", "value", "reason", "samples", "target", "watermark"
)  # fmt: skip


class TooFarAhead(Exception):
    """The end is long after the last event; the message says both."""


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Some records of a batch, between two places where a publication may be. ``front_us``: the highest event time
    before.
    """

    front_us: int
    batch: Batch
    first: int
    last: int
    publish: bool


@dataclass(slots=True)
class _Partition:
    owner: SourcePartition
    times: Decoder
    align_us: int
    pane_us: int
    highest_us: int = NEVER
    begins_us: int = NEVER  # the time of the first event
    ended: bool = False
    taken: int = 0  # records
    waiting: deque[_Piece] = field(default_factory=deque)
    held: list[_Piece] = field(default_factory=list)  # counted, but not folded yet
    shown_us: int = NEVER  # the watermark of the last publication that this partition asked for
    corrected: int | None = None  # the minute, by the watermark, of corrections that are not published yet

    def pieces(self, batch: Batch) -> Iterator[_Piece]:
        """The batch, cut where a publication is due, and where others are to catch up."""
        decoded = self.times.decode(batch)
        told = decoded.times
        good = np.ones(len(told), dtype=np.bool_)
        good[list(decoded.faults)] = False
        kafka = batch.timestamps() if callable(batch.timestamps) else batch.timestamps
        if not len(kafka):  # as if every event had come when it happened
            kafka = told // 1_000
            batch = replace(batch, timestamps=kafka)
        good &= told - kafka * 1_000 <= self.owner.source.watermark.max_future_us
        reached: Int64s = np.maximum.accumulate(np.where(good, told, NEVER))
        reached = np.maximum(reached, self.highest_us)
        if self.begins_us == NEVER and good.any():
            self.begins_us = int(told[good][0])
        before = np.concatenate([np.array([self.highest_us], dtype=np.int64), reached[:-1]])
        publish = set(self._corrections(told, good, before, reached))
        publish.update(range(-self.taken % _MOST_EVENTS, len(told), _MOST_EVENTS))
        self.taken += len(told)
        cell = np.flatnonzero(before // self.align_us != reached // self.align_us).tolist()
        bounds = sorted({0, *publish, *cell})
        for first, last in zip(bounds, [*bounds[1:], len(told)], strict=True):
            yield _Piece(int(reached[first]), batch, first, last, first in publish)
        self.highest_us = int(reached[-1])

    def hold(self, piece: _Piece) -> None:
        """Let it be folded with those around it: what is decided does not depend on batches, and few are cheaper."""
        if self.held and self.held[-1].batch is piece.batch:
            piece = replace(piece, first=self.held.pop().first)
        self.held.append(piece)

    def fold(self) -> None:
        """Fold what is held."""
        for piece in self.held:
            self.owner.fold(_part(piece.batch, piece.first, piece.last))
        self.held.clear()

    def _corrections(self, told: Int64s, good: npt.NDArray[np.bool_], before: Int64s, reached: Int64s) -> Iterator[int]:
        source = self.owner.source
        delay = source.watermark.delay_us
        known = before != NEVER
        watermark = np.where(known, before - delay, NEVER)
        counts = good & known & (told >= watermark - source.allowed_lateness_us)
        found = np.flatnonzero(counts & (told // self.pane_us < watermark // self.pane_us))
        minutes = (reached - delay) // MINUTE_US
        place = 0
        while place < len(told):
            if self.corrected is None:
                following = int(np.searchsorted(found, place))
                if following == len(found):
                    return
                place = int(found[following])
                if watermark[place] // self.pane_us > self.shown_us // self.pane_us:
                    yield place
                    self.shown_us = int(watermark[place])
                self.corrected = int(watermark[place]) // MINUTE_US
            place = max(place, int(np.searchsorted(minutes, self.corrected, side="right")))
            if place < len(told):
                yield place
                self.shown_us = int(watermark[place])
                self.corrected = None


class Replay:
    """The events of some partitions of sources, given in the order of their offsets; what came out is gathered.

    ``streams``: how many partitions each source has. ``objects`` are those of `NAME.alerts`; `values` gives what the
    KPIs with alerts were as their windows closed, and were corrected.
    """

    def __init__(self, catalog: Catalog, streams: Mapping[str, int]) -> None:
        self.plan = plan_catalog(catalog)
        self.objects: list[bytes] = []
        self.counts = dict.fromkeys(("accepted", "duplicate", "late", "invalid"), 0)
        self._judged = {kpi.name for kpi in catalog.kpis.values() if kpi.alerts}
        self._values: dict[str, list[pl.DataFrame]] = {}
        self._merge = MergePartition(self.plan, 0)
        self._log: list[tuple[bytes, bytes | None, int]] = []
        self._written = self._published = 0
        self._turn = NEVER
        self.first_us = NEVER  # the event time at which the first partition begins
        pane_us = min(view.pane_us for view in self.plan.views)
        align_us = _MOST_US if sum(streams.values()) == 1 else HOUR_US
        self._partitions = {
            (source, number): _Partition(
                SourcePartition(self.plan, source, number, partitions=count, merge_partitions=1),
                decoder_of(catalog.sources[source], wanted=[catalog.sources[source].event_time or ""]),
                align_us,
                pane_us,
            )
            for source, count in streams.items()
            for number in range(count)
        }
        for of in self._partitions.values():
            self._beat(of.owner.heartbeat(Progress()))

    # -- taking in -----------------------------------------------------------------------------------------------------

    def take(self, source: str, partition: int, batch: Batch) -> None:
        """The next records of a partition, counted as soon as all others are as far. Without ``timestamps``, no event
        is too far ahead of them.
        """
        if len(batch.offsets):
            of = self._partitions[source, partition]
            pieces = list(of.pieces(batch))
            if of.begins_us != NEVER and (self.first_us == NEVER or of.begins_us < self.first_us):
                self.first_us = of.begins_us
            of.waiting.extend(pieces)
            self._advance()

    def end(self, source: str, partition: int) -> None:
        """The partition has no more: from here on it follows the others' time."""
        self._partitions[source, partition].ended = True
        self._advance()

    def next(self) -> tuple[str, int] | None:
        """The partition whose records the others wait for; None when all have ended."""
        return min(
            (name for name, of in self._partitions.items() if not of.ended and not of.waiting),
            key=lambda name: self._partitions[name].highest_us,
            default=None,
        )

    def finish(self, until_us: int | None = None) -> None:
        """Publish what is left. With ``until_us``, time goes on until then though no more events come.

        Raises TooFarAhead where that is long after the last event.
        """
        self._publish()
        if until_us is not None and until_us > self.reached_us != NEVER:
            if until_us > self.last_us + _MOST_AHEAD_US:
                raise TooFarAhead(
                    f"the last event is at {instant(self.last_us)}, and the end {instant(until_us)} is more than"
                    f" {_MOST_AHEAD_US // DAY_US} days later"
                )
            for of in self._partitions.values():
                delay = of.owner.source.watermark.delay_us
                self._beat(of.owner.heartbeat(_ended(until_us + delay)))
            self._apply()
        for of in self._partitions.values():
            for outcome, count in of.owner.take_counts().items():
                self.counts[outcome] += count

    @property
    def reached_us(self) -> int:
        """The event time that all partitions which go on have reached; NEVER before the first event."""
        going = [of.highest_us for of in self._partitions.values() if not of.ended]
        return min(going) if going else max(of.highest_us for of in self._partitions.values())

    @property
    def last_us(self) -> int:
        """The latest event time; NEVER where there is none."""
        return max(of.highest_us for of in self._partitions.values())

    def values(self, kpi: str) -> pl.DataFrame | None:
        """Rows in the order in which they were published, with the publication's number; None where there were none.

        Times are in microseconds.
        """
        found = self._values.get(kpi)
        return pl.concat(found) if found else None

    # -- the two stages ------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        while all(of.waiting or of.ended for of in self._partitions.values()):
            ready = [of for of in self._partitions.values() if of.waiting]
            if not ready:
                return
            of = min(ready, key=lambda of: of.waiting[0].front_us)
            piece = of.waiting.popleft()
            turn = piece.front_us // _MOST_US
            if piece.publish or turn > self._turn:
                self._publish()
            self._turn = max(self._turn, turn)
            of.hold(piece)

    def _publish(self) -> None:
        for of in self._partitions.values():
            of.fold()
            if of.owner.pending_rows or not of.ended:
                flush = of.owner.flush(Progress())
                for _, key, value in flush.partials:
                    self._write(key, value)
                self._beat(flush.heartbeat)
        now = self.reached_us
        for of in self._partitions.values():
            if of.ended and not of.waiting and of.highest_us < now:
                self._beat(of.owner.heartbeat(_ended(now)))
        self._apply()

    def _apply(self) -> None:
        self._merge.apply(self._log)
        self._log.clear()
        self._published += 1
        publication = self._merge.publish(open_windows=False)
        for _, key, value in publication.shares:
            self._write(key, value)
        self.objects.extend(value for _, value in publication.alerts)
        for rows in publication.values:
            if rows.kpi.name in self._judged:
                dims = [f"dim.{name}" for name, _ in rows.kpi.dimensions]
                closed = rows.frame.filter(pl.col("state") != "open").select(
                    *_SERIES, *dims, pl.lit(self._published, dtype=pl.Int64).alias("publication")
                )
                self._values.setdefault(rows.kpi.name, []).append(closed)

    def _beat(self, beat: Heartbeat) -> None:
        self._write(record_key(HEARTBEAT, beat.partition, 0, beat.epoch, beat.source), encode(beat))

    def _write(self, key: bytes, value: bytes) -> None:
        self._log.append((key, value, self._written))
        self._written += 1


def _ended(now_us: int) -> Progress:
    return Progress(at_end=True, silent_us=_NEVER_AGAIN, now_us=now_us, behind=True)


def _part(batch: Batch, first: int, last: int) -> Batch:
    whole = batch if first == 0 else batch.since(int(batch.offsets[first]))
    return whole if last == len(batch.offsets) else whole.until(int(batch.offsets[last]))
